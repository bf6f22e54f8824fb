#include "io/conn.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

enum {
    CONN_MAX_PIECES = 64,      /* in one sendmsg() */
    CONN_NEAR_BYTES = 4 << 10, /* looked at while fds are in the queue */
};

#define CONN_UNTOLD UINT_MAX /* in a witness: the kernel has not written there */

union control {
    char bytes[CMSG_SPACE(CONN_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
};

/* ---- the witness ---- */

/* the compiler alone could mix them up: who reads it comes when this process has gone */
static inline void in_order(void) {
    atomic_signal_fence(memory_order_seq_cst);
}

void conn_witness_expect(struct conn_witness *w) {
    w->read.msg_len = CONN_UNTOLD;
    in_order();
}

size_t conn_witness_read(const struct conn_witness *w, bool *ret_has_fds) {
    if (w->read.msg_len == CONN_UNTOLD)
        return 0;
    *ret_has_fds = w->read.msg_hdr.msg_controllen > 0;
    return w->read.msg_len;
}

uint64_t conn_witness_n_sent(const struct conn_witness *w) {
    return w->is_sending && w->sent.msg_len != CONN_UNTOLD ? w->n_before + w->sent.msg_len
                                                           : w->n_sent;
}

void conn_witness_settle(struct conn_witness *w) {
    w->n_sent = conn_witness_n_sent(w);
    in_order();
    w->is_sending = 0;
}

static ssize_t conn_recvmsg(struct conn *c, struct msghdr *m) {
    struct conn_witness *w = c->witness;
    int r;

    if (!w)
        return recvmsg(c->fd, m, MSG_CMSG_CLOEXEC);
    w->read.msg_hdr = *m;
    in_order();
    r = recvmmsg(c->fd, &w->read, 1, MSG_CMSG_CLOEXEC, NULL);
    if (r < 0 && errno == ECONNRESET) {
        /* it tells of that first, once, though there may be last words; recvmsg() does afterwards */
        c->error = c->error ? c->error : ECONNRESET;
        r = recvmmsg(c->fd, &w->read, 1, MSG_CMSG_CLOEXEC, NULL);
    }
    if (r != 1)
        return -1;
    *m = w->read.msg_hdr;
    return w->read.msg_len;
}

static ssize_t conn_sendmsg(struct conn *c, const struct msghdr *m) {
    struct conn_witness *w = c->witness;
    int r;

    if (!w)
        return sendmsg(c->fd, m, MSG_NOSIGNAL);
    w->n_before = w->n_sent;
    w->sent.msg_hdr = *m;
    w->sent.msg_len = CONN_UNTOLD;
    in_order();
    w->is_sending = 1;
    in_order();
    r = sendmmsg(c->fd, &w->sent, 1, MSG_NOSIGNAL);
    if (r == 1)
        w->n_sent = w->n_before + w->sent.msg_len;
    in_order();
    w->is_sending = 0;
    return r == 1 ? (ssize_t)w->sent.msg_len : -1;
}

/* it was not sent, and never will be */
static size_t conn_drop(struct conn *c, const struct out *out) {
    if (c->witness)
        c->witness->n_sent += out->n_bytes;
    return out->n_bytes;
}

/* ---- the connection ---- */

static void conn_fail(struct conn *c, int error) {
    if (!c->error)
        c->error = (uint16_t)error;
}

/* Has the peer closed its socket, rather than half of it? */
static bool conn_is_hung_up(const struct conn *c) {
    struct pollfd p = {.fd = c->fd};

    if (c->is_hung_up)
        return true;
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void conn_on_ready(struct poller_watch *w, uint32_t events) {
    struct conn *c = container_of(w, struct conn, watch);

    c->is_closing = c->is_closing || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    if (events & (EPOLLHUP | EPOLLERR)) { /* recvmsg() and sendmsg() know better what it means */
        c->is_hung_up = c->is_hung_up || events & EPOLLHUP;
        c->is_deaf = c->is_deaf || !w->events;
        events |= w->events;
    }
    events &= w->events; /* what was asked for may have changed since this was seen */
    if (events & EPOLLOUT)
        c->is_full = false;
    c->ready(c, events & EPOLLIN);
}

void conn_open_take(struct conn *c, struct poller *poller, int fd, bool is_exact,
                    conn_ready_fn ready) {
    *c = (struct conn){.poller = poller, .fd = fd, .is_exact = is_exact, .ready = ready};
    poller_add(poller, &c->watch, fd, conn_on_ready);
}

/*
 * A socket that is closed with something unread in it gives the peer
 * ECONNRESET, and the peer may take that for worse than an end.
 */
static void conn_drain(struct conn *c) {
    char text[4096];

    shutdown(c->fd, SHUT_RDWR);
    while (recv(c->fd, text, sizeof(text), 0) > 0)
        continue;
}

static void conn_on_removed(struct poller_watch *w) {
    struct conn *c = container_of(w, struct conn, watch);

    c->closed(c);
}

void conn_leave(struct conn *c, conn_closed_fn closed) {
    assert(conn_is_open(c)); /* the caller asks conn_is_open() first */
    c->closed = closed;
    poller_remove(c->poller, &c->watch, conn_on_removed);
    close(c->fd);
    c->fd = -1;
}

void conn_close(struct conn *c, conn_closed_fn closed) {
    assert(conn_is_open(c));            /* the caller asks conn_is_open() first */
    if (!c->is_hung_up || !c->is_ended) /* else there is nobody to see, and nothing left to read */
        conn_drain(c);
    conn_leave(c, closed);
}

int conn_wait(struct conn *c, bool is_read, bool is_write) {
    uint32_t events = (is_read ? EPOLLIN : 0) | (is_write ? EPOLLOUT : 0);

    if (is_read && c->has_more)
        return poller_ask_again(c->poller, &c->watch, events);
    if (events || !c->is_deaf)
        return poller_ask(c->poller, &c->watch, events);
    poller_rest(c->poller, &c->watch);
    return 0;
}

static int conn_receive_failed(struct conn *c, ssize_t n) {
    c->has_more = n < 0 && errno == EINTR;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return CONN_E_AGAIN;
    if (n < 0)
        conn_fail(c, errno);
    c->is_ended = true;
    c->is_deaf = c->is_deaf || n < 0 || conn_is_hung_up(c);
    return CONN_E_END;
}

static int fds_from_control(struct msghdr *m, struct fds *ret_fds) {
    int r = 0;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            if (fds_push_take(ret_fds, fd) < 0)
                r = -ENOMEM; /* go on: the others must be closed too */
        }
    }
    return r;
}

static int conn_read(struct conn *c, char *text, size_t n, struct conn_chunk *ret_chunk) {
    union control control;
    struct iovec iov = {.iov_base = text, .iov_len = n};
    struct msghdr m = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    struct conn_chunk chunk = {0};
    ssize_t n_read;
    int r;

    n_read = conn_recvmsg(c, &m);
    if (n_read <= 0)
        return conn_receive_failed(c, n_read);
    /* a read that took less has taken all there was, unless it stopped at fds */
    c->has_more =
        c->is_closing || (size_t)n_read == n || m.msg_controllen > 0 || m.msg_flags & MSG_CTRUNC;
    r = fds_from_control(&m, &chunk.fds);
    if (r < 0) {
        fds_deinit(&chunk.fds);
        return r;
    }
    chunk.n = (size_t)n_read;
    chunk.is_cut = m.msg_flags & MSG_CTRUNC;
    *ret_chunk = chunk;
    return 0;
}

/* Return: bytes up to the end of what may be a message, or @n */
static size_t conn_first_piece(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (text[i] == '}' || text[i] == '\n')
            return i + 1;
    return n;
}

/*
 * One recvmsg() returns bytes that were sent before the fds together with
 * those the fds were sent with, and does not say where one ends and the other
 * begins.  So look first.  Without room for control data, nothing is
 * installed, and MSG_CTRUNC says that there are fds: not how far off, for a
 * peek finds them anywhere in the queue.  Then the bytes are read piece by
 * piece, a piece ending where a message may end, and the fds that come with a
 * piece belong to its first byte.  They do so exactly when the peer sends a
 * message and its fds by one call, as all known clients do.
 */
static int conn_read_exact(struct conn *c, char *text, size_t n, struct conn_chunk *ret_chunk) {
    struct iovec iov = {.iov_base = text, .iov_len = c->is_near ? size_min(n, CONN_NEAR_BYTES) : n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n_seen;

    n_seen = recvmsg(c->fd, &m, MSG_PEEK);
    /* readable, yet nothing to see: an urgent byte, which stays until a read that takes goes past it */
    if (n_seen < 0 && errno == EAGAIN)
        return conn_read(c, text, 1, ret_chunk);
    if (n_seen <= 0)
        return conn_receive_failed(c, n_seen);
    c->is_near = m.msg_flags & MSG_CTRUNC;
    /* no more than was seen: fds may have come since */
    n = (size_t)n_seen;
    return conn_read(c, text, c->is_near ? conn_first_piece(text, n) : n, ret_chunk);
}

/* Return: where blanks end that begin at @at; they do so behind a line end */
static size_t conn_skip_blanks(const char *text, size_t n, size_t at) {
    while (at < n && memchr(" \t\r\n", text[at], 4))
        if (text[at++] == '\n')
            break;
    return at;
}

/* Is it one message, by its looks?  A doubt costs no more than time: the answer is no. */
static bool conn_is_alone(const char *text, size_t n) {
    const char *brace = text;
    size_t end = 0;

    if (text[0] != '{')
        return false;
    while ((brace = memchr(brace, '}', n - (size_t)(brace - text)))) {
        brace++;
        end = conn_skip_blanks(text, n, (size_t)(brace - text));
        if (end == n)
            break;
        if (text[end] == '{' || text[end - 1] == '\n')
            return false;
    }
    return end == n;
}

/* Return: where the message ends that begins at @at, with its line end; or the line, if there are only blanks */
static size_t conn_message_end(const char *text, size_t n, size_t at) {
    bool is_string = false;
    size_t depth = 0;

    for (; at < n; at++) {
        char c = text[at];

        if (is_string && c == '\\')
            at++;
        else if (c == '"')
            is_string = !is_string;
        else if (is_string)
            continue;
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0 && --depth == 0)
            return conn_skip_blanks(text, n, at + 1);
        else if (c == '\n' && depth == 0)
            return at + 1;
    }
    return n;
}

/* Return: where the last message begins; the first begins with @text */
static size_t conn_last_message(const char *text, size_t n) {
    size_t at = 0, end;

    while ((end = conn_message_end(text, n, at)) < n)
        at = end;
    return at;
}

/*
 * A peer that sends one message at a time, and waits, does not need the look:
 * what is read is the message of the fds.  Should it for the first time send
 * more before that was read, a read ends with the call that carried fds, so
 * they belong to what was read last; from then on it is looked again.
 */
static int conn_read_alone(struct conn *c, char *text, size_t n, struct conn_chunk *ret_chunk) {
    bool is_trusted = c->n_alone >= CONN_TRUST, is_alone;
    int r;

    r = is_trusted ? conn_read(c, text, n, ret_chunk) : conn_read_exact(c, text, n, ret_chunk);
    if (r)
        return r;
    is_alone = conn_is_alone(text, ret_chunk->n);
    if (is_trusted && !is_alone && !fds_is_empty(&ret_chunk->fds))
        ret_chunk->fds_at = conn_last_message(text, ret_chunk->n);
    if (!is_alone || ret_chunk->is_cut || !fds_is_empty(&ret_chunk->fds))
        c->n_alone = 0;
    else if (!is_trusted)
        c->n_alone++;
    return 0;
}

int conn_receive(struct conn *c, char *text, size_t n, struct conn_chunk *ret_chunk) {
    int r;

    if (c->is_ended)
        return CONN_E_END;
    if (c->is_exact)
        return conn_read_alone(c, text, n, ret_chunk);
    r = conn_read(c, text, n, ret_chunk);
    if (r == 0 && (ret_chunk->is_cut || !fds_is_empty(&ret_chunk->fds)))
        c->is_exact = true;
    return r;
}

static void control_from_fds(struct msghdr *m, union control *control, const struct fds *fds) {
    size_t n = size_min(fds->n, CONN_MAX_FDS);
    struct cmsghdr *h;

    memset(control, 0, sizeof(*control));
    m->msg_control = control;
    m->msg_controllen = CMSG_SPACE(n * sizeof(int));
    h = CMSG_FIRSTHDR(m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(h), fds->fd, n * sizeof(int));
}

static ssize_t conn_write(struct conn *c, const struct out *out) {
    struct iovec iov[CONN_MAX_PIECES];
    union control control;
    struct msghdr m = {.msg_iov = iov};
    const struct fds *fds;
    ssize_t n;

    m.msg_iovlen = out_peek(out, iov, ARRAY_SIZE(iov), &fds);
    if (!fds && m.msg_iovlen == 1 && !c->witness) /* most often, and cheaper */
        return send(c->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
    if (fds)
        control_from_fds(&m, &control, fds);
    n = conn_sendmsg(c, &m);
    if (n < 0 && errno == ETOOMANYREFS) {
        /* too many fds of ours are under way already; the server answers the command that lacks its own */
        conn_fail(c, ETOOMANYREFS);
        m.msg_control = NULL;
        m.msg_controllen = 0;
        n = conn_sendmsg(c, &m);
    }
    return n;
}

int conn_send(struct conn *c, struct out *out) {
    while (!out_is_empty(out)) {
        ssize_t n;

        if (c->is_full && !c->is_deaf)
            return CONN_E_AGAIN;
        n = c->is_deaf ? (ssize_t)conn_drop(c, out) : conn_write(c, out);
        if (n >= 0) {
            out_sent(out, (size_t)n);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN) {
            c->is_full = true;
            continue;
        }
        if (errno != EPIPE)
            conn_fail(c, errno);
        c->is_deaf = true;
    }
    return 0;
}

void conn_shutdown(struct conn *c) {
    if (c->is_shut)
        return;
    c->is_shut = true;
    if (!c->is_hung_up)
        shutdown(c->fd, SHUT_WR);
}
