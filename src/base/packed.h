#pragma once

/*
 * Packed: numbers and bytes one behind the other, as this machine has them in
 * memory: for what another process of this machine reads.  What is too short
 * once stays so: a reader asks at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

void packed_put_number(struct buffer *b, uint64_t number);

/* what is left to read; its owner keeps the text */
struct packed {
    const char *text;
    size_t n;
    bool is_short;
};

/* Return: the next @n bytes, in the text; NULL: it has not got as many */
const char *packed_bytes(struct packed *p, size_t n);

/* Return: the next number; 0: it has none, or that is the number */
uint64_t packed_number(struct packed *p);
