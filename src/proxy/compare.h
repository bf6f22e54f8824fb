#pragma once

/*
 * Compare: what came against what was to come, as JSON.  A string "$1" to
 * "$99" stands for any value, the same wherever the number is the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "json/value.h"

enum { COMPARE_MAX_NUMBERS = 100 };

struct compare {
    struct arena arena;
    const struct json
        *value[COMPARE_MAX_NUMBERS]; /* what each number stands for; NULL: not known yet */
    char where[100]; /* the place of the first difference, as return.0.device; empty: all of it */
};

void compare_init(struct compare *c);
void compare_deinit(struct compare *c);

/*
 * compare_value()
 * @expected: with numbers in it
 * @came:     copied when a number stands for it
 *
 * Return: 0; COMPARE_E_DIFFERENT, and c->where; -ENOMEM
 */
int compare_value(struct compare *c, const struct json *expected, const struct json *came);

enum {
    _COMPARE_E_SUCCESS,
    COMPARE_E_DIFFERENT,
};

/* the same for two objects, but for the members @ignored (NULL-terminated) of either */
int compare_members(struct compare *c, const struct json *expected, const struct json *came,
                    const char *const *ignored);

/* append the text of @value, numbers replaced by what they stand for.  Return: 0, -ENOMEM, COMPARE_E_UNKNOWN */
int compare_fill(const struct compare *c, const struct json *value, struct buffer *b);

enum {
    COMPARE_E_UNKNOWN = COMPARE_E_DIFFERENT + 1, /* a number stands for nothing yet */
};
