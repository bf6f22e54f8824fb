#include "rule/reply.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "json/writer.h"
#include "rule/build.h"
#include "rule/introspect.h"
#include "rule/match.h"
#include "rule/memory.h"
#include "rule/own.h"
#include "rule/replies.h"

/* of a command's name, in an error of the shim's own */
enum { REPLY_MAX_NAME_BYTES = 100 };

/* mostly it is the first thing that is written */
static bool is_return(const char *text, size_t n) {
    static const char begin[] = "{\"return\":";

    return n > sizeof(begin) - 1 && memcmp(text, begin, sizeof(begin) - 1) == 0;
}

/* the reply becomes @text, which is read when somebody wants to know more than its kind */
static int set_reply(struct exchange *x, const char *text, size_t n) {
    struct message m = {.n_text = n};

    m.kind = is_return(text, n) ? FRAME_RETURN : message_kind(text, n);
    m.text = arena_copy(&x->arena, text, n);
    if (!m.text)
        return -ENOMEM;
    x->reply = m;
    x->is_reply_changed = true;
    return 0;
}

static int read_reply(struct exchange *x) {
    int r;

    if (x->reply.root)
        return 0;
    r = message_read(&x->arena, x->reply.text, x->reply.n_text, &x->reply);
    return error_fold(r);
}

static enum reply_kind kind_of(const struct message *reply) {
    return reply->kind == FRAME_RETURN ? REPLY_RETURN : REPLY_ERROR;
}

/* --- the pictures of the command's own rule ------------------------------------------------------ */

/* reading a reply that its picture says nothing of: the object stays open where the other side shows one */
static const struct pattern nothing = {.kind = PATTERN_OBJECT};
static const struct pattern_member open_return = {
    .key = "return", .n_key = 6, .pattern = {.kind = PATTERN_OBJECT}};
static const struct pattern open_root = {
    .kind = PATTERN_OBJECT,
    .members = (struct pattern_member *)&open_return, /* read only */
    .n_members = 1,
};

static const struct pattern *unmentioned(const struct pattern *write, const struct message *reply) {
    const struct pattern_member *m = pattern_member(write, "return", 6);
    const struct json *value = json_member(reply->root, "return");

    return m && m->pattern.kind == PATTERN_OBJECT && value && value->type == JSON_OBJECT
               ? &open_root
               : &nothing;
}

/* a return that becomes an error, or the reverse: each side shows one kind only, and not the same */
static const struct pattern *crossed(const struct picture *client, enum reply_kind kind) {
    enum reply_kind other = kind == REPLY_RETURN ? REPLY_ERROR : REPLY_RETURN;

    return !client->reply[kind] ? client->reply[other] : NULL;
}

static int write_reply(struct exchange *x, const struct applied *a, const struct rule *rule,
                       const struct pattern *write, const struct pattern *read,
                       const struct bindings *b) {
    char room[512];
    _cleanup_(buffer_deinit) struct buffer text = buffer_in(room, sizeof(room));
    int r;

    r = build_value(&x->arena,
                    a ? a->client_side : selection_client_side(x->engine->selection, rule), write,
                    read, x->reply.root, b, &text);
    if (r < 0)
        return r;
    if (r > 0) {
        reply_fail(x, rule, "a variable of the reply has no value");
        return 0;
    }
    return set_reply(x, text.data, text.n);
}

/* Return: 0: one of them applied; MATCH_E_NO; -ENOMEM */
static int apply_pairs(struct exchange *x, const struct applied *a) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    int r;

    r = read_reply(x);
    if (r < 0)
        return r;
    r = replies_apply(x, a, &text);
    return r ? r : set_reply(x, text.data, text.n);
}

/* Return: 0: it applied; MATCH_E_NO: it says nothing of this reply; -ENOMEM */
static int apply_pictures(struct exchange *x, struct applied *a) {
    enum reply_kind kind = kind_of(&x->reply);
    enum vars_side side = a->client_side == VARS_OLD ? VARS_NEW : VARS_OLD;
    const struct pattern *read = a->server ? a->server->reply[kind] : NULL;
    const struct pattern *write = a->client ? a->client->reply[kind] : NULL;
    int r;

    if (!read && !write)
        return MATCH_E_NO;
    r = read_reply(x);
    if (r < 0)
        return r;
    if (read) {
        r = match_value(&x->arena, side, read, x->reply.root, a->bindings);
        if (r)
            return r;
        if (!write && a->client)
            write = crossed(a->client, kind);
    } else if (kind == REPLY_ERROR && a->server && !a->server->reply[kind] &&
               a->server->reply[REPLY_RETURN] && !write) {
        return MATCH_E_NO;
    }
    if (!write)
        return 0;
    return write_reply(x, a, a->rule, write, read ? read : unmentioned(write, &x->reply),
                       a->bindings);
}

/* --- rules for errors ------------------------------------------------------------------------------ */

static int try_error_rule(struct exchange *x, const struct program_use *use) {
    const struct selection *s = x->engine->selection;
    const struct rule *rule = use->rule;
    enum vars_side client = selection_client_side(s, rule),
                   server = client == VARS_OLD ? VARS_NEW : VARS_OLD;
    const struct picture_list *read = &rule->side[server], *write = &rule->side[client];
    struct bindings *b;
    int r;

    if (read->n == 0 || write->n == 0 ||
        (rule->commands && !engine_is_named(x, (const char *const *)rule->commands)))
        return MATCH_E_NO;
    b = bindings_new(&x->arena, &rule->vars, NULL);
    if (!b)
        return -ENOMEM;
    r = read_reply(x);
    if (r == 0)
        r = match_value(&x->arena, server, &read->picture[0].message, x->reply.root, b);
    if (r)
        return r;
    return write_reply(x, NULL, rule, &write->picture[0].message, &read->picture[0].message, b);
}

/* the rules of @file for errors, in their order: those for any command and those for this one */
static int apply_error_rules(struct exchange *x, const struct rule_file *file) {
    const struct selection *s = x->engine->selection;

    for (size_t i = 0; i < file->n_rules; i++) {
        struct program_use use = {&file->rules[i], VARS_OLD};
        int r;

        if (use.rule->kind != PICTURE_ERROR || !selection_is_working(s, use.rule))
            continue;
        r = try_error_rule(x, &use);
        if (r <= 0)
            return r;
    }
    return 0;
}

/* --- the way back ------------------------------------------------------------------------------------ */

static struct applied *applied_at(const struct exchange *x, size_t hop) {
    struct applied *a = x->applied;

    while (a && a->hop != hop)
        a = a->next;
    return a;
}

static int back_one(struct exchange *x, size_t hop) {
    struct applied *a = applied_at(x, hop);
    bool is_success = x->reply.kind == FRAME_RETURN;
    int r = MATCH_E_NO;

    if (a)
        r = a->rule->n_replies > 0 ? apply_pairs(x, a) : apply_pictures(x, a);
    if (r > 0)
        r = x->reply.kind == FRAME_ERROR ? apply_error_rules(x, reply_file_at(x->engine, hop)) : 0;
    if (r < 0 || !a)
        return r;
    r = is_success ? memory_remember(x, a->rule, a->bindings) : 0;
    if (r == 0 && is_success)
        r = own_order(x, a);
    return r < 0 ? r : own_order_finally(x, a);
}

int reply_back(struct exchange *x, size_t hop) {
    size_t n = program_n_files(x->engine->program);

    for (size_t h = hop < n ? hop + 1 : n; h > x->first_hop; h--) {
        int r = back_one(x, h - 1);

        if (r < 0)
            return r;
    }
    return 0;
}

/* does the client ask what there is? */
static enum introspect_kind introspection(const struct exchange *x) {
    if (x->n_names == 0 || x->first_hop > 0)
        return INTROSPECT_NONE;
    return introspect_find(x->names[0], strlen(x->names[0]));
}

/* a client that asks what there is finds what the rules give it */
static int doctor(struct exchange *x) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    enum introspect_kind kind = introspection(x);
    int r;

    if (kind == INTROSPECT_NONE || x->reply.kind != FRAME_RETURN)
        return 0;
    r = read_reply(x);
    if (r < 0)
        return r;
    r = introspect_doctor(x->engine->selection, kind, &x->reply, &text);
    if (r)
        return r < 0 ? r : 0;
    return set_reply(x, text.data, text.n);
}

int engine_reply(struct exchange *x, const char *text, size_t n) {
    bool is_outline = !x->applied && introspection(x) != INTROSPECT_NONE &&
                      message_kind(text, n) == FRAME_RETURN; /* no picture looks into it */
    int r;

    r = is_outline ? message_outline(&x->arena, text, n, &x->reply)
                   : message_read(&x->arena, text, n, &x->reply);
    if (r)
        return r < 0 ? r : ENGINE_E_INVALID;
    if (x->reply.kind != FRAME_RETURN && x->reply.kind != FRAME_ERROR)
        return ENGINE_E_INVALID;
    x->is_reply_changed = false;
    r = reply_back(x, SIZE_MAX);
    return r < 0 ? r : doctor(x);
}

/* --- replies of the shim's own -------------------------------------------------------------------------- */

int reply_local(struct exchange *x, const struct applied *a) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    const struct pattern *write = NULL;
    int r;

    if (a->client)
        write = a->client->reply[REPLY_RETURN] ? a->client->reply[REPLY_RETURN]
                                               : a->client->reply[REPLY_ERROR];
    if (write) {
        r = build_value(&x->arena, a->client_side, write, NULL, NULL, a->bindings, &text);
        if (r < 0)
            return r;
        if (r > 0)
            reply_fail(x, a->rule, "a variable of the reply has no value");
    }
    if (!write || r > 0) {
        buffer_clear(&text);
        buffer_append_string(&text, "{\"return\": {}}");
    }
    r = buffer_status(&text);
    if (r == 0)
        r = set_reply(x, text.data, text.n);
    if (r == 0 && x->reply.kind == FRAME_RETURN)
        r = own_order(x, a);
    if (r == 0)
        r = own_order_finally(x, a);
    return r < 0 || a->hop == 0 ? r : reply_back(x, a->hop - 1);
}

int reply_refuse(struct exchange *x) {
    _cleanup_(buffer_deinit) struct buffer desc = BUFFER_INIT;
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;

    buffer_append_string(&desc, "qmp-shim: the rules do not allow the command ");
    buffer_append(&desc, x->message.name, size_min(x->message.n_name, REPLY_MAX_NAME_BYTES));
    buffer_append_string(&text, "{\"error\": {\"class\": \"GenericError\", \"desc\": ");
    json_write_string(&text, desc.data, desc.n);
    buffer_append_string(&text, "}}");
    if (buffer_status(&desc) < 0 || buffer_status(&text) < 0)
        return -ENOMEM;
    return set_reply(x, text.data, text.n);
}

int reply_timeout(struct exchange *x) {
    static const char text[] =
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"qmp-shim: the server did not answer in time\"}}";

    return set_reply(x, text, sizeof(text) - 1);
}

/* --- what is wanted, what is awaited ------------------------------------------------------------------------ */

static bool picture_has_reply(const struct picture *p) {
    return p && (p->reply[REPLY_RETURN] || p->reply[REPLY_ERROR]);
}

static bool is_reply_of_used(const struct exchange *x) {
    for (size_t i = 0; i < x->n_names; i++) {
        struct program_uses uses =
            program_find(x->engine->program, PROGRAM_REPLY_OF, x->names[i], strlen(x->names[i]));

        for (size_t k = 0; k < uses.n; k++)
            if (selection_is_working(x->engine->selection, uses.use[k].rule))
                return true;
    }
    return false;
}

bool engine_wants_reply(const struct exchange *x) {
    for (const struct applied *a = x->applied; a; a = a->next) {
        const struct rule *rule = a->rule;

        if (picture_has_reply(a->client) || picture_has_reply(a->server) || rule->until.n ||
            rule->then.n || rule->finally.n || rule->emit.n || rule->emit_before.n ||
            rule->remember.n || rule->forget.n || rule->n_replies)
            return true;
    }
    return is_reply_of_used(x) ||
           (x->first_hop == 0 && x->n_names > 0 &&
            introspect_find(x->names[0], strlen(x->names[0])) != INTROSPECT_NONE);
}

static bool is_named(const struct picture *picture, const struct message *m) {
    return picture->n_name == m->n_name && memcmp(picture->name, m->name, m->n_name) == 0;
}

/* is @event one of @list, in the dialect of @side?  Return: 0: what it binds is in @b; MATCH_E_NO; -ENOMEM */
static int match_event(struct exchange *waiting, const struct picture_list *list,
                       enum vars_side side, const struct exchange *event, struct bindings *b) {
    for (size_t i = 0; i < list->n; i++) {
        _cleanup_(arena_deinit) struct arena arena =
            ARENA_INIT; /* any number of events may not match */
        struct message m;
        int r;

        if (!is_named(&list->picture[i], &event->message))
            continue;
        r = message_read(&arena, event->message.text, event->message.n_text, &m);
        if (r)
            return error_fold(r);
        r = match_value(&arena, side, &list->picture[i].message, m.root, b);
        if (r < 0)
            return r;
        if (r == 0) {
            arena_join(&waiting->arena, &arena); /* what it binds outlives the event */
            return 0;
        }
    }
    return MATCH_E_NO;
}

static int match_until(struct exchange *waiting, const struct picture_list *list,
                       const struct applied *a, struct exchange *event, bool *ret_is_met) {
    enum vars_side side = a->client_side == VARS_OLD ? VARS_NEW : VARS_OLD;
    int r;

    if (list->n == 0 || *ret_is_met || a->hop != event->hop)
        return 0;
    r = match_event(waiting, list, side, event, a->bindings);
    if (r)
        return r < 0 ? r : 0;
    *ret_is_met = true;
    event->is_awaited = true;
    event->is_hidden = event->is_hidden || a->rule->hide;
    return 0;
}

int reply_look_for_until(struct exchange *waiting, struct exchange *event) {
    int r = 0;

    for (struct applied *a = waiting->applied; r == 0 && a; a = a->next)
        r = match_until(waiting, &a->rule->until, a, event, &a->is_until_met);
    if (r == 0 && waiting->stage == ENGINE_STEPPING && waiting->step && waiting->applied)
        r = match_until(waiting, &waiting->step->until, waiting->applied, event,
                        &waiting->is_step_met);
    return r;
}
