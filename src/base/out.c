#include "base/out.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* a segment that was copied takes later copies too, up to this size */
enum { OUT_JOIN_BYTES = 64 * 1024 };

static void segment_free(struct out *o, struct out_segment *g) {
    list_remove(&g->in_out);
    buffer_deinit(&g->own);
    fds_deinit(&g->fds);
    if (g != &o->first) {
        free(g);
        return;
    }
    o->first.is_used = false; /* and empty, for the next time */
    g->n = 0;
    g->is_borrowed = false;
}

/* Return: an empty one, or NULL */
static struct out_segment *segment_new(struct out *o) {
    struct out_segment *g = &o->first;

    if (o->first.is_used) {
        g = malloc(sizeof(*g)); /* sooner than calloc() */
        if (g)
            *g = (struct out_segment){.n = 0};
        return g;
    }
    o->first.is_used = true;
    return g;
}

void out_init(struct out *o) {
    list_init(&o->segments);
    o->first = (struct out_segment){.n = 0};
    o->n_bytes = 0;
    o->next = (struct fds)FDS_INIT;
}

void out_deinit(struct out *o) {
    list_for_each_safe(i, &o->segments)
        segment_free(o, list_entry(i, struct out_segment, in_out));
    fds_deinit(&o->next);
    o->n_bytes = 0;
}

static struct out_segment *out_last(const struct out *o) {
    return list_is_empty(&o->segments) ? NULL
                                       : list_entry(o->segments.prev, struct out_segment, in_out);
}

static struct out_segment *out_add(struct out *o) {
    struct out_segment *g = segment_new(o);

    if (!g)
        return NULL;
    if (!fds_is_empty(&o->next))
        g->fds = fds_steal(&o->next);
    assert(o->segments.prev); /* out_init() made it a list */
    list_append(&o->segments, &g->in_out);
    return g;
}

int out_borrow(struct out *o, const char *text, size_t n) {
    struct out_segment *g = out_last(o);

    if (n == 0)
        return 0;
    if (!g || !g->is_borrowed || g->text + g->n != text || !fds_is_empty(&o->next)) {
        g = out_add(o);
        if (!g)
            return -ENOMEM;
        g->text = text;
        g->is_borrowed = true;
    }
    g->n += n;
    o->n_bytes += n;
    return 0;
}

static int segment_append(struct out_segment *g, const char *text, size_t n) {
    size_t sent = g->own.n - g->n;

    buffer_append(&g->own, text, n);
    if (g->own.failed)
        return -ENOMEM;
    g->text = g->own.data + sent;
    g->n += n;
    return 0;
}

int out_copy(struct out *o, const char *text, size_t n) {
    struct out_segment *g = out_last(o);
    int r;

    if (n == 0)
        return 0;
    if (!g || g->is_borrowed || g->own.n + n > OUT_JOIN_BYTES || !fds_is_empty(&o->next)) {
        g = out_add(o);
        if (!g)
            return -ENOMEM;
    }
    r = segment_append(g, text, n);
    if (r < 0)
        return r;
    o->n_bytes += n;
    return 0;
}

void out_ride_take(struct out *o, struct fds *fds) {
    if (!fds_is_empty(fds))
        fds_replace_take(&o->next, fds);
}

size_t out_peek(const struct out *o, struct iovec *iov, size_t max_iov,
                const struct fds **ret_fds) {
    size_t n = 0;

    *ret_fds = NULL;
    list_for_each(i, &o->segments) {
        struct out_segment *g = list_entry(i, struct out_segment, in_out);

        if (n == max_iov || (n > 0 && !fds_is_empty(&g->fds)))
            break;
        if (!fds_is_empty(&g->fds))
            *ret_fds = &g->fds;
        iov[n++] = (struct iovec){.iov_base = (void *)g->text, .iov_len = g->n};
    }
    return n;
}

void out_sent(struct out *o, size_t n_bytes) {
    o->n_bytes -= n_bytes;
    while (n_bytes > 0) {
        struct out_segment *g = list_entry(o->segments.next, struct out_segment, in_out);
        size_t n = size_min(n_bytes, g->n);

        fds_deinit(&g->fds);
        g->text += n;
        g->n -= n;
        n_bytes -= n;
        if (g->n == 0)
            segment_free(o, g);
    }
}

int out_settle(struct out *o) {
    list_for_each(i, &o->segments) {
        struct out_segment *g = list_entry(i, struct out_segment, in_out);
        const char *text = g->text;
        size_t n = g->n;
        int r;

        if (!g->is_borrowed)
            continue;
        g->is_borrowed = false;
        g->n = 0;
        r = segment_append(g, text, n);
        if (r < 0)
            return r;
    }
    return 0;
}
