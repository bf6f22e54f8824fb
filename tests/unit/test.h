#pragma once

/*
 * What every unit test has in common: Criterion, and a TEST() that fails on
 * a leak or a lost file descriptor.  Criterion's children skip LeakSanitizer
 * at exit and ignore failures in .fini, so both are asserted on in the body.
 */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

static inline int test_n_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static inline int test_has_leak(void) {
#if defined(__SANITIZE_ADDRESS__)
    return __lsan_do_recoverable_leak_check();
#else
    return 0;
#endif
}

#define TEST(suite, name)                                                                          \
    static void test_body_##suite##_##name(void);                                                  \
    Test(suite, name) {                                                                            \
        int n_fds = test_n_fds();                                                                  \
        test_body_##suite##_##name();                                                              \
        cr_assert(eq(int, test_n_fds(), n_fds), "a file descriptor was lost");                     \
        cr_assert(not(test_has_leak()), "memory was lost");                                        \
    }                                                                                              \
    static void test_body_##suite##_##name(void)
