#include "json/escape.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* 0: it stands for itself, 1: with a backslash before it, 2: otherwise */
static const unsigned char escapes[256] = {
    [0 ... 31] = 2,
    ['"'] = 1,
    ['\\'] = 1,
    [127 ... 255] = 2,
};

static char *put_odd(char *at, unsigned char c) {
    static const char hex[] = "0123456789ABCDEF";

    *at++ = '\\';
    if (c == '\n' || c == '\r') {
        *at++ = c == '\n' ? 'n' : 'r';
        return at;
    }
    memcpy(at, "u00", 3);
    at[3] = hex[c >> 4];
    at[4] = hex[c & 15];
    return at + 5;
}

/*
 * Every other byte or so is a quotation mark, which no processor can foresee:
 * the backslash is written always, and what comes next takes its place if it
 * is not wanted.
 */
static char *put_each(char *at, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (__builtin_expect(escapes[c] == 2, 0)) {
            at = put_odd(at, c);
            continue;
        }
        *at = '\\';
        at += escapes[c];
        *at++ = (char)c;
    }
    return at;
}

#if defined(__SSE2__)

enum { BLOCK = 16 };

static __m128i block_load(const char *text) {
    return _mm_loadu_si128((const __m128i *)(const void *)text);
}

static void block_store(char *at, __m128i block) {
    _mm_storeu_si128((__m128i *)(void *)at, block);
}

/* Return: a bit for each byte that is to get a backslash */
static unsigned block_quotes(__m128i block) {
    __m128i quotes = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(quotes, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
}

/* Return: is there a byte that is written otherwise?  As signed numbers, those above 127 are below 32, too */
static unsigned block_odd(__m128i block) {
    __m128i low = _mm_cmplt_epi8(block, _mm_set1_epi8(' '));

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(low, _mm_cmpeq_epi8(block, _mm_set1_epi8(127))));
}

/* the first @n bytes of a block, behind which as many more can be read */
static char *put_block(char *at, const char *text, size_t n) {
    __m128i block = block_load(text);
    unsigned valid = (1U << n) - 1, quotes = block_quotes(block) & valid;

    if (block_odd(block) & valid)
        return put_each(at, text, n);
    block_store(at, block);
    for (; quotes; quotes &= quotes - 1) {
        unsigned i = (unsigned)__builtin_ctz(quotes);

        at[i] = '\\';
        block_store(++at + i, block_load(text + i)); /* what follows makes room */
    }
    return at + n;
}

char *escape_put(char *at, const char *text, size_t n) {
    char rest[4 * BLOCK];

    for (; n >= 2 * BLOCK; text += BLOCK, n -= BLOCK)
        at = put_block(at, text, BLOCK);
    memset(rest, ' ', sizeof(rest));
    memcpy(rest, text, n);
    text = rest;
    if (n >= BLOCK) {
        at = put_block(at, text, BLOCK);
        text += BLOCK;
        n -= BLOCK;
    }
    return put_block(at, text, n);
}

#else

char *escape_put(char *at, const char *text, size_t n) {
    return put_each(at, text, n);
}

#endif
