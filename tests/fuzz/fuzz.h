#pragma once

/*
 * What the fuzz targets have in common.  A target is one function, as
 * libFuzzer calls it; main.c calls the same function with the files of a
 * corpus, for "make check" and for looking at one input with a debugger.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* like assert(), but there in every build */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
