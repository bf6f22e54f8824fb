#include "proxy/planned.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qmp/message.h"
#include "rule/shortcut.h"

static void tell(struct session *s, enum side from, const struct shortcut *shortcut,
                 const char *text, size_t n, const struct buffer *to) {
    struct trace_item item = {.kind = TRACE_REWRITTEN,
                              .from = from,
                              .text = text,
                              .n_text = n,
                              .to_text = to->data,
                              .n_to_text = to->n,
                              .rule = shortcut->rule->name};

    s->stats.n_rewritten++;
    if (s->trace)
        session_tell(s, &item);
}

/* @text with another id in the place of its own */
static void put_id(struct buffer *b, const struct buffer *text, const struct plan_result *result,
                   const char *id, size_t n_id) {
    size_t end = result->id_at + result->n_id;

    buffer_append(b, text->data, result->id_at);
    buffer_append(b, id, n_id);
    buffer_append(b, text->data + end, text->n - end);
}

/* the same whether it has one or not; @id is NULL: without one */
static int put_any_id(struct buffer *b, const struct buffer *text, const struct plan_result *result,
                      const char *id, size_t n_id) {
    if (result->n_id == 0 || !id)
        return message_put_id(b, FRAME_SERVER, text->data, text->n, id, n_id);
    put_id(b, text, result, id, n_id);
    return buffer_status(b);
}

/* --- commands ------------------------------------------------------------------------------- */

/* is it one of which nothing but its pictures can decide? */
static bool is_plain(const struct session *s, const char *text, const struct frame *frame,
                     const struct rides *rides) {
    return s->program && !s->is_deny && !s->is_oob && s->negotiation == NEGOTIATION_DONE &&
           frame->kind == FRAME_COMMAND && frame->has_name && !frame->is_escaped &&
           !frame->is_single_quoted && !frame->is_ambiguous && rides_is_empty(rides) &&
           !s->has_fds_upstream && frame->n_bytes <= s->limits.max_message_bytes &&
           s->n_in_flight < s->limits.max_pending &&
           program_may_mention(s->program, text + frame->name.at, frame->name.n);
}

/* its reply is to be found */
static int send_tracked(struct session *s, const struct shortcut *shortcut, const char *text,
                        size_t n, const struct frame *frame, const struct buffer *to,
                        const struct plan_result *result) {
    char room[512], id[TASK_ID_BYTES];
    _cleanup_(buffer_deinit) struct buffer b = buffer_in(room, sizeof(room));
    struct task *t = task_new(s, TASK_COMMAND);
    struct rides none = RIDES_INIT;
    int r;

    if (!t)
        return -ENOMEM;
    t->shortcut = shortcut;
    buffer_append(&t->raw, text, n);
    buffer_append(&t->id, text + frame->id.at, frame->id.n);
    if (buffer_status(&t->raw) < 0 || buffer_status(&t->id) < 0)
        return -ENOMEM;
    r = put_any_id(&b, to, result, id, task_take_id(s, t, id));
    return r < 0 ? r : session_send_command(s, b.data, b.n, &none, false);
}

int planned_command(struct session *s, const char *text, size_t n, const struct frame *frame,
                    const struct rides *rides) {
    char room[512];
    _cleanup_(buffer_deinit) struct buffer to = buffer_in(room, sizeof(room));
    const struct shortcut *shortcut;
    struct plan_result result;
    struct rides none = RIDES_INIT;
    int r;

    if (!is_plain(s, text, frame, rides))
        return PLANNED_E_NOT;
    shortcut = shortcut_find(&s->engine, text + frame->name.at, frame->name.n);
    if (!shortcut)
        return PLANNED_E_NOT;
    r = plan_apply(shortcut->command, text, n, &to, &result);
    if (r)
        return r < 0 ? r : PLANNED_E_NOT;
    if (!result.is_changed || (result.n_id > 0) != (frame->id.n > 0))
        return PLANNED_E_NOT;
    tell(s, SIDE_CLIENT, shortcut, text, n, &to);
    if (shortcut->wants_reply || task_is_reserved_id(text + frame->id.at, frame->id.n))
        return send_tracked(s, shortcut, text, n, frame, &to, &result);
    s->n_sent++;
    return session_send_command(s, to.data, to.n, &none, false);
}

/* --- replies -------------------------------------------------------------------------------- */

int planned_wake(struct session *s, struct task *t) {
    enum engine_outcome outcome;
    int r;

    if (!t->shortcut)
        return 0;
    t->shortcut = NULL;
    r = exchange_new(&s->engine, true, 0, t->raw.data, t->raw.n, &t->exchange);
    if (r == 0)
        r = engine_run(t->exchange, &outcome); /* it was sent as this would send it */
    return error_fold(r);
}

int planned_wake_all(struct session *s) {
    list_for_each(i, &s->tasks) {
        int r = planned_wake(s, list_entry(i, struct task, in_session));

        if (r < 0)
            return r;
    }
    return 0;
}

int planned_reply(struct session *s, struct task *t, const char *text, size_t n) {
    char room[512], to_room[512];
    _cleanup_(buffer_deinit) struct buffer b = buffer_in(room, sizeof(room));
    _cleanup_(buffer_deinit) struct buffer to = buffer_in(to_room, sizeof(to_room));
    const char *id = t->id.n > 0 ? t->id.data : NULL;
    struct plan_result result;
    int r = PLAN_E_READ;

    if (t->shortcut->reply)
        r = plan_apply(t->shortcut->reply, text, n, &to, &result);
    if (r < 0)
        return r;
    if (r > 0) {
        r = planned_wake(s, t);
        return r < 0 ? r : PLANNED_E_NOT;
    }
    r = put_any_id(&b, &to, &result, id, t->id.n);
    if (r < 0)
        return r;
    tell(s, SIDE_SERVER, t->shortcut, text, n, &b);
    return answer_deliver(s, t, b.data, b.n);
}
