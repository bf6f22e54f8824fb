/*
 * Most commands pass, while nothing is under way.  As many of them as stand
 * together go to the server in one piece, which is borrowed.  Whatever is not
 * taken here goes the way of client.c, which comes to the same.
 */
#include "proxy/commands.h"

#include <string.h>

#include "proxy/planned.h"

/* may a command be sent as it came, if only it does not want more itself?  True of the next one, too, after one was */
static bool is_free(const struct session *s, const struct input *in) {
    return !s->is_deny && !s->has_fds_upstream && !s->compact.is_on &&
           (!s->program || s->negotiation == NEGOTIATION_DONE) && !in->skips_eol &&
           !in->is_streaming && in->tail.n == 0 && rides_is_empty(&in->rides) &&
           fds_is_empty(&s->blank_fds);
}

/* to the server, without a look at rules */
static inline bool is_plain(const struct session *s, const char *text, const struct frame *frame,
                            enum client_interest interest) {
    if (frame->kind != FRAME_COMMAND || interest == CLIENT_WANTS)
        return false;
    if (!s->program)
        return !client_is_capabilities(s, text, frame);
    return (interest == CLIENT_PASSES || !client_wants(s, text, frame)) &&
           !task_is_reserved_id(text + frame->id.at, frame->id.n);
}

/* is it called as the last one that passed though rules mention it?  It mostly is. */
static inline bool is_passing(const struct session *s, const char *text,
                              const struct frame *frame) {
    return s->passing && s->n_passing == frame->name.n && !frame->is_escaped &&
           memcmp(s->passing, text + frame->name.at, frame->name.n) == 0;
}

static inline enum client_interest judge(const struct session *s, const char *text,
                                         const struct frame *frame) {
    if (is_passing(s, text, frame))
        return CLIENT_PASSES;
    return planned_knows(s, text, frame) ? CLIENT_MENTIONS : client_interest(s, text, frame);
}

static void note_passing(struct session *s, const char *text, const struct frame *frame) {
    s->passing = program_name(s->program, PROGRAM_COMMAND, text + frame->name.at, frame->name.n);
    s->n_passing = frame->name.n;
}

/* what came before it goes, and @p as a plan has it.  Return: 0, -ENOMEM, PLANNED_E_NOT */
static int take_planned(struct session *s, const char *begin, struct piece *p, size_t n_left) {
    struct input *in = &s->input[SIDE_CLIENT];
    size_t n_eol = frame_line_end(p->text + p->n, n_left - p->n);
    int r;

    r = out_borrow(&s->out[SIDE_SERVER], begin, (size_t)(p->text - begin));
    if (r == 0)
        r = planned_command(s, p->text, p->n, n_eol, frame_reader_frame(&in->reader), &in->rides);
    if (r)
        return r;
    s->stats.n_messages[SIDE_CLIENT]++;
    s->is_refusing = false;
    p->text += p->n;
    p->text += frame_skip_line_end(&in->reader, p->text, n_eol);
    p->n = 0;
    return 0;
}

int commands_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece) {
    struct input *in = &s->input[SIDE_CLIENT];
    const char *begin = text, *end = text + n;
    const struct frame *frame = frame_reader_frame(&in->reader);
    enum client_interest interest;
    struct piece p = {.n = 0};
    int r;

    while (text < end) {
        p.text = text;
        p.scan = frame_scan(&in->reader, text, (size_t)(end - text), &p.n);
        if (p.scan != FRAME_OBJECT || (text == begin && !is_free(s, in)))
            break;
        interest = judge(s, text, frame);
        if (interest == CLIENT_MENTIONS && !s->tells_traffic) {
            r = take_planned(s, begin, &p, (size_t)(end - text));
            if (r <= 0) {
                *ret_piece = p;
                return r;
            }
            begin = text;
        }
        if (!is_plain(s, text, frame, interest))
            break;
        if (interest == CLIENT_MENTIONS)
            note_passing(s, text, frame);
        if (s->tells_passed)
            session_trace_passed(s, SIDE_CLIENT, text, p.n);
        s->stats.n_messages[SIDE_CLIENT]++;
        s->n_sent++;
        p.n += frame_skip_line_end(&in->reader, text + p.n, (size_t)(end - text) - p.n);
        if (s->tells_traffic)
            session_tell_went(s, SIDE_CLIENT, text, p.n, frame);
        text += p.n;
        p.n = 0;
    }
    p.text = text;
    *ret_piece = p;
    return out_borrow(&s->out[SIDE_SERVER], begin, (size_t)(text - begin));
}
