#include "rule/selection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SELECTION_MAX_SHARED = 8 }; /* servers of so many versions are remembered */

struct choice {
    struct selection *selection;
    const struct version *server;
    const struct selection_commands *commands;
};

static void rest(struct choice *c, const struct rule *rule, enum selection_reason reason) {
    c->selection->state[rule->index] = SELECTION_RESTS;
    c->selection->reason[rule->index] = (unsigned char)reason;
}

static void work(struct choice *c, const struct rule *rule, enum selection_state state) {
    if (rule->for_client ==
        (state == SELECTION_OLD_CLIENT ? RULE_FOR_NEW_CLIENT : RULE_FOR_OLD_CLIENT)) {
        rest(c, rule, SELECTION_FOR);
        return;
    }
    c->selection->state[rule->index] = (unsigned char)state;
    c->selection->reason[rule->index] = SELECTION_WORKS;
}

/* --- by version --------------------------------------------------------------------------------- */

static bool server_has_new(const struct choice *c, const struct rule *rule) {
    return !c->server || !rule->has_new_since || version_compare(*c->server, rule->new_since) >= 0;
}

static bool server_has_old(const struct choice *c, const struct rule *rule) {
    return !c->server || !rule->has_old_until || version_compare(*c->server, rule->old_until) < 0;
}

/* the operator said which dialect the client speaks; the server must have the other */
static void choose_by_dialect(struct choice *c, const struct rule *rule, enum dialect client) {
    if (client == DIALECT_OLD ? !server_has_new(c, rule) : !server_has_old(c, rule))
        rest(c, rule, SELECTION_SERVER_LACKS);
    else
        work(c, rule, client == DIALECT_OLD ? SELECTION_OLD_CLIENT : SELECTION_NEW_CLIENT);
}

/* can the server's own list of commands tell which side of this rule it is on? */
static bool probe_tells(const struct rule *rule) {
    const struct picture_list *old = &rule->side[VARS_OLD], *new = &rule->side[VARS_NEW];

    if (rule->kind != PICTURE_COMMAND || rule->n_needs > 0) /* it is for some of them only */
        return false;
    for (size_t i = 0; i < old->n; i++)
        for (size_t k = 0; k < new->n; k++)
            if (old->picture[i].n_name == new->picture[k].n_name &&
                memcmp(old->picture[i].name, new->picture[k].name, old->picture[i].n_name) == 0)
                return false;
    return true;
}

static bool server_has(const struct choice *c, const char *command, size_t n_command) {
    const struct json *list = c->commands->list;

    for (size_t i = 0; i < list->n_items; i++) {
        const struct json *name = json_member(&list->items[i], "name");

        if (name && name->type == JSON_STRING && name->n_string == n_command &&
            memcmp(name->string, command, n_command) == 0)
            return true;
    }
    return false;
}

/*
 * Does a command of the server's vouch for the new form, whatever its version?  A client of that
 * very version may be the server's own distribution's, and then needs no help.
 */
static bool is_vouched(const struct choice *c, const struct rule *rule, struct version client) {
    return c->commands && rule->new_with && c->server && version_compare(client, *c->server) != 0 &&
           server_has(c, rule->new_with, strlen(rule->new_with));
}

static void choose_by_version(struct choice *c, const struct rule *rule, struct version client) {
    bool is_told = c->commands && probe_tells(rule);
    bool has_new = is_vouched(c, rule, client);
    bool old_is_lost =
        is_told || has_new ||
        (rule->has_old_until && c->server && version_compare(*c->server, rule->old_until) >= 0);
    bool new_is_missing = is_told || (!has_new && rule->has_new_since && c->server &&
                                      version_compare(*c->server, rule->new_since) < 0);
    bool may_use_old = !rule->has_old_until || version_compare(client, rule->old_until) < 0;
    bool may_use_new = !rule->has_new_since || version_compare(client, rule->new_since) >= 0;

    if (c->selection->is_ascending && may_use_old && old_is_lost)
        work(c, rule, SELECTION_OLD_CLIENT);
    else if (!c->selection->is_ascending && may_use_new && new_is_missing)
        work(c, rule, SELECTION_NEW_CLIENT);
    else
        rest(c, rule, SELECTION_BOTH_KNOW);
}

/* --- by the server's own word -------------------------------------------------------------------- */

static bool server_takes(const struct choice *c, const struct picture *picture) {
    return server_has(c, picture->name, picture->n_name);
}

/* does another rule that works turn this command into one the server has? */
static bool is_bridged(const struct choice *c, const struct rule *by,
                       const struct picture *picture) {
    struct program_uses uses =
        program_find(c->selection->program, PROGRAM_COMMAND, picture->name, picture->n_name);

    for (size_t i = 0; i < uses.n; i++)
        if (uses.use[i].rule != by && uses.use[i].rule->file != by->file &&
            selection_is_client_side(c->selection, uses.use[i].rule, uses.use[i].side))
            return true;
    return false;
}

static void probe(struct choice *c, const struct rule *rule) {
    enum vars_side client = selection_client_side(c->selection, rule);
    const struct picture_list *server_side = &rule->side[client == VARS_OLD ? VARS_NEW : VARS_OLD];
    const struct picture_list *client_side = &rule->side[client];

    if (probe_tells(rule) && client_side->n > 0 && server_takes(c, &client_side->picture[0])) {
        rest(c, rule, SELECTION_SERVER_HAS);
        return;
    }
    for (size_t i = 0; i < server_side->n; i++)
        if (!server_takes(c, &server_side->picture[i]) &&
            !is_bridged(c, rule, &server_side->picture[i])) {
            rest(c, rule, SELECTION_COMMAND_LACKED);
            return;
        }
}

/* from the server's end on, because a name may be bridged by the next file */
static void probe_all(struct choice *c) {
    const struct program *p = c->selection->program;
    size_t n = program_n_rules(p);

    for (size_t i = 0; i < n; i++) {
        const struct rule *rule = program_rule(p, c->selection->is_ascending ? n - 1 - i : i);

        if (rule->kind == PICTURE_COMMAND && selection_is_working(c->selection, rule))
            probe(c, rule);
    }
}

static void choose_all(struct choice *c) {
    const struct program *p = c->selection->program;
    enum dialect client = program_options(p)->client;
    struct version client_version;
    bool has_version = program_client_version(p, &client_version);

    c->selection->is_ascending =
        has_version ? !c->server || version_compare(client_version, *c->server) <= 0
                    : client == DIALECT_OLD;
    for (size_t i = 0; i < program_n_rules(p); i++) {
        if (has_version)
            choose_by_version(c, program_rule(p, i), client_version);
        else
            choose_by_dialect(c, program_rule(p, i), client);
    }
    if (c->commands)
        probe_all(c);
    for (size_t i = 0; i < program_n_rules(p); i++)
        c->selection->n_working += selection_is_working(c->selection, program_rule(p, i));
}

int selection_new(const struct program *program, const struct version *server,
                  const struct selection_commands *commands, struct selection **ret_selection) {
    size_t n = program_n_rules(program);
    struct selection *s = calloc(1, sizeof(*s) + 2 * n);
    struct choice c = {s, server, commands};

    if (!s)
        return -ENOMEM;
    s->n_refs = 1;
    list_init(&s->in_program);
    s->program = program;
    s->has_server = server != NULL;
    if (server)
        s->server = *server;
    s->state = (unsigned char *)(s + 1);
    s->reason = s->state + n;
    choose_all(&c);
    *ret_selection = s;
    return 0;
}

struct selection *selection_ref(struct selection *s) {
    s->n_refs++;
    return s;
}

struct selection *selection_unref(struct selection *s) {
    if (!s || --s->n_refs > 0)
        return NULL;
    buffer_deinit(&s->names);
    free(s);
    return NULL;
}

/* --- shared by sessions --------------------------------------------------------------------------- */

static bool is_for(const struct selection *s, const struct version *server) {
    return s->has_server ? server && version_compare(s->server, *server) == 0 : !server;
}

/* the program keeps it: the reference is the program's */
static void keep(struct list *kept, struct selection *s) {
    size_t n = 0;

    list_append(kept, &s->in_program);
    list_for_each(i, kept)
        n++;
    if (n > SELECTION_MAX_SHARED) {
        struct selection *oldest = list_entry(kept->next, struct selection, in_program);

        list_remove(&oldest->in_program);
        selection_unref(oldest);
    }
}

int selection_share(struct program *program, const struct version *server,
                    struct selection **ret_selection) {
    struct list *kept = program_selections(program);
    struct selection *s;
    int r;

    list_for_each(i, kept) {
        s = list_entry(i, struct selection, in_program);
        if (is_for(s, server)) {
            *ret_selection = selection_ref(s);
            return 0;
        }
    }
    r = selection_new(program, server, NULL, &s);
    if (r < 0)
        return r;
    *ret_selection = selection_ref(s);
    keep(kept, s);
    return 0;
}

/* --- in words ---------------------------------------------------------------------------------------- */

static void name_rules(const struct selection *s, const struct rule_file *file, struct buffer *b) {
    size_t n = 0;

    for (size_t i = 0; i < file->n_rules; i++) {
        if (!selection_is_working(s, &file->rules[i]))
            continue;
        if (n++ == 0) {
            buffer_append_string(b, b->n > 0 ? "; " : "");
            buffer_append_string(b, file->name);
            buffer_append(b, ":", 1);
        }
        buffer_append(b, " ", 1);
        buffer_append_string(b, file->rules[i].name);
    }
}

int selection_tell(struct selection *s, const char **ret_text) {
    if (s->names.n == 0) {
        for (size_t i = 0; i < program_n_files(s->program); i++)
            name_rules(s, program_file(s->program, i), &s->names);
        if (s->names.n == 0)
            buffer_append_string(&s->names, "none");
        buffer_append(&s->names, "", 1);
    }
    if (buffer_status(&s->names) < 0)
        return -ENOMEM;
    *ret_text = s->names.data;
    return 0;
}

bool selection_wants_probe(const struct program *program) {
    if (program_options(program)->no_probe || !program_options(program)->client_version)
        return false;
    for (size_t i = 0; i < program_n_rules(program); i++)
        if (program_rule(program, i)->kind == PICTURE_COMMAND || program_rule(program, i)->new_with)
            return true;
    return false;
}

const char *selection_reason_text(enum selection_reason reason) {
    static const char *const texts[] = {
        [SELECTION_WORKS] = "works",
        [SELECTION_FOR] = "is for the other kind of client",
        [SELECTION_BOTH_KNOW] = "client and server need no help",
        [SELECTION_SERVER_LACKS] = "the server has not got the form it writes",
        [SELECTION_SERVER_HAS] = "the server itself has the client's command",
        [SELECTION_COMMAND_LACKED] = "the server has not got the command it sends",
    };

    return texts[reason];
}
