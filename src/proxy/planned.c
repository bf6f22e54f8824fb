#include "proxy/planned.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qmp/message.h"
#include "rule/shortcut.h"

enum { PLANNED_SPARE_BYTES = 512 }; /* enough for most messages */

/* of a session whose observer wants it */
static void tell(struct session *s, enum side from, const struct shortcut *shortcut,
                 const char *text, size_t n, const struct buffer *to) {
    struct trace_item item = {.kind = TRACE_REWRITTEN,
                              .from = from,
                              .text = text,
                              .n_text = n,
                              .to_text = to->data,
                              .n_to_text = to->n,
                              .rule = shortcut->rule->name};

    session_tell(s, &item);
}

/* @text, which had an id or not, with @id; its text is NULL: without one */
static int put_id(struct buffer *text, const struct plan_id *id) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    int r;

    r = message_put_id(&b, FRAME_SERVER, text->data, text->n, id->text, id->n);
    if (r < 0)
        return r;
    buffer_clear(text);
    buffer_append(text, b.data, b.n);
    return buffer_status(text);
}

/* --- commands ------------------------------------------------------------------------------- */

/* is it one of which nothing but its pictures can decide? */
static bool is_plain(const struct session *s, const struct frame *frame,
                     const struct rides *rides) {
    return s->program && !s->is_deny && !s->is_oob && s->negotiation == NEGOTIATION_DONE &&
           frame->kind == FRAME_COMMAND && frame->has_name && !frame->is_escaped &&
           !frame->is_single_quoted && !frame->is_ambiguous && rides_is_empty(rides) &&
           !s->has_fds_upstream && frame->n_bytes <= s->limits.max_message_bytes &&
           s->n_in_flight < s->limits.max_pending;
}

bool planned_knows(const struct session *s, const char *text, const struct frame *frame) {
    return s->shortcut && frame->has_name && s->shortcut->n_from == frame->name.n &&
           memcmp(s->shortcut->from, text + frame->name.at, frame->name.n) == 0;
}

/* Return: NULL when it takes the engine */
static const struct shortcut *find(struct session *s, const char *text, const struct frame *frame) {
    if (!planned_knows(s, text, frame))
        s->shortcut = shortcut_find(&s->engine, text + frame->name.at, frame->name.n);
    return s->shortcut;
}

/* the observer sees it with the client's id; @to has @id in its place, if that is not NULL */
static int tell_command(struct session *s, const struct shortcut *shortcut, const char *text,
                        size_t n, const struct buffer *to, const struct plan_result *result,
                        const struct plan_id *id) {
    char room[512];
    _cleanup_(buffer_deinit) struct buffer b = buffer_in(room, sizeof(room));
    size_t end;

    if (!id || result->id.n == 0) {
        tell(s, SIDE_CLIENT, shortcut, text, n, to);
        return 0;
    }
    end = result->id_at + id->n;
    buffer_append(&b, to->data, result->id_at);
    plan_write_id(result, &b);
    buffer_append(&b, to->data + end, to->n - end);
    if (buffer_status(&b) == 0)
        tell(s, SIDE_CLIENT, shortcut, text, n, &b);
    return buffer_status(&b);
}

/* Return: 0 or -ENOMEM */
static int note(struct session *s, const struct shortcut *shortcut, const char *text, size_t n,
                const struct frame *frame, uint64_t number) {
    struct task *t = task_new(s, TASK_COMMAND);

    if (!t)
        return -ENOMEM;
    t->shortcut = shortcut;
    buffer_append(&t->raw, text, n);
    buffer_append(&t->id, text + frame->id.at, frame->id.n);
    task_number(s, t, number);
    return buffer_status(&t->raw) < 0 ? -ENOMEM : buffer_status(&t->id);
}

/* what a plan makes of it goes to the server.  Return: 0, -ENOMEM, PLANNED_E_NOT */
static int send(struct session *s, const struct shortcut *shortcut, const char *text, size_t n,
                size_t n_eol, const struct frame *frame, const struct plan_id *id) {
    char spare[PLANNED_SPARE_BYTES];
    _cleanup_(buffer_deinit) struct buffer to = session_take(s, spare, sizeof(spare));
    struct rides none = RIDES_INIT;
    struct plan_result result;
    int r;

    r = plan_apply(shortcut->command, text, n, id, &to, &result);
    if (r)
        return r < 0 ? r : PLANNED_E_NOT;
    if (!result.is_changed || (result.id.n > 0) != (frame->id.n > 0))
        return PLANNED_E_NOT;
    s->stats.n_rewritten++;
    if (session_tells_rewritten(s))
        r = tell_command(s, shortcut, text, n, &to, &result, id);
    if (r == 0 && id && result.id.n == 0)
        r = put_id(&to, id);
    buffer_append(&to, text + n, n_eol);
    if (r < 0 || to.failed)
        return -ENOMEM;
    s->n_sent += !id;
    return s->compact.is_on ? session_send_command(s, to.data, to.n, &none, false)
                            : session_give(s, SIDE_SERVER, &to);
}

int planned_command(struct session *s, const char *text, size_t n, size_t n_eol,
                    const struct frame *frame, const struct rides *rides) {
    const struct shortcut *shortcut;
    char id_text[TASK_ID_BYTES];
    struct plan_id id = {.text = id_text};
    int r;

    if (!is_plain(s, frame, rides))
        return PLANNED_E_NOT;
    shortcut = find(s, text, frame);
    if (!shortcut)
        return PLANNED_E_NOT;
    if (!shortcut->wants_reply && !task_is_reserved_id(text + frame->id.at, frame->id.n))
        return send(s, shortcut, text, n, n_eol, frame, NULL);
    id.n = task_write_id(id_text, s->last_number + 1);
    r = send(s, shortcut, text, n, n_eol, frame, &id);
    return r ? r : note(s, shortcut, text, n, frame, ++s->last_number);
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
    char spare[PLANNED_SPARE_BYTES];
    _cleanup_(buffer_deinit) struct buffer to = session_take(s, spare, sizeof(spare));
    struct plan_id id = {t->id.n > 0 ? t->id.data : NULL, t->id.n};
    struct plan_result result;
    int r = PLAN_E_READ;

    if (t->shortcut->reply)
        r = plan_apply(t->shortcut->reply, text, n, id.text ? &id : NULL, &to, &result);
    if (r < 0)
        return r;
    if (r > 0) {
        r = planned_wake(s, t);
        return r < 0 ? r : PLANNED_E_NOT;
    }
    if (!id.text || result.id.n == 0)
        r = put_id(&to, &id);
    if (r < 0)
        return r;
    s->stats.n_rewritten++;
    if (session_tells_rewritten(s))
        tell(s, SIDE_SERVER, t->shortcut, text, n, &to);
    if (!queue_is_open(s) || !list_is_empty(&t->parked))
        return answer_deliver(s, t, to.data, to.n);
    task_free(s, t);
    buffer_append(&to, "\r\n", 2);
    r = buffer_status(&to);
    return r < 0 ? r : session_give(s, SIDE_CLIENT, &to);
}

/* may the next reply be taken, if it is the one, with nothing before or behind it to be thought of? */
static bool is_awaited_alone(const struct session *s, const struct input *in) {
    return !s->eol && !in->skips_eol && !in->is_streaming && !s->is_streaming && in->tail.n == 0 &&
           rides_is_empty(&in->rides) && !compact_is_waiting(&s->compact) && !s->tells_traffic &&
           queue_is_open(s) && s->tasks.next == s->tasks.prev &&
           list_entry(s->tasks.next, struct task, in_session)->shortcut;
}

int planned_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece) {
    struct input *in = &s->input[SIDE_SERVER];
    const struct frame *frame = frame_reader_frame(&in->reader);
    struct piece p = {.text = text};
    bool is_free = is_awaited_alone(s, in);
    struct task *t = NULL;
    int r = 0;

    p.scan = frame_scan(&in->reader, text, n, &p.n);
    if (is_free && p.scan == FRAME_OBJECT && frame->kind == FRAME_RETURN) {
        s->n_answered++;
        t = task_find(s, text + frame->id.at, frame->id.n);
        s->n_answered -= !t;
    }
    if (t) {
        s->stats.n_messages[SIDE_SERVER]++;
        r = answer_take(s, t, text, p.n);
        p.n += frame_skip_line_end(&in->reader, text + p.n, n - p.n);
        in->skips_eol = p.text[p.n - 1] == '}'; /* it comes later */
        p.text += p.n;
        p.n = 0;
    }
    *ret_piece = p;
    return r;
}
