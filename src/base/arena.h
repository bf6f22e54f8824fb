#pragma once

/*
 * Arena: memory that is given out piece by piece and taken back all at once.
 * One belongs to each message and one to each rule program.  Pieces are never
 * freed singly.
 */

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* the newest first */
    size_t n_bytes;             /* given out so far */
};

#define ARENA_INIT                                                                                 \
    { 0 }

void arena_deinit(struct arena *a);

/* what @from gave out belongs to @a; @from is empty afterwards */
void arena_join(struct arena *a, struct arena *from);

/* Return: @n_bytes zeroed bytes, aligned for any type; NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t n_bytes);

/* the same, but nothing is known of what is in them */
void *arena_take(struct arena *a, size_t n_bytes);

/* Return: a copy of @n bytes of @text with a NUL behind it; NULL when out of memory. */
char *arena_copy(struct arena *a, const char *text, size_t n);
