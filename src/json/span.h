#pragma once

/*
 * JSON text to value tree, fast: for what passes between peers, of which
 * nobody is told why it cannot be read.  What it takes, and what it makes of
 * it, is what json_read() (reader.h) takes and makes; a test compares them.
 * Rule files and configuration are read there.
 */

#include <stddef.h>
#include "base/arena.h"
#include "json/value.h"

/*
 * span_read() - one whole value
 * @text:      must stay as long as @ret_value is used; blanks around the value are allowed
 * @ret_value: lives in @arena
 *
 * Return: 0, -ENOMEM, or JSON_E_… (reader.h).
 */
int span_read(struct arena *arena, const char *text, size_t n, struct json **ret_value);

/*
 * span_outline() - the same, but containers at @depth have no items, whatever stands in them
 * @depth: how many brackets are open around a value that is the outermost not
 *         to be there; at least 1
 *
 * All of the text is checked, for all that.  For a look at a few names in a
 * long list; a value without its items must not be compared or matched.
 */
int span_outline(struct arena *arena, const char *text, size_t n, size_t depth,
                 struct json **ret_value);
