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

int run_end(struct session *s, struct run *run) {
    return run->n > 0 ? give(s, run, run->is_copied) : 0;
}

static void extend(struct run *run, const char *text, size_t n) {
    if (run->n == 0)
        run->text = text;
    run->n += n;
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

    if (!s->trace)
        return;
    buffer_append(&b, text, frame->name.at);
    buffer_append(&b, rename->text, rename->n_text);
    buffer_append(&b, text + end, n - end);
    item.to_text = b.data;
    item.n_to_text = b.n;
    s->trace(s->userdata, &item);
}

static bool is_followed_by_line_end(const char *text, size_t n, size_t n_left) {
    return n_left >= n + 2 && text[n] == '\r' && text[n + 1] == '\n';
}

/* Return: RUN_TAKEN, RUN_NOT_TAKEN, or -ENOMEM */
static int take_event(struct session *s, struct run *run, const char *text, size_t n,
                      size_t n_left) {
    const struct frame *frame = frame_reader_frame(&s->input[SIDE_SERVER].reader);
    struct rename rename;
    int r;

    if (!input_wants(s, text, frame)) {
        session_trace(s, TRACE_PASSED, SIDE_SERVER, NULL, text, n, NULL, 0, NULL);
        extend(run, text, n);
        return RUN_TAKEN;
    }
    /* the engine gives it this line end, whatever it had */
    if (frame->is_escaped || frame->is_ambiguous || !is_followed_by_line_end(text, n, n_left) ||
        rename_find(&s->engine, text + frame->name.at, frame->name.n, &rename))
        return RUN_NOT_TAKEN;
    tell_renamed(s, text, n, frame, &rename);
    r = take_renamed(s, run, text, n, frame, &rename);
    return r < 0 ? r : RUN_TAKEN;
}

static int take_object(struct session *s, struct run *run, const char *text, size_t n,
                       size_t n_left) {
    const struct frame *frame = frame_reader_frame(&s->input[SIDE_SERVER].reader);
    bool is_reply = frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR;

    if (frame->kind == FRAME_EVENT)
        return take_event(s, run, text, n, n_left);
    if (!is_reply || s->n_in_flight > 0 || input_wants(s, text, frame))
        return RUN_NOT_TAKEN;
    s->n_answered++;
    session_trace(s, TRACE_PASSED, SIDE_SERVER, NULL, text, n, NULL, 0, NULL);
    extend(run, text, n);
    return RUN_TAKEN;
}

int run_take(struct session *s, struct run *run, enum frame_scan scan, const char *text, size_t n,
             size_t n_left) {
    struct input *in = &s->input[SIDE_SERVER];
    int r;

    if (s->eol || in->skips_eol || in->is_streaming || s->is_streaming || in->tail.n > 0 ||
        !rides_is_empty(&in->rides) || s->tells_traffic || compact_is_waiting(&s->compact))
        return RUN_NOT_TAKEN;
    switch (scan) {
    case FRAME_BLANK:
        extend(run, text, n);
        return RUN_TAKEN;
    case FRAME_OBJECT:
        r = take_object(s, run, text, n, n_left);
        s->stats.n_messages[SIDE_SERVER] += r == RUN_TAKEN;
        return r;
    default:
        return RUN_NOT_TAKEN;
    }
}
