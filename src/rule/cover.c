#include "rule/cover.h"

#include <errno.h>
#include <string.h>

#include "rule/bindings.h"
#include "rule/match.h"

/* --- single patterns ----------------------------------------------------------------------------- */

/* does the variable take any value there is? */
static bool is_plain_var(const struct cover_pair *pair, const struct rule *rule,
                         const struct pattern *p) {
    const struct var *var = &rule->vars.var[p->var];

    return p->type == VARS_ANY && var->n_map == 0 && var->type[pair->side] == VARS_ANY &&
           !(var->has_scale && pair->side == VARS_NEW) &&
           !(pair->side == VARS_NEW && var->type[VARS_OLD] != VARS_ANY);
}

static bool is_same_var(const struct cover_pair *pair, const struct pattern *a,
                        const struct pattern *b) {
    const struct var *va = &pair->above->vars.var[a->var], *vb = &pair->below->vars.var[b->var];

    return a->type == b->type && va->n_map == 0 && vb->n_map == 0 &&
           va->type[VARS_OLD] == vb->type[VARS_OLD] && va->type[VARS_NEW] == vb->type[VARS_NEW] &&
           va->has_scale == vb->has_scale;
}

static bool matches(struct cover_pair *pair, const struct rule *rule, const struct pattern *p,
                    const struct json *value) {
    struct bindings *b = bindings_new(pair->arena, &rule->vars, NULL);
    int r = b ? match_value(pair->arena, pair->side, p, value, b) : -ENOMEM;

    if (r < 0)
        pair->failed = true;
    return r == 0;
}

static bool is_list(const struct pattern *p) {
    return p->kind == PATTERN_EACH || p->kind == PATTERN_FIRST || p->kind == PATTERN_EVERY ||
           p->kind == PATTERN_EXACT;
}

static bool has_same_glob(const struct pattern *a, const struct pattern *b) {
    return a->kind == PATTERN_LIKE && b->kind == PATTERN_LIKE && json_equal(a->value, b->value);
}

static bool has_same_pieces(const struct pattern *a, const struct pattern *b) {
    if (a->n_pieces != b->n_pieces)
        return false;
    for (size_t i = 0; i < a->n_pieces; i++)
        if (a->pieces[i].n_text != b->pieces[i].n_text ||
            memcmp(a->pieces[i].text, b->pieces[i].text, a->pieces[i].n_text) != 0)
            return false;
    return true;
}

/* --- covers -------------------------------------------------------------------------------------- */

/* a variable of the rule above that stands twice must meet the same again */
static bool meets_again(struct cover_pair *pair, size_t var, const struct pattern *b) {
    const struct pattern *first = pair->met[var];

    if (!first) {
        pair->met[var] = b;
        return true;
    }
    if (first->kind != b->kind)
        return false;
    return b->kind == PATTERN_VAR ? first->var == b->var
                                  : b->kind == PATTERN_CONST && json_equal(first->value, b->value);
}

/* does @b match nothing but members that are there? */
static bool is_present(const struct pattern *b) {
    return b->kind != PATTERN_ABSENT && b->kind != PATTERN_ONLY && b->kind != PATTERN_NOT;
}

static bool var_covers(struct cover_pair *pair, const struct pattern *a, const struct pattern *b) {
    bool is_wide = is_plain_var(pair, pair->above, a);

    if (!is_present(b) || !meets_again(pair, a->var, b))
        return false;
    if (is_wide)
        return true;
    return b->kind == PATTERN_CONST ? matches(pair, pair->above, a, b->value)
                                    : b->kind == PATTERN_VAR && is_same_var(pair, a, b);
}

static bool text_covers(struct cover_pair *pair, const struct pattern *a, const struct pattern *b) {
    if (b->kind == PATTERN_CONST ? !matches(pair, pair->above, a, b->value)
                                 : b->kind != PATTERN_TEXT || !has_same_pieces(a, b))
        return false;
    for (size_t i = 0; i < a->n_pieces; i++) {
        const struct pattern_piece *piece = &a->pieces[i];
        struct pattern *var;

        if (!piece->has_var)
            continue;
        var = arena_alloc(pair->arena, sizeof(*var));
        if (!var) {
            pair->failed = true;
            return false;
        }
        /* what a constant gives a capture is not worked out: such a variable meets nothing twice */
        *var = b->kind == PATTERN_TEXT
                   ? (struct pattern){.kind = PATTERN_VAR, .var = b->pieces[i].var}
                   : (struct pattern){.kind = PATTERN_TEXT};
        if (!meets_again(pair, piece->var, var))
            return false;
    }
    return true;
}

static const struct pattern empty = {.kind = PATTERN_OBJECT};
static const struct pattern anything = {
    .kind = PATTERN_LIKE}; /* a member that is there and may be whatever it likes */

static bool member_covers(struct cover_pair *pair, const struct pattern_member *a,
                          const struct pattern_member *b) {
    if (a->pattern.kind == PATTERN_ONLY)
        return true;
    if (b && (!b->is_optional || a->is_optional))
        return (a->is_optional && b->pattern.kind == PATTERN_ABSENT) ||
               cover_all(pair, &a->pattern, &b->pattern);
    if (!b && a->is_implied)
        return cover_all(pair, &a->pattern, &empty);
    return !b && a->is_optional && a->pattern.kind == PATTERN_VAR &&
           is_plain_var(pair, pair->above, &a->pattern) &&
           meets_again(pair, a->pattern.var, &anything);
}

static bool object_covers(struct cover_pair *pair, const struct pattern *a,
                          const struct pattern *b) {
    if (b->kind != PATTERN_OBJECT)
        return false;
    for (size_t i = 0; i < a->n_members; i++)
        if (!member_covers(pair, &a->members[i],
                           pattern_member(b, a->members[i].key, a->members[i].n_key)))
            return false;
    return a->rest != PATTERN_REST_VAR || !pair->met[a->rest_var];
}

static bool all_items_covered(struct cover_pair *pair, const struct pattern *a,
                              const struct pattern *b) {
    for (size_t i = 0; i < b->n_items; i++)
        if (!cover_all(pair, a, &b->items[i]))
            return false;
    return true;
}

static bool exact_covers(struct cover_pair *pair, const struct pattern *a,
                         const struct pattern *b) {
    if (b->kind != PATTERN_EXACT || a->n_items != b->n_items)
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!cover_all(pair, &a->items[i], &b->items[i]))
            return false;
    return true;
}

static bool in_covers(const struct pattern *a, const struct pattern *b) {
    for (size_t i = 0; i < a->n_items; i++)
        if (a->items[i].kind == PATTERN_CONST && b->kind == PATTERN_CONST &&
            json_equal(a->items[i].value, b->value))
            return true;
    return false;
}

static bool not_covers(const struct pattern *a, const struct pattern *b) {
    const struct pattern *x = &a->items[0];

    if (x->kind != PATTERN_CONST)
        return false;
    if (b->kind == PATTERN_NOT)
        return b->items[0].kind == PATTERN_CONST && json_equal(x->value, b->items[0].value);
    return b->kind == PATTERN_CONST && !json_equal(x->value, b->value);
}

/* does @a, of the rule above, match whatever @b does? */
bool cover_all(struct cover_pair *pair, const struct pattern *a, const struct pattern *b) {
    if (b->kind == PATTERN_IN && a->kind != PATTERN_ONLY)
        return all_items_covered(pair, a, b);
    switch (a->kind) {
    case PATTERN_ONLY:
        return true;
    case PATTERN_VAR:
        return var_covers(pair, a, b);
    case PATTERN_CONST:
        return b->kind == PATTERN_CONST && json_equal(a->value, b->value);
    case PATTERN_TEXT:
        return text_covers(pair, a, b);
    case PATTERN_OBJECT:
        return object_covers(pair, a, b);
    case PATTERN_EACH:
        return (b->kind == PATTERN_EACH || b->kind == PATTERN_EXACT) &&
               all_items_covered(pair, &a->items[0], b);
    case PATTERN_EVERY: /* any list */
        return is_list(b);
    case PATTERN_FIRST:
        return b->kind == PATTERN_FIRST && all_items_covered(pair, &a->items[0], b);
    case PATTERN_EXACT:
        return exact_covers(pair, a, b);
    case PATTERN_LIKE:
        return b->kind == PATTERN_CONST ? matches(pair, pair->above, a, b->value)
                                        : has_same_glob(a, b);
    case PATTERN_IN:
        return in_covers(a, b);
    case PATTERN_NOT:
        return not_covers(a, b);
    case PATTERN_ABSENT:
        return b->kind == PATTERN_ABSENT;
    }
    return false;
}

/* --- meets --------------------------------------------------------------------------------------- */

static bool members_meet(struct cover_pair *pair, const struct pattern_member *a,
                         const struct pattern_member *b) {
    if (a->is_optional && b->is_optional)
        return true;
    if (a->pattern.kind == PATTERN_ABSENT || b->pattern.kind == PATTERN_ABSENT)
        return (a->pattern.kind == PATTERN_ABSENT || a->is_optional) &&
               (b->pattern.kind == PATTERN_ABSENT || b->is_optional);
    return cover_meets(pair, &a->pattern, &b->pattern);
}

static bool objects_meet(struct cover_pair *pair, const struct pattern *a,
                         const struct pattern *b) {
    for (size_t i = 0; i < a->n_members; i++) {
        const struct pattern_member *m = pattern_member(b, a->members[i].key, a->members[i].n_key);

        if (m && !members_meet(pair, &a->members[i], m))
            return false;
    }
    return true;
}

static bool exacts_meet(struct cover_pair *pair, const struct pattern *a, const struct pattern *b) {
    for (size_t i = 0; i < a->n_items; i++)
        if (a->n_items != b->n_items || !cover_meets(pair, &a->items[i], &b->items[i]))
            return false;
    return a->n_items == b->n_items;
}

static bool same_kinds_meet(struct cover_pair *pair, const struct pattern *a,
                            const struct pattern *b) {
    switch (a->kind) {
    case PATTERN_VAR:
        return is_same_var(pair, a, b);
    case PATTERN_TEXT:
        return has_same_pieces(a, b);
    case PATTERN_OBJECT:
        return objects_meet(pair, a, b);
    case PATTERN_EACH: /* the empty list */
    case PATTERN_FIRST:
    case PATTERN_ABSENT:
        return true;
    case PATTERN_EXACT:
        return exacts_meet(pair, a, b);
    case PATTERN_LIKE:
        return has_same_glob(a, b);
    case PATTERN_NOT:
        return a->items[0].kind == PATTERN_CONST && b->items[0].kind == PATTERN_CONST;
    default:
        return false;
    }
}

static bool any_item_meets(struct cover_pair *pair, const struct pattern *in,
                           const struct pattern *other, bool is_in_above) {
    for (size_t i = 0; i < in->n_items; i++)
        if (is_in_above ? cover_meets(pair, &in->items[i], other)
                        : cover_meets(pair, other, &in->items[i]))
            return true;
    return false;
}

/* is there surely a value that both match? */
bool cover_meets(struct cover_pair *pair, const struct pattern *a, const struct pattern *b) {
    if (a->kind == PATTERN_ONLY || b->kind == PATTERN_ONLY)
        return true;
    if (a->kind == PATTERN_VAR && is_plain_var(pair, pair->above, a))
        return b->kind != PATTERN_ABSENT;
    if (b->kind == PATTERN_VAR && is_plain_var(pair, pair->below, b))
        return a->kind != PATTERN_ABSENT;
    if (a->kind == PATTERN_CONST)
        return matches(pair, pair->below, b, a->value);
    if (b->kind == PATTERN_CONST)
        return matches(pair, pair->above, a, b->value);
    if (a->kind == PATTERN_IN || b->kind == PATTERN_IN)
        return a->kind == PATTERN_IN ? any_item_meets(pair, a, b, true)
                                     : any_item_meets(pair, b, a, false);
    if (a->kind == PATTERN_EVERY || b->kind == PATTERN_EVERY)
        return is_list(a) && is_list(b);
    return a->kind == b->kind && same_kinds_meet(pair, a, b);
}

static void count_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    (void)p, (void)is_optional;
    ((size_t *)userdata)[var]++;
}

bool cover_has_ties(struct cover_pair *pair, const struct rule *rule, const struct pattern *p) {
    size_t *n = arena_alloc(pair->arena, (rule->vars.n + 1) * sizeof(*n));

    if (!n) {
        pair->failed = true;
        return true;
    }
    pattern_visit(p, false, count_visit, n);
    for (size_t i = 0; i < rule->vars.n; i++)
        if (n[i] > 1)
            return true;
    return false;
}
