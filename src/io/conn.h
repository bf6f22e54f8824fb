#pragma once

/*
 * Connection: one stream socket that carries bytes and file descriptors,
 * driven by a poller.  libuv's own streams know typed handles only and lose
 * most kinds of fd, so recvmsg() and sendmsg() are called here.
 *
 * It does not know what the bytes mean, which side it is, or when a
 * connection should end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "base/fds.h"
#include "base/out.h"
#include "io/poller.h"

enum {
    CONN_MAX_FDS = 253, /* in one message: the kernel's SCM_MAX_FD */
    CONN_TRUST = 16,    /* reads of one message each, after which a look is not worth its time */
};

enum {
    _CONN_E_SUCCESS,
    CONN_E_AGAIN, /* nothing to read, or no room to send: wait for the socket */
    CONN_E_END,   /* the peer sends no more */
};

struct conn;

/*
 * What a connection has read and sent, in memory that outlives the process.
 * The kernel itself writes how much a call has taken or given, before this
 * process can end: so whoever comes later knows it, though the call may never
 * have returned.
 */
struct conn_witness {
    struct mmsghdr read, sent;
    uint64_t n_sent;   /* bytes in all; conn_witness_n_sent() knows better */
    uint64_t n_before; /* likewise, before the call that is_sending */
    uint32_t is_sending;
};

/* from now on, conn_witness_read() tells about the next read */
void conn_witness_expect(struct conn_witness *w);

/* Return: bytes of the last read; 0: there was none.  *ret_has_fds: some came with it */
size_t conn_witness_read(const struct conn_witness *w, bool *ret_has_fds);

/* what another process has left: from now on it is this one's */
void conn_witness_settle(struct conn_witness *w);

/* Return: bytes that were sent in all */
uint64_t conn_witness_n_sent(const struct conn_witness *w);

/* the socket is ready for what conn_wait() asked for, or the peer hung up (is_deaf) */
typedef void (*conn_ready_fn)(struct conn *c, bool is_readable);
typedef void (*conn_closed_fn)(struct conn *c);

struct conn {
    struct poller *poller;
    struct poller_watch watch;
    int fd;         /* -1: not open */
    uint16_t error; /* errno of the first failed call, for the log; 0: none */
    bool is_exact;  /* look before reading, so that fds come out with the message they came with */
    bool is_near;   /* fds are in the queue */
    uint8_t
        n_alone; /* so many reads in a row brought one message and no fds; no more than CONN_TRUST */
    bool is_ended;   /* the peer sends no more: conn_receive() said so */
    bool is_deaf;    /* the peer reads no more: what is sent is dropped */
    bool is_shut;    /* conn_shutdown() was called */
    bool is_hung_up; /* the peer has closed its socket, whatever is left to read */
    bool is_full;    /* the socket took no more, and has not said since that it would */
    bool is_closing; /* the peer has said all: what is left to read comes to an end */
    bool has_more;   /* the last read may have left something, of which nobody tells again */
    struct conn_witness *witness; /* NULL: nobody wants to know; the owner's to set */
    conn_ready_fn ready;
    conn_closed_fn closed;
};

/* what one conn_receive() brought */
struct conn_chunk {
    size_t n;
    struct fds fds; /* came with the byte at fds_at; the caller's to close */
    size_t fds_at;
    bool is_cut; /* some fds were lost: this process may not have more */
};

#define CONN_INIT                                                                                  \
    { .fd = -1 }

/*
 * conn_open_take() - watch a connected, non-blocking socket
 * @fd:       consumed
 * @is_exact: for a peer that sends fds.  Costs a second call for each read,
 *            until the peer has shown that it sends one message at a time;
 *            without it, the first fds come with the first byte of what was
 *            read together, and from then on it is exact
 */
void conn_open_take(struct conn *c, struct poller *poller, int fd, bool is_exact,
                    conn_ready_fn ready);

/*
 * conn_close() - end it; what was sent arrives, then the peer sees the end
 * @closed: called later, from the loop; @c must stay until then
 *
 * The peer sees an end and no error, even when not all it sent was read.
 */
void conn_close(struct conn *c, conn_closed_fn closed);

/* likewise, but leave the connection to whoever else has the socket: the peer sees nothing */
void conn_leave(struct conn *c, conn_closed_fn closed);

static inline bool conn_is_open(const struct conn *c) {
    return c->fd >= 0;
}

/*
 * conn_wait() - say what to be called for
 *
 * With neither, only a peer that hung up is told of, once: as is_deaf, by ready().
 * Return: 0 or negative (out of memory).
 */
int conn_wait(struct conn *c, bool is_read, bool is_write);

/* would conn_wait() for reading alone change nothing? */
static inline bool conn_is_waiting_to_read(const struct conn *c) {
    return c->watch.is_known && c->watch.events == EPOLLIN && !c->has_more && !c->is_ended;
}

/*
 * conn_receive() - read once
 * @text, @n:  where to
 * @ret_chunk: fds stand with the first byte of the message they came with;
 *             what was sent before it is mostly read by a call of its own
 *
 * Return: 0, CONN_E_AGAIN, CONN_E_END (sticks; c->error tells why, if the
 * peer did not just close), or -ENOMEM.
 */
int conn_receive(struct conn *c, char *text, size_t n, struct conn_chunk *ret_chunk);

/*
 * conn_send() - send as much of @out as the socket takes
 *
 * Return: 0: @out is empty.  CONN_E_AGAIN.  When the peer reads no more
 * (is_deaf), @out is dropped, which is success.
 */
int conn_send(struct conn *c, struct out *out);

/* tell the peer that nothing more comes; only once, later calls do nothing */
void conn_shutdown(struct conn *c);
