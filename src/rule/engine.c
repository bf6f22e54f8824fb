#include "rule/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "rule/ask.h"
#include "rule/build.h"
#include "rule/fdpicture.h"
#include "rule/match.h"
#include "rule/memory.h"
#include "rule/own.h"
#include "rule/reply.h"

enum { ENGINE_UNTIL_TIMEOUT_MS = 30000 };

void engine_init(struct engine *e, const struct program *program,
                 const struct engine_limits *limits) {
    *e = (struct engine){.program = program};
    fdtable_init(&e->fds, limits->max_kept_fds);
    facts_init(&e->facts, limits->max_facts, limits->max_facts_bytes);
    list_init(&e->waits);
}

void engine_deinit(struct engine *e) {
    e->selection = selection_unref(e->selection);
    facts_deinit(&e->facts);
    fdtable_deinit(&e->fds);
    buffer_deinit(&e->schema);
}

/* --- exchanges ---------------------------------------------------------------------------------- */

struct exchange *exchange_free(struct exchange *x) {
    if (!x)
        return NULL;
    list_remove(&x->in_waits);
    fdtable_unref(x->fd);
    fdpicture_drop(&x->message_fd);
    fdpicture_drop(&x->ask_fd);
    arena_deinit(&x->arena);
    free(x);
    return NULL;
}

static int note_name(struct exchange *x) {
    char *name;

    if (!x->from_client || x->n_names == ARRAY_SIZE(x->names))
        return 0;
    name = arena_copy(&x->arena, x->message.name, x->message.n_name);
    if (!name)
        return -ENOMEM;
    x->names[x->n_names++] = name;
    return 0;
}

static bool is_command(const struct message *m) {
    return m->kind == FRAME_COMMAND || m->kind == FRAME_COMMAND_OOB;
}

int exchange_new(struct engine *e, bool from_client, size_t hop, const char *text, size_t n,
                 struct exchange **ret_exchange) {
    struct exchange *x = calloc(1, sizeof(*x));
    int r;

    if (!x)
        return -ENOMEM;
    list_init(&x->in_waits);
    x->engine = e;
    x->from_client = from_client;
    x->first_hop = x->hop = hop;
    x->own_last = &x->own;
    r = message_read(&x->arena, text, n, &x->message);
    if (r == 0 && from_client != is_command(&x->message))
        r = MESSAGE_E_INVALID;
    if (r == 0)
        r = note_name(x);
    if (r) {
        exchange_free(x);
        return r < 0 ? r : ENGINE_E_INVALID;
    }
    *ret_exchange = x;
    return 0;
}

bool engine_is_named(const struct exchange *x, const char *const *names) {
    for (; names && *names; names++)
        for (size_t i = 0; i < x->n_names; i++)
            if (strcmp(x->names[i], *names) == 0)
                return true;
    return false;
}

/* --- finding the rule of a hop ------------------------------------------------------------------- */

static const struct picture *picture_named(const struct picture_list *list,
                                           const struct message *m) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].n_name == m->n_name &&
            memcmp(list->picture[i].name ? list->picture[i].name : "", m->name ? m->name : "",
                   m->n_name) == 0)
            return &list->picture[i];
    return NULL;
}

static int try_rule(struct exchange *x, const struct program_use *use) {
    const struct picture *picture = picture_named(&use->rule->side[use->side], &x->message);
    struct bindings *b;
    int r;

    if (!picture)
        return MATCH_E_NO;
    b = bindings_new(&x->arena, &use->rule->vars, NULL);
    if (!b)
        return -ENOMEM;
    r = match_value(&x->arena, use->side, &picture->message, x->message.root, b);
    if (r == 0)
        r = fdpicture_match(x, use->side, picture, b);
    if (r)
        return r;
    x->rule = use->rule;
    x->client_side = selection_client_side(x->engine->selection, use->rule);
    x->read = picture;
    x->bindings = b;
    return 0;
}

static enum program_role role_of(const struct message *m) {
    switch (m->kind) {
    case FRAME_COMMAND:
    case FRAME_COMMAND_OOB:
        return PROGRAM_COMMAND;
    case FRAME_EVENT:
        return PROGRAM_EVENT;
    case FRAME_GREETING:
        return PROGRAM_GREETING;
    default:
        return PROGRAM_ERROR;
    }
}

const struct rule_file *reply_file_at(const struct engine *e, size_t hop) {
    size_t n = program_n_files(e->program);

    return program_file(e->program, e->selection->is_ascending ? hop : n - 1 - hop);
}

/* Return: 0: x->rule is set; MATCH_E_NO; -ENOMEM */
static int find_rule(struct exchange *x) {
    struct program_uses uses =
        program_find(x->engine->program, role_of(&x->message),
                     x->message.name ? x->message.name : "", x->message.n_name);
    const struct rule_file *file = reply_file_at(x->engine, x->hop);
    const struct selection *s = x->engine->selection;

    while (x->n_tried < uses.n) {
        const struct program_use *use = &uses.use[x->n_tried++];
        int r;

        if (use->rule->file != file || !selection_is_working(s, use->rule) ||
            selection_is_client_side(s, use->rule, use->side) != x->from_client)
            continue;
        r = try_rule(x, use);
        if (r <= 0)
            return r;
    }
    return MATCH_E_NO;
}

/* --- writing ----------------------------------------------------------------------------------------- */

void reply_fail(struct exchange *x, const struct rule *rule, const char *why) {
    x->failed_rule = rule;
    x->failed_why = why;
}

/* the rule is through with: the message goes on to the next hop, out of reach when there is none */
static void next_hop(struct exchange *x) {
    x->stage = ENGINE_FIND;
    x->rule = NULL;
    x->n_tried = 0;
    if (x->from_client)
        x->hop++;
    else
        x->hop = x->hop > 0 ? x->hop - 1 : SIZE_MAX;
}

static struct applied *new_applied(struct exchange *x) {
    struct applied *a = arena_alloc(&x->arena, sizeof(*a));
    const struct picture_list *client = &x->rule->side[x->client_side],
                              *server = &x->rule->side[exchange_server_side(x)];

    if (!a)
        return NULL;
    a->next = x->applied;
    a->rule = x->rule;
    a->hop = x->hop;
    a->client_side = x->client_side;
    a->bindings = x->bindings;
    a->client = client->n > 0 ? &client->picture[0] : NULL;
    a->server = server->n > 0 ? &server->picture[0] : NULL;
    x->applied = a;
    return a;
}

/* does the message leave the chain here, under another name?  Then it is changed for sure, and not read again. */
static bool is_last_word(const struct exchange *x, const struct picture *write) {
    const struct picture *read = x->read;
    size_t last_hop = x->from_client ? program_n_files(x->engine->program) - 1 : 0;

    return (x->message.kind == FRAME_EVENT ||
            (x->from_client && x->rule->conform == CONFORM_NONE)) &&
           x->hop == last_hop &&
           (write->n_name != read->n_name || memcmp(write->name, read->name, read->n_name) != 0);
}

/* Return: 0 or -ENOMEM */
static int take_text(struct exchange *x, const struct buffer *text, const struct picture *write) {
    x->is_changed = true;
    x->message.name = write->name;
    x->message.n_name = write->n_name;
    x->message.text = arena_copy(&x->arena, text->data, text->n);
    x->message.n_text = text->n;
    return x->message.text ? note_name(x) : -ENOMEM;
}

/* the message as the other side's picture shows it.  Return: 0, -ENOMEM, BUILD_E_UNBOUND */
static int rewrite(struct exchange *x, const struct picture *write) {
    char room[512];
    _cleanup_(buffer_deinit) struct buffer text = buffer_in(room, sizeof(room));
    enum vars_side side = x->from_client ? exchange_server_side(x) : x->client_side;
    struct message m;
    int r;

    r = build_value(&x->arena, side, &write->message, &x->read->message, x->message.root,
                    x->bindings, &text);
    if (r)
        return r;
    if (is_last_word(x, write))
        return take_text(x, &text, write);
    r = message_read(&x->arena, text.data, text.n, &m);
    if (r)
        return error_fold(r);
    if (!json_equal_text(m.root, x->message.root))
        x->is_changed = true;
    x->message = m;
    return note_name(x);
}

/* a command of the client at a file that lets through only what its rules mention */
static bool is_denied(const struct exchange *x) {
    return x->from_client && x->first_hop == 0 && reply_file_at(x->engine, x->hop)->is_deny;
}

/* an event or greeting, or a command with one picture on the server's side.  Return: 0: *ret is the order; 1: go on; -ENOMEM */
static int write_message(struct exchange *x, const struct picture_list *to,
                         enum engine_outcome *ret) {
    _cleanup_(fdpicture_drop) struct engine_fd fd = {NULL};
    struct applied *a;
    int r;

    r = fdpicture_build(x, exchange_server_side(x), &to->picture[0], &fd);
    if (r == 0)
        r = rewrite(x, &to->picture[0]);
    if (r < 0)
        return r;
    if (r > 0) {
        reply_fail(x, x->rule, "a variable has no value");
        if (is_denied(x)) { /* the rule allows what it would have written, and nothing else */
            *ret = ENGINE_ANSWER;
            return reply_refuse(x);
        }
        next_hop(x);
        return 1;
    }
    a = new_applied(x);
    if (!a)
        return -ENOMEM;
    fdpicture_move(&x->message_fd, &fd);
    r = ask_conform(x);
    if (r == 0)
        r = memory_remember(x, x->rule, x->bindings);
    if (r == 0 && !x->from_client)
        r = own_order(x, a);
    if (r < 0)
        return r;
    next_hop(x);
    return 1;
}

/* the other side has nothing like it */
static int write_nothing(struct exchange *x, enum engine_outcome *ret) {
    struct applied *a = new_applied(x);
    int r;

    if (!a)
        return -ENOMEM;
    r = memory_remember(x, x->rule, x->bindings);
    if (r < 0)
        return r;
    *ret = x->from_client ? ENGINE_ANSWER : ENGINE_DROP;
    return x->from_client ? reply_local(x, a) : own_order(x, a);
}

/* Return: 0: *ret is the order; 1: go on; -ENOMEM */
static int write_out(struct exchange *x, enum engine_outcome *ret) {
    const struct picture_list *to =
        &x->rule->side[x->from_client ? exchange_server_side(x) : x->client_side];

    if (to->is_null)
        return write_nothing(x, ret);
    if (x->from_client && to->is_list) {
        if (!new_applied(x))
            return -ENOMEM;
        x->stage = ENGINE_STEPPING;
        x->i = 0;
        x->step = NULL;
        return 1;
    }
    return write_message(x, to, ret);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

/* the event may come before the reply: it counts from now on */
static void send_step(struct exchange *x, const struct picture *step) {
    x->step = step;
    x->is_step_met = step->until.n == 0;
    if (!x->is_step_met && list_is_empty(&x->in_waits))
        list_append(&x->engine->waits, &x->in_waits);
}

static int stop_steps(struct exchange *x, const char *why) {
    reply_fail(x, x->rule, why);
    x->i = SIZE_MAX;
    x->applied->server = x->step;
    return reply_timeout(x);
}

uint32_t engine_wait_ms(const struct exchange *x) {
    return x->rule->timeout_ms ? x->rule->timeout_ms : ENGINE_UNTIL_TIMEOUT_MS;
}

bool engine_has_met(const struct exchange *x) {
    return x->is_waiting && x->is_step_met;
}

int engine_stop_waiting(struct exchange *x) {
    return stop_steps(x, "the event of a step did not come in time");
}

/* Return: 0: *ret is the order; -ENOMEM */
static int next_step(struct exchange *x, enum engine_outcome *ret) {
    const struct picture_list *steps = &x->rule->side[exchange_server_side(x)];
    int r;

    x->is_waiting = x->step && !x->is_step_met && x->i <= steps->n;
    if (x->is_waiting) {
        *ret = ENGINE_WAIT;
        return 0;
    }
    for (; x->i < steps->n; x->i++) {
        r = ask_order(x, &steps->picture[x->i]);
        if (r < 0)
            return r;
        if (r > 0)
            continue; /* its variables are not bound: skipped */
        send_step(x, &steps->picture[x->i]);
        *ret = ENGINE_ASK;
        return 0;
    }
    *ret = ENGINE_ANSWER;
    r = memory_remember(x, x->rule, x->bindings);
    if (r < 0)
        return r;
    x->applied->server = x->step;
    return x->reply.text && x->step ? reply_back(x, x->hop) : reply_local(x, x->applied);
}

static int answer_step(struct exchange *x, const struct message *reply) {
    const struct pattern *p;
    int r;

    if (!reply)
        return stop_steps(x, "the server did not answer in time");
    x->reply = *reply;
    if (reply->kind == FRAME_ERROR) {
        x->i = SIZE_MAX;
        return 0;
    }
    p = x->step->reply[REPLY_RETURN];
    r = p ? match_value(&x->arena, exchange_server_side(x), p, reply->root, x->bindings) : 0;
    x->i++;
    return r < 0 ? r : 0;
}

/* --- the walk --------------------------------------------------------------------------------------------- */

static bool is_past_end(const struct exchange *x) {
    return x->hop >= program_n_files(x->engine->program);
}

/* an event on its way may be what a command waits for; those patterns are in the dialect of their hop */
static int look_for_waits(struct exchange *x) {
    list_for_each(i, &x->engine->waits) {
        struct exchange *waiting = list_entry(i, struct exchange, in_waits);
        int r;

        r = reply_look_for_until(waiting, x);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Return: 0: *ret is the order; 1: go on; -ENOMEM */
static int find(struct exchange *x, enum engine_outcome *ret) {
    int r;

    if (is_past_end(x)) {
        *ret = x->is_hidden ? ENGINE_DROP : ENGINE_PASS;
        return 0;
    }
    if (x->message.kind == FRAME_EVENT && x->n_tried == 0) {
        r = look_for_waits(x);
        if (r < 0)
            return r;
    }
    r = find_rule(x);
    if (r < 0)
        return r;
    if (r > 0 && is_denied(x)) {
        *ret = ENGINE_ANSWER;
        return reply_refuse(x);
    }
    if (r > 0) {
        next_hop(x);
        return 1;
    }
    x->stage = ENGINE_ASKING;
    x->i = 0;
    r = memory_recall(x);
    return r < 0 ? r : 1;
}

/* what was recalled and asked for tells whether the rule is the one; if not, the next that matches may be */
static void choose(struct exchange *x) {
    x->stage = ENGINE_CONFORMING;
    for (size_t i = 0; i < x->rule->n_needs; i++)
        if (!bindings_has(x->bindings, x->rule->needs[i]))
            x->stage = ENGINE_FIND;
}

static int step_on(struct exchange *x, enum engine_outcome *ret) {
    int r;

    switch (x->stage) {
    case ENGINE_FIND:
        return find(x, ret);
    case ENGINE_ASKING:
        r = ask_next(x);
        *ret = ENGINE_ASK;
        if (r == 1)
            choose(x);
        return r;
    case ENGINE_CONFORMING:
        r = ask_types(x);
        *ret = ENGINE_ASK;
        if (r == 1)
            x->stage = ENGINE_WRITING;
        return r;
    case ENGINE_WRITING:
        return write_out(x, ret);
    case ENGINE_STEPPING:
        return next_step(x, ret);
    default:
        return -ENOTRECOVERABLE;
    }
}

int engine_run(struct exchange *x, enum engine_outcome *ret_outcome) {
    int r;

    do
        r = step_on(x, ret_outcome);
    while (r == 1);
    return r;
}

int engine_answer(struct exchange *x, const char *text, size_t n) {
    struct message m, *reply = NULL;
    int r;

    if (text) {
        r = message_read(&x->arena, text, n, &m);
        if (r < 0)
            return r;
        reply = r == 0 ? &m : NULL;
    }
    switch (x->stage) {
    case ENGINE_ASKING:
        return ask_take(x, reply);
    case ENGINE_CONFORMING:
        return ask_take_types(x, reply);
    case ENGINE_STEPPING:
        return answer_step(x, reply);
    default:
        return -ENOTRECOVERABLE;
    }
}

bool engine_is_holding(const struct exchange *x, uint32_t *ret_timeout_ms) {
    bool is_holding = false;

    *ret_timeout_ms = 0;
    for (const struct applied *a = x->applied; a; a = a->next)
        if (a->rule->until.n > 0 && !a->is_until_met) {
            uint32_t ms = a->rule->timeout_ms ? a->rule->timeout_ms : ENGINE_UNTIL_TIMEOUT_MS;

            is_holding = true;
            *ret_timeout_ms = ms > *ret_timeout_ms ? ms : *ret_timeout_ms;
        }
    return is_holding;
}

const char *const *engine_after_reply(const struct exchange *x, uint32_t *ret_timeout_ms) {
    for (const struct applied *a = x->applied; a; a = a->next)
        if (a->rule->after_reply) {
            *ret_timeout_ms = a->rule->timeout_ms ? a->rule->timeout_ms : ENGINE_UNTIL_TIMEOUT_MS;
            return (const char *const *)a->rule->after_reply;
        }
    return NULL;
}
