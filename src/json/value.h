#pragma once

/*
 * JSON values: immutable trees in an arena.  Each value knows the text it was
 * read from, so that what is carried over can be written from there, digit
 * for digit.  Reading is reader.h's, writing writer.h's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/arena.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum {
    JSON_MAX_DEPTH = 1024, /* brackets; QEMU's own limit */
};

struct json {
    enum json_type type;
    bool boolean; /* JSON_BOOL: its value */
    bool is_neat; /* JSON_ARRAY, JSON_OBJECT: @text is known to be as json_write() would write it */

    const char *text; /* as it stands in the source, quotes and brackets included */
    size_t n_text;

    /*
     * JSON_STRING: decoded UTF-8, not NUL-terminated, may hold NULs; a lone
     * surrogate as its three bytes.  Points into the source when there is
     * nothing to decode.
     */
    const char *string;
    size_t n_string;

    struct json *items; /* JSON_ARRAY, JSON_OBJECT: the elements or members, in their order */
    size_t n_items;

    const char *key; /* a member's name, decoded as strings are; NULL when this is no member */
    size_t n_key;
    const char *key_text; /* the name as it stands, quotes included */
    size_t n_key_text;
};

/* Return: the member @key of @object; NULL when there is none or @object is no object (or NULL) */
const struct json *json_member(const struct json *object, const char *key);
const struct json *json_member_n(const struct json *object, const char *key, size_t n_key);

/* is @member called @key? */
static inline bool json_key_is(const struct json *member, const char *key) {
    return strlen(key) == member->n_key && memcmp(member->key, key, member->n_key) == 0;
}

/* is @value the string @text? */
bool json_is_string(const struct json *value, const char *text);

/* equal as JSON: numbers by value, strings decoded, objects without regard to order */
bool json_equal(const struct json *a, const struct json *b);

/* equal, and numbers digit for digit: what a peer that reads 1.0 otherwise than 1 sees as the same */
bool json_equal_text(const struct json *a, const struct json *b);

/* "null", "a boolean", "a number", …: for diagnostics */
const char *json_type_name(enum json_type type);
