#pragma once

/*
 * Do the readers of JSON agree?  For the unit test, which makes texts up,
 * and for the fuzzer, which finds them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/buffer.h"
#include "json/reader.h"
#include "json/skim.h"
#include "json/span.h"
#include "json/writer.h"

static inline bool span_is_same_text(const char *a, size_t n_a, const char *b, size_t n_b) {
    return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a) == 0);
}

/* the very same places of the same text, and the same that is made of them */
static inline bool span_is_same(const struct json *a, const struct json *b) {
    if (a->type != b->type || a->boolean != b->boolean || a->text != b->text ||
        a->n_text != b->n_text || a->n_items != b->n_items || a->key_text != b->key_text ||
        a->n_key_text != b->n_key_text || (a->key == NULL) != (b->key == NULL) ||
        !span_is_same_text(a->key, a->n_key, b->key, b->n_key) ||
        !span_is_same_text(a->string, a->n_string, b->string, b->n_string))
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!span_is_same(&a->items[i], &b->items[i]))
            return false;
    return true;
}

/* is what is called neat what would be written? */
static inline bool span_is_written_neatly(const struct json *value, const struct json *slow) {
    struct buffer b = BUFFER_INIT;
    bool is_neat;

    json_write(&b, slow); /* which does not know what is neat */
    is_neat = span_is_same_text(b.data, b.n, value->text, value->n_text);
    buffer_deinit(&b);
    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT)
        return !value->is_neat;
    for (size_t i = 0; i < value->n_items; i++)
        if (!span_is_written_neatly(&value->items[i], &slow->items[i]))
            return false;
    return is_neat == value->is_neat;
}

/* what is read past is what is read, though not all of it is */
static inline bool span_is_skimmed(const char *text, size_t n, const struct json *value) {
    struct buffer skimmed = BUFFER_INIT, written = BUFFER_INIT;
    struct skim_name names[SKIM_MAX_NAMES];
    struct skim_value v;
    struct skim s;
    bool is_same;

    skim_init(&s, n > 0 ? text : "", n, names);
    if (!skim_value(&s, &v) || !skim_is_over(&s))
        return true;
    if (!value)
        return false;
    skim_write(&skimmed, v.text, v.n);
    json_write(&written, value);
    is_same = span_is_same_text(skimmed.data, skimmed.n, written.data, written.n) &&
              v.is_neat == span_is_same_text(v.text, v.n, written.data, written.n);
    buffer_deinit(&skimmed);
    buffer_deinit(&written);
    return is_same;
}

/* Return: NULL, or what they do not agree on */
static inline const char *span_difference(const char *text, size_t n) {
    struct arena arena = ARENA_INIT;
    struct json *slow = NULL, *fast = NULL;
    int r_slow = json_read(&arena, text, n, false, &slow, NULL);
    int r_fast = span_read(&arena, text, n, &fast);
    const char *difference = NULL;

    if (r_slow != r_fast)
        difference = "the outcome";
    else if (r_slow == 0 && !span_is_same(slow, fast))
        difference = "the value";
    else if (r_slow == 0 && !span_is_written_neatly(fast, slow))
        difference = "what is neat";
    else if (!span_is_skimmed(text, n, r_slow == 0 ? slow : NULL))
        difference = "what is read past";
    arena_deinit(&arena);
    return difference;
}
