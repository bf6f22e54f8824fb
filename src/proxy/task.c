/*
 * Messages under way through the engine, and what it orders for them.  What
 * becomes of replies and deadlines is answer.c's business.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/reader.h"
#include "json/value.h"
#include "proxy/flow.h"
#include "proxy/handover.h"
#include "qmp/message.h"
#include "rule/introspect.h"

#define TASK_ID_PREFIX "\"qmp-shim:"

#define TASK_REFUSAL                                                                               \
    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"qmp-shim: this is no command that the rules allow\"}}"

/* --- making and freeing --------------------------------------------------------------------------- */

struct task *task_new(struct session *s, enum task_kind kind) {
    struct task *t = malloc(sizeof(*t)); /* calloc() is slow, and clears the rooms, too */

    if (!t)
        return NULL;
    memset(t, 0, offsetof(struct task, raw_room));
    t->kind = kind;
    t->deadline_ms = UINT64_MAX;
    t->raw = buffer_in(t->raw_room, sizeof(t->raw_room));
    t->id = buffer_in(t->id_room, sizeof(t->id_room));
    list_init(&t->parked);
    list_append(&s->tasks, &t->in_session);
    return t;
}

void task_forget_number(struct session *s, struct task *t) {
    if (t->number)
        s->n_in_flight--;
    t->number = 0;
}

struct task *task_free(struct session *s, struct task *t) {
    task_forget_number(s, t);
    if (t->parent)
        t->parent->child = NULL;
    if (t->child)
        t->child->parent = NULL;
    if (s->fd_wait == t)
        s->fd_wait = NULL;
    if (s->probe == t)
        s->probe = NULL;
    list_for_each_safe(i, &t->parked)
        task_free(s, list_entry(i, struct task, in_session));
    list_remove(&t->in_session);
    exchange_free(t->exchange);
    buffer_deinit(&t->raw);
    buffer_deinit(&t->id);
    buffer_deinit(&t->reply);
    rides_deinit(&t->rides);
    free(t);
    return NULL;
}

/*
 * A reply without an id: QEMU 2.12 leaves it out for an unknown command.  It
 * is for whoever's turn it is, when that is certain.
 */
static struct task *find_by_turn(struct session *s) {
    if (s->is_uncertain || s->is_oob)
        return NULL;
    list_for_each(i, &s->tasks) {
        struct task *t = list_entry(i, struct task, in_session);

        if (t->number && t->turn == s->n_answered)
            return t;
    }
    return NULL;
}

bool task_is_reserved_id(const char *id, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    size_t n_prefix = strlen(TASK_ID_PREFIX) - 1; /* whatever the quote */

    if (n <= n_prefix + 1 || (id[0] != '"' && id[0] != '\''))
        return false;
    id++;
    n -= 2;
    if (memchr(id, '\\', n) && json_decode(&arena, id, n, &id, &n))
        return false;
    return n >= n_prefix && memcmp(id, TASK_ID_PREFIX + 1, n_prefix) == 0;
}

struct task *task_find(struct session *s, const char *id, size_t n_id) {
    size_t n = strlen(TASK_ID_PREFIX);
    uint64_t number = 0;

    if (n_id == 0)
        return find_by_turn(s);
    if (s->n_in_flight == 0 || n_id <= n + 1 || memcmp(id, TASK_ID_PREFIX, n) != 0)
        return NULL;
    for (size_t i = n; i < n_id - 1; i++)
        number = number * 10 + (uint64_t)(id[i] - '0');
    list_for_each(i, &s->tasks) {
        struct task *t = list_entry(i, struct task, in_session);

        if (t->number == number)
            return t;
    }
    return NULL;
}

/* Return: true from the second time on; out of memory: it is told again */
static bool has_failed_before(struct session *s, const struct rule *rule) {
    bool has_failed;

    if (!s->has_failed)
        s->has_failed = calloc(program_n_rules(s->program), 1);
    if (!s->has_failed)
        return false;
    has_failed = s->has_failed[rule->index];
    s->has_failed[rule->index] = true;
    s->n_changes += !has_failed;
    return has_failed;
}

/* a rule could not finish: tell it once */
void task_note_failure(struct session *s, struct task *t) {
    struct exchange *x = t->exchange;
    struct trace_item item = {.kind = TRACE_FAILED,
                              .from = x->from_client ? SIDE_CLIENT : SIDE_SERVER};

    if (!x->failed_rule)
        return;
    item.text = x->message.text;
    item.n_text = x->message.n_text;
    item.rule = x->failed_rule->name;
    item.note = x->failed_why;
    item.is_repeated = has_failed_before(s, x->failed_rule);
    x->failed_rule = NULL;
    s->stats.n_failed++;
    if (s->trace)
        session_tell(s, &item);
}

/* --- to the server ----------------------------------------------------------------------------------- */

size_t task_write_id(char ret_id[TASK_ID_BYTES], uint64_t number) {
    char digits[20];
    size_t n = strlen(TASK_ID_PREFIX), i = sizeof(digits);

    memcpy(ret_id, TASK_ID_PREFIX, n);
    do
        digits[--i] = (char)('0' + number % 10);
    while (number /= 10);
    memcpy(ret_id + n, digits + i, sizeof(digits) - i);
    n += sizeof(digits) - i;
    ret_id[n++] = '"';
    return n;
}

void task_number(struct session *s, struct task *t, uint64_t number) {
    t->number = number;
    s->n_in_flight++;
    t->turn = ++s->n_sent;
}

/*
 * Send @text under an id of the shim's own, so that its reply is found.  What
 * was written here is plain JSON, and read faster than what a client wrote.
 */
int task_send(struct session *s, struct task *t, const char *text, size_t n, bool is_own) {
    enum frame_source source = text == t->raw.data ? FRAME_CLIENT : FRAME_SERVER;
    char room[512];
    _cleanup_(buffer_deinit) struct buffer b = buffer_in(room, sizeof(room));
    struct rides none = RIDES_INIT;
    struct fds fds = rides_last(&t->rides);
    char id[TASK_ID_BYTES];
    int r;

    task_number(s, t, ++s->last_number);
    out_ride_take(&s->out[SIDE_SERVER], &fds);
    r = message_put_id(&b, source, text, n, id, task_write_id(id, t->number));
    if (r == 0 && is_own)
        buffer_append_string(&b, "\r\n");
    return r < 0 || b.failed ? -ENOMEM : session_send_command(s, b.data, b.n, &none, false);
}

/* --- what the engine orders ------------------------------------------------------------------------------------ */

/* as it came */
static int pass_raw(struct session *s, struct task *t) {
    int r;

    s->n_sent++;
    r = session_send_command(s, t->raw.data, t->raw.n, &t->rides, false);
    task_free(s, t);
    return r;
}

/* its reply is nobody's business here */
static int send_untracked(struct session *s, struct task *t) {
    struct exchange *x = t->exchange;
    struct rides none = RIDES_INIT;
    struct fds fds;
    int r;

    if (!x->is_changed)
        return pass_raw(s, t);
    s->n_sent++;
    fds = rides_last(&t->rides);
    out_ride_take(&s->out[SIDE_SERVER], &fds);
    r = session_send_command(s, x->message.text, x->message.n_text, &none, false);
    task_free(s, t);
    return r;
}

/* the command goes to the server */
static int pass_command(struct session *s, struct task *t) {
    struct exchange *x = t->exchange;
    bool is_tracked = engine_wants_reply(x) || t->is_oob || s->fd_wait == t ||
                      task_is_reserved_id(t->id.data, t->id.n);
    uint32_t timeout_ms;
    int r;

    if (x->message_fd.entry) {
        r = handover_give(s, t, &x->message_fd);
        if (r)
            return r < 0 ? r : pass_raw(s, t);
    }
    if (is_tracked && s->n_in_flight >= s->limits.max_pending) {
        s->stats.n_failed++;
        session_trace(s, TRACE_FAILED, SIDE_CLIENT, x, t->raw.data, t->raw.n, NULL, 0,
                      "too many commands in flight");
        return s->is_deny ? send_untracked(s, t)
                          : pass_raw(s, t); /* a policy holds, if only for the command */
    }
    if (x->is_changed) {
        s->stats.n_rewritten++;
        session_trace(s, TRACE_REWRITTEN, SIDE_CLIENT, x, t->raw.data, t->raw.n, x->message.text,
                      x->message.n_text, NULL);
    }
    if (!is_tracked)
        return send_untracked(s, t);
    if (engine_is_holding(x, &timeout_ms)) {
        t->is_blocking = !t->is_oob;
        list_append(&s->engine.waits, &x->in_waits);
    } else {
        t->is_blocking = false;
    }
    if (x->is_changed)
        return task_send(s, t, x->message.text, x->message.n_text, false);
    return task_send(s, t, t->raw.data, t->raw.n, false);
}

/* answered here; in its turn, which is at once when nothing else is under way */
static int answer_command(struct session *s, struct task *t) {
    bool is_done = t->exchange && t->exchange->stage ==
                                      ENGINE_STEPPING; /* what it orders was carried out already */

    if (!is_done && !t->is_oob && !s->is_deny && s->n_in_flight >= s->limits.max_pending)
        return pass_raw(s, t);
    s->stats.n_answered++;
    t->is_answer = true;
    t->is_blocking = false;
    s->input[SIDE_CLIENT].skips_eol = true;
    if (t->is_oob || s->input[SIDE_SERVER].has_ended ||
        (s->n_sent == s->n_answered && !s->is_uncertain))
        return answer_client(s, t, t->raw.data, t->raw.n);
    rides_deinit(&t->rides);
    return task_send(s, t, INTROSPECT_ASK_TURN, strlen(INTROSPECT_ASK_TURN), true);
}

/* an event that is to come after the reply to a command in flight */
static struct task *find_awaited(struct session *s, const struct exchange *event,
                                 uint32_t *ret_timeout_ms) {
    const char *const *names = engine_after_reply(event, ret_timeout_ms);

    if (!names)
        return NULL;
    list_for_each(i, &s->tasks) {
        struct task *t = list_entry(i, struct task, in_session);

        /* no plan has one of these: see shortcut.c */
        if (t->kind == TASK_COMMAND && t->number && t->exchange &&
            engine_is_named(t->exchange, names))
            return t;
    }
    return NULL;
}

static int pass_message(struct session *s, struct task *t) {
    struct exchange *x = t->exchange;
    uint32_t timeout_ms;
    struct task *awaited = find_awaited(s, x, &timeout_ms);
    int r;

    if (x->is_changed && t->raw.n > 0) {
        s->stats.n_rewritten++;
        session_trace(s, TRACE_REWRITTEN, SIDE_SERVER, x, t->raw.data, t->raw.n, x->message.text,
                      x->message.n_text, NULL);
    }
    if (awaited) {
        r = queue_fill(s, t->held, NULL, 0, true);
        if (r == 0)
            r = answer_park(s, awaited, t, timeout_ms);
        return r < 0 ? r : queue_flush(s);
    }
    if (x->is_changed)
        r = queue_fill(s, t->held, x->message.text, x->message.n_text, true);
    else /* what comes behind it must not come before its line end */
        r = queue_fill(s, t->held, t->raw.data, t->raw.n, x->own || x->is_awaited);
    if (r == 0)
        r = inject_ordered(s, x, t->held);
    task_free(s, t);
    return r < 0 ? r : queue_flush(s);
}

static int drop_message(struct session *s, struct task *t) {
    int r;

    s->stats.n_dropped++;
    session_trace(s, TRACE_DROPPED, SIDE_SERVER, t->exchange, t->raw.data, t->raw.n, NULL, 0, NULL);
    r = queue_fill(s, t->held, NULL, 0, true);
    if (r == 0)
        r = inject_ordered(s, t->exchange, t->held);
    task_free(s, t);
    return r < 0 ? r : queue_flush(s);
}

static int pass(struct session *s, struct task *t) {
    switch (t->kind) {
    case TASK_MESSAGE:
        return pass_message(s, t);
    case TASK_COMMAND:
        return pass_command(s, t);
    default:
        return inject_command(s, t, t->exchange->message.text, t->exchange->message.n_text);
    }
}

static int answer(struct session *s, struct task *t) {
    int r;

    if (t->kind == TASK_COMMAND)
        return answer_command(s, t);
    r = answer_asker(s, t, t->exchange->reply.text, t->exchange->reply.n_text);
    task_free(s, t);
    return r;
}

int task_run(struct session *s, struct task *t) {
    enum engine_outcome outcome = ENGINE_PASS;
    int r;

    s->engine.wall_us = s->time.wall_us;
    r = engine_run(t->exchange, &outcome);
    if (r < 0)
        return r;
    task_note_failure(s, t);
    switch (outcome) {
    case ENGINE_PASS:
        return pass(s, t);
    case ENGINE_DROP:
        return drop_message(s, t);
    case ENGINE_ANSWER:
        return answer(s, t);
    case ENGINE_WAIT:
        t->is_blocking = t->kind == TASK_COMMAND && !t->is_oob;
        t->deadline_ms = s->time.now_ms + engine_wait_ms(t->exchange);
        return 0;
    case ENGINE_ASK:
        t->is_blocking = t->kind == TASK_COMMAND && !t->is_oob;
        return inject_ask(s, t);
    default:
        return -ENOTRECOVERABLE;
    }
}

/* --- beginnings --------------------------------------------------------------------------------------------------- */

/* the client's id as JSON text, out of a message that may have single quotes */
static int take_id(const struct session *s, struct task *t, const struct frame *frame) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *id;
    struct message m;
    int r;

    /* what goes through the engine is read there; framing has seen its id, if all is plain */
    if (t->kind == TASK_COMMAND && !s->is_oob && !frame->is_escaped && !frame->is_single_quoted &&
        !frame->is_ambiguous) {
        buffer_append(&t->id, t->raw.data + frame->id.at, frame->id.n);
        return buffer_status(&t->id);
    }
    r = message_read(&arena, t->raw.data, t->raw.n, &m);
    if (r)
        return r;
    id = json_member(m.root, "id");
    if (id)
        buffer_append(&t->id, id->text, id->n_text);
    return buffer_status(&t->id);
}

static int refuse(struct session *s, struct task *t) {
    rides_deinit(&t->rides);
    t->kind = TASK_PLAIN;
    t->exchange = exchange_free(t->exchange);
    buffer_clear(&t->raw);
    buffer_append_string(&t->raw, TASK_REFUSAL);
    return t->raw.failed ? -ENOMEM : answer_command(s, t);
}

/* what cannot be read is the server's to judge, unless only what rules allow may pass */
static int pass_unread(struct session *s, struct task *t) {
    return s->is_deny ? refuse(s, t) : pass_raw(s, t);
}

/* Old servers cut a key at a NUL, so that it becomes another one. */
static bool has_nul(const struct task *t) {
    return t->raw.n > 0 && memmem(t->raw.data, t->raw.n, "\\u0000", strlen("\\u0000"));
}

static int run_command(struct session *s, struct task *t) {
    int r;

    if (t->kind == TASK_CAPABILITIES)
        s->negotiation = NEGOTIATION_ASKED;
    if (t->kind == TASK_PLAIN && s->n_in_flight >= s->limits.max_pending)
        return pass_raw(s, t);
    if (t->kind != TASK_COMMAND)
        return task_send(s, t, t->raw.data, t->raw.n, false);
    r = exchange_new(&s->engine, true, 0, t->raw.data, t->raw.n, &t->exchange);
    if (r > 0)
        buffer_clear(&t->id); /* it was not read either: it may be no JSON */
    if (r)
        return r < 0 ? r : pass_unread(s, t);
    r = handover_note(s, t);
    return r < 0 ? r : task_run(s, t);
}

int task_begin_command(struct session *s, const char *text, size_t n, const struct frame *frame,
                       struct rides *rides, enum task_kind kind) {
    struct task *t = task_new(s, kind);
    bool has_fds = !rides_is_empty(rides) || s->has_fds_upstream;
    int r;

    if (!t)
        return -ENOMEM;
    t->is_oob = frame->kind == FRAME_COMMAND_OOB && s->is_oob;
    t->rides = rides_steal(rides);
    buffer_append(&t->raw, text, n);
    r = buffer_status(&t->raw);
    if (r == 0)
        r = take_id(s, t, frame);
    if (r < 0)
        return r;
    /* what cannot be read, or whose id framing has not seen, is the server's to judge */
    if (r > 0 || (t->id.n > 0) != (frame->id.n > 0) || (s->is_deny && has_nul(t)))
        return pass_unread(s, t);
    if (s->is_oob && has_fds) {
        s->fd_wait = t;
        t->deadline_ms = s->time.now_ms + s->limits.fd_timeout_ms;
    }
    s->has_fds_upstream = false;
    return run_command(s, t);
}

int task_refuse(struct session *s, struct rides *rides) {
    struct task *t = task_new(s, TASK_PLAIN);

    rides_deinit(rides);
    return t ? refuse(s, t) : -ENOMEM;
}

int task_begin_message(struct session *s, const char *text, size_t n, struct rides *rides) {
    struct task *t = task_new(s, TASK_MESSAGE);
    int r;

    if (!t)
        return -ENOMEM;
    t->held = queue_add(s, NULL, NULL);
    if (!t->held)
        return -ENOMEM;
    t->held->rides = rides_steal(rides);
    s->eol = t->held;
    buffer_append(&t->raw, text, n);
    if (t->raw.failed)
        return -ENOMEM;
    r = exchange_new(&s->engine, false, program_n_files(s->program) - 1, text, n, &t->exchange);
    if (r > 0) {
        r = queue_fill(s, t->held, text, n, false);
        task_free(s, t);
        return r < 0 ? r : queue_flush(s);
    }
    return r < 0 ? r : task_run(s, t);
}
