#pragma once

/*
 * JSON text from values.  Writes ASCII only, as QEMU does (\u00E9 in upper
 * case, surrogate pairs for the rest), so that no client meets a byte it did
 * not meet before.
 */

#include <stddef.h>
#include "base/buffer.h"
#include "json/value.h"

/*
 * json_write_string() - append decoded UTF-8 as a JSON string, quotes included
 * A lone surrogate's three bytes become \uD800 again; what is no UTF-8 becomes
 * \uFFFD.
 */
void json_write_string(struct buffer *b, const char *string, size_t n);

/*
 * append @value on one line with a blank after ':' and ',' (as QEMU prints);
 * scalars and names as they stand in their source
 */
void json_write(struct buffer *b, const struct json *value);
