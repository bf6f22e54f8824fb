/*
 * A rule is walked through as the engine would walk, once for each kind of
 * client: what a picture binds when it is read is learnt, and what a picture
 * needs when it is written is looked up.
 */

#include "rule/direction.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* how sure it is that something is bound */
enum known { KNOWN_NOT, KNOWN_PERHAPS, KNOWN };

/* can a guard that is written take what the other side had at its place? */
enum kept { KEPT_NOTHING, KEPT_PERHAPS, KEPT };

struct direction {
    const struct diag_source *source;
    struct diag_set *diags;
    const struct rule *rule;
    enum vars_side client, server;
    unsigned char *known; /* enum known, by variable and list pattern (0: outside of any) */
    size_t n_known;
    unsigned char *rows; /* enum known, by list pattern */
    size_t n_rows;
};

/* the list patterns around a place */
struct scope {
    size_t group;
    const struct scope *outer;
};

/* what is being written, for the words of a finding */
struct writing {
    struct direction *d;
    enum vars_side side;
    const char *else_what; /* what becomes of it when a variable is not bound */
    bool may_be_skipped;   /* then a variable that is perhaps bound will do */
};

const struct picture *direction_read(const struct rule *rule, enum vars_side client) {
    const struct picture_list *list =
        &rule->side[rule->kind == PICTURE_COMMAND ? client : direction_other(client)];

    return list->n > 0 ? &list->picture[0] : NULL;
}

/* --- reading: what gets bound ------------------------------------------------------------------- */

static unsigned char *known_at(const struct direction *d, size_t var, size_t group) {
    return &d->known[var * d->n_rows + group];
}

static void learn_var(struct direction *d, size_t var, enum known how, size_t group) {
    unsigned char *known = known_at(d, var, group);

    if (*known == KNOWN_PERHAPS && how == KNOWN_PERHAPS)
        how = KNOWN; /* by one of two members: who leaves out both means neither */
    if (*known < how)
        *known = (unsigned char)how;
}

static void learn(struct direction *d, const struct pattern *p, enum known how, size_t group);

static void learn_object(struct direction *d, const struct pattern *p, enum known how,
                         size_t group) {
    for (size_t i = 0; i < p->n_members; i++)
        learn(d, &p->members[i].pattern, p->members[i].is_optional ? KNOWN_PERHAPS : how, group);
    if (p->rest == PATTERN_REST_VAR)
        learn_var(d, p->rest_var, KNOWN_PERHAPS, group); /* there may be no others */
}

static void learn(struct direction *d, const struct pattern *p, enum known how, size_t group) {
    switch (p->kind) {
    case PATTERN_VAR:
        learn_var(d, p->var, how, group);
        break;
    case PATTERN_TEXT:
        for (size_t i = 0; i < p->n_pieces; i++)
            if (p->pieces[i].has_var)
                learn_var(d, p->pieces[i].var, how, group);
        break;
    case PATTERN_OBJECT:
        learn_object(d, p, how, group);
        break;
    case PATTERN_EACH:
    case PATTERN_EVERY:
        d->rows[p->group] = d->rows[p->group] < how ? (unsigned char)how : d->rows[p->group];
        learn(d, &p->items[0], how, p->group);
        break;
    case PATTERN_FIRST:
    case PATTERN_EXACT:
    case PATTERN_IN:
        for (size_t i = 0; i < p->n_items; i++)
            learn(d, &p->items[i], how, group);
        break;
    default: /* the others bind nothing */
        break;
    }
}

static void learn_reply(struct direction *d, const struct picture *picture, enum reply_kind kind) {
    if (picture->reply[kind])
        learn(d, picture->reply[kind], KNOWN, 0);
}

static void learn_events(struct direction *d, const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++)
        learn(d, &list->picture[i].message, KNOWN, 0);
}

static enum known look_up_bound(const struct direction *d, size_t var, const struct scope *scope) {
    enum known best = (enum known) * known_at(d, var, 0);

    for (; scope; scope = scope->outer)
        if (*known_at(d, var, scope->group) > best)
            best = (enum known) * known_at(d, var, scope->group);
    return best;
}

static enum known look_up(const struct direction *d, size_t var, const struct scope *scope) {
    const struct var *v = &d->rule->vars.var[var];
    enum known best = v->fallback ? KNOWN : look_up_bound(d, var, scope);

    return best == KNOWN_NOT && v->has_from ? look_up_bound(d, v->from, scope) : best;
}

/* --- findings ------------------------------------------------------------------------------------ */

static const char *side_name(enum vars_side side) {
    return side == VARS_OLD ? "old" : "new";
}

static bool is_both(const struct rule *rule) {
    return rule->for_client == RULE_FOR_BOTH;
}

static const char *when(const struct direction *d) {
    if (!is_both(d->rule))
        return "";
    return d->client == VARS_OLD ? " when the client is old" : " when the client is new";
}

static void find(const struct direction *d, enum diag_level level, const struct pattern *p,
                 const char *way_out, const char *message) {
    diag_add(d->diags, level, d->source, p->at, p->n_at, way_out, "%s%s", message, when(d));
}

/* a variable that is bound and is called nearly so.  Return: NULL when there is none */
static const char *near_var(const struct direction *d, size_t var, const struct scope *scope) {
    const struct vars *vars = &d->rule->vars;
    const char *name = vars->var[var].name;

    for (size_t i = 0; i < vars->n; i++) {
        const char *words[] = {vars->var[i].name, NULL};

        if (i != var && look_up(d, i, scope) != KNOWN_NOT &&
            diag_suggest(name, strlen(name), words))
            return words[0];
    }
    return NULL;
}

static bool is_bound_in_a_list(const struct direction *d, size_t var) {
    for (size_t group = 1; group < d->n_rows; group++)
        if (*known_at(d, var, group) != KNOWN_NOT)
            return true;
    return false;
}

static void unbound_way_out(const struct direction *d, size_t var, const struct scope *scope,
                            char *text, size_t n) {
    const char *near = near_var(d, var, scope);
    const char *name = d->rule->vars.var[var].name;

    if (near)
        snprintf(text, n, "did you mean \"$%s\"?", near);
    else if (is_bound_in_a_list(d, var))
        snprintf(
            text, n,
            "it has one value for each element of a list, and this stands outside of that list");
    else if (is_both(d->rule))
        snprintf(
            text, n,
            "show it on the other side too, or add \"vars\": {\"%s\": {\"default\": …}}, or \"for\": \"%s-client\"",
            name, side_name(d->server));
    else
        snprintf(
            text, n,
            "show it in a picture that is read before, or add \"vars\": {\"%s\": {\"default\": …}}",
            name);
}

static void find_unbound(const struct writing *w, const struct pattern *p, size_t var,
                         const struct scope *scope) {
    const struct direction *d = w->d;
    char way_out[256];

    unbound_way_out(d, var, scope, way_out, sizeof(way_out));
    diag_add(d->diags, DIAG_ERROR, d->source, p->at, p->n_at, way_out,
             "nothing binds \"$%s\"%s: %s", d->rule->vars.var[var].name, when(d), w->else_what);
}

static void find_perhaps_unbound(const struct writing *w, const struct pattern *p, size_t var) {
    const struct direction *d = w->d;
    const char *name = d->rule->vars.var[var].name;
    char way_out[256];

    snprintf(way_out, sizeof(way_out),
             "write \"*NAME\" for this member too, or add \"vars\": {\"%s\": {\"default\": …}}",
             name);
    diag_add(d->diags, DIAG_WARNING, d->source, p->at, p->n_at, way_out,
             "\"$%s\" is bound by what may be missing%s: then %s", name, when(d), w->else_what);
}

/* --- writing: what must be bound ----------------------------------------------------------------- */

/* a place in a picture that is written, and what stands there in the one that was read */
struct place {
    const struct pattern *read; /* NULL: not mentioned */
    enum kept kept;
    bool is_optional;
    const struct scope *scope;
};

static void need(const struct writing *w, const struct pattern *p, const struct place *at);

static void need_var(const struct writing *w, const struct pattern *p, size_t var,
                     const struct place *at) {
    if (at->is_optional)
        return;
    switch (look_up(w->d, var, at->scope)) {
    case KNOWN_NOT:
        find_unbound(w, p, var, at->scope);
        break;
    case KNOWN_PERHAPS:
        if (!w->may_be_skipped)
            find_perhaps_unbound(w, p, var);
        break;
    case KNOWN:
        break;
    }
}

static enum kept kept_of(const struct pattern_member *read) {
    if (!read)
        return KEPT_PERHAPS; /* a member that no picture mentions may be there */
    return read->is_optional || read->pattern.kind == PATTERN_ONLY ||
                   read->pattern.kind == PATTERN_ABSENT
               ? KEPT_PERHAPS
               : KEPT;
}

static void need_object(const struct writing *w, const struct pattern *p, const struct place *at) {
    bool is_edit = at->read && at->read->kind == PATTERN_OBJECT && at->kept != KEPT_NOTHING;

    for (size_t i = 0; i < p->n_members; i++) {
        const struct pattern_member *m = &p->members[i];
        const struct pattern_member *read =
            is_edit ? pattern_member(at->read, m->key, m->n_key) : NULL;
        struct place inside = {read ? &read->pattern : NULL, is_edit ? kept_of(read) : KEPT_NOTHING,
                               at->is_optional || m->is_optional, at->scope};

        need(w, &m->pattern, &inside);
    }
}

static void need_each(const struct writing *w, const struct pattern *p, const struct place *at) {
    bool is_edit = at->read && at->read->kind == PATTERN_EACH && at->kept != KEPT_NOTHING;
    struct scope scope = {p->group, at->scope},
                 read_scope = {is_edit ? at->read->group : 0, &scope};
    struct place inside = {is_edit ? &at->read->items[0] : NULL, is_edit ? KEPT : KEPT_NOTHING,
                           at->is_optional, is_edit ? &read_scope : &scope};

    if (!is_edit && w->d->rows[p->group] == KNOWN_NOT && !at->is_optional)
        find(
            w->d, DIAG_ERROR, p,
            "a variable in it must stand in a list of the picture that is read; [P, Q] writes just these elements",
            "nothing says how many elements this list has");
    need(w, &p->items[0], &inside);
}

static void need_exact(const struct writing *w, const struct pattern *p, const struct place *at) {
    bool is_edit = at->read && at->read->kind == PATTERN_EXACT && at->kept != KEPT_NOTHING &&
                   at->read->n_items == p->n_items;

    for (size_t i = 0; i < p->n_items; i++) {
        struct place inside = {is_edit ? &at->read->items[i] : NULL, is_edit ? KEPT : KEPT_NOTHING,
                               at->is_optional, at->scope};

        need(w, &p->items[i], &inside);
    }
}

static void need_guard(const struct writing *w, const struct pattern *p, const struct place *at) {
    if (at->is_optional || at->kept == KEPT)
        return;
    if (at->kept == KEPT_PERHAPS)
        find(w->d, DIAG_WARNING, p,
             "show this member on the other side too, with a variable on both",
             "the other side need not send this member, and nothing else tells what to write here");
    else
        find(w->d, DIAG_ERROR, p, "write a value or a variable; $like, $in and $not only read",
             "nothing tells what is to be written here");
}

static void find_not_written(const struct writing *w, const struct pattern *p,
                             const char *message) {
    find(w->d, DIAG_ERROR, p,
         is_both(w->d->rule)
             ? "[P, \"...\"] writes every element; or say by \"for\" which client the rule is for"
             : "[P, \"...\"] writes every element",
         message);
}

static void need(const struct writing *w, const struct pattern *p, const struct place *at) {
    struct place alone = {NULL, KEPT_NOTHING, at->is_optional, at->scope};

    switch (p->kind) {
    case PATTERN_VAR:
        need_var(w, p, p->var, at);
        break;
    case PATTERN_TEXT:
        for (size_t i = 0; i < p->n_pieces; i++)
            if (p->pieces[i].has_var)
                need_var(w, p, p->pieces[i].var, at);
        break;
    case PATTERN_OBJECT:
        need_object(w, p, at);
        break;
    case PATTERN_EACH:
        need_each(w, p, at);
        break;
    case PATTERN_EXACT:
        need_exact(w, p, at);
        break;
    case PATTERN_FIRST:
        find_not_written(w, p, "[\"...\", P, \"...\"] can only be read, and this is written");
        break;
    case PATTERN_EVERY:
        find_not_written(w, p, "\"$every\" can only be read, and this is written");
        break;
    case PATTERN_ONLY:
        need(w, &p->items[0], &alone);
        break;
    case PATTERN_LIKE:
    case PATTERN_IN:
    case PATTERN_NOT:
        need_guard(w, p, at);
        break;
    default:
        break;
    }
}

/* a message as a whole, from the one that was read */
static void need_message(struct direction *d, enum vars_side side, const struct pattern *p,
                         const struct pattern *read, const char *else_what) {
    struct writing w = {d, side, else_what, false};
    struct place at = {read, read ? KEPT : KEPT_NOTHING, false, NULL};

    need(&w, p, &at);
}

/* a message of the shim's own: left out when a variable is not bound */
static void need_own(struct direction *d, const struct picture_list *list, enum vars_side side,
                     const char *else_what) {
    struct writing w = {d, side, else_what, true};
    struct place at = {NULL, KEPT_NOTHING, false, NULL};

    for (size_t i = 0; i < list->n; i++) {
        need(&w, &list->picture[i].message, &at);
        if (list->picture[i].fd)
            need(&w, list->picture[i].fd, &at);
    }
}

static void need_facts(struct direction *d, const struct fact_list *list, const char *else_what,
                       bool has_value) {
    struct writing w = {d, VARS_OLD, else_what, true};
    struct place at = {NULL, KEPT_NOTHING, false, NULL};

    for (size_t i = 0; i < list->n; i++) {
        need(&w, &list->fact[i].key, &at);
        if (has_value)
            need(&w, &list->fact[i].value, &at);
    }
}

/* --- the engine's order -------------------------------------------------------------------------- */

static void recall(struct direction *d) {
    struct writing w = {d, VARS_OLD, "nothing is ever recalled", true};
    struct place at = {NULL, KEPT_NOTHING, false, NULL};

    for (size_t i = 0; i < d->rule->recall.n; i++) {
        need(&w, &d->rule->recall.fact[i].key, &at);
        learn(d, &d->rule->recall.fact[i].value, KNOWN, 0);
    }
}

/* commands to the server, one by one, each of which may bind from its reply */
static void exchange(struct direction *d, const struct picture_list *list, const char *else_what) {
    for (size_t i = 0; i < list->n; i++) {
        struct picture_list one = {.picture = &list->picture[i], .n = 1};

        need_own(d, &one, d->server, else_what);
        learn_reply(d, &list->picture[i], REPLY_RETURN);
        learn_reply(d, &list->picture[i], REPLY_ERROR);
        learn_events(d, &list->picture[i].until);
    }
}

static void before_writing(struct direction *d) {
    recall(d);
    exchange(d, &d->rule->ask, "the server is never asked");
    if (d->rule->conform == CONFORM_ASK) {
        struct picture_list one = {.picture = (struct picture *)&d->rule->conform_ask,
                                   .n = 1}; /* read only */

        need_own(d, &one, d->server, "the server is never asked for the types");
    }
}

static void after_writing(struct direction *d) {
    need_own(d, &d->rule->emit_before, d->client, "this event is never sent");
    need_own(d, &d->rule->emit, d->client, "this event is never sent");
    need_own(d, &d->rule->then, d->server, "this command is never sent");
    need_own(d, &d->rule->finally, d->server, "this command is never sent");
    need_facts(d, &d->rule->remember, "nothing is ever remembered", true);
    need_facts(d, &d->rule->forget, "nothing is ever forgotten", false);
}

/* a reply that the server's picture says nothing of is open, down to the members of its "return" */
static const struct pattern_member open_return = {
    .key = "return", .n_key = 6, .pattern = {.kind = PATTERN_OBJECT}};
static const struct pattern open_reply = {
    .kind = PATTERN_OBJECT,
    .members = (struct pattern_member *)&open_return, /* read only */
    .n_members = 1,
};

/* the client's picture of a reply, written from one of this kind; what that one binds is known for it alone */
static int reply_of_kind(struct direction *d, struct arena *arena, const struct picture *client,
                         const struct picture *server, enum reply_kind kind) {
    enum reply_kind other = kind == REPLY_RETURN ? REPLY_ERROR : REPLY_RETURN;
    const struct pattern *read = server->reply[kind];
    const struct pattern *write = client->reply[kind] ? client->reply[kind]
                                  : read              ? client->reply[other]
                                                      : NULL;
    unsigned char *saved;

    if (!write)
        return 0;
    saved = arena_alloc(arena, d->n_known + d->n_rows);
    if (!saved)
        return -ENOMEM;
    memcpy(saved, d->known, d->n_known);
    memcpy(saved + d->n_known, d->rows, d->n_rows);
    if (read)
        learn(d, read, KNOWN, 0);
    need_message(d, d->client, write, read ? read : &open_reply, "the reply passes unchanged");
    memcpy(d->known, saved, d->n_known);
    memcpy(d->rows, saved + d->n_known, d->n_rows);
    return 0;
}

/* of several pairs one that lacks something gives way to the next */
static int reply_pairs(struct direction *d, struct arena *arena) {
    struct writing w = {d, d->client, "the reply is never written so", true};
    unsigned char *saved = arena_alloc(arena, d->n_known + d->n_rows);

    if (!saved)
        return -ENOMEM;
    memcpy(saved, d->known, d->n_known);
    memcpy(saved + d->n_known, d->rows, d->n_rows);
    for (size_t i = 0; i < d->rule->n_replies; i++) {
        const struct pattern *read = d->rule->replies[i].side[d->server];
        struct place at = {read, KEPT, false, NULL};

        learn(d, read, KNOWN, 0);
        need(&w, d->rule->replies[i].side[d->client], &at);
        memcpy(d->known, saved, d->n_known);
        memcpy(d->rows, saved + d->n_known, d->n_rows);
    }
    for (size_t i = 0; i < d->rule->n_replies; i++)
        learn(d, d->rule->replies[i].side[d->server], KNOWN_PERHAPS, 0);
    return 0;
}

static int replies(struct direction *d, struct arena *arena) {
    const struct picture_list *server = &d->rule->side[d->server];
    const struct picture *client = &d->rule->side[d->client].picture[0];
    int r = 0;

    if (d->rule->n_replies > 0)
        return reply_pairs(d, arena);
    if (server->n == 0) {
        const struct pattern *write =
            client->reply[REPLY_RETURN] ? client->reply[REPLY_RETURN] : client->reply[REPLY_ERROR];

        if (write)
            need_message(d, d->client, write, NULL, "the answer is {\"return\": {}}");
        return 0;
    }
    for (enum reply_kind kind = REPLY_RETURN; r == 0 && kind <= REPLY_ERROR; kind++)
        r = reply_of_kind(d, arena, client, &server->picture[server->n - 1], kind);
    return r;
}

static void need_command(struct direction *d, const struct picture *write,
                         const struct picture *read) {
    static const char else_what[] = "the command passes unchanged";

    need_message(d, d->server, &write->message, &read->message, else_what);
    if (write->fd)
        need_message(d, d->server, write->fd, NULL, else_what);
}

static int check_command(struct direction *d, struct arena *arena, const struct picture *read) {
    const struct picture_list *server = &d->rule->side[d->server];
    int r;

    learn(d, &read->message, KNOWN, 0);
    if (read->fd)
        learn(d, read->fd, KNOWN, 0);
    before_writing(d);
    if (server->is_list)
        exchange(d, server, "this step is never sent");
    else if (server->n > 0)
        need_command(d, &server->picture[0], read);
    learn_events(d, &d->rule->until);
    r = replies(d, arena);
    if (r < 0)
        return r;
    for (size_t i = 0; i < server->n; i++)
        learn_reply(d, &server->picture[i], REPLY_RETURN);
    after_writing(d);
    return 0;
}

static void check_from_server(struct direction *d, const struct picture *read) {
    const struct picture_list *client = &d->rule->side[d->client];

    learn(d, &read->message, KNOWN, 0);
    before_writing(d);
    if (client->n > 0)
        need_message(d, d->client, &client->picture[0].message, &read->message,
                     d->rule->kind == PICTURE_EVENT ? "the event passes unchanged"
                                                    : "the message passes unchanged");
    after_writing(d);
}

static int check_client(struct arena *arena, struct direction *d) {
    const struct picture *read = direction_read(d->rule, d->client);

    if (!read)
        return 0;
    d->n_rows = d->rule->vars.n_groups + 1;
    d->n_known = d->rule->vars.n * d->n_rows;
    d->known = arena_alloc(arena, d->n_known + 1);
    d->rows = arena_alloc(arena, d->n_rows);
    if (!d->known || !d->rows)
        return -ENOMEM;
    if (d->rule->kind == PICTURE_COMMAND)
        return check_command(d, arena, read);
    check_from_server(d, read);
    return 0;
}

int direction_check(struct arena *arena, const struct diag_source *source, const struct rule *rule,
                    struct diag_set *diags) {
    for (enum vars_side client = VARS_OLD; client <= VARS_NEW; client++) {
        struct direction d = {.source = source,
                              .diags = diags,
                              .rule = rule,
                              .client = client,
                              .server = direction_other(client)};
        int r = direction_has(rule, client) ? check_client(arena, &d) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}
