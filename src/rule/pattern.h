#pragma once

/*
 * Patterns: one notation for reading a message and for writing it, compiled
 * from rule files.  Reading is match.h's, writing build.h's business; what a
 * variable means on each side is vars.h's.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "json/diag.h"
#include "json/value.h"
#include "rule/vars.h"

enum pattern_kind {
    PATTERN_CONST,  /* a scalar: must equal; is put */
    PATTERN_VAR,    /* "$x", "$x:int" */
    PATTERN_TEXT,   /* "Device '${dev}' is in use" */
    PATTERN_OBJECT, /* open: what it does not mention stays */
    PATTERN_EACH,   /* [P, "..."], [P, "...", Q] */
    PATTERN_FIRST,  /* ["...", P, "..."]: reading only */
    PATTERN_EVERY,  /* {"$every": P}: the elements that match, reading only */
    PATTERN_EXACT,  /* [P, Q] */
    PATTERN_ONLY,   /* {"$only": V} */
    PATTERN_LIKE,   /* {"$like": "*glob*"} */
    PATTERN_IN,     /* {"$in": [V, …]} */
    PATTERN_NOT,    /* {"$not": P} */
    PATTERN_ABSENT, /* {"$absent": true} */
};

/* what an object pattern says of members it does not mention */
enum pattern_rest {
    PATTERN_REST_STAYS, /* nothing */
    PATTERN_REST_GOES,  /* "...": null */
    PATTERN_REST_VAR,   /* "...": "$rest" */
};

/* a piece of PATTERN_TEXT: characters to be found as they are, then a variable (but for the last piece) */
struct pattern_piece {
    const char *text;
    size_t n_text;
    bool has_var;
    size_t var;
};

struct pattern_member;

struct pattern {
    enum pattern_kind kind;
    size_t at, n_at;          /* its place in the rule file */
    const struct json *value; /* CONST; LIKE: the glob */
    size_t var;               /* VAR */
    enum vars_type type;      /* VAR: "$x:int" */
    struct pattern_piece *pieces;
    size_t n_pieces;
    struct pattern_member *members; /* OBJECT */
    size_t n_members;
    enum pattern_rest rest;
    size_t rest_var;
    struct pattern *items; /* EACH, FIRST, EVERY, NOT, ONLY: one; EXACT, IN: n_items */
    size_t n_items;
    struct pattern *more; /* EACH: elements behind those of the rows, writing only: [P, "...", Q] */
    size_t n_more;
    size_t group; /* EACH, EVERY: which rows of the bindings */
};

struct pattern_member {
    const char *key;
    size_t n_key;
    bool is_optional;
    bool is_implied; /* "arguments", "data": absent is the same as {} */
    struct pattern pattern;
};

/* compiles the patterns of one rule */
struct pattern_compiler {
    struct arena *arena;
    struct vars *vars; /* grows by the variables met */
    const struct diag_source *source;
    struct diag_set *diags;
    size_t group; /* inside the list pattern with these rows; 0: outside */
};

enum {
    _PATTERN_E_SUCCESS,
    PATTERN_E_INVALID, /* a diagnostic was added */
};

/* Return: 0, -ENOMEM, PATTERN_E_INVALID */
int pattern_compile(struct pattern_compiler *c, const struct json *value, struct pattern *ret);

/* Return: the member @key of an object pattern; NULL when there is none (or @p is NULL or no object) */
const struct pattern_member *pattern_member(const struct pattern *p, const char *key, size_t n_key);

/* call @visit for every variable of @p; @is_optional: inside an optional member */
typedef void (*pattern_visit_fn)(void *userdata, const struct pattern *p, size_t var,
                                 bool is_optional);
void pattern_visit(const struct pattern *p, bool is_optional, pattern_visit_fn visit,
                   void *userdata);
