#pragma once

/*
 * What the variables of a rule are bound to, for one message.  Inside a list
 * pattern every element has bindings of its own (rows), which see those
 * around them.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "json/value.h"
#include "rule/vars.h"

struct bindings;

struct bindings_rows {
    struct bindings **row;
    size_t n;
};

struct bindings {
    const struct vars *vars;
    struct bindings *outer;      /* around a list's row; NULL: none */
    size_t group;                /* of which this is a row; 0: none */
    const struct json **value;   /* by variable; the old side's value; NULL: unbound */
    bool *is_weak;               /* by variable: what was recalled, and gives way to what is read */
    struct bindings_rows **rows; /* by group; NULL: no list was read */
};

/* Return: NULL when out of memory */
struct bindings *bindings_new(struct arena *arena, const struct vars *vars, struct bindings *outer);

/* a copy that can be thrown away when a match fails half-way; rows are shared */
struct bindings *bindings_fork(struct arena *arena, const struct bindings *b);

/* take over what @fork, made from @b, holds */
void bindings_join(struct bindings *b, const struct bindings *fork);

/* Return: the value, the default of the variable, or NULL */
const struct json *bindings_get(const struct bindings *b, size_t var);

/* is it bound, by reading or by default? */
bool bindings_has(const struct bindings *b, size_t var);
