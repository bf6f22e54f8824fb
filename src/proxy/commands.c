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

static inline bool is_plain(const struct session *s, const char *text, const struct frame *frame) {
    if (frame->kind != FRAME_COMMAND)
        return false;
    if (!s->program)
        return !client_is_capabilities(s, text, frame);
    return !client_wants(s, text, frame) && !task_is_reserved_id(text + frame->id.at, frame->id.n);
}

int commands_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece) {
    struct input *in = &s->input[SIDE_CLIENT];
    const char *begin = text, *end = text + n;
    struct piece p = {.n = 0};

    while (text < end) {
        p.scan = frame_scan(&in->reader, text, (size_t)(end - text), &p.n);
        if (p.scan != FRAME_OBJECT || (text == begin && !is_free(s, in)) ||
            !is_plain(s, text, frame_reader_frame(&in->reader)))
            break;
        if (s->tells_passed)
            session_trace_passed(s, SIDE_CLIENT, text, p.n);
        s->stats.n_messages[SIDE_CLIENT]++;
        s->n_sent++;
        text += p.n;
        text += frame_skip_line_end(&in->reader, text, (size_t)(end - text));
        p.n = 0;
    }
    p.text = text;
    *ret_piece = p;
    return out_borrow(&s->out[SIDE_SERVER], begin, (size_t)(text - begin));
}
