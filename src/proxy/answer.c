/*
 * Replies that come, and what becomes of them: to the client, in its turn and
 * perhaps later; to the task that asked; nowhere.  And the ends of waits.
 */

#include <errno.h>
#include <string.h>

#include "json/value.h"
#include "proxy/flow.h"
#include "proxy/planned.h"
#include "qmp/message.h"

static const char *rule_name(const struct exchange *x) {
    return x && x->applied ? x->applied->rule->name : NULL;
}

/* the line end that follows an edited command is not skipped: it is the client's own */
static int with_client_id(struct session *s, const struct task *t, const char *text, size_t n,
                          struct buffer *b) {
    (void)s;
    return message_put_id(b, FRAME_SERVER, text, n, t->id.n > 0 ? t->id.data : NULL, t->id.n);
}

static int flush_parked(struct session *s, struct task *t) {
    t->n_parked = t->n_parked_bytes = 0;
    while (!list_is_empty(&t->parked)) {
        struct task *event = list_entry(t->parked.next, struct task, in_session);
        struct held *h = queue_add(s, NULL, NULL);
        int r;

        if (!h)
            return -ENOMEM;
        list_remove(&event->in_session);
        list_append(&s->tasks, &event->in_session);
        r = queue_fill(s, h, event->exchange->message.text, event->exchange->message.n_text, true);
        if (r == 0)
            r = inject_ordered(s, event->exchange, h);
        task_free(s, event);
        if (r < 0)
            return r;
    }
    return 0;
}

int answer_park(struct session *s, struct task *t, struct task *event, uint32_t timeout_ms) {
    int r;

    list_remove(&event->in_session);
    list_append(&t->parked, &event->in_session);
    t->n_parked++;
    t->n_parked_bytes += event->raw.n;
    if (t->deadline_ms == UINT64_MAX)
        t->deadline_ms = s->time.now_ms + timeout_ms;
    if (t->n_parked <= s->limits.max_held && t->n_parked_bytes <= s->limits.max_held_bytes)
        return 0;
    s->stats.n_timed_out++;
    session_trace(s, TRACE_TIMED_OUT, SIDE_SERVER, t->exchange, NULL, 0, NULL, 0,
                  "too much waits for its reply");
    if (s->fd_wait != t)
        t->deadline_ms = UINT64_MAX;
    r = flush_parked(s, t);
    return r < 0 ? r : queue_flush(s);
}

/* the reply to a command of the client takes its place, and the task ends */
static int finish_reply(struct session *s, struct task *t) {
    struct held *h = t->held;
    int r = 0;

    h->is_ready = true;
    if (t->exchange)
        r = inject_ordered(s, t->exchange, h);
    if (r == 0)
        r = flush_parked(s, t);
    task_free(s, t);
    return r < 0 ? r : queue_flush(s);
}

int answer_deliver(struct session *s, struct task *t, const char *text, size_t n) {
    int r;

    if (queue_is_open(s) && list_is_empty(&t->parked) && !(t->exchange && t->exchange->own)) {
        task_free(s, t);
        return queue_say(s, text, n);
    }
    t->held = queue_add(s, NULL, NULL);
    if (!t->held)
        return -ENOMEM;
    r = queue_fill(s, t->held, text, n, true);
    return r < 0 ? r : finish_reply(s, t);
}

/* --- replies that come ------------------------------------------------------------------------------------- */

static bool is_return(const char *text, size_t n) {
    struct frame_reader reader;
    size_t n_object;

    frame_reader_init(&reader, FRAME_SERVER);
    return frame_scan(&reader, text, n, &n_object) == FRAME_OBJECT &&
           frame_reader_frame(&reader)->kind == FRAME_RETURN;
}

/*
 * A reply that a rule holds for an event is kept as it came, outside of the
 * order: the server of before said nothing until all was over, and events
 * came first.  What the event tells may be wanted in it.
 */
static int hold_reply(struct session *s, struct task *t, const char *text, size_t n,
                      uint32_t timeout_ms) {
    buffer_append(&t->reply, text, n);
    t->deadline_ms = s->time.now_ms + timeout_ms;
    s->stats.n_held++;
    session_trace(s, TRACE_HELD, SIDE_SERVER, t->exchange, text, n, NULL, 0,
                  "until its event comes");
    return buffer_status(&t->reply);
}

/* the reply goes back through the rules, and to the client */
static int give_reply(struct session *s, struct task *t, const char *text, size_t n) {
    char room[512];
    _cleanup_(buffer_deinit) struct buffer b = buffer_in(room, sizeof(room));
    struct exchange *x = t->exchange;
    bool is_changed = false;
    int r;

    if (x && !t->is_answer) {
        r = engine_reply(x, text, n);
        if (r < 0)
            return r;
        is_changed = r == 0 && x->is_reply_changed;
        task_note_failure(s, t);
    }
    if (x && (is_changed || t->is_answer))
        r = with_client_id(s, t, x->reply.text, x->reply.n_text, &b);
    else if (t->is_answer)
        r = with_client_id(s, t, t->raw.data, t->raw.n, &b);
    else
        r = with_client_id(s, t, text, n, &b);
    if (r < 0)
        return r;
    if (is_changed || t->is_answer) {
        s->stats.n_rewritten += is_changed;
        session_trace(s, is_changed ? TRACE_REWRITTEN : TRACE_ANSWERED, SIDE_SERVER, x, text, n,
                      b.data, b.n, NULL);
    }
    if (t->is_oob) {
        r = queue_overtake(s, b.data, b.n); /* an out-of-band reply waits for nobody */
        task_free(s, t);
        return r;
    }
    return answer_deliver(s, t, b.data, b.n);
}

int answer_client(struct session *s, struct task *t, const char *text, size_t n) {
    uint32_t timeout_ms = 0;

    if (t->exchange && !t->is_answer && !t->is_oob && engine_is_holding(t->exchange, &timeout_ms) &&
        is_return(text, n))
        return hold_reply(s, t, text, n, timeout_ms);
    return give_reply(s, t, text, n);
}

static int give_held(struct session *s, struct task *t) {
    _cleanup_(buffer_deinit) struct buffer text = t->reply;

    t->reply = (struct buffer)BUFFER_INIT;
    t->deadline_ms = UINT64_MAX;
    return give_reply(s, t, text.data, text.n);
}

/* the task that asked goes on */
int answer_asker(struct session *s, struct task *t, const char *text, size_t n) {
    struct task *parent = t->parent;
    int r;

    if (!parent)
        return 0;
    parent->child = NULL;
    t->parent = NULL;
    r = engine_answer(parent->exchange, text, n);
    return r < 0 ? r : task_run(s, parent);
}

static int reply_to_own(struct session *s, struct task *t, const char *text, size_t n) {
    struct exchange *x = t->exchange;
    int r;

    session_trace(s, TRACE_SWALLOWED, SIDE_SERVER, NULL, text, n, NULL, 0, NULL);
    r = engine_reply(x, text, n);
    if (r == 0)
        r = answer_asker(s, t, x->reply.text, x->reply.n_text);
    else if (r > 0)
        r = answer_asker(s, t, NULL, 0);
    if (r == 0)
        r = inject_ordered(s, x, NULL);
    task_free(s, t);
    return r < 0 ? r : queue_flush(s);
}

static int reply_to_probe(struct session *s, struct task *t, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct selection_commands commands = {0};
    struct message m;
    int r;

    task_free(s, t);
    session_trace(s, TRACE_SWALLOWED, SIDE_SERVER, NULL, text, n, NULL, 0,
                  "asked which commands there are");
    r = message_read(&arena, text, n, &m);
    if (r < 0)
        return r;
    commands.list = r == 0 ? json_member(m.root, "return") : NULL;
    r = commands.list && commands.list->type == JSON_ARRAY ? session_select(s, NULL, &commands) : 0;
    return r < 0 ? r : session_tell_rules(s);
}

static int reply_to_capabilities(struct session *s, struct task *t, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct message m;
    int r;

    r = message_read(&arena, text, n, &m);
    if (r < 0)
        return r;
    s->negotiation = r == 0 && m.kind == FRAME_RETURN ? NEGOTIATION_DONE : NEGOTIATION_NONE;
    if (s->negotiation == NEGOTIATION_NONE)
        s->is_oob = false;
    r = answer_client(s, t, text, n);
    if (r < 0 || s->negotiation == NEGOTIATION_NONE)
        return r;
    return selection_wants_probe(s->program) ? inject_probe(s) : session_tell_rules(s);
}

int answer_take(struct session *s, struct task *t, const char *text, size_t n) {
    int r;

    task_forget_number(s, t);
    if (s->fd_wait == t)
        s->fd_wait = NULL;
    t->deadline_ms = UINT64_MAX;
    if (t->shortcut) {
        r = planned_reply(s, t, text, n);
        if (r <= 0)
            return r;
    }
    switch (t->kind) {
    case TASK_ASK:
    case TASK_THEN:
        return reply_to_own(s, t, text, n);
    case TASK_PROBE:
        return reply_to_probe(s, t, text, n);
    case TASK_CAPABILITIES:
        return reply_to_capabilities(s, t, text, n);
    default:
        return answer_client(s, t, text, n);
    }
}

/* --- ends of waits --------------------------------------------------------------------------------------------------- */

/* Return: 0: it went on, and may be gone; 1: it waits for nothing that has come; -ENOMEM */
static int release(struct session *s, struct task *t) {
    uint32_t timeout_ms;

    if (!t->exchange)
        return 1;
    if (engine_has_met(t->exchange)) {
        t->deadline_ms = UINT64_MAX;
        return task_run(s, t);
    }
    if (t->reply.n == 0 || engine_is_holding(t->exchange, &timeout_ms))
        return 1;
    session_trace(s, TRACE_RELEASED, SIDE_SERVER, t->exchange, t->reply.data, t->reply.n, NULL, 0,
                  "its event came");
    return give_held(s, t);
}

int answer_release_met(struct session *s) {
    list_for_each_safe(i, &s->tasks) {
        int r = release(s, list_entry(i, struct task, in_session));

        if (r < 0)
            return r;
        if (r == 0)
            return answer_release_met(s); /* the list has changed */
    }
    return 0;
}

/* the reply is not waited for any more; if it comes, it is swallowed */
static int abandon_ask(struct session *s, struct task *t) {
    t->deadline_ms = UINT64_MAX;
    if (t->kind == TASK_PROBE) {
        s->probe = NULL;
        return session_tell_rules(s);
    }
    return answer_asker(s, t, NULL, 0);
}

static int stop_waiting(struct session *s, struct task *t) {
    int r = engine_stop_waiting(t->exchange);

    return r < 0 ? r : task_run(s, t);
}

static int expire(struct session *s, struct task *t, const char *note) {
    const char *rule = t->parent ? rule_name(t->parent->exchange) : rule_name(t->exchange);

    s->stats.n_timed_out++;
    session_trace(s, TRACE_TIMED_OUT, t->held || t->reply.n > 0 ? SIDE_SERVER : -1, t->exchange,
                  NULL, 0, NULL, 0, rule ? rule : note);
    t->deadline_ms = UINT64_MAX;
    if (t->reply.n > 0)
        return give_held(s, t);
    if (t->exchange && t->exchange->is_waiting)
        return stop_waiting(s, t);
    if (s->fd_wait == t)
        s->fd_wait = NULL;
    if (!list_is_empty(&t->parked))
        return flush_parked(s, t) < 0 ? -ENOMEM : queue_flush(s);
    return t->kind == TASK_ASK || t->kind == TASK_PROBE ? abandon_ask(s, t) : 0;
}

static struct task *first_due(struct session *s, uint64_t now_ms) {
    struct task *first = NULL;

    list_for_each(i, &s->tasks) {
        struct task *t = list_entry(i, struct task, in_session);

        if (t->deadline_ms != UINT64_MAX && t->deadline_ms <= now_ms &&
            (!first || t->deadline_ms < first->deadline_ms))
            first = t;
    }
    return first;
}

int answer_expire(struct session *s, uint64_t now_ms) {
    struct task *t;
    int r;

    while ((t = first_due(s, now_ms))) {
        r = expire(s, t, "deadline");
        if (r < 0)
            return r;
    }
    return 0;
}

int answer_expire_first(struct session *s) {
    struct held *first = list_entry(s->queue.next, struct held, in_queue);

    list_for_each(i, &s->tasks) {
        struct task *t = list_entry(i, struct task, in_session);

        if (t->held == first)
            return expire(s, t->child ? t->child : t, "too much waits behind it");
    }
    return -ENOTRECOVERABLE;
}
