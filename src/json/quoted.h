#pragma once

/*
 * JSON strings: from what stands in the text to what it means.  The way back
 * is writer.h's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buffer.h"

enum {
    _QUOTED_E_SUCCESS,
    QUOTED_E_INVALID, /* a bad escape, a control character, an unescaped quotation mark, no UTF-8 */
};

/*
 * quoted_decode() - decode what stands between the quotes of a JSON string
 * @ret_string: UTF-8, not NUL-terminated, may hold NULs; points into @text
 *              when there is nothing to decode, into @arena otherwise.  An
 *              escaped surrogate without its other half becomes three bytes.
 * @reterr_at:  where the fault is in @text, on QUOTED_E_INVALID only
 *
 * Return: 0, -ENOMEM, QUOTED_E_INVALID
 */
int quoted_decode(struct arena *arena, const char *text, size_t n, const char **ret_string,
                  size_t *ret_n_string, size_t *reterr_at);

/* does what stands between two quotes mean anything? */
bool quoted_is_valid(const char *text, size_t n);

/*
 * quoted_escape_length() - look at an escape
 * Return: how many of the @n bytes at @text, which begins with a backslash,
 *         the escape has (2 or 6); 0 when it is none that JSON knows
 */
size_t quoted_escape_length(const char *text, size_t n);
