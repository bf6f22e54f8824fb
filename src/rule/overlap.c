/* Pairs of rules of one name, each with those above it; what two patterns have in common is cover.c's business. */

#include "rule/overlap.h"

#include <errno.h>
#include <string.h>

#include "rule/cover.h"
#include "rule/direction.h"

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
static const struct picture *own_server_command(const struct cover_pair *pair) {
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
static bool fds_cover(struct cover_pair *pair, const struct picture *a, const struct picture *b) {
    return !a->fd || (b->fd && cover_all(pair, a->fd, b->fd));
}

static bool fds_meet(struct cover_pair *pair, const struct picture *a, const struct picture *b) {
    return !a->fd || !b->fd || cover_meets(pair, a->fd, b->fd);
}

static bool is_above_wider(struct cover_pair *pair, const struct picture *above,
                           const struct picture *below) {
    pair->met = arena_alloc(pair->arena, (pair->above->vars.n + 1) * sizeof(*pair->met));
    if (!pair->met)
        pair->failed = true;
    if (pair->above->n_needs > 0)
        return false; /* it gives way to the one below when it lacks something */
    return pair->met && works_wherever(pair->above, pair->below, pair->client) &&
           has_commands(pair->above, pair->below, true) &&
           cover_all(pair, &above->message, &below->message) && fds_cover(pair, above, below);
}

/* the specific one above the general one is how rules are to stand */
static bool is_below_wider(const struct cover_pair *pair, const struct picture *above,
                           const struct picture *below, bool *reterr_failed) {
    struct cover_pair swapped = {.arena = pair->arena,
                                 .client = pair->client,
                                 .side = pair->side,
                                 .above = pair->below,
                                 .below = pair->above};

    swapped.met = arena_alloc(pair->arena, (pair->below->vars.n + 1) * sizeof(*swapped.met));
    if (!swapped.met ||
        (cover_all(&swapped, &below->message, &above->message) &&
         fds_cover(&swapped, below, above)) ||
        swapped.failed) {
        *reterr_failed = *reterr_failed || !swapped.met || swapped.failed;
        return true;
    }
    return false;
}

static enum overlap compare(struct cover_pair *pair, const struct picture *above,
                            const struct picture *below) {
    if (is_above_wider(pair, above, below))
        return own_server_command(pair) ? OVERLAP_UNLESS_LACKED : OVERLAP_ALL;
    if (!works_wherever(pair->above, pair->below, pair->client) ||
        !works_wherever(pair->below, pair->above, pair->client) ||
        !has_commands(pair->above, pair->below, false) ||
        cover_has_ties(pair, pair->above, &above->message) ||
        cover_has_ties(pair, pair->below, &below->message) ||
        !cover_meets(pair, &above->message, &below->message) || !fds_meet(pair, above, below) ||
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

static void find_unreached(struct search *s, const struct cover_pair *pair, enum vars_side client,
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

static void find_unless_lacked(struct search *s, const struct cover_pair *pair,
                               enum vars_side client) {
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

static void find_some(struct search *s, const struct cover_pair *pair, enum vars_side client) {
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
                      struct cover_pair *ret_pair, enum overlap *ret_overlap) {
    const struct picture *read =
        direction_has(below, client) ? direction_read(below, client) : NULL;

    *ret_overlap = OVERLAP_NONE;
    if (!read)
        return 0;
    for (size_t i = s->above[client][below - s->file->rules]; i > 0; i = s->above[client][i - 1]) {
        const struct rule *above = &s->file->rules[i - 1];
        struct cover_pair pair = {
            .arena = s->arena, .client = client, .above = above, .below = below};
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
    struct cover_pair pair[2];
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
