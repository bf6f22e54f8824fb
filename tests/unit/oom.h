#pragma once

/*
 * Memory that runs out when a test says so.  For one test program: include
 * it once, and link with
 *
 *   -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray
 *
 * Only what the program itself calls fails; libraries have their memory,
 * unless they were given our functions to allocate with.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t n_bytes);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t n_bytes);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t n_bytes);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t n_bytes);

enum oom_mode {
    OOM_ONCE,     /* one allocation fails, later ones do not */
    OOM_FOR_GOOD, /* it and all later ones fail */
    OOM_N_MODES,
};

static size_t oom_n_left = SIZE_MAX; /* allocations that still succeed */
static bool oom_has_failed;
static enum oom_mode oom_mode;

/* let allocation @n from now fail, counted from 0 */
static inline void oom_start(enum oom_mode mode, size_t n) {
    oom_mode = mode;
    oom_has_failed = false;
    oom_n_left = n;
}

/* Return: whether an allocation failed since oom_start() */
static inline bool oom_stop(void) {
    oom_n_left = SIZE_MAX;
    return oom_has_failed;
}

static bool oom_fails(void) {
    if (oom_n_left == SIZE_MAX)
        return false;
    if (oom_n_left > 0) {
        oom_n_left--;
        return false;
    }
    if (oom_has_failed && oom_mode == OOM_ONCE)
        return false;
    oom_has_failed = true;
    return true;
}

void *__wrap_malloc(size_t n) {
    return oom_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t n_bytes) {
    return oom_fails() ? NULL : __real_calloc(n, n_bytes);
}

void *__wrap_realloc(void *p, size_t n) {
    return oom_fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t n_bytes) {
    return oom_fails() ? NULL : __real_reallocarray(p, n, n_bytes);
}
