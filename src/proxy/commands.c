/*
 * Most commands pass, while nothing is under way.  As many of them as stand
 * together go to the server in one piece, which is borrowed.  Whatever is not
 * taken here goes the way of client.c, which comes to the same.
 */
#include "proxy/commands.h"

/* may a command be sent as it came, if only it does not want more itself?  True of the next one, too, after one was */
static bool is_free(const struct session *s, const struct input *in) {
    return !s->is_deny && !s->tells_traffic && !s->has_fds_upstream && !s->compact.is_on &&
           (!s->program || s->negotiation == NEGOTIATION_DONE) && !in->skips_eol &&
           !in->is_streaming && in->tail.n == 0 && rides_is_empty(&in->rides) &&
           fds_is_empty(&s->blank_fds);
}

static bool is_plain(const struct session *s, const char *text, const struct frame *frame) {
    if (frame->kind != FRAME_COMMAND)
        return false;
    if (!s->program)
        return !client_is_capabilities(s, text, frame);
    return !client_wants(s, text, frame) && !task_is_reserved_id(text + frame->id.at, frame->id.n);
}

int commands_take(struct session *s, struct run *run, enum frame_scan scan, const char *text,
                  size_t n, size_t n_left, size_t *ret_n) {
    struct input *in = &s->input[SIDE_CLIENT];

    if (scan != FRAME_OBJECT || (run->n == 0 && !is_free(s, in)) ||
        !is_plain(s, text, frame_reader_frame(&in->reader)))
        return RUN_NOT_TAKEN;
    s->stats.n_messages[SIDE_CLIENT]++;
    s->n_sent++;
    if (s->tells_passed)
        session_trace_passed(s, SIDE_CLIENT, text, n);
    *ret_n = n + frame_skip_line_end(&in->reader, text + n, n_left - n);
    run_extend(run, text, *ret_n);
    return RUN_TAKEN;
}
