#pragma once

/*
 * Reading: does a message, or a part of it, fit a pattern?  All of it or
 * nothing: the bindings change only when everything fits.
 */

#include "base/arena.h"
#include "json/value.h"
#include "rule/bindings.h"
#include "rule/pattern.h"

enum {
    _MATCH_E_SUCCESS,
    MATCH_E_NO, /* it does not fit; the bindings are as before */
};

/*
 * match_value()
 * @arena: for what is bound (converted values, captures); lives as long as @b
 * @side:  whose dialect the value is in
 * @value: NULL: the member is absent
 *
 * Return: 0, -ENOMEM, MATCH_E_NO.
 */
int match_value(struct arena *arena, enum vars_side side, const struct pattern *p,
                const struct json *value, struct bindings *b);
