/*
 * A strict parser that builds nothing.  What it knows is valid to every
 * server; what it does not know it refuses, though that may be valid, too:
 * single quotes, bytes above ASCII, \u, a backslash in a key that matters or
 * in the name, fractions and exponents, very deep nesting.
 *
 * A function is given the place of its first byte and returns the one behind
 * its last; NULL: refused.
 */
#include "qmp/frame_quick.h"

#include <string.h>

#include "base/util.h"
#include "qmp/frame_parts.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

_Static_assert((int)FRAME_QUICK_MAX_BYTES < (int)FRAME_MAX_TOKENS &&
                   (int)FRAME_QUICK_MAX_BYTES < (int)FRAME_MAX_TOKEN_BYTES &&
                   (int)FRAME_QUICK_MAX_DEPTH < (int)FRAME_MAX_DEPTH,
               "nothing that is read here is above a limit");

/* what there is to read */
struct quick {
    const char *begin, *end;
};

static inline const char *quick_blanks(const struct quick *q, const char *at) {
    static const uint64_t blanks =
        (uint64_t)1 << ' ' | (uint64_t)1 << '\t' | (uint64_t)1 << '\r' | (uint64_t)1 << '\n';

    while (at < q->end && (unsigned char)*at <= ' ' && blanks >> *at & 1)
        at++;
    return at;
}

/* ---- runs of bytes ---- */

/* what a run is of */
enum run_of { RUN_OF_PLAIN, RUN_OF_DIGITS };

static inline bool is_of(enum run_of of, unsigned char c) {
    if (of == RUN_OF_DIGITS)
        return c >= '0' && c <= '9';
    return c >= ' ' && c < 0x80 && c != '"' && c != '\\';
}

#if defined(__SSE2__)
/* Return: a bit for each of 16 bytes that is not of the run */
static inline unsigned int other_bits(enum run_of of, const char *at) {
    __m128i v = _mm_loadu_si128((const __m128i *)at), found;

    /* compared as signed numbers: bytes above ASCII are the least ones */
    if (of == RUN_OF_DIGITS) {
        found = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8('0')),
                             _mm_cmpgt_epi8(v, _mm_set1_epi8('9')));
    } else {
        found = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    }
    return (unsigned int)_mm_movemask_epi8(found);
}
#endif

/* Return: the first byte that is not of the run, or the end */
static inline const char *quick_run(const struct quick *q, const char *at, enum run_of of) {
#if defined(__SSE2__)
    unsigned int bits;

    for (; q->end - at >= 16; at += 16) {
        bits = other_bits(of, at);
        if (bits)
            return at + __builtin_ctz(bits);
    }
    if (q->end - q->begin >= 16) { /* the last 16 bytes, without those before @at */
        bits = other_bits(of, q->end - 16) >> (16 - (q->end - at));
        return bits ? at + __builtin_ctz(bits) : q->end;
    }
#endif
    while (at < q->end && is_of(of, (unsigned char)*at))
        at++;
    return at;
}

/* ---- strings ---- */

/* without a backslash */
static inline const char *quick_plain_string(const struct quick *q, const char *at) {
    at = quick_run(q, at + 1, RUN_OF_PLAIN);
    return at < q->end && *at == '"' ? at + 1 : NULL;
}

static inline const char *quick_string(const struct quick *q, const char *at) {
    at = quick_run(q, at + 1, RUN_OF_PLAIN);
    while (q->end - at >= 2 && *at == '\\') {
        if (!memchr("\"'\\/bfnrt", at[1], 9))
            return NULL;
        at = quick_run(q, at + 2, RUN_OF_PLAIN);
    }
    return at < q->end && *at == '"' ? at + 1 : NULL;
}

/* ---- values ---- */

static inline const char *quick_word(const struct quick *q, const char *at, const char *word,
                                     size_t n) {
    return (size_t)(q->end - at) >= n && memcmp(at, word, n) == 0 ? at + n : NULL;
}

/* an integer; of another number, what is behind its integer part is refused by whoever reads on */
static inline const char *quick_number(const struct quick *q, const char *at) {
    const char *digits = at + (*at == '-');

    if (digits < q->end && *digits == '0')
        return digits + 1;
    at = quick_run(q, digits, RUN_OF_DIGITS);
    return at > digits ? at : NULL;
}

/* no object, no list */
static inline const char *quick_scalar(const struct quick *q, const char *at) {
    switch (*at) {
    case '"':
        return quick_string(q, at);
    case 't':
        return quick_word(q, at, "true", 4);
    case 'f':
        return quick_word(q, at, "false", 5);
    case 'n':
        return quick_word(q, at, "null", 4);
    default:
        return quick_number(q, at);
    }
}

/* Return: behind the colon and blanks; always before the end */
static inline const char *quick_colon(const struct quick *q, const char *at) {
    at = quick_blanks(q, at);
    if (at == q->end || *at != ':')
        return NULL;
    at = quick_blanks(q, at + 1);
    return at < q->end ? at : NULL;
}

/* a key of a nested object and its colon.  Return: as quick_colon() */
static inline const char *quick_key(const struct quick *q, const char *at) {
    if (at == q->end || *at != '"')
        return NULL;
    at = quick_string(q, at);
    return at ? quick_colon(q, at) : NULL;
}

/* what is in a list or an object, up to its value.  Return: always before the end */
static inline const char *quick_item(const struct quick *q, const char *at, bool is_in_list) {
    if (at == q->end)
        return NULL;
    return is_in_list ? at : quick_key(q, at);
}

/*
 * Behind a value, or in an empty object or list: as many brackets as are closed there.
 * Return: behind the last of all (*open is 1), or the comma that follows
 */
static inline const char *quick_close(const struct quick *q, const char *at, uint64_t *open) {
    at = quick_blanks(q, at);
    while (at < q->end && *at == (*open & 1 ? ']' : '}')) {
        at++;
        *open >>= 1;
        if (*open == 1)
            return at;
        at = quick_blanks(q, at);
    }
    return at < q->end && *at == ',' ? at : NULL;
}

/* an object or a list, with all that is in it */
static const char *quick_nested(const struct quick *q, const char *at) {
    uint64_t open = 1; /* below its highest bit one for each bracket: is it a list? */

    for (;;) {
        if (*at == '{' || *at == '[') {
            if (open >> (FRAME_QUICK_MAX_DEPTH - 1))
                return NULL;
            open = open << 1 | (*at == '[');
            at = quick_blanks(q, at + 1);
            if (at < q->end && *at != (open & 1 ? ']' : '}')) {
                at = quick_item(q, at, open & 1);
                if (!at)
                    return NULL;
                continue;
            }
        } else {
            at = quick_scalar(q, at);
        }
        at = at ? quick_close(q, at, &open) : NULL;
        if (!at || open == 1)
            return at;
        at = quick_item(q, quick_blanks(q, at + 1), open & 1);
        if (!at)
            return NULL;
    }
}

/* ---- the top level ---- */

static inline const char *quick_value(const struct quick *q, const char *at, enum key key,
                                      struct frame *f) {
    const char *begin = at;

    if (*at == '"')
        at = key == KEY_NAME ? quick_plain_string(q, at) : quick_string(q, at);
    else
        at = *at == '{' || *at == '[' ? quick_nested(q, at) : quick_scalar(q, at);
    if (at && key != KEY_OTHER)
        frame_note_value(f, key, (size_t)(begin - q->begin), begin, (size_t)(at - begin));
    return at;
}

/* a member and blanks behind it.  Return: always before the end */
static inline const char *quick_member(const struct quick *q, const char *at, struct frame *f) {
    const char *key = at + 1;
    size_t n_key;

    if (at == q->end || *at != '"')
        return NULL;
    at = quick_plain_string(q, at);
    if (!at)
        return NULL;
    n_key = (size_t)(at - 1 - key);
    at = quick_colon(q, at);
    if (at)
        at = quick_value(q, at, frame_note_key(f, key, n_key), f);
    if (at)
        at = quick_blanks(q, at);
    return at && at < q->end ? at : NULL;
}

/* Return: the closing brace */
static inline const char *quick_members(const struct quick *q, const char *at, struct frame *f) {
    for (;;) {
        at = quick_member(q, at, f);
        if (!at || *at == '}')
            return at;
        if (*at != ',')
            return NULL;
        at = quick_blanks(q, at + 1);
    }
}

/* ---- commands as nearly all are, whatever is in them ---- */

/* Return: behind @key, which has its quotes and colon, and a blank; NULL: it is not here */
static inline const char *usual_key(const struct quick *q, const char *at, const char *key,
                                    size_t n_key) {
    if ((size_t)(q->end - at) < n_key + 2 || memcmp(at, key, n_key) != 0)
        return NULL;
    at += n_key;
    return at + (*at == ' ');
}

/* what may follow the name: a comma and @key.  Return: its value; @at: it is not here */
static inline const char *usual_next(const struct quick *q, const char *at, const char *key,
                                     size_t n_key) {
    const char *value;

    if (q->end - at < 2 || *at != ',')
        return at;
    value = usual_key(q, at + 1 + (at[1] == ' '), key, n_key);
    return value ? value : at;
}

/* Return: behind the id, if there is one; NULL: it is neither a plain string nor an integer */
static inline const char *usual_id(const struct quick *q, const char *at, struct frame *f) {
    const char *value = usual_next(q, at, "\"id\":", 5);

    if (value == at)
        return at;
    at = *value == '"' ? quick_plain_string(q, value) : quick_number(q, value);
    if (at)
        frame_note_value(f, KEY_ID, (size_t)(value - q->begin), value, (size_t)(at - value));
    return at;
}

/*
 * {"execute": "…", "arguments": {…}, "id": …}: these keys in this order, with
 * or without the last two, and nothing else.
 * Return: the closing brace; NULL: it is not as usual
 */
static inline const char *quick_usual(const struct quick *q, struct frame *f) {
    const char *name = usual_key(q, q->begin, "{\"execute\":", 11), *at, *value;

    if (!name || *name != '"')
        return NULL;
    at = quick_plain_string(q, name);
    if (!at)
        return NULL;
    *f = (struct frame){.kind = FRAME_COMMAND};
    frame_note_value(f, KEY_NAME, (size_t)(name - q->begin), name, (size_t)(at - name));
    value = usual_next(q, at, "\"arguments\":", 12);
    if (value > at)
        at = *value == '{' ? quick_nested(q, value) : NULL;
    at = at ? usual_id(q, at, f) : NULL;
    return at && at < q->end && *at == '}' ? at : NULL;
}

size_t frame_quick(const char *text, size_t n, struct frame *ret_frame) {
    const struct quick q = {text, text + size_min(n, FRAME_QUICK_MAX_BYTES)};
    const char *at = quick_usual(&q, ret_frame);

    if (!at) {
        *ret_frame = (struct frame){.kind = FRAME_UNKNOWN};
        at = quick_blanks(&q, text + 1);
        if (at == q.end || *at != '}')
            at = quick_members(&q, at, ret_frame);
    }
    if (!at)
        return 0;
    ret_frame->n_bytes = (size_t)(at + 1 - text);
    return ret_frame->n_bytes;
}
