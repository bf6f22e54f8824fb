#pragma once

/*
 * Pack: a program as one text, for a process that is to have the very same
 * rules, whatever has become of the files.
 */

#include <stddef.h>
#include "base/buffer.h"
#include "rule/program.h"

enum {
    _PACK_E_SUCCESS,
    PACK_E_INVALID, /* this was not packed, or by a program that knew other rules */
};

/* Return: 0 or -ENOMEM; appended to @b */
int pack_program(const struct program *program, struct buffer *b);

/* Return: 0, -ENOMEM, PACK_E_INVALID */
int pack_read(const char *text, size_t n, struct program **ret_program);
