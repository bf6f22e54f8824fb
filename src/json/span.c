/*
 * One pass over the text.  Strings are skipped 16 bytes at a time where the
 * machine can; those with a backslash or a byte above ASCII are decoded
 * by quoted_decode(), which checks them, too.
 *
 * Values stand on a stack until their container closes; then its elements,
 * which are the values behind it, move to the arena in one piece.  While a
 * container is open, its n_items is the place of the container around it.
 */

#include "json/span.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/util.h"
#include "json/names.h"
#include "json/plain.h"
#include "json/quoted.h"
#include "json/reader.h"

enum { SPAN_FIRST_VALUES = 32 };

/* no container is open */
#define SPAN_OUTSIDE SIZE_MAX

struct span {
    struct arena *arena;
    const char *at, *end; /* the next byte, and where the text ends */
    struct json *values;  /* a stack */
    size_t n_values, cap_values;
    size_t open;      /* the innermost open container, or SPAN_OUTSIDE */
    size_t depth;     /* open containers */
    size_t max_depth; /* those of more have no items */
    bool is_neat;     /* the innermost open one, so far: see struct json */
    int status;       /* why reading stopped: 0, -ENOMEM, JSON_E_… */
    struct json first_values[SPAN_FIRST_VALUES]; /* of the stack */
};

/* Return: false, for a caller to pass on */
static bool stop(struct span *s, int status) {
    s->status = status;
    return false;
}

/* Return: whether anything follows; @ret_n: how many blanks there were */
static inline bool skip_blanks(struct span *s, size_t *ret_n) {
    const char *begin = s->at;

    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
    *ret_n = (size_t)(s->at - begin);
    return s->at < s->end || stop(s, JSON_E_INVALID);
}

/* like skip_blanks(); neat text has @n_blanks there, and as blank a ' ' only */
static inline bool skip_to(struct span *s, size_t n_neat) {
    const char *begin = s->at;
    size_t n;

    if (!skip_blanks(s, &n))
        return false;
    if (n != n_neat || (n > 0 && *begin != ' '))
        s->is_neat = false;
    return true;
}

/* --- strings ------------------------------------------------------------------------------------ */

/* the string that begins at s->at, a quote, decoded */
static inline bool read_string(struct span *s, const char **ret, size_t *ret_n) {
    const char *begin = s->at + 1, *at = plain_skip(begin, s->end);
    size_t ignored;
    int r;

    if (at < s->end && *at == '"') {
        *ret = begin;
        *ret_n = (size_t)(at - begin);
        s->at = at + 1;
        return true;
    }
    at = plain_closing_quote(at, s->end);
    if (at == s->end)
        return stop(s, JSON_E_INVALID);
    s->at = at + 1;
    r = quoted_decode(s->arena, begin, (size_t)(at - begin), ret, ret_n, &ignored);
    return r == 0 || stop(s, r < 0 ? r : JSON_E_INVALID);
}

/* --- numbers and words -------------------------------------------------------------------------- */

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Return: whether there was a digit */
static bool skip_digits(struct span *s) {
    const char *begin = s->at;

    while (s->at < s->end && is_digit(*s->at))
        s->at++;
    return s->at > begin;
}

static bool skip_byte(struct span *s, char c) {
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool read_number(struct span *s) {
    bool is_fine;

    skip_byte(s, '-');
    is_fine = skip_byte(s, '0') || skip_digits(s);
    if (is_fine && skip_byte(s, '.'))
        is_fine = skip_digits(s);
    if (is_fine && (skip_byte(s, 'e') || skip_byte(s, 'E'))) {
        if (!skip_byte(s, '+'))
            skip_byte(s, '-');
        is_fine = skip_digits(s);
    }
    return is_fine || stop(s, JSON_E_INVALID);
}

static bool read_word(struct span *s, struct json *v) {
    static const struct {
        const char *text;
        size_t n;
        enum json_type type;
        bool boolean;
    } words[] = {{"true", 4, JSON_BOOL, true},
                 {"false", 5, JSON_BOOL, false},
                 {"null", 4, JSON_NULL, false}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if ((size_t)(s->end - s->at) >= words[i].n &&
            memcmp(s->at, words[i].text, words[i].n) == 0) {
            v->type = words[i].type;
            v->boolean = words[i].boolean;
            s->at += words[i].n;
            return true;
        }
    return stop(s, JSON_E_INVALID);
}

/* --- values ------------------------------------------------------------------------------------- */

static bool grow(struct span *s) {
    struct json *values = s->values == s->first_values ? NULL : s->values;

    values = reallocarray(values, s->cap_values * 2, sizeof(*values));
    if (!values)
        return stop(s, -ENOMEM);
    if (s->values == s->first_values)
        memcpy(values, s->first_values, sizeof(s->first_values));
    s->values = values;
    s->cap_values *= 2;
    return true;
}

static inline struct json *push(struct span *s) {
    struct json *v;

    if (s->n_values == s->cap_values && !grow(s))
        return NULL;
    v = &s->values[s->n_values++];
    memset(v, 0, sizeof(*v));
    return v;
}

static bool open_container(struct span *s, struct json *v, enum json_type type) {
    if (s->depth == JSON_MAX_DEPTH)
        return stop(s, JSON_E_TOO_DEEP);
    s->depth++;
    s->at++;
    v->type = type;
    v->n_items = s->open;
    v->boolean = s->is_neat; /* of the one around it, as long as this one is open */
    s->open = (size_t)(v - s->values);
    s->is_neat = true;
    return true;
}

static bool close_container(struct span *s) {
    struct json *v = &s->values[s->open];
    size_t n_items = s->n_values - s->open - 1;
    const struct json *twice = NULL;
    int r = 0;

    s->at++;
    if (v->type == JSON_OBJECT)
        r = names_find_twice(v + 1, n_items, &twice);
    if (r < 0 || twice)
        return stop(s, r < 0 ? r : JSON_E_DUPLICATE);
    s->depth--;
    s->open = v->n_items;
    s->n_values -= n_items;
    v->is_neat = s->is_neat;
    s->is_neat = v->boolean && v->is_neat;
    v->boolean = false;
    v->n_text = (size_t)(s->at - v->text);
    v->n_items = s->depth < s->max_depth ? n_items : 0;
    if (v->n_items == 0)
        return true;
    v->items = arena_take(s->arena, n_items * sizeof(*v));
    if (!v->items)
        return stop(s, -ENOMEM);
    memcpy(v->items, v + 1, n_items * sizeof(*v));
    return true;
}

/* the value that begins at s->at, or its first byte when it is a container */
static bool read_value(struct span *s, struct json *v) {
    bool is_fine;

    v->text = s->at;
    switch (*s->at) {
    case '{':
        return open_container(s, v, JSON_OBJECT);
    case '[':
        return open_container(s, v, JSON_ARRAY);
    case '"':
        v->type = JSON_STRING;
        is_fine = read_string(s, &v->string, &v->n_string);
        break;
    case '-':
    case '0' ... '9':
        v->type = JSON_NUMBER;
        is_fine = read_number(s);
        break;
    default:
        is_fine = read_word(s, v);
        break;
    }
    v->n_text = (size_t)(s->at - v->text);
    return is_fine;
}

/* a name, the colon, and the value or its beginning; s->at is where the name is to be */
static bool read_member(struct span *s) {
    struct json *v = push(s);

    if (!v)
        return false;
    if (*s->at != '"')
        return stop(s, JSON_E_INVALID);
    v->key_text = s->at;
    if (!read_string(s, &v->key, &v->n_key))
        return false;
    v->n_key_text = (size_t)(s->at - v->key_text);
    if (!skip_to(s, 0))
        return false;
    if (!skip_byte(s, ':'))
        return stop(s, JSON_E_INVALID);
    return skip_to(s, 1) && read_value(s, v);
}

static inline bool read_item(struct span *s, bool is_object) {
    struct json *v;

    if (is_object)
        return read_member(s);
    v = push(s);
    return v && read_value(s, v);
}

/* one step inside of the innermost open container: its end, or one more of what it holds */
static bool read_inside(struct span *s) {
    bool is_object = s->values[s->open].type == JSON_OBJECT;
    bool is_first = s->open + 1 == s->n_values;

    if (!skip_to(s, 0))
        return false;
    if (*s->at == (is_object ? '}' : ']'))
        return close_container(s);
    if (is_first)
        return read_item(s, is_object);
    if (!skip_byte(s, ','))
        return stop(s, JSON_E_INVALID);
    return skip_to(s, 1) && read_item(s, is_object);
}

static bool read_all(struct span *s) {
    struct json *v;
    size_t n;

    if (!skip_blanks(s, &n))
        return false;
    v = push(s);
    if (!v || !read_value(s, v))
        return false;
    while (s->open != SPAN_OUTSIDE)
        if (!read_inside(s))
            return false;
    skip_blanks(s, &n);
    return stop(s, s->at == s->end ? 0 : JSON_E_INVALID);
}

int span_outline(struct arena *arena, const char *text, size_t n, size_t depth,
                 struct json **ret_value) {
    struct span s;
    struct json *value;

    s.arena = arena;
    s.at = n > 0 ? text : ""; /* an empty buffer has NULL */
    s.end = s.at + n;
    s.values = s.first_values;
    s.n_values = 0;
    s.cap_values = SPAN_FIRST_VALUES;
    s.open = SPAN_OUTSIDE;
    s.depth = 0;
    s.max_depth = depth;
    s.is_neat = true;
    read_all(&s);
    if (s.status == 0) {
        value = arena_take(arena, sizeof(*value));
        if (value)
            *ret_value = memcpy(value, s.values, sizeof(*value));
        else
            s.status = -ENOMEM;
    }
    if (s.values != s.first_values)
        free(s.values);
    return s.status;
}

int span_read(struct arena *arena, const char *text, size_t n, struct json **ret_value) {
    return span_outline(arena, text, n, SIZE_MAX, ret_value);
}
