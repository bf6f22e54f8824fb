#pragma once

/*
 * The variables of a rule: their names, and how each differs between the two
 * sides.  A variable holds the old side's value; vars_convert() gives the
 * new side's and back.  What they are bound to is bindings.h's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "json/diag.h"
#include "json/number.h"
#include "json/value.h"

enum vars_side { VARS_OLD, VARS_NEW };

/* QAPI's own names */
enum vars_type {
    VARS_ANY,
    VARS_STR,
    VARS_INT,
    VARS_NUMBER,
    VARS_BOOL,
    VARS_OBJECT,
    VARS_LIST,
    _VARS_TYPE_N
};

struct vars_pair {
    const struct json *side[2];
};

struct var {
    const char *name;
    size_t group;           /* the list pattern whose rows bind it; 0: none */
    enum vars_type type[2]; /* on each side, when "vars" says so */
    bool has_scale;         /* new = old × scale */
    struct number scale;
    struct vars_pair *map; /* first that fits */
    size_t n_map;
    bool
        has_from; /* where nothing binds it, it has the value of another one, and differs in its own way */
    size_t from;
    const struct json
        *fallback;   /* "default": the old side's value when nothing bound it; NULL: none */
    bool is_fd;      /* the number of a file descriptor */
    size_t at, n_at; /* where it was first met, in the rule file */
};

struct vars {
    struct var *var;
    size_t n;
    size_t n_groups; /* list patterns met, counted from 1 */
};

enum {
    _VARS_E_SUCCESS,
    VARS_E_UNFIT,   /* the value has no counterpart on the other side */
    VARS_E_INVALID, /* a diagnostic was added */
};

/* find or add a variable.  Return: 0 or -ENOMEM */
int vars_intern(struct arena *arena, struct vars *vars, const char *name, size_t n_name,
                size_t *ret_index);

/* read the "vars" member of a rule.  Return: 0, -ENOMEM, VARS_E_INVALID */
int vars_compile(struct arena *arena, struct vars *vars, const struct json *value,
                 const struct diag_source *source, struct diag_set *diags);

/* Return: the type called @name, or -1 */
int vars_type_find(const char *name, size_t n_name);
const char *vars_type_name(enum vars_type type);

/* has @value this type?  (an integer is a number too) */
bool vars_type_fits(enum vars_type type, const struct json *value);

/*
 * vars_convert() - the value of a variable as the other side has it
 * @to: the side it is wanted for; @value stands for the other one
 *
 * Return: 0, -ENOMEM, VARS_E_UNFIT.
 */
int vars_convert(struct arena *arena, const struct var *var, enum vars_side to,
                 const struct json *value, const struct json **ret_value);

/* a scalar as another type: "5" ⇄ 5, "on"/"off"/"true"/"false" ⇄ bool.  Return: 0, -ENOMEM, VARS_E_UNFIT */
int vars_cast(struct arena *arena, enum vars_type type, const struct json *value,
              const struct json **ret_value);

/* new scalars in an arena, their text made here.  Return: NULL when out of memory */
const struct json *vars_new_string(struct arena *arena, const char *string, size_t n);
const struct json *vars_new_number(struct arena *arena, struct number number);
