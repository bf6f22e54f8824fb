#pragma once

/*
 * Pictures: what one message looks like on one side, compiled from a rule.
 */

#include "rule/pattern.h"
#include "rule/rule.h"

enum {
    _PICTURE_E_SUCCESS,
    PICTURE_E_INVALID, /* a diagnostic was added */
};

/* Return: 0, -ENOMEM, PICTURE_E_INVALID */
int picture_compile(struct pattern_compiler *c, const struct json *value, struct picture *ret);

/* one picture, a list of them, or null.  Return: 0, -ENOMEM, PICTURE_E_INVALID */
int picture_compile_list(struct pattern_compiler *c, const struct json *value,
                         struct picture_list *ret);

/* the member "return" or "error", to the pattern of a whole reply.  Return: 0, -ENOMEM, PICTURE_E_INVALID */
int picture_compile_reply(struct pattern_compiler *c, const struct json *m, struct pattern **ret);

/* what only one side shows of "arguments" or "data" is there on the other as well, without members.  Return: 0 or -ENOMEM */
int picture_imply(struct arena *arena, struct picture *a, struct picture *b);

/* "a command", "an event", … */
const char *picture_kind_name(enum picture_kind kind);
