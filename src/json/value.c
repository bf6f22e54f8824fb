/* Looking at values; nothing here changes one. */

#include "json/value.h"

#include <string.h>

#include "json/number.h"

const struct json *json_member_n(const struct json *object, const char *key, size_t n_key) {
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (size_t i = 0; i < object->n_items; i++) {
        const struct json *m = &object->items[i];

        if (m->n_key == n_key && memcmp(m->key, key, n_key) == 0)
            return m;
    }
    return NULL;
}

const struct json *json_member(const struct json *object, const char *key) {
    return json_member_n(object, key, strlen(key));
}

static bool is_same_text(const char *a, size_t n_a, const char *b, size_t n_b) {
    return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a) == 0);
}

bool json_is_string(const struct json *value, const char *text) {
    return value && value->type == JSON_STRING &&
           is_same_text(value->string, value->n_string, text, strlen(text));
}

typedef bool (*number_equal_fn)(const char *a, size_t n_a, const char *b, size_t n_b);

static bool is_equal(const struct json *a, const struct json *b, number_equal_fn numbers);

static bool is_equal_array(const struct json *a, const struct json *b, number_equal_fn numbers) {
    if (a->n_items != b->n_items)
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!is_equal(&a->items[i], &b->items[i], numbers))
            return false;
    return true;
}

/* names are there once, so as many members, each with its equal, are the same members */
static bool is_equal_object(const struct json *a, const struct json *b, number_equal_fn numbers) {
    if (a->n_items != b->n_items)
        return false;
    for (size_t i = 0; i < a->n_items; i++) {
        const struct json *m = &a->items[i], *other = &b->items[i];

        /* mostly they come in the same order, and need no search */
        if (!is_same_text(m->key, m->n_key, other->key, other->n_key))
            other = json_member_n(b, m->key, m->n_key);
        if (!other || !is_equal(m, other, numbers))
            return false;
    }
    return true;
}

static bool is_equal(const struct json *a, const struct json *b, number_equal_fn numbers) {
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->boolean == b->boolean;
    case JSON_NUMBER:
        return numbers(a->text, a->n_text, b->text, b->n_text);
    case JSON_STRING:
        return is_same_text(a->string, a->n_string, b->string, b->n_string);
    case JSON_ARRAY:
        return is_equal_array(a, b, numbers);
    case JSON_OBJECT:
        return is_equal_object(a, b, numbers);
    }
    return false;
}

bool json_equal(const struct json *a, const struct json *b) {
    return is_equal(a, b, number_text_equal);
}

bool json_equal_text(const struct json *a, const struct json *b) {
    return is_equal(a, b, is_same_text);
}

const char *json_type_name(enum json_type type) {
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };

    return names[type];
}
