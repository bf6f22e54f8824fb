#pragma once

/*
 * Arena: memory that is given out piece by piece and taken back all at once.
 * One belongs to each message and one to each rule program.  Pieces are never
 * freed singly.
 */

#include <stddef.h>
#include <string.h>

/* private */
struct arena_chunk {
    struct arena_chunk *next;
    size_t n, cap; /* bytes given out, bytes there are */
    max_align_t data[];
};

struct arena {
    struct arena_chunk *chunks; /* the newest first */
    size_t n_bytes;             /* given out so far */
};

#define ARENA_INIT                                                                                 \
    { 0 }

void arena_deinit(struct arena *a);

/* what @from gave out belongs to @a; @from is empty afterwards */
void arena_join(struct arena *a, struct arena *from);

void *arena_take_more(struct arena *a, size_t n_bytes); /* private: there is no room */

/* Return: @n_bytes, aligned for any type, of which nothing is known; NULL when out of memory */
static inline void *arena_take(struct arena *a, size_t n_bytes) {
    struct arena_chunk *c = a->chunks;
    size_t n;
    void *p;

    if (!c || c->cap - c->n < n_bytes)
        return arena_take_more(a, n_bytes);
    /* what a chunk has is a multiple of this, and so is what was given out: it fits */
    n = (n_bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    p = (char *)c->data + c->n;
    c->n += n;
    a->n_bytes += n;
    return p;
}

/* the same, zeroed */
static inline void *arena_alloc(struct arena *a, size_t n_bytes) {
    void *p = arena_take(a, n_bytes);

    return p ? memset(p, 0, n_bytes) : NULL;
}

/* Return: a copy of @n bytes of @text with a NUL behind it; NULL when out of memory. */
char *arena_copy(struct arena *a, const char *text, size_t n);
