/*
 * Two questions about two patterns: does one match whatever the other does
 * (covers), and is there surely a value that both match (meets)?
 */

#include "rule/overlap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rule/bindings.h"
#include "rule/direction.h"
#include "rule/match.h"

/* a rule above another one, both read on one side */
struct pair {
    struct arena *arena;
    enum vars_side client;
    enum vars_side side; /* that is read */
    const struct rule *above, *below;
    const struct pattern *
        *met;    /* by variable of the rule above: what it met first; NULL: nothing yet */
    bool failed; /* out of memory */
};

/* --- single patterns ----------------------------------------------------------------------------- */

/* does the variable take any value there is? */
static bool is_plain_var(const struct pair *pair, const struct rule *rule,
                         const struct pattern *p) {
    const struct var *var = &rule->vars.var[p->var];

    return p->type == VARS_ANY && var->n_map == 0 && var->type[pair->side] == VARS_ANY &&
           !(var->has_scale && pair->side == VARS_NEW) &&
           !(pair->side == VARS_NEW && var->type[VARS_OLD] != VARS_ANY);
}

static bool is_same_var(const struct pair *pair, const struct pattern *a, const struct pattern *b) {
    const struct var *va = &pair->above->vars.var[a->var], *vb = &pair->below->vars.var[b->var];

    return a->type == b->type && va->n_map == 0 && vb->n_map == 0 &&
           va->type[VARS_OLD] == vb->type[VARS_OLD] && va->type[VARS_NEW] == vb->type[VARS_NEW] &&
           va->has_scale == vb->has_scale;
}

static bool matches(struct pair *pair, const struct rule *rule, const struct pattern *p,
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

static bool covers(struct pair *pair, const struct pattern *a, const struct pattern *b);

/* a variable of the rule above that stands twice must meet the same again */
static bool meets_again(struct pair *pair, size_t var, const struct pattern *b) {
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

static bool var_covers(struct pair *pair, const struct pattern *a, const struct pattern *b) {
    bool is_wide = is_plain_var(pair, pair->above, a);

    if (!is_present(b) || !meets_again(pair, a->var, b))
        return false;
    if (is_wide)
        return true;
    return b->kind == PATTERN_CONST ? matches(pair, pair->above, a, b->value)
                                    : b->kind == PATTERN_VAR && is_same_var(pair, a, b);
}

static bool text_covers(struct pair *pair, const struct pattern *a, const struct pattern *b) {
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

static bool member_covers(struct pair *pair, const struct pattern_member *a,
                          const struct pattern_member *b) {
    if (a->pattern.kind == PATTERN_ONLY)
        return true;
    if (b && (!b->is_optional || a->is_optional))
        return (a->is_optional && b->pattern.kind == PATTERN_ABSENT) ||
               covers(pair, &a->pattern, &b->pattern);
    if (!b && a->is_implied)
        return covers(pair, &a->pattern, &empty);
    return !b && a->is_optional && a->pattern.kind == PATTERN_VAR &&
           is_plain_var(pair, pair->above, &a->pattern) &&
           meets_again(pair, a->pattern.var, &anything);
}

static bool object_covers(struct pair *pair, const struct pattern *a, const struct pattern *b) {
    if (b->kind != PATTERN_OBJECT)
        return false;
    for (size_t i = 0; i < a->n_members; i++)
        if (!member_covers(pair, &a->members[i],
                           pattern_member(b, a->members[i].key, a->members[i].n_key)))
            return false;
    return a->rest != PATTERN_REST_VAR || !pair->met[a->rest_var];
}

static bool all_items_covered(struct pair *pair, const struct pattern *a, const struct pattern *b) {
    for (size_t i = 0; i < b->n_items; i++)
        if (!covers(pair, a, &b->items[i]))
            return false;
    return true;
}

static bool exact_covers(struct pair *pair, const struct pattern *a, const struct pattern *b) {
    if (b->kind != PATTERN_EXACT || a->n_items != b->n_items)
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!covers(pair, &a->items[i], &b->items[i]))
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
static bool covers(struct pair *pair, const struct pattern *a, const struct pattern *b) {
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

static bool meets(struct pair *pair, const struct pattern *a, const struct pattern *b);

static bool members_meet(struct pair *pair, const struct pattern_member *a,
                         const struct pattern_member *b) {
    if (a->is_optional && b->is_optional)
        return true;
    if (a->pattern.kind == PATTERN_ABSENT || b->pattern.kind == PATTERN_ABSENT)
        return (a->pattern.kind == PATTERN_ABSENT || a->is_optional) &&
               (b->pattern.kind == PATTERN_ABSENT || b->is_optional);
    return meets(pair, &a->pattern, &b->pattern);
}

static bool objects_meet(struct pair *pair, const struct pattern *a, const struct pattern *b) {
    for (size_t i = 0; i < a->n_members; i++) {
        const struct pattern_member *m = pattern_member(b, a->members[i].key, a->members[i].n_key);

        if (m && !members_meet(pair, &a->members[i], m))
            return false;
    }
    return true;
}

static bool exacts_meet(struct pair *pair, const struct pattern *a, const struct pattern *b) {
    for (size_t i = 0; i < a->n_items; i++)
        if (a->n_items != b->n_items || !meets(pair, &a->items[i], &b->items[i]))
            return false;
    return a->n_items == b->n_items;
}

static bool same_kinds_meet(struct pair *pair, const struct pattern *a, const struct pattern *b) {
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

static bool any_item_meets(struct pair *pair, const struct pattern *in, const struct pattern *other,
                           bool is_in_above) {
    for (size_t i = 0; i < in->n_items; i++)
        if (is_in_above ? meets(pair, &in->items[i], other) : meets(pair, other, &in->items[i]))
            return true;
    return false;
}

/* is there surely a value that both match? */
static bool meets(struct pair *pair, const struct pattern *a, const struct pattern *b) {
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

/* a variable that stands twice ties members together, of which meets() knows nothing */
static bool has_ties(struct pair *pair, const struct rule *rule, const struct pattern *p) {
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

/* --- two rules ----------------------------------------------------------------------------------- */

static bool is_version_same(bool has_a, struct version a, bool has_b, struct version b) {
    return has_a == has_b && (!has_a || version_compare(a, b) == 0);
}

/*
 * Does the rule above work wherever the one below does?  (selection.c) For
 * an old client the server must have lost the old form and have the new one;
 * for a new client it must not have got the new form and still have the old.
 */
static bool works_wherever(const struct rule *above, const struct rule *below,
                           enum vars_side client) {
    bool is_until_same = is_version_same(above->has_old_until, above->old_until,
                                         below->has_old_until, below->old_until);
    bool is_since_same = is_version_same(above->has_new_since, above->new_since,
                                         below->has_new_since, below->new_since);

    if (client == VARS_OLD)
        return is_until_same &&
               (!above->has_new_since ||
                (below->has_new_since && version_compare(above->new_since, below->new_since) <= 0));
    return is_since_same &&
           (!above->has_old_until ||
            (below->has_old_until && version_compare(above->old_until, below->old_until) >= 0));
}

static bool has_name(const char **names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* rules for errors: is the one above for all commands that the one below is for, or for any of them? */
static bool has_commands(const struct rule *above, const struct rule *below, bool all) {
    if (!above->commands || (!below->commands && !all))
        return true;
    if (!below->commands)
        return false;
    for (size_t i = 0; below->commands[i]; i++)
        if (has_name(above->commands, below->commands[i]) != all)
            return !all;
    return all;
}

/* a command that the rule above sends and the one below does not: a server may lack it, and the rule then rests */
static const struct picture *own_server_command(const struct pair *pair) {
    const struct picture_list *above = &pair->above->side[direction_other(pair->side)],
                              *below = &pair->below->side[direction_other(pair->side)];

    for (size_t i = 0; pair->above->kind == PICTURE_COMMAND && i < above->n; i++) {
        bool has = false;

        for (size_t k = 0; k < below->n; k++)
            has = has || (above->picture[i].n_name == below->picture[k].n_name &&
                          memcmp(above->picture[i].name, below->picture[k].name,
                                 above->picture[i].n_name) == 0);
        if (!has)
            return &above->picture[i];
    }
    return NULL;
}

enum overlap { OVERLAP_NONE, OVERLAP_SOME, OVERLAP_UNLESS_LACKED, OVERLAP_ALL };

/* what one says of a file descriptor, the other may leave open */
static bool fds_cover(struct pair *pair, const struct picture *a, const struct picture *b) {
    return !a->fd || (b->fd && covers(pair, a->fd, b->fd));
}

static bool fds_meet(struct pair *pair, const struct picture *a, const struct picture *b) {
    return !a->fd || !b->fd || meets(pair, a->fd, b->fd);
}

static bool is_above_wider(struct pair *pair, const struct picture *above,
                           const struct picture *below) {
    pair->met = arena_alloc(pair->arena, (pair->above->vars.n + 1) * sizeof(*pair->met));
    if (!pair->met)
        pair->failed = true;
    if (pair->above->n_needs > 0)
        return false; /* it gives way to the one below when it lacks something */
    return pair->met && works_wherever(pair->above, pair->below, pair->client) &&
           has_commands(pair->above, pair->below, true) &&
           covers(pair, &above->message, &below->message) && fds_cover(pair, above, below);
}

/* the specific one above the general one is how rules are to stand */
static bool is_below_wider(const struct pair *pair, const struct picture *above,
                           const struct picture *below, bool *reterr_failed) {
    struct pair swapped = {.arena = pair->arena,
                           .client = pair->client,
                           .side = pair->side,
                           .above = pair->below,
                           .below = pair->above};

    swapped.met = arena_alloc(pair->arena, (pair->below->vars.n + 1) * sizeof(*swapped.met));
    if (!swapped.met ||
        (covers(&swapped, &below->message, &above->message) && fds_cover(&swapped, below, above)) ||
        swapped.failed) {
        *reterr_failed = *reterr_failed || !swapped.met || swapped.failed;
        return true;
    }
    return false;
}

static enum overlap compare(struct pair *pair, const struct picture *above,
                            const struct picture *below) {
    if (is_above_wider(pair, above, below))
        return own_server_command(pair) ? OVERLAP_UNLESS_LACKED : OVERLAP_ALL;
    if (!works_wherever(pair->above, pair->below, pair->client) ||
        !works_wherever(pair->below, pair->above, pair->client) ||
        !has_commands(pair->above, pair->below, false) ||
        has_ties(pair, pair->above, &above->message) ||
        has_ties(pair, pair->below, &below->message) ||
        !meets(pair, &above->message, &below->message) || !fds_meet(pair, above, below) ||
        is_below_wider(pair, above, below, &pair->failed))
        return OVERLAP_NONE;
    return OVERLAP_SOME;
}

/* --- a file -------------------------------------------------------------------------------------- */

struct search {
    struct arena *arena;
    const struct rule_file *file;
    struct diag_set *diags;
    size_t *above
        [2]; /* by client and rule: one more than the nearest rule above of that name; 0: none */
};

static const char *when(const struct rule *rule, enum vars_side client) {
    if (rule->for_client != RULE_FOR_BOTH)
        return "";
    return client == VARS_OLD ? "when the client is old, " : "when the client is new, ";
}

static void find_unreached(struct search *s, const struct pair *pair, enum vars_side client,
                           bool is_never) {
    const struct picture *p = direction_read(pair->below, client);
    const char *way_out = "put the rule that matches less above the one that matches more";
    bool is_one_way = pair->below->for_client == RULE_FOR_BOTH && !is_never;

    if (is_one_way)
        way_out = client == VARS_OLD ? "add \"for\": \"new-client\" if that is meant"
                                     : "add \"for\": \"old-client\" if that is meant";
    diag_add(s->diags, is_never ? DIAG_ERROR : DIAG_WARNING, s->file->source, p->at, p->n_at,
             way_out, "this is never reached: %srule \"%s\" above matches whatever this matches",
             is_never ? "" : when(pair->below, client), pair->above->name);
}

static void find_unless_lacked(struct search *s, const struct pair *pair, enum vars_side client) {
    const struct picture *p = direction_read(pair->below, client),
                         *command = own_server_command(pair);

    const char *way_out = "show in one of them what keeps them apart, or leave one out";

    if (pair->below->for_client == RULE_FOR_BOTH)
        way_out = client == VARS_OLD ? "add \"for\": \"new-client\", or show what keeps them apart"
                                     : "add \"for\": \"old-client\", or show what keeps them apart";
    diag_add(
        s->diags, DIAG_WARNING, s->file->source, p->at, p->n_at, way_out,
        "%srule \"%s\" above matches whatever this matches, unless it rests because the server lacks \"%.*s\"",
        when(pair->below, client), pair->above->name, (int)command->n_name, command->name);
}

static void find_some(struct search *s, const struct pair *pair, enum vars_side client) {
    const struct picture *p = direction_read(pair->below, client);

    diag_add(
        s->diags, DIAG_WARNING, s->file->source, p->at, p->n_at,
        "show in one of them what keeps them apart, for example {\"$absent\": true} or {\"$not\": …}",
        "%ssome messages match both this and rule \"%s\" above, which then is the one that applies",
        when(pair->below, client), pair->above->name);
}

static bool is_same_name(const struct picture *a, const struct picture *b) {
    return a->n_name == b->n_name && (a->n_name == 0 || memcmp(a->name, b->name, a->n_name) == 0);
}

/* the first rule above @below that stands in its way for such clients.  Return: 0 or -ENOMEM */
static int look_above(struct search *s, const struct rule *below, enum vars_side client,
                      struct pair *ret_pair, enum overlap *ret_overlap) {
    const struct picture *read =
        direction_has(below, client) ? direction_read(below, client) : NULL;

    *ret_overlap = OVERLAP_NONE;
    if (!read)
        return 0;
    for (size_t i = s->above[client][below - s->file->rules]; i > 0; i = s->above[client][i - 1]) {
        const struct rule *above = &s->file->rules[i - 1];
        struct pair pair = {.arena = s->arena, .client = client, .above = above, .below = below};
        enum overlap overlap;

        pair.side = below->kind == PICTURE_COMMAND ? client : direction_other(client);
        overlap = compare(&pair, direction_read(above, client), read);
        if (pair.failed)
            return -ENOMEM;
        if (overlap != OVERLAP_NONE && overlap >= *ret_overlap) { /* the uppermost is told */
            *ret_overlap = overlap;
            *ret_pair = pair;
        }
    }
    return 0;
}

static bool is_for(const struct rule *rule, enum vars_side client) {
    return direction_has(rule, client) && direction_read(rule, client);
}

static int check_rule(struct search *s, const struct rule *rule) {
    struct pair pair[2];
    enum overlap overlap[2];
    bool is_never = true;
    int r = 0;

    for (enum vars_side client = VARS_OLD; r == 0 && client <= VARS_NEW; client++) {
        r = look_above(s, rule, client, &pair[client], &overlap[client]);
        is_never = is_never && (!is_for(rule, client) || overlap[client] == OVERLAP_ALL);
    }
    if (r < 0)
        return r;
    for (enum vars_side client = VARS_OLD; client <= VARS_NEW; client++)
        switch (overlap[client]) {
        case OVERLAP_ALL:
            find_unreached(s, &pair[client], client, is_never);
            if (is_never)
                return 0; /* said once */
            break;
        case OVERLAP_UNLESS_LACKED:
            find_unless_lacked(s, &pair[client], client);
            break;
        case OVERLAP_SOME:
            find_some(s, &pair[client], client);
            break;
        case OVERLAP_NONE:
            break;
        }
    return 0;
}

static size_t hash_read(const struct rule *rule, const struct picture *read) {
    size_t h = (size_t)rule->kind;

    for (size_t i = 0; i < read->n_name; i++)
        h = h * 31 + (unsigned char)read->name[i];
    return h;
}

/* rules are compared with those of the same name only: files may have thousands.  Return: 0 or -ENOMEM */
static int link_names(struct search *s, enum vars_side client) {
    size_t n = s->file->n_rules, n_slots = 16;
    size_t *last; /* by hash: one more than the last rule of a name */

    while (n_slots < n * 2)
        n_slots *= 2;
    last = arena_alloc(s->arena, n_slots * sizeof(*last));
    s->above[client] = arena_alloc(s->arena, (n + 1) * sizeof(size_t));
    if (!last || !s->above[client])
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct rule *rule = &s->file->rules[i];
        size_t slot;

        if (!is_for(rule, client))
            continue;
        for (slot = hash_read(rule, direction_read(rule, client)) % n_slots; last[slot] > 0;
             slot = (slot + 1) % n_slots) {
            const struct rule *other = &s->file->rules[last[slot] - 1];

            if (other->kind == rule->kind &&
                is_same_name(direction_read(other, client), direction_read(rule, client)))
                break;
        }
        s->above[client][i] = last[slot];
        last[slot] = i + 1;
    }
    return 0;
}

int overlap_check(struct arena *arena, const struct rule_file *file, struct diag_set *diags) {
    struct search s = {.arena = arena, .file = file, .diags = diags};

    if (link_names(&s, VARS_OLD) < 0 || link_names(&s, VARS_NEW) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < file->n_rules; i++) {
        int r = check_rule(&s, &file->rules[i]);

        if (r < 0)
            return r;
    }
    return 0;
}
