/*
 * What goes to the client, in order.  Most of it passes at once; behind a
 * message that waits, everything waits.
 */

#include <errno.h>
#include <string.h>

#include "proxy/flow.h"

struct held *queue_add(struct session *s, struct held *after, struct held *before) {
    struct held *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    if (after)
        list_append(after->in_queue.next, &h->in_queue);
    else
        list_append(before ? &before->in_queue : &s->queue, &h->in_queue);
    s->n_queue++;
    return h;
}

void queue_drop(struct session *s, struct held *h) {
    if (!h)
        return;
    if (s->eol == h)
        s->eol = NULL;
    list_remove(&h->in_queue);
    s->n_queue--;
    s->n_queue_bytes -= h->text.n;
    buffer_deinit(&h->text);
    rides_deinit(&h->rides);
    free(h);
}

static int append(struct session *s, struct held *h, const char *text, size_t n) {
    buffer_append(&h->text, text, n);
    s->n_queue_bytes += h->text.failed ? 0 : n;
    return buffer_status(&h->text);
}

int queue_pass(struct session *s, const char *text, size_t n, struct rides *rides) {
    struct held *h;

    if (list_is_empty(&s->queue))
        return rides_push(rides, &s->out[SIDE_CLIENT], text, n, true);
    h = list_entry(s->queue.prev, struct held, in_queue);
    if (!h->is_ready || h->is_edited || h == s->stream || !rides_is_empty(rides)) {
        h = queue_add(s, NULL, NULL);
        if (!h)
            return -ENOMEM;
        h->is_ready = true;
        h->rides = rides_steal(rides);
    }
    return append(s, h, text, n);
}

/* Return: how many bytes of @text are the first line end and blanks before it; *ret_is_whole: it ends there */
static size_t line_end(const char *text, size_t n, bool *ret_is_whole) {
    const char *newline = memchr(text, '\n', n);

    *ret_is_whole = newline != NULL;
    return newline ? (size_t)(newline - text) + 1 : n;
}

int queue_eol(struct session *s, const char *text, size_t n, struct rides *rides) {
    bool is_whole = false;
    size_t n_eol = 0;
    int r = 0;

    if (rides_is_empty(rides) && (s->eol || s->input[SIDE_SERVER].skips_eol))
        n_eol = line_end(text, n, &is_whole);
    if (s->eol && !s->eol->is_edited)
        r = append(s, s->eol, text, n_eol); /* kept for the message if it passes as it came */
    if (is_whole) {
        s->eol = NULL;
        s->input[SIDE_SERVER].skips_eol = false;
    }
    if (r < 0 || n == n_eol)
        return r;
    return queue_pass(s, text + n_eol, n - n_eol, rides);
}

/* the fds of a message that was rewritten ride on its first byte, those of one that is dropped go */
static int settle_rides(struct held *h, bool is_dropped) {
    struct fds last = rides_last(&h->rides);

    if (is_dropped) {
        fds_deinit(&last);
        return 0;
    }
    return rides_add_take(&h->rides, 0, &last);
}

int queue_fill(struct session *s, struct held *h, const char *text, size_t n, bool is_edited) {
    _cleanup_(buffer_deinit) struct buffer eol = BUFFER_INIT;

    if (!text)
        is_edited = true;
    if (!is_edited) /* its line end may have come before */
        buffer_append(&eol, h->text.data, h->text.n);
    else if (text)
        buffer_append_string(&eol, "\r\n");
    if (buffer_status(&eol) < 0)
        return -ENOMEM;
    s->n_queue_bytes -= h->text.n;
    buffer_clear(&h->text);
    h->is_ready = true;
    h->is_edited = is_edited;
    if (is_edited && settle_rides(h, !text) < 0)
        return -ENOMEM;
    if (append(s, h, text ? text : "", n) < 0)
        return -ENOMEM;
    return append(s, h, eol.data, eol.n);
}

bool queue_is_open(const struct session *s) {
    return list_is_empty(&s->queue) && s->n_filling == 0 && !s->is_streaming;
}

int queue_say(struct session *s, const char *text, size_t n) {
    int r;

    r = out_copy(&s->out[SIDE_CLIENT], text, n);
    return r < 0 ? r : out_copy(&s->out[SIDE_CLIENT], "\r\n", 2);
}

/* begin to send a message that passes as it comes, or put it where it has to wait */
static int begin_stream(struct session *s) {
    if (list_is_empty(&s->queue)) {
        s->is_streaming = true;
        return 0;
    }
    s->stream = queue_add(s, NULL, NULL);
    if (!s->stream)
        return -ENOMEM;
    s->stream->is_ready = true;
    return 0;
}

static int stream_to_held(struct session *s, const char *text, size_t n, struct rides *rides) {
    struct held *h = s->stream;

    for (size_t i = 0; i < rides->n; i++)
        if (rides_add_take(&h->rides, h->text.n + rides->ride[i].at, &rides->ride[i].fds) < 0)
            return -ENOMEM;
    rides_deinit(rides);
    return append(s, h, text, n);
}

int queue_stream(struct session *s, const char *text, size_t n, struct rides *rides,
                 bool is_borrowed, bool is_last) {
    int r = 0;

    if (!s->is_streaming && !s->stream)
        r = begin_stream(s);
    if (r == 0 && s->stream)
        r = stream_to_held(s, text, n, rides);
    else if (r == 0)
        r = rides_push(rides, &s->out[SIDE_CLIENT], text, n, is_borrowed);
    if (r < 0 || !is_last)
        return r;
    s->stream = NULL;
    s->is_streaming = false;
    return queue_flush(s);
}

int queue_overtake(struct session *s, const char *text, size_t n) {
    struct held *h,
        *first = list_is_empty(&s->queue) ? NULL : list_entry(s->queue.next, struct held, in_queue);
    int r;

    h = queue_add(s, NULL, first);
    if (!h)
        return -ENOMEM;
    r = queue_fill(s, h, text, n, true);
    return r < 0 ? r : queue_flush(s);
}

static int flush_one(struct session *s, struct held *h) {
    int r;

    r = rides_push(&h->rides, &s->out[SIDE_CLIENT], h->text.data, h->text.n, false);
    if (s->eol == h) {
        s->eol = NULL;
        s->input[SIDE_SERVER].skips_eol = h->is_edited;
    }
    if (s->stream == h) { /* the rest of it is sent as it comes */
        s->stream = NULL;
        s->is_streaming = true;
    }
    queue_drop(s, h);
    return r;
}

int queue_flush(struct session *s) {
    while (s->n_filling == 0 && !s->is_streaming && !list_is_empty(&s->queue)) {
        struct held *h = list_entry(s->queue.next, struct held, in_queue);
        int r;

        if (!h->is_ready)
            break;
        r = flush_one(s, h);
        if (r < 0)
            return r;
    }
    return 0;
}
