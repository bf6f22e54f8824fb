/*
 * Framing: wherever the stream is cut, the same objects come out, all bytes
 * are accounted for, and what is told of an object lies inside it.
 */

#include <string.h>

#include "fuzz.h"
#include "qmp/frame.h"

enum { MAX_PIECES = 4096 };

struct piece {
    enum frame_scan scan;
    size_t n; /* of an object: all of it */
    struct frame frame;
};

struct pieces {
    struct piece piece[MAX_PIECES];
    size_t n;
};

static void check_slice(struct frame_slice slice, size_t n) {
    FUZZ_CHECK(slice.at <= n && slice.n <= n - slice.at);
}

static void add(struct pieces *p, enum frame_scan scan, size_t n, const struct frame *frame) {
    struct piece *last = p->n > 0 ? &p->piece[p->n - 1] : NULL;

    /* a run comes in as many parts as there are calls */
    if (last && last->scan == scan && (scan == FRAME_BLANK || scan == FRAME_RAW)) {
        last->n += n;
        return;
    }
    if (p->n == MAX_PIECES)
        return;
    p->piece[p->n] = (struct piece){.scan = scan, .n = n};
    if (scan == FRAME_OBJECT) {
        p->piece[p->n].frame = *frame;
        p->piece[p->n].n = frame->n_bytes;
        check_slice(frame->name, frame->n_bytes);
        check_slice(frame->id, frame->n_bytes);
    }
    p->n++;
}

/* @cut: bytes in a call */
static void scan_all(enum frame_source source, const uint8_t *data, size_t n, size_t cut,
                     struct pieces *ret) {
    struct frame_reader reader;
    size_t n_part = 0;

    frame_reader_init(&reader, source);
    ret->n = 0;
    for (size_t at = 0; at < n;) {
        size_t n_call = n - at < cut ? n - at : cut, n_done;

        while (n_call > 0) {
            enum frame_scan scan = frame_scan(&reader, (const char *)data + at, n_call, &n_done);

            FUZZ_CHECK(n_done > 0 && n_done <= n_call);
            at += n_done;
            n_call -= n_done;
            if (scan == FRAME_PART) {
                FUZZ_CHECK(n_call == 0);
                n_part += n_done;
                continue;
            }
            if (scan == FRAME_OBJECT)
                FUZZ_CHECK(frame_reader_frame(&reader)->n_bytes == n_part + n_done);
            add(ret, scan == FRAME_BROKEN ? FRAME_RAW : scan, n_part + n_done,
                frame_reader_frame(&reader));
            n_part = 0;
        }
    }
}

static void check_same(const struct pieces *a, const struct pieces *b) {
    FUZZ_CHECK(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct piece *p = &a->piece[i], *q = &b->piece[i];

        FUZZ_CHECK(p->scan == q->scan && p->n == q->n);
        if (p->scan != FRAME_OBJECT)
            continue;
        FUZZ_CHECK(p->frame.kind == q->frame.kind);
        FUZZ_CHECK(p->frame.name.at == q->frame.name.at && p->frame.name.n == q->frame.name.n);
        FUZZ_CHECK(p->frame.id.at == q->frame.id.at && p->frame.id.n == q->frame.id.n);
        FUZZ_CHECK(p->frame.is_ambiguous == q->frame.is_ambiguous &&
                   p->frame.is_escaped == q->frame.is_escaped);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct pieces whole, cut;

    for (int source = FRAME_CLIENT; source <= FRAME_SERVER; source++) {
        scan_all((enum frame_source)source, data, n, n + 1, &whole);
        scan_all((enum frame_source)source, data, n, 1, &cut);
        check_same(&whole, &cut);
        scan_all((enum frame_source)source, data, n, 7, &cut);
        check_same(&whole, &cut);
    }
    return 0;
}
