#pragma once

/*
 * Small things that every module needs: ownership, containers, sizes.
 * Not a place for anything that has a subject of its own.
 */

#include <stddef.h>
#include <stdlib.h>

#define _cleanup_(x) __attribute__((__cleanup__(x)))
#define _printf_(a, b) __attribute__((__format__(printf, a, b)))

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* give ownership away: the value, and the variable is empty afterwards */
#define steal(var)                                                                                 \
    ({                                                                                             \
        __auto_type steal_value = (var);                                                           \
        (var) = NULL;                                                                              \
        steal_value;                                                                               \
    })

static inline void freep(void *p) {
    free(*(void **)p);
}

static inline size_t size_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b) {
    return a > b ? a : b;
}
