/* Few names are compared each with each, and only when they can be the same; many are sorted. */

#include "json/names.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { NAMES_FEW = 32 };

/* names that are the same have the same bit */
static uint64_t name_bit(const struct json *m) {
    size_t n = m->n_key;
    unsigned int ends = n > 0 ? (unsigned char)m->key[0] * 7u + (unsigned char)m->key[n - 1] : 0;

    return (uint64_t)1 << ((ends + n * 13) & 63);
}

static bool is_same_name(const struct json *a, const struct json *b) {
    return a->n_key == b->n_key && memcmp(a->key, b->key, a->n_key) == 0;
}

static const struct json *find_of_few(const struct json *members, size_t n) {
    uint64_t seen = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t bit = name_bit(&members[i]);

        for (size_t j = 0; seen & bit && j < i; j++)
            if (is_same_name(&members[i], &members[j]))
                return &members[i];
        seen |= bit;
    }
    return NULL;
}

/* what members are sorted by their names with */
struct named {
    const struct json *member;
};

/* one name twice: by place */
static int compare_named(const void *a, const void *b) {
    const struct json *x = ((const struct named *)a)->member;
    const struct json *y = ((const struct named *)b)->member;
    int c = memcmp(x->key, y->key, size_min(x->n_key, y->n_key));

    if (c == 0)
        c = (x->n_key > y->n_key) - (x->n_key < y->n_key);
    return c ? c : (x > y) - (x < y);
}

/* sorted, not hashed: no choice of names makes it slow */
static int find_of_many(const struct json *members, size_t n, const struct json **ret) {
    _cleanup_(freep) struct named *sorted = reallocarray(NULL, n, sizeof(*sorted));
    const struct json *first = NULL;

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i].member = &members[i];
    qsort(sorted, n, sizeof(*sorted), compare_named);
    for (size_t i = 1; i < n; i++)
        if (is_same_name(sorted[i - 1].member, sorted[i].member) &&
            (!first || sorted[i].member < first))
            first = sorted[i].member;
    *ret = first;
    return 0;
}

int names_find_twice(const struct json *members, size_t n, const struct json **ret_twice) {
    if (n > NAMES_FEW)
        return find_of_many(members, n, ret_twice);
    *ret_twice = find_of_few(members, n);
    return 0;
}
