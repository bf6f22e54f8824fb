#pragma once

/*
 * Writing: a message, or a part of it, as a pattern shows it.  Members that
 * neither picture mentions stay in their place, as their own text.
 */

#include "base/arena.h"
#include "base/buffer.h"
#include "json/value.h"
#include "rule/bindings.h"
#include "rule/pattern.h"

enum {
    _BUILD_E_SUCCESS,
    BUILD_E_UNBOUND, /* a variable that is needed is not bound, or its value has no counterpart or no room on this side */
};

/*
 * build_value()
 * @arena:  for converted values
 * @side:   whose dialect is written
 * @write:  what it looks like there
 * @read:   what it looked like on the other side, at the same place; NULL: not mentioned there
 * @source: the value on the other side, at the same place; NULL: there is none
 * @text:   appended to, on one line; what was appended is unusable after an outcome
 *
 * Return: 0, -ENOMEM, BUILD_E_UNBOUND.
 */
int build_value(struct arena *arena, enum vars_side side, const struct pattern *write,
                const struct pattern *read, const struct json *source, const struct bindings *b,
                struct buffer *text);

/*
 * build_new() - a value that was nothing before, as a text in @arena
 * Return: 0, -ENOMEM, BUILD_E_UNBOUND.
 */
int build_new(struct arena *arena, enum vars_side side, const struct pattern *p,
              const struct bindings *b, const char **ret, size_t *ret_n);

/*
 * build_unbound() - the first variable that keeps @write from being written
 * Return: its index, or -1 when all that are needed are bound.
 */
int build_unbound(const struct pattern *write, const struct bindings *b);
