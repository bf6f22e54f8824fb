/*
 * One pass; what stands in strings is skipped 16 bytes at a time where the
 * machine can.  Objects within values that are skipped are read by the same
 * functions as those of which somebody wants the members.
 */

#include "json/skim.h"

#include <string.h>

#include "json/plain.h"
#include "json/quoted.h"

/* Return: false, for a caller to pass on */
static bool fail(struct skim *s) {
    s->has_failed = true;
    return false;
}

/* Return: whether anything follows; neat text has @n_neat blanks here, and no other than ' ' */
static inline bool skip_to(struct skim *s, long n_neat) {
    const char *at = s->at;

    while (at < s->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    if (at - s->at != n_neat || (n_neat > 0 && *s->at != ' '))
        s->is_neat = false;
    s->at = at;
    return at < s->end || fail(s);
}

/* --- scalars ------------------------------------------------------------------------------------ */

/* a string that begins at s->at, a quote */
static inline bool skip_string(struct skim *s) {
    const char *begin = s->at + 1, *at = plain_skip_within(s->begin, begin, s->end);

    if (at < s->end && *at != '"') {
        at = plain_closing_quote(at, s->end);
        if (at < s->end && !quoted_is_valid(begin, (size_t)(at - begin)))
            return fail(s);
    }
    if (at == s->end)
        return fail(s);
    s->at = at + 1;
    return true;
}

/* Return: behind the digits at @at; NULL: there are none */
static inline const char *digits(const char *at, const char *end) {
    const char *begin = at;

    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > begin ? at : NULL;
}

static bool skip_number(struct skim *s) {
    const char *at = s->at + (*s->at == '-');

    at = at < s->end && *at == '0' ? at + 1 : digits(at, s->end);
    if (at && at < s->end && *at == '.')
        at = digits(at + 1, s->end);
    if (at && at < s->end && (*at == 'e' || *at == 'E')) {
        at++;
        at = digits(at < s->end && (*at == '+' || *at == '-') ? at + 1 : at, s->end);
    }
    if (!at)
        return fail(s);
    s->at = at;
    return true;
}

static bool skip_word(struct skim *s) {
    static const struct skim_name words[] = {{"true", 4}, {"false", 5}, {"null", 4}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if ((size_t)(s->end - s->at) >= words[i].n &&
            memcmp(s->at, words[i].text, words[i].n) == 0) {
            s->at += words[i].n;
            return true;
        }
    return fail(s);
}

/* --- containers --------------------------------------------------------------------------------- */

static bool skip_value(struct skim *s, size_t depth);

/* names that are the same have the same bit */
static inline uint64_t name_bit(const char *text, size_t n) {
    unsigned int ends = n > 0 ? (unsigned char)text[0] * 7u + (unsigned char)text[n - 1] : 0;

    return (uint64_t)1 << ((ends + n * 13) & 63);
}

static bool has_name(const struct skim *s, const struct skim_object *o, const char *text,
                     size_t n) {
    for (size_t i = o->first_name; i < s->n_names; i++)
        if (s->names[i].n == n && memcmp(s->names[i].text, text, n) == 0)
            return true;
    return false;
}

static inline bool read_name(struct skim *s, struct skim_object *o) {
    const char *begin = s->at + 1, *at;
    uint64_t bit;
    size_t n;

    if (*s->at != '"' || s->n_names == SKIM_MAX_NAMES)
        return fail(s);
    at = plain_skip_within(s->begin, begin, s->end);
    if (at == s->end || *at != '"')
        return fail(s);
    n = (size_t)(at - begin);
    bit = name_bit(begin, n);
    if (o->seen & bit && has_name(s, o, begin, n))
        return fail(s);
    o->seen |= bit;
    s->names[s->n_names++] = (struct skim_name){begin, n};
    s->at = at + 1;
    return true;
}

/* to the next name.  Return: false when there is none */
static inline bool next_member(struct skim *s, struct skim_object *o) {
    if (!skip_to(s, 0))
        return false;
    if (*s->at == '}') {
        skim_close(s, o);
        return false;
    }
    if (o->is_begun) {
        if (*s->at++ != ',')
            return fail(s);
        if (!skip_to(s, 1))
            return false;
    }
    o->is_begun = true;
    if (!read_name(s, o) || !skip_to(s, 0))
        return false;
    if (*s->at++ != ':')
        return fail(s);
    return skip_to(s, 1);
}

bool skim_member(struct skim *s, struct skim_object *o, struct skim_name *ret_name) {
    if (!next_member(s, o))
        return false;
    *ret_name = s->names[s->n_names - 1];
    return true;
}

static bool skip_object(struct skim *s, size_t depth) {
    struct skim_object o;

    skim_open(s, &o);
    while (next_member(s, &o))
        if (!skip_value(s, depth + 1))
            return false;
    return !s->has_failed;
}

bool skim_open_list(struct skim *s) {
    if (s->at == s->end || *s->at != '[')
        return false;
    s->at++;
    return true;
}

bool skim_item(struct skim *s, bool *is_begun) {
    if (!skip_to(s, 0))
        return false;
    if (*s->at == ']') {
        s->at++;
        return false;
    }
    if (*is_begun) {
        if (*s->at++ != ',')
            return fail(s);
        if (!skip_to(s, 1))
            return false;
    }
    *is_begun = true;
    return true;
}

static bool skip_list(struct skim *s, size_t depth) {
    bool is_begun = false;

    skim_open_list(s);
    while (skim_item(s, &is_begun))
        if (!skip_value(s, depth + 1))
            return false;
    return !s->has_failed;
}

static bool skip_value(struct skim *s, size_t depth) {
    if (depth == SKIM_MAX_DEPTH)
        return fail(s);
    switch (*s->at) {
    case '"':
        return skip_string(s);
    case '{':
        return skip_object(s, depth);
    case '[':
        return skip_list(s, depth);
    case '-':
    case '0' ... '9':
        return skip_number(s);
    default:
        return skip_word(s);
    }
}

bool skim_value(struct skim *s, struct skim_value *ret) {
    bool was_neat = s->is_neat;

    ret->text = s->at;
    s->is_neat = true;
    if (s->at == s->end || !skip_value(s, 0))
        return fail(s);
    ret->n = (size_t)(s->at - ret->text);
    ret->is_neat = s->is_neat;
    s->is_neat = was_neat && ret->is_neat;
    return true;
}

bool skim_is_over(const struct skim *s) {
    return !s->has_failed && s->at == s->end;
}

/* --- writing ------------------------------------------------------------------------------------ */

void skim_write(struct buffer *b, const char *text, size_t n) {
    const char *end = text + n;

    while (text < end) {
        const char *begin = text;

        if (*text == '"')
            text = plain_closing_quote(text + 1, end);
        text++;
        if (*begin == ' ' || *begin == '\n' || *begin == '\r' || *begin == '\t')
            continue;
        buffer_append(b, begin, (size_t)(text - begin));
        if (*begin == ',' || *begin == ':')
            buffer_append(b, " ", 1);
    }
}
