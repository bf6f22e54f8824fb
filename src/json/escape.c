#include "json/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#elif defined(__SSE2__)
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

static __m128i block_is(__m128i block, char c) {
    return _mm_cmpeq_epi8(block, _mm_set1_epi8(c));
}

/* line ends become the letters that stand for them.  Return: a bit for each byte that is to get a backslash */
static unsigned block_prepare(__m128i *block) {
    __m128i cr = block_is(*block, '\r'), nl = block_is(*block, '\n');
    __m128i quotes = _mm_or_si128(block_is(*block, '"'), block_is(*block, '\\'));

    *block = _mm_add_epi8(*block, _mm_and_si128(cr, _mm_set1_epi8('r' - '\r')));
    *block = _mm_add_epi8(*block, _mm_and_si128(nl, _mm_set1_epi8('n' - '\n')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(quotes, _mm_or_si128(cr, nl)));
}

/* Return: is there a byte that is written otherwise?  As signed numbers, those above 127 are below 32, too */
static unsigned block_odd(__m128i block) {
    __m128i low = _mm_cmplt_epi8(block, _mm_set1_epi8(' '));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, block_is(block, 127)));
}

/* the first @n bytes of a block */
static char *put_block(char *at, const char *text, size_t n) {
    __m128i block = block_load(text);
    unsigned valid = (1U << n) - 1, marks = block_prepare(&block) & valid;
    char plain[2 * BLOCK];

    if (block_odd(block) & valid)
        return put_each(at, text, n);
    block_store(at, block);
    if (marks) {
        block_store(plain, block);
        block_store(plain + BLOCK, block);
    }
    for (; marks; marks &= marks - 1) {
        unsigned i = (unsigned)__builtin_ctz(marks);

        at[i] = '\\';
        block_store(++at + i, block_load(plain + i)); /* what follows makes room */
    }
    return at + n;
}

static char *plainly_put(char *at, const char *text, size_t n) {
    char rest[BLOCK];

    for (; n >= BLOCK; text += BLOCK, n -= BLOCK)
        at = put_block(at, text, BLOCK);
    memset(rest, ' ', sizeof(rest));
    memcpy(rest, text, n);
    return put_block(at, rest, n);
}

#else

static char *plainly_put(char *at, const char *text, size_t n) {
    return put_each(at, text, n);
}

#endif

#if defined(__x86_64__) && defined(__GNUC__)

/* AVX-512, which takes out of a row of bytes those that are wanted, at once */

#define VBMI2 __attribute__((target("avx512vbmi2,avx512bw,avx512vl,bmi2,popcnt")))

enum { PAIRS = 32 }; /* a backslash and a byte, of which either is written or both */

/* so many of them as @valid has bits */
VBMI2 static inline char *put_pairs(char *at, const char *text, __mmask32 valid) {
    __m256i v = _mm256_maskz_loadu_epi8(valid, text);
    __mmask32 cr = _mm256_cmpeq_epi8_mask(v, _mm256_set1_epi8('\r'));
    __mmask32 nl = _mm256_cmpeq_epi8_mask(v, _mm256_set1_epi8('\n'));
    __mmask32 quotes = _mm256_cmpeq_epi8_mask(v, _mm256_set1_epi8('"')) |
                       _mm256_cmpeq_epi8_mask(v, _mm256_set1_epi8('\\'));
    uint64_t wanted;
    __m512i pairs;

    v = _mm256_mask_mov_epi8(v, cr, _mm256_set1_epi8('r'));
    v = _mm256_mask_mov_epi8(v, nl, _mm256_set1_epi8('n'));
    if (_mm256_mask_cmplt_epi8_mask(valid, v, _mm256_set1_epi8(' ')) |
        _mm256_mask_cmpeq_epi8_mask(valid, v, _mm256_set1_epi8(127)))
        return put_each(at, text, (size_t)__builtin_popcount(valid));
    wanted = _pdep_u64(cr | nl | quotes, 0x5555555555555555) | _pdep_u64(valid, 0xAAAAAAAAAAAAAAAA);
    pairs = _mm512_or_si512(_mm512_slli_epi16(_mm512_cvtepu8_epi16(v), 8), _mm512_set1_epi16('\\'));
    _mm512_storeu_si512(at, _mm512_maskz_compress_epi8(wanted, pairs));
    return at + __builtin_popcountll(wanted);
}

VBMI2 static char *vbmi2_put(char *at, const char *text, size_t n) {
    for (; n >= PAIRS; text += PAIRS, n -= PAIRS)
        at = put_pairs(at, text, ~(__mmask32)0);
    return put_pairs(at, text, ((__mmask32)1 << n) - 1);
}

static bool has_vbmi2(void) {
    return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
}

char *escape_put(char *at, const char *text, size_t n) {
    return has_vbmi2() ? vbmi2_put(at, text, n) : plainly_put(at, text, n);
}

#else

char *escape_put(char *at, const char *text, size_t n) {
    return plainly_put(at, text, n);
}

#endif

const escape_put_fn escape_ways[] = {
    escape_put,
    plainly_put,
    put_each,
    NULL,
};
