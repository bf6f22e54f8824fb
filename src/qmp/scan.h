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

/* so many bytes scan_short() looks at */
enum { SCAN_SHORT = 16 };

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
