/*
 * Bytes to pieces, for both directions, and what becomes of a server's
 * messages.  A message that nobody wants passes as it comes.
 */

#include <errno.h>

#include "proxy/flow.h"
#include "qmp/message.h"

/* of a command, this much is kept whatever it is: an id of the kind that is the shim's own may follow */
enum { INPUT_SMALL_BYTES = 4096 };

/* --- the server's messages --------------------------------------------------------------------------------- */

/* is this, or could it be, the reply to a command of which the shim knows? */
static bool is_tracked(const struct session *s, const struct frame *frame) {
    return s->n_in_flight > 0 && (frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR);
}

bool input_wants(const struct session *s, const char *text, const struct frame *frame) {
    const char *name = text + frame->name.at;

    if (!s->program || program_n_rules(s->program) == 0 ||
        frame->n_bytes > s->limits.max_message_bytes)
        return false;
    switch (frame->kind) {
    case FRAME_EVENT:
        return frame->is_escaped ||
               (frame->has_name && program_may_mention(s->program, name, frame->name.n) &&
                (session_reads(s, PROGRAM_EVENT, name, frame->name.n) ||
                 program_find(s->program, PROGRAM_UNTIL, name, frame->name.n).n > 0));
    case FRAME_ERROR:
        return program_has(s->program, PROGRAM_ERROR);
    case FRAME_GREETING:
        return program_has(s->program, PROGRAM_GREETING);
    default:
        return false;
    }
}

static int read_greeting(struct session *s, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct version version;
    struct message m;
    int r;

    if (!s->program)
        return 0;
    r = message_read(&arena, text, n, &m);
    if (r || version_read_greeting(m.root, &version))
        return r < 0 ? r : 0;
    return session_select(s, &version, NULL);
}

static int server_object(struct session *s, const char *text, size_t n, const struct frame *frame,
                         struct rides *rides) {
    struct task *t = NULL;
    int r = 0;

    s->eol = NULL;
    s->input[SIDE_SERVER].skips_eol = false;
    s->n_answered += frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR;
    if (is_tracked(s, frame))
        t = task_find(s, text + frame->id.at, frame->id.n);
    if (t) {
        s->input[SIDE_SERVER].skips_eol = true; /* what takes its place has a line end of its own */
        rides_deinit(rides);
        return answer_take(s, t, text, n);
    }
    if (frame->kind == FRAME_GREETING)
        r = read_greeting(s, text, n);
    if (r < 0)
        return r;
    if (input_wants(s, text, frame))
        return task_begin_message(s, text, n, rides);
    session_trace_passed(s, SIDE_SERVER, text, n);
    return queue_pass(s, text, n, rides);
}

/* --- bytes to pieces ----------------------------------------------------------------------------------------- */

/* what passes as it comes, whichever side it is from; @kind: of the client's; @is_last: nothing more belongs to it */
static int pass_bytes(struct session *s, enum side from, enum deferred_kind kind, const char *text,
                      size_t n, struct rides *rides, bool is_borrowed, bool is_last) {
    if (from == SIDE_CLIENT)
        return client_input(s, kind, text, n, NULL, rides, is_borrowed);
    return queue_stream(s, text, n, rides, is_borrowed, is_last);
}

static int object(struct session *s, enum side from, const char *text, size_t n,
                  struct rides *rides, bool is_borrowed) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const struct frame *frame = frame_reader_frame(&s->input[from].reader);
    struct frame restored;
    int r = COMPACT_E_AS_IT_IS;

    s->stats.n_messages[from]++;
    if (from == SIDE_CLIENT)
        return client_input(s, DEFERRED_OBJECT, text, n, frame, rides, is_borrowed);
    if (compact_is_waiting(&s->compact))
        r = compact_reply(&s->compact, text, n, frame, &b, &restored);
    if (r < 0)
        return r;
    if (r == 0) {
        text = b.data;
        n = b.n;
        frame = &restored;
        is_borrowed = false;
    }
    r = server_object(s, text, n, frame, rides);
    return r < 0 || is_borrowed ? r : out_settle(&s->out[SIDE_CLIENT]); /* @text goes */
}

/* the tail, with what has just come, as one text */
static int join_tail(struct input *in, const char **text, size_t *n) {
    buffer_append(&in->tail, *text, *n);
    *text = in->tail.data;
    *n = in->tail.n;
    return buffer_status(&in->tail);
}

static void drop_tail(struct input *in) {
    if (in->tail.n == 0)
        return; /* nor are there rides of it */
    buffer_deinit(&in->tail);
    rides_deinit(&in->rides);
}

static int whole_object(struct session *s, enum side from, const char *text, size_t n) {
    struct input *in = &s->input[from];
    struct rides rides = RIDES_INIT;
    bool is_borrowed = in->tail.n == 0;
    int r = 0;

    if (!is_borrowed)
        r = join_tail(in, &text, &n);
    rides = rides_steal(&in->rides);
    if (r == 0)
        r = object(s, from, text, n, &rides, is_borrowed);
    rides_deinit(&rides);
    drop_tail(in);
    return r;
}

/* must an object of which this much has come be kept until it is whole? */
static bool is_kept(const struct session *s, enum side from, const char *text,
                    const struct frame *frame) {
    if (from == SIDE_CLIENT && (session_is_blocked(s) || !list_is_empty(&s->deferred)))
        return true; /* the client is not read on, see session_wants() */
    if (compact_is_waiting(&s->compact) &&
        (frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR))
        return true; /* the client's id must be put back, whatever the size */
    if (frame->n_bytes > s->limits.max_message_bytes)
        return false;
    if (from == SIDE_CLIENT && s->is_oob &&
        (!rides_is_empty(&s->input[from].rides) || s->has_fds_upstream))
        return true; /* its reply has to be found: nothing may follow it before */
    if (frame->kind == FRAME_UNKNOWN ||
        (from == SIDE_CLIENT && s->program && frame->n_bytes <= INPUT_SMALL_BYTES))
        return true;
    if (from == SIDE_CLIENT)
        return !frame->has_name || client_wants(s, text, frame) ||
               client_is_capabilities(s, text, frame);
    if ((frame->kind == FRAME_EVENT && !frame->has_name) ||
        (frame->kind == FRAME_GREETING && s->program))
        return true;
    return is_tracked(s, frame) || input_wants(s, text, frame);
}

/* the object that began is not whole yet */
static int part_of_object(struct session *s, enum side from, const char *text, size_t n) {
    struct input *in = &s->input[from];
    bool was_uncertain = s->is_uncertain, is_borrowed = in->tail.n == 0;
    struct rides rides;
    int r = 0;

    if (!is_borrowed)
        r = join_tail(in, &text, &n);
    if (r < 0)
        return r;
    if (is_kept(s, from, text, frame_reader_frame(&in->reader)))
        return is_borrowed ? join_tail(in, &text, &n) : 0;
    in->is_streaming = true;
    if (from == SIDE_SERVER) {
        s->eol = NULL;
        in->skips_eol = false;
    }
    rides = rides_steal(&in->rides);
    r = pass_bytes(s, from, DEFERRED_RAW_NEW, text, n, &rides, is_borrowed, false);
    s->is_uncertain = was_uncertain; /* it is one command for all that */
    drop_tail(in);
    return r;
}

static int streamed(struct session *s, enum side from, const char *text, size_t n, bool is_whole) {
    const struct frame *frame = frame_reader_frame(&s->input[from].reader);
    struct input *in = &s->input[from];
    struct rides rides = rides_steal(&in->rides);
    bool was_uncertain = s->is_uncertain;
    int r;

    r = pass_bytes(s, from, DEFERRED_RAW, text, n, &rides, true, is_whole);
    s->is_uncertain = was_uncertain;
    if (!is_whole)
        return r;
    in->is_streaming = false;
    s->stats.n_messages[from]++;
    if (from == SIDE_CLIENT)
        s->n_sent += !s->is_deny; /* it was refused */
    else
        s->n_answered += frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR;
    return r;
}

/* @is_new: it is no more of what was raw before */
int input_break(struct session *s, enum side from, bool is_new, const char *text, size_t n) {
    struct input *in = &s->input[from];
    enum deferred_kind kind = is_new && !in->is_streaming ? DEFERRED_RAW_NEW : DEFERRED_RAW;
    struct rides rides = RIDES_INIT;
    bool is_borrowed = in->tail.n == 0;
    int r = 0;

    in->is_streaming = false;
    if (!is_borrowed)
        r = join_tail(in, &text, &n);
    rides = rides_steal(&in->rides);
    if (r == 0)
        r = pass_bytes(s, from, kind, text, n, &rides, is_borrowed, true);
    rides_deinit(&rides);
    drop_tail(in);
    return r;
}

static int blank(struct session *s, enum side from, const char *text, size_t n) {
    struct rides rides = rides_steal(&s->input[from].rides);

    if (from == SIDE_CLIENT)
        return client_input(s, DEFERRED_BLANK, text, n, NULL, &rides, true);
    return queue_eol(s, text, n, &rides);
}

int input_piece(struct session *s, enum side from, enum frame_scan scan, const char *text,
                size_t n) {
    struct input *in = &s->input[from];

    switch (scan) {
    case FRAME_BLANK:
        return blank(s, from, text, n);
    case FRAME_OBJECT:
        return in->is_streaming ? streamed(s, from, text, n, true) : whole_object(s, from, text, n);
    case FRAME_PART:
        return in->is_streaming ? streamed(s, from, text, n, false)
                                : part_of_object(s, from, text, n);
    default:
        return input_break(s, from, scan == FRAME_BROKEN, text, n);
    }
}
