#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BUFFER_FIRST_BYTES = 256 };

void buffer_free(struct buffer *b) {
    if (!b->is_lent)
        free(b->data);
    *b = (struct buffer)BUFFER_INIT;
}

void buffer_clear(struct buffer *b) {
    b->n = 0;
    b->failed = false;
}

int buffer_reserve(struct buffer *b, size_t n) {
    size_t cap;
    char *data;

    if (b->failed)
        return -ENOMEM;
    if (b->cap - b->n >= n)
        return 0;
    if (n > SIZE_MAX / 4 - b->n)
        goto fail;
    cap = size_max(size_max(b->cap * 2, b->n + n), BUFFER_FIRST_BYTES);
    data = b->is_lent || !b->data ? malloc(cap) : realloc(b->data, cap);
    if (!data)
        goto fail;
    if (b->is_lent && b->n > 0)
        memcpy(data, b->data, b->n);
    b->is_lent = false;
    b->data = data;
    b->cap = cap;
    return 0;
fail:
    b->failed = true;
    return -ENOMEM;
}

void buffer_append_more(struct buffer *b, const char *text, size_t n) {
    if (buffer_reserve(b, n) < 0)
        return;
    memcpy(b->data + b->n, text, n);
    b->n += n;
}

void buffer_printf(struct buffer *b, const char *format, ...) {
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0 || buffer_reserve(b, (size_t)n + 1) < 0)
        return;
    va_start(ap, format);
    vsnprintf(b->data + b->n, (size_t)n + 1, format, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void buffer_consume(struct buffer *b, size_t n) {
    if (n < b->n)
        memmove(b->data, b->data + n, b->n - n);
    b->n -= n;
}

int buffer_status(const struct buffer *b) {
    return b->failed ? -ENOMEM : 0;
}

char *buffer_steal_string(struct buffer *b) {
    if (b->is_lent) /* what is given away is on the heap */
        buffer_reserve(b, b->cap + 1);
    buffer_append(b, "", 1);
    if (b->failed)
        return NULL;
    b->n = b->cap = 0;
    return steal(b->data);
}
