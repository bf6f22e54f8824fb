#pragma once

/*
 * What waits to be sent to one peer: bytes in order, and file descriptors
 * that ride on one of them.  It sends nothing itself.
 *
 * Bytes may be borrowed from the caller's read buffer, so that what passes
 * unchanged is never copied when the peer takes it at once; out_settle()
 * copies what is left before that buffer is used again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>
#include "base/buffer.h"
#include "base/fds.h"
#include "base/list.h"

/* private: bytes that stand together in memory */
struct out_segment {
    struct list in_out;
    const char *text; /* the next byte to send */
    size_t n;
    struct buffer own; /* where @text points to, unless it is borrowed */
    bool is_borrowed;
    bool is_used;   /* of the one that costs no malloc() */
    struct fds fds; /* ride on the first byte */
};

struct out {
    struct list segments;
    struct out_segment first; /* is enough for most, and costs no malloc() */
    size_t n_bytes;           /* waiting, all segments */
    struct fds next;          /* ride on the next byte that is pushed */
};

void out_init(struct out *o);
void out_deinit(struct out *o);

static inline bool out_is_empty(const struct out *o) {
    return o->n_bytes == 0;
}

/* @text must stay until out_settle() or until it was sent.  Return: 0 or -ENOMEM */
int out_borrow(struct out *o, const char *text, size_t n);

/* Return: 0 or -ENOMEM */
int out_copy(struct out *o, const char *text, size_t n);

/*
 * out_ride_take() - fds for the next byte that is pushed
 * A set that still waits for its byte is replaced and closed: the receiver
 * (QEMU) keeps the newest batch only.  The fds leave in a sendmsg() of their
 * own, which starts with that byte.
 */
void out_ride_take(struct out *o, struct fds *fds);

/*
 * out_peek() - what the next sendmsg() carries
 * @iov, @max_iov: filled with at most @max_iov pieces
 * @ret_fds:       the fds that ride on the first byte; NULL when there are none
 *
 * It ends before the next byte that fds ride on.
 * Return: the number of pieces; 0 when nothing waits.
 */
size_t out_peek(const struct out *o, struct iovec *iov, size_t max_iov, const struct fds **ret_fds);

/* the first @n_bytes were sent, and with @n_bytes > 0 the fds of out_peek() too: those are closed here */
void out_sent(struct out *o, size_t n_bytes);

/* Return: 0 or -ENOMEM; nothing is borrowed afterwards */
int out_settle(struct out *o);
