#pragma once

/*
 * Byte buffer that grows.  A failed append sticks, so that a writer checks
 * once, at the end, by buffer_status().
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/util.h"

struct buffer {
    char *data;
    size_t n, cap;
    bool failed;  /* out of memory once: every later append does nothing */
    bool is_lent; /* data is the caller's room */
};

#define BUFFER_INIT                                                                                \
    { 0 }

void buffer_free(struct buffer *b); /* private: there may be something */

static inline void buffer_deinit(struct buffer *b) {
    if (b->data)
        buffer_free(b);
    b->failed = false;
}

/*
 * an empty buffer that begins in @room, which must stay as long as the buffer is used there
 * Most of what is written for a moment is short, and then needs no malloc().
 */
static inline struct buffer buffer_in(char *room, size_t n_room) {
    return (struct buffer){.data = room, .cap = n_room, .is_lent = true};
}

/* forget the content, keep the memory */
void buffer_clear(struct buffer *b);

/* Return: 0 or -ENOMEM; room for @n more bytes behind data[n] */
int buffer_reserve(struct buffer *b, size_t n);

void buffer_append_more(struct buffer *b, const char *text,
                        size_t n); /* private: there is no room */

static inline void buffer_append(struct buffer *b, const char *text, size_t n) {
    if (n == 0)
        return;
    if (b->cap - b->n < n || b->failed) {
        buffer_append_more(b, text, n);
        return;
    }
    memcpy(b->data + b->n, text, n);
    b->n += n;
}
static inline void buffer_append_string(struct buffer *b, const char *text) {
    buffer_append(b, text, strlen(text));
}

void buffer_printf(struct buffer *b, const char *format, ...) _printf_(2, 3);

/* drop the first @n bytes */
void buffer_consume(struct buffer *b, size_t n);

/* Return: 0, or -ENOMEM when an append failed since buffer_init/clear */
int buffer_status(const struct buffer *b);

/* Return: the content as a NUL-terminated string that the caller frees; NULL when out of memory */
char *buffer_steal_string(struct buffer *b);
