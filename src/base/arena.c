#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/*
 * The first chunks are of a size that malloc() has at hand, and a few are
 * enough for a small message; then each is as large as all before it.
 */
enum { ARENA_FIRST_BYTES = 992, ARENA_N_FIRST = 4, ARENA_LAST_BYTES = 64 * 1024 };

void arena_deinit(struct arena *a) {
    struct arena_chunk *c;

    while ((c = a->chunks)) {
        a->chunks = c->next;
        free(c);
    }
    a->n_bytes = 0;
}

void arena_join(struct arena *a, struct arena *from) {
    struct arena_chunk **last = &a->chunks;

    while (*last)
        last = &(*last)->next;
    *last = from->chunks;
    a->n_bytes += from->n_bytes;
    *from = (struct arena)ARENA_INIT;
}

static struct arena_chunk *arena_grow(struct arena *a, size_t n_bytes) {
    size_t usual = a->n_bytes < ARENA_N_FIRST * ARENA_FIRST_BYTES
                       ? ARENA_FIRST_BYTES
                       : size_min(a->n_bytes, ARENA_LAST_BYTES);
    /* a multiple of the alignment, as what is given out is */
    size_t cap = size_max(n_bytes, usual) / sizeof(max_align_t) * sizeof(max_align_t);
    struct arena_chunk *c;

    if (cap > SIZE_MAX - sizeof(*c))
        return NULL;
    c = malloc(sizeof(*c) + cap);
    if (!c)
        return NULL;
    c->n = 0;
    c->cap = cap;
    c->next = a->chunks;
    a->chunks = c;
    return c;
}

void *arena_take_more(struct arena *a, size_t n_bytes) {
    size_t n;
    struct arena_chunk *c;

    if (n_bytes > SIZE_MAX - sizeof(max_align_t))
        return NULL;
    n = (n_bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    c = arena_grow(a, n);
    if (!c)
        return NULL;
    c->n = n;
    a->n_bytes += n;
    return c->data;
}

char *arena_copy(struct arena *a, const char *text, size_t n) {
    char *p;

    p = n < SIZE_MAX ? arena_take(a, n + 1) : NULL;
    if (!p)
        return NULL;
    if (n)
        memcpy(p, text, n);
    p[n] = '\0';
    return p;
}
