#pragma once

/*
 * Skipping: over what is nested, and over strings, in JSON that can be
 * trusted.  The hot path of framing: of a long reply, nothing else is read.
 * What the skipped text means, and whether it is JSON at all, is nobody's
 * business here.
 *
 * There is one way to do it for every machine, and faster ones for some; a
 * test compares them all, at every split.
 */

#include <stdbool.h>
#include <stddef.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* where a skip stands between two calls */
struct scan {
    size_t depth;      /* brackets open */
    bool is_in_string; /* in double quotes, */
    bool is_escaped;   /* and behind a backslash that takes the next byte with it */
};

/*
 * scan_nested() - skip to where the last open bracket is closed
 * @s->depth: more than 0 before
 *
 * Return: how many bytes of @text it takes, that bracket with them; @n, and
 * @s->depth still more than 0, when it is not among them.
 */
size_t scan_nested(struct scan *s, const char *text, size_t n);

/*
 * scan_string() - the plain bytes of a string
 * Return: how many bytes of @text come before its first " or backslash; @n when there is none
 */
size_t scan_string(const char *text, size_t n);

enum {
    SCAN_SHORT = 16, /* so many bytes scan_short() looks at, */
    SCAN_BLOCK = 64, /* and so many scan_nested() at once */
};

/* the same of SCAN_SHORT bytes, for a string that is likely to be as short.  Return: SCAN_SHORT when there is none */
static inline size_t scan_short(const char *text) {
#if defined(__SSE2__)
    __m128i v = _mm_loadu_si128((const __m128i *)text);
    __m128i found =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    unsigned int bits = (unsigned int)_mm_movemask_epi8(found);

    return bits ? (size_t)__builtin_ctz(bits) : SCAN_SHORT;
#else
    return scan_string(text, SCAN_SHORT);
#endif
}

/*
 * scan_flat() - scan_nested() of an object or list, behind its bracket, in which there is no other
 * Return: how many bytes it takes, its closing bracket with them; 0: it is not
 * as flat, has a bracket or a backslash in a string, or does not end, or @n is
 * less than SCAN_SHORT
 */
static inline size_t scan_flat(const char *text, size_t n) {
#if defined(__SSE2__)
    const __m128i bit = _mm_set1_epi8(0x20); /* which [ and {, ] and } differ by */
    unsigned int is_odd = 0, n_seen = 0;

    for (size_t i = 0; n >= SCAN_SHORT && i < n; i += SCAN_SHORT) {
        if (n - i < SCAN_SHORT) { /* the last ones, and some once more */
            n_seen = (unsigned int)(SCAN_SHORT - (n - i));
            i = n - SCAN_SHORT;
        }
        __m128i v = _mm_loadu_si128((const __m128i *)(text + i)), lower = _mm_or_si128(v, bit);
        __m128i other = _mm_or_si128(_mm_cmpeq_epi8(lower, _mm_set1_epi8('{')),
                                     _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
        __m128i close = _mm_cmpeq_epi8(lower, _mm_set1_epi8('}'));
        unsigned int new = ~0u << n_seen, closes = (unsigned int)_mm_movemask_epi8(close) & new;

        new &= (closes & -closes) - 1; /* all of them, if none is closed */
        if ((unsigned int)_mm_movemask_epi8(other) & new)
            return 0;
        is_odd ^= (unsigned int)__builtin_parity((unsigned int)_mm_movemask_epi8(quote) & new);
        if (closes)
            return is_odd ? 0 : i + (size_t)__builtin_ctz(closes) + 1;
    }
#else
    (void)text;
    (void)n;
#endif
    return 0;
}

/* --- for the test ------------------------------------------------------------------------------ */

/* one way to do it */
struct scan_way {
    const char *name;
    bool (*is_there)(void); /* can this machine do it? */
    /* scan_nested() of text[at] to text[n]; what stands before @at may be read, too.  Return: where it ends */
    size_t (*nested)(struct scan *s, const char *text, size_t at, size_t n);
};

/* the best first; ends with one that every machine can do, and then an empty one */
extern const struct scan_way scan_ways[];
