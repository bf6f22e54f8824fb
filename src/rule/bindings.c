#include "rule/bindings.h"

#include <string.h>

/* of what stands behind struct bindings, from value on */
static size_t values_size(const struct vars *vars) {
    return (vars->n + 1) * (sizeof(const struct json *) + sizeof(bool)) +
           (vars->n_groups + 1) * sizeof(struct bindings_rows *);
}

/* in one piece: there is one for each message and each part of it that is tried */
struct bindings *bindings_new(struct arena *arena, const struct vars *vars,
                              struct bindings *outer) {
    struct bindings *b = arena_alloc(arena, sizeof(*b) + values_size(vars));

    if (!b)
        return NULL;
    b->vars = vars;
    b->outer = outer;
    b->value = (const struct json **)(b + 1);
    b->rows = (struct bindings_rows **)(b->value + vars->n + 1);
    b->is_weak = (bool *)(b->rows + vars->n_groups + 1);
    return b;
}

void bindings_join(struct bindings *b, const struct bindings *fork) {
    memcpy(b->value, fork->value, values_size(b->vars));
}

struct bindings *bindings_fork(struct arena *arena, const struct bindings *b) {
    struct bindings *fork = bindings_new(arena, b->vars, b->outer);

    if (!fork)
        return NULL;
    fork->group = b->group;
    bindings_join(fork, b);
    return fork;
}

static const struct json *bound(const struct bindings *b, size_t var) {
    for (; b; b = b->outer)
        if (b->value[var])
            return b->value[var];
    return NULL;
}

const struct json *bindings_get(const struct bindings *b, size_t var) {
    const struct var *v = &b->vars->var[var];
    const struct json *value = bound(b, var);

    if (!value && v->has_from)
        value = bound(b, v->from);
    return value ? value : v->fallback;
}

bool bindings_has(const struct bindings *b, size_t var) {
    return bindings_get(b, var) != NULL;
}
