#pragma once

/* Bytes of a JSON string that are not looked at one by one: span.c's and skim.c's. */

#include <stdbool.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool plain_is(char c) {
    return (signed char)c >= ' ' && c != '"' && c != '\\';
}

/* Return: the first byte of a string that is not plain ASCII, or @end */
static inline const char *plain_skip(const char *at, const char *end) {
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)at);
        __m128i is_special = _mm_cmplt_epi8(v, _mm_set1_epi8(' ')); /* signed: and above ASCII */
        unsigned int bits;

        is_special = _mm_or_si128(is_special, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
        is_special = _mm_or_si128(is_special, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        bits = (unsigned int)_mm_movemask_epi8(is_special);
        if (bits)
            return at + __builtin_ctz(bits);
    }
#endif
    while (at < end && plain_is(*at))
        at++;
    return at;
}

/* the same, a little sooner near @end; @text: where all of it begins, at or before @at */
static inline const char *plain_skip_within(const char *text, const char *at, const char *end) {
#if defined(__SSE2__)
    if (end - at < 16 && end - text >= 16) {
        const char *last = end - 16; /* some of these were looked at before */
        __m128i v = _mm_loadu_si128((const __m128i *)last);
        __m128i is_special = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
        unsigned int bits;

        is_special = _mm_or_si128(is_special, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
        is_special = _mm_or_si128(is_special, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        bits = (unsigned int)_mm_movemask_epi8(is_special) >> (at - last);
        return bits ? at + __builtin_ctz(bits) : end;
    }
#endif
    (void)text;
    return plain_skip(at, end);
}

/* Return: the closing quote of the string that goes on at @at; @end when there is none */
static inline const char *plain_closing_quote(const char *at, const char *end) {
    while ((at = plain_skip(at, end)) < end && *at != '"')
        at += *at == '\\' && end - at >= 2 ? 2 : 1;
    return at;
}
