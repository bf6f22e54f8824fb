/*
 * What a client says: which of its commands rules want, which wait behind an
 * exchange, and what passes.  How bytes become pieces is input.c's business.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json/reader.h"
#include "proxy/flow.h"
#include "proxy/handover.h"
#include "proxy/planned.h"
#include "qmp/message.h"
#include "rule/introspect.h"

static int client_piece(struct session *s, enum deferred_kind kind, const char *text, size_t n,
                        const struct frame *frame, struct rides *rides, bool is_borrowed);

/* --- the client's commands ----------------------------------------------------------------------------- */

static bool name_is(const char *text, const struct frame *frame, const char *name) {
    return frame->name.n == strlen(name) && memcmp(text + frame->name.at, name, frame->name.n) == 0;
}

static bool is_command(const struct frame *frame) {
    return frame->kind == FRAME_COMMAND || frame->kind == FRAME_COMMAND_OOB;
}

enum client_interest client_interest(const struct session *s, const char *text,
                                     const struct frame *frame) {
    const char *name = text + frame->name.at;

    if (s->is_deny)
        return CLIENT_WANTS;
    if (!s->program || s->negotiation != NEGOTIATION_DONE ||
        frame->n_bytes > s->limits.max_message_bytes)
        return CLIENT_PASSES;
    if (frame->is_escaped)
        return CLIENT_WANTS; /* it may be a command, and any one */
    if (!is_command(frame) || !frame->has_name || s->engine.selection->n_working == 0)
        return CLIENT_PASSES;
    if (introspect_find(name, frame->name.n) != INTROSPECT_NONE)
        return CLIENT_WANTS;
    return program_may_mention(s->program, name, frame->name.n) ? CLIENT_MENTIONS : CLIENT_PASSES;
}

bool client_wants(const struct session *s, const char *text, const struct frame *frame) {
    const char *name = text + frame->name.at;
    enum client_interest interest = client_interest(s, text, frame);

    if (interest != CLIENT_MENTIONS)
        return interest == CLIENT_WANTS;
    return session_reads(s, PROGRAM_COMMAND, name, frame->name.n) ||
           program_find(s->program, PROGRAM_REPLY_OF, name, frame->name.n).n > 0;
}

static bool has_reserved_id(const struct session *s, const char *text, const struct frame *frame) {
    return s->program && task_is_reserved_id(text + frame->id.at, frame->id.n);
}

/* does this qmp_capabilities ask for out-of-band execution? */
static int look_for_oob(struct session *s, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *enable;
    struct message m;
    int r;

    r = message_read(&arena, text, n, &m);
    if (r)
        return r < 0 ? r : 0;
    enable = json_member(json_member(m.root, "arguments"), "enable");
    for (size_t i = 0; enable && enable->type == JSON_ARRAY && i < enable->n_items; i++)
        s->is_oob = s->is_oob || json_is_string(&enable->items[i], "oob");
    return 0;
}

void session_compact(struct session *s) {
    s->compact.is_on = true;
}

static bool is_compact(const struct session *s) {
    return s->compact.is_on && !s->is_oob;
}

int session_send_command(struct session *s, const char *text, size_t n, struct rides *rides,
                         bool is_borrowed) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct fds fds;
    int r = COMPACT_E_AS_IT_IS;

    if (!is_compact(s) && !is_borrowed && rides_is_empty(rides))
        return out_copy(&s->out[SIDE_SERVER], text, n);
    if (is_compact(s))
        r = compact_command(&s->compact, text, n, s->limits.max_pending, &b);
    if (r == COMPACT_E_AS_IT_IS)
        return rides_push(rides, &s->out[SIDE_SERVER], text, n, is_borrowed);
    if (r < 0)
        return r;
    fds = rides_last(rides);
    out_ride_take(&s->out[SIDE_SERVER], &fds);
    return out_copy(&s->out[SIDE_SERVER], b.data, b.n);
}

static int client_passes(struct session *s, const char *text, size_t n, const struct frame *frame,
                         struct rides *rides, bool is_borrowed) {
    s->n_sent++;
    if (frame && is_command(frame))
        s->has_fds_upstream = false;
    return session_send_command(s, text, n, rides, is_borrowed);
}

/* Only the first one that succeeds; under a policy, only what every server reads as one. */
bool client_is_capabilities(const struct session *s, const char *text, const struct frame *frame) {
    if (frame->kind != FRAME_COMMAND || !name_is(text, frame, "qmp_capabilities") ||
        (s->is_deny && (frame->is_ambiguous || frame->is_escaped)))
        return false;
    return !s->program || s->negotiation == NEGOTIATION_NONE;
}

static int client_capabilities(struct session *s, const char *text, size_t n,
                               const struct frame *frame, struct rides *rides, bool is_borrowed) {
    int r;

    r = look_for_oob(s, text, n);
    if (r < 0)
        return r;
    if (!s->program)
        return client_passes(s, text, n, frame, rides, is_borrowed);
    return task_begin_command(s, text, n, frame, rides, TASK_CAPABILITIES);
}

/* fds that came on a blank join the command, unless it has newer ones */
static int take_blank_fds(struct session *s, struct rides *rides) {
    if (rides_is_empty(rides))
        return rides_add_take(rides, 0, &s->blank_fds);
    fds_deinit(&s->blank_fds);
    return 0;
}

static int client_object(struct session *s, const char *text, size_t n, const struct frame *frame,
                         struct rides *rides, bool is_borrowed) {
    bool has_fds;
    int r;

    s->input[SIDE_CLIENT].skips_eol = false;
    s->is_refusing = false;
    r = take_blank_fds(s, rides);
    if (r < 0)
        return r;
    has_fds = !rides_is_empty(rides) || s->has_fds_upstream;
    if (client_is_capabilities(s, text, frame))
        return client_capabilities(s, text, n, frame, rides, is_borrowed);
    r = planned_command(s, text, n, 0, frame, rides);
    if (r <= 0)
        return r;
    if (client_wants(s, text, frame))
        return task_begin_command(s, text, n, frame, rides, TASK_COMMAND);
    if (is_command(frame) &&
        ((s->is_oob && (has_fds || (s->program && frame->kind == FRAME_COMMAND_OOB))) ||
         has_reserved_id(s, text, frame)))
        return task_begin_command(s, text, n, frame, rides, TASK_PLAIN);
    session_trace_passed(s, SIDE_CLIENT, text, n);
    return client_passes(s, text, n, frame, rides, is_borrowed);
}

/* the line end behind a command that did not go to the server does not go there either */
static int client_blank(struct session *s, const char *text, size_t n, struct rides *rides,
                        bool is_borrowed) {
    struct input *in = &s->input[SIDE_CLIENT];
    const char *newline = memchr(text, '\n', n);
    size_t n_skipped = 0;

    s->is_refusing = false;
    if ((s->is_deny || handover_is_wanted(s)) &&
        !rides_is_empty(rides)) { /* they go no further than the command they are for */
        struct fds fds = rides_last(rides);

        fds_replace_take(&s->blank_fds, &fds);
    }
    if (in->skips_eol && rides_is_empty(rides)) {
        n_skipped = newline ? (size_t)(newline - text) + 1 : n;
        in->skips_eol = newline == NULL;
    }
    s->has_fds_upstream = s->has_fds_upstream || !rides_is_empty(rides);
    if (is_compact(s) && rides_is_empty(rides))
        return 0;
    return rides_push(rides, &s->out[SIDE_SERVER], text + n_skipped, n - n_skipped, is_borrowed);
}

/* one error for bytes that are no message, however many there are in a row */
static int client_refuse_raw(struct session *s, struct rides *rides) {
    bool was_refusing = s->is_refusing;

    fds_deinit(&s->blank_fds);
    s->is_refusing = true;
    if (!was_refusing)
        return task_refuse(s, rides);
    rides_deinit(rides);
    return 0;
}

static int client_raw(struct session *s, const char *text, size_t n, struct rides *rides,
                      bool is_borrowed) {
    int r;

    if (s->is_deny)
        return client_refuse_raw(s, rides);
    r = take_blank_fds(s, rides);
    if (r < 0)
        return r;
    s->compact.is_on = false;
    s->is_uncertain = true;
    s->has_fds_upstream = s->has_fds_upstream || !rides_is_empty(rides);
    return rides_push(rides, &s->out[SIDE_SERVER], text, n, is_borrowed);
}

static int client_piece(struct session *s, enum deferred_kind kind, const char *text, size_t n,
                        const struct frame *frame, struct rides *rides, bool is_borrowed) {
    switch (kind) {
    case DEFERRED_OBJECT:
        return client_object(s, text, n, frame, rides, is_borrowed);
    case DEFERRED_BLANK:
        return client_blank(s, text, n, rides, is_borrowed);
    case DEFERRED_RAW_NEW:
        s->is_refusing = false;
        return client_raw(s, text, n, rides, is_borrowed);
    default:
        return client_raw(s, text, n, rides, is_borrowed);
    }
}

/* --- what of it waits ------------------------------------------------------------------------------------ */

/* many small ones cost, too: what is allocated counts */
static size_t deferred_cost(const struct deferred *d) {
    return sizeof(*d) + d->text.cap;
}

static int defer(struct session *s, enum deferred_kind kind, const char *text, size_t n,
                 struct rides *rides) {
    struct deferred *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    list_append(&s->deferred, &d->in_session);
    d->kind = kind;
    d->rides = rides_steal(rides);
    d->text.data = malloc(n > 0 ? n : 1); /* there may be very many: no room to grow */
    d->text.cap = d->text.data ? n : 0;
    buffer_append(&d->text, text, n);
    s->n_deferred_bytes += deferred_cost(d);
    return buffer_status(&d->text);
}

/* out-of-band commands overtake what waits, but nothing overtakes fds on their way */
static bool overtakes(const struct session *s, enum deferred_kind kind, const struct frame *frame,
                      const struct rides *rides) {
    /* the line end of a qmp_capabilities that is under way goes with it */
    if (kind == DEFERRED_BLANK)
        return s->negotiation == NEGOTIATION_ASKED && !s->fd_wait && list_is_empty(&s->deferred) &&
               rides_is_empty(rides);
    return kind == DEFERRED_OBJECT && frame->kind == FRAME_COMMAND_OOB && s->is_oob &&
           !s->fd_wait && rides_is_empty(rides);
}

int client_input(struct session *s, enum deferred_kind kind, const char *text, size_t n,
                 const struct frame *frame, struct rides *rides, bool is_borrowed) {
    bool waits = session_is_blocked(s) || !list_is_empty(&s->deferred);

    if (waits && !overtakes(s, kind, frame, rides))
        return defer(s, kind, text, n, rides);
    return client_piece(s, kind, text, n, frame, rides, is_borrowed);
}

void client_forget(struct session *s, struct deferred *d) {
    list_remove(&d->in_session);
    s->n_deferred_bytes -= deferred_cost(d);
    buffer_deinit(&d->text);
    rides_deinit(&d->rides);
    free(d);
}

static int resume_one(struct session *s, struct deferred *d) {
    struct frame_reader reader;
    size_t n;
    int r;

    frame_reader_init(&reader, FRAME_CLIENT);
    if (d->kind == DEFERRED_OBJECT)
        frame_scan(&reader, d->text.data, d->text.n, &n);
    r = client_piece(s, d->kind, d->text.data, d->text.n, frame_reader_frame(&reader), &d->rides,
                     false);
    client_forget(s, d);
    return r;
}

int client_resume(struct session *s) {
    int r;

    while (!list_is_empty(&s->deferred) && !session_is_blocked(s)) {
        r = resume_one(s, list_entry(s->deferred.next, struct deferred, in_session));
        if (r < 0)
            return r;
    }
    return 0;
}
