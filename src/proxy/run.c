/*
 * Most of what a server says passes, or gets another name and passes, while
 * nothing is under way.  A run takes as much of it as stands together: what
 * passes is borrowed in one piece, and events that are renamed are copied,
 * one behind the other.  Whatever it does not take goes the way of input.c,
 * which comes to the same.
 */

#include "proxy/run.h"

#include <string.h>

#include "rule/rename.h"

/* what was taken and stands together, and was not given out yet */
struct run {
    const char *text;
    size_t n;
    bool is_copied; /* a part before it was */

    /* of the event before: its name, which mostly comes again, and what is to be done with it */
    const char *name;
    size_t n_name;
    enum run_event { RUN_EVENT_PASSES, RUN_EVENT_IS_RENAMED, RUN_EVENT_IS_READ } event;
    struct rename rename;
};

enum { RUN_TAKEN, RUN_NOT_TAKEN };

/* so little is rather copied behind what was copied than sent as a piece of its own */
enum { RUN_COPY_BYTES = 1024 };

/* what came and was not given out yet goes */
static int give(struct session *s, struct run *run, bool is_copied) {
    struct out *out = &s->out[SIDE_CLIENT];
    size_t n = run->n;

    run->n = 0;
    if (n == 0)
        return 0;
    return is_copied && n <= RUN_COPY_BYTES ? out_copy(out, run->text, n)
                                            : out_borrow(out, run->text, n);
}

/* it follows what was taken before */
static inline void extend(struct run *run, const char *text, size_t n) {
    if (run->n == 0)
        run->text = text;
    run->n += n;
}

static inline void tell_passed(struct session *s, const char *text, size_t n) {
    if (s->tells_passed)
        session_trace_passed(s, SIDE_SERVER, text, n);
}

static int take_renamed(struct session *s, struct run *run, const char *text, size_t n,
                        const struct frame *frame, const struct rename *rename) {
    size_t end = frame->name.at + frame->name.n;
    int r;

    extend(run, text, frame->name.at);
    r = give(s, run, true);
    if (r == 0)
        r = out_copy(&s->out[SIDE_CLIENT], rename->text, rename->n_text);
    extend(run, text + end, n - end);
    run->is_copied = true;
    s->stats.n_rewritten++;
    return r;
}

/* the observer is told of the whole of it */
static void tell_renamed(struct session *s, const char *text, size_t n, const struct frame *frame,
                         const struct rename *rename) {
    struct trace_item item = {.kind = TRACE_REWRITTEN,
                              .from = SIDE_SERVER,
                              .text = text,
                              .n_text = n,
                              .rule = rename->rule->name};
    size_t end = frame->name.at + frame->name.n;
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    buffer_append(&b, text, frame->name.at);
    buffer_append(&b, rename->text, rename->n_text);
    buffer_append(&b, text + end, n - end);
    item.to_text = b.data;
    item.n_to_text = b.n;
    session_tell(s, &item);
}

static bool is_followed_by_line_end(const char *text, size_t n, size_t n_left) {
    return n_left >= n + 2 && text[n] == '\r' && text[n + 1] == '\n';
}

/* what is to be done with an event; under this name, always the same while a run goes on */
static enum run_event judge(struct session *s, struct run *run, const char *text,
                            const struct frame *frame) {
    if (!input_wants(s, text, frame))
        return RUN_EVENT_PASSES;
    if (frame->is_escaped || frame->is_ambiguous ||
        rename_find(&s->engine, text + frame->name.at, frame->name.n, &run->rename))
        return RUN_EVENT_IS_READ;
    return RUN_EVENT_IS_RENAMED;
}

static enum run_event judge_again(struct session *s, struct run *run, const char *text,
                                  const struct frame *frame) {
    const char *name = text + frame->name.at;

    if (frame->is_escaped || frame->is_ambiguous || !frame->has_name ||
        frame->n_bytes > s->limits.max_message_bytes)
        return judge(s, run, text, frame);
    if (run->name && run->n_name == frame->name.n && memcmp(run->name, name, run->n_name) == 0)
        return run->event;
    run->event = judge(s, run, text, frame);
    run->name = name;
    run->n_name = frame->name.n;
    return run->event;
}

/* Return: RUN_TAKEN, RUN_NOT_TAKEN, or -ENOMEM */
static int take_event(struct session *s, struct run *run, const char *text, size_t n,
                      size_t n_left) {
    const struct frame *frame = frame_reader_frame(&s->input[SIDE_SERVER].reader);
    int r;

    switch (judge_again(s, run, text, frame)) {
    case RUN_EVENT_PASSES:
        tell_passed(s, text, n);
        extend(run, text, n);
        return RUN_TAKEN;
    case RUN_EVENT_IS_RENAMED:
        if (!is_followed_by_line_end(text, n, n_left) || s->tells_traffic)
            return RUN_NOT_TAKEN; /* the engine gives it one, whatever it had; and tells what is sent */
        if (session_tells_rewritten(s))
            tell_renamed(s, text, n, frame, &run->rename);
        r = take_renamed(s, run, text, n, frame, &run->rename);
        return r < 0 ? r : RUN_TAKEN;
    default:
        return RUN_NOT_TAKEN;
    }
}

static inline int take_object(struct session *s, struct run *run, const char *text, size_t n,
                              size_t n_left) {
    const struct frame *frame = frame_reader_frame(&s->input[SIDE_SERVER].reader);
    bool is_error = frame->kind == FRAME_ERROR;

    if (frame->kind == FRAME_EVENT)
        return take_event(s, run, text, n, n_left);
    if ((frame->kind != FRAME_RETURN && !is_error) || s->n_in_flight > 0 ||
        (is_error && input_wants(s, text, frame)))
        return RUN_NOT_TAKEN;
    s->n_answered++;
    tell_passed(s, text, n);
    extend(run, text, n);
    return RUN_TAKEN;
}

/* is there nothing that a message has to wait for, or to be joined with?  That stays so while a run goes on */
static bool is_free(const struct session *s, const struct input *in) {
    return !s->eol && !in->skips_eol && !in->is_streaming && !s->is_streaming && in->tail.n == 0 &&
           rides_is_empty(&in->rides) && !compact_is_waiting(&s->compact);
}

/* @p is a whole object, and with the line end behind it, if it is taken; @n_left: what there is from it on */
static inline int take_line(struct session *s, struct run *run, struct piece *p, size_t n_left) {
    struct frame_reader *reader = &s->input[SIDE_SERVER].reader;
    size_t n_eol;
    int r;

    r = take_object(s, run, p->text, p->n, n_left);
    if (r != RUN_TAKEN)
        return r;
    s->stats.n_messages[SIDE_SERVER]++;
    n_eol = frame_skip_line_end(reader, p->text + p->n, n_left - p->n);
    extend(run, p->text + p->n, n_eol);
    p->n += n_eol;
    if (s->tells_traffic)
        session_tell_went(s, SIDE_SERVER, p->text, p->n, frame_reader_frame(reader));
    return RUN_TAKEN;
}

static inline int take(struct session *s, struct run *run, struct piece *p, size_t n_left) {
    if (p->scan == FRAME_OBJECT)
        return take_line(s, run, p, n_left);
    if (p->scan != FRAME_BLANK)
        return RUN_NOT_TAKEN;
    if (s->tells_traffic)
        session_tell_went(s, SIDE_SERVER, p->text, p->n, NULL);
    extend(run, p->text, p->n);
    return RUN_TAKEN;
}

int run_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece) {
    struct input *in = &s->input[SIDE_SERVER];
    struct piece p = {.n = 0};
    struct run run;
    int r = RUN_TAKEN, x;

    run.n = 0; /* not all of it is set, because this is done for every message */
    run.is_copied = false;
    run.name = NULL;
    for (p.text = text; n > 0; p.n = 0) {
        p.scan = frame_scan(&in->reader, p.text, n, &p.n);
        r = run.n > 0 || is_free(s, in) ? take(s, &run, &p, n) : RUN_NOT_TAKEN;
        if (r != RUN_TAKEN)
            break;
        p.text += p.n;
        n -= p.n;
    }
    *ret_piece = p;
    x = give(s, &run, run.is_copied);
    return r < 0 ? r : x;
}
