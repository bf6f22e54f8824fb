#include "cmd/perform.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "io/address.h"
#include "proxy/rehearsal.h"
#include "proxy/session.h"
#include "qmp/frame.h"

enum { PERFORM_MAX_FDS = 16, PERFORM_READ_BYTES = 64 << 10 };

struct perform {
    const struct perform_part *part;
    struct tracereader *reader;
    struct rehearsal *rehearsal;
    uint64_t session;
    bool is_read_out; /* the trace has no more of the session */
    bool has_ended;   /* the peer sends no more */
    int fd;
    struct frame_reader frames;
    struct buffer in;     /* a message, so far */
    struct buffer answer; /* to be said at once */
};

static int perform_failed(const struct perform *p, const char *why) {
    fprintf(stderr, "qmp-shim replay: %s: %s\n", p->part->path, why);
    return PERFORM_E_FAILED;
}

/* --- telling --------------------------------------------------------------------------------------------- */

void perform_print(const char *sign, const char *text) {
    printf("  %s ", sign);
    for (; *text; text++)
        putchar(*text >= ' ' && *text <= '~' ? *text : '?');
    putchar('\n');
}

static void perform_tell(void *userdata, const struct rehearsal_difference *d) {
    const struct perform *p = userdata;
    const char *who = p->part->side == SIDE_SERVER ? "client" : "server";

    printf("session %llu", (unsigned long long)p->session);
    if (d->then)
        printf(", %.3f s", (double)d->ms / 1000);
    printf(", from the %s%s%s:\n", who, *d->where ? ", it differs at " : "", d->where);
    if (d->then)
        perform_print("-", d->then);
    if (d->now)
        perform_print("+", d->now);
    fflush(stdout);
}

/* --- the trace ------------------------------------------------------------------------------------------- */

/* Return: 0, negative, PERFORM_E_FAILED */
static int perform_find_session(struct perform *p) {
    struct record record;
    int r;

    r = tracereader_find_session(p->reader, p->part->session, &record);
    if (r)
        return r < 0 ? r : PERFORM_E_FAILED;
    p->session = record.session;
    return rehearsal_new(p->part->side, p->part->is_shape, record.ms, perform_tell, p,
                         &p->rehearsal);
}

/* Return: 0, negative, PERFORM_E_FAILED */
static int perform_feed(struct perform *p) {
    struct record record;

    while (!p->is_read_out && rehearsal_is_hungry(p->rehearsal)) {
        int r = tracereader_next(p->reader, &record);

        if (r == TRACEREADER_E_FAILED)
            return PERFORM_E_FAILED;
        if (r == 0 && record.session != p->session)
            continue;
        p->is_read_out = r == TRACEREADER_E_END || record.kind == RECORD_CLOSED;
        if (r == 0)
            r = rehearsal_add(p->rehearsal, &record);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- the socket ------------------------------------------------------------------------------------------ */

/* Return: 0, PERFORM_E_FAILED; there is something to be read, or somebody to be accepted */
static int perform_wait(const struct perform *p, int fd, short events) {
    struct pollfd wait = {.fd = fd, .events = events};
    int r;

    do
        r = poll(&wait, 1, (int)p->part->timeout_ms);
    while (r < 0 && errno == EINTR);
    return r > 0 ? 0 : PERFORM_E_FAILED;
}

static int perform_accept(struct perform *p, int listener) {
    if (perform_wait(p, listener, POLLIN))
        return perform_failed(p, "no client came");
    p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return p->fd < 0 ? perform_failed(p, strerror(errno)) : 0;
}

/* what stands there is left alone; only the owner may connect, as to the shim's own */
static int perform_listen(struct perform *p, const struct sockaddr_un *address) {
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0177);
    int r = listener < 0 ? -1 : bind(listener, (const struct sockaddr *)address, sizeof(*address));

    umask(mask);
    if (r < 0) {
        r = perform_failed(p, strerror(errno));
    } else {
        r = listen(listener, 1) < 0 ? perform_failed(p, strerror(errno))
                                    : perform_accept(p, listener);
        unlink(p->part->path);
    }
    if (listener >= 0)
        close(listener);
    return r;
}

static int perform_connect(struct perform *p, const struct sockaddr_un *address) {
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return perform_failed(p, strerror(errno));
    return 0;
}

static int perform_open(struct perform *p) {
    struct sockaddr_un address;

    if (address_from_path(p->part->path, &address))
        return perform_failed(p, strerror(ENAMETOOLONG));
    return p->part->side == SIDE_SERVER ? perform_listen(p, &address)
                                        : perform_connect(p, &address);
}

/* as many of /dev/null as the record had fds */
static ssize_t perform_send_fds(struct perform *p, const char *text, size_t n, size_t n_fds) {
    union {
        char space[CMSG_SPACE(PERFORM_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {.iov_base = (void *)text, .iov_len = n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int fds[PERFORM_MAX_FDS] = {0}, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct cmsghdr *c;
    ssize_t n_sent;

    n_fds = n_fds < PERFORM_MAX_FDS ? n_fds : PERFORM_MAX_FDS;
    for (size_t i = 0; i < n_fds; i++)
        fds[i] = null;
    m.msg_control = control.space;
    m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    n_sent = sendmsg(p->fd, &m, MSG_NOSIGNAL);
    if (null >= 0)
        close(null);
    return n_sent;
}

/* Return: 0, PERFORM_E_FAILED.  What a peer that has gone does not get is told as what it does not say */
static int perform_send(struct perform *p, const char *text, size_t n, size_t n_fds) {
    while (n > 0) {
        ssize_t n_sent = n_fds > 0 ? perform_send_fds(p, text, n, n_fds)
                                   : send(p->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n_sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0;
        if (n_sent < 0 && errno == EAGAIN) {
            if (perform_wait(p, p->fd, POLLOUT))
                return perform_failed(p, "the peer does not read");
            continue;
        }
        if (n_sent < 0 && errno != EINTR)
            return perform_failed(p, strerror(errno));
        if (n_sent > 0) {
            text += n_sent;
            n -= (size_t)n_sent;
            n_fds = 0;
        }
    }
    return 0;
}

/* fds that come are closed by the kernel, for nobody asks for them.  Return: 0, negative, PERFORM_E_FAILED */
static int perform_hear(struct perform *p, const char *text, size_t n) {
    for (size_t at = 0; at < n;) {
        size_t n_piece;
        enum frame_scan scan = frame_scan(&p->frames, text + at, n - at, &n_piece);
        int r = 0;

        if (scan == FRAME_OBJECT || scan == FRAME_PART)
            buffer_append(&p->in, text + at, n_piece);
        else
            buffer_clear(&p->in);
        at += n_piece;
        if (scan != FRAME_OBJECT)
            continue;
        r = p->in.failed ? -ENOMEM : rehearsal_hear(p->rehearsal, p->in.data, p->in.n, &p->answer);
        buffer_clear(&p->in);
        if (r == 0)
            r = perform_send(p, p->answer.data, p->answer.n, 0);
        buffer_clear(&p->answer);
        if (r)
            return r;
        r = perform_feed(p); /* what comes next may stand further behind */
        if (r)
            return r;
    }
    return 0;
}

static int perform_receive(struct perform *p) {
    char text[PERFORM_READ_BYTES];
    ssize_t n;

    if (p->has_ended || perform_wait(p, p->fd, POLLIN)) {
        rehearsal_give_up(p->rehearsal);
        return 0;
    }
    do
        n = recv(p->fd, text, sizeof(text), 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        p->has_ended = true;
    return n > 0 ? perform_hear(p, text, (size_t)n) : 0;
}

/* --- the play -------------------------------------------------------------------------------------------- */

/* Return: 0, negative, PERFORM_E_FAILED, or REHEARSAL_E_OVER in *ret_is_over */
static int perform_step(struct perform *p, bool *ret_is_over) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    size_t n_fds = 0;
    int r;

    r = perform_feed(p);
    if (r)
        return r;
    r = rehearsal_next(p->rehearsal, &b, &n_fds);
    switch (r) {
    case 0:
        return perform_send(p, b.data, b.n, n_fds);
    case REHEARSAL_E_WAIT:
        return perform_receive(p);
    case REHEARSAL_E_END:
        shutdown(p->fd, SHUT_WR);
        return 0;
    case REHEARSAL_E_OVER:
        *ret_is_over = true;
        return 0;
    default:
        return r;
    }
}

/* the live client may say more than the recorded one did, until it closes; a live server only what it was asked for */
static int perform_linger(struct perform *p) {
    shutdown(p->fd, SHUT_WR);
    while (p->part->side == SIDE_SERVER && !p->has_ended && perform_wait(p, p->fd, POLLIN) == 0) {
        int r = perform_receive(p);

        if (r)
            return r;
    }
    return 0;
}

static int perform_play(struct perform *p) {
    bool is_over = false;
    int r;

    r = perform_open(p);
    while (r == 0 && !is_over)
        r = perform_step(p, &is_over);
    return r ? r : perform_linger(p);
}

int perform_trace(const struct perform_part *part, struct tracereader *reader,
                  size_t *ret_n_differences, size_t *ret_n_same) {
    struct perform p = {.part = part, .reader = reader, .fd = -1};
    int r;

    frame_reader_init(&p.frames, part->side == SIDE_SERVER ? FRAME_CLIENT : FRAME_SERVER);
    r = perform_find_session(&p);
    if (r == 0)
        r = perform_play(&p);
    if (r == 0) {
        *ret_n_differences = rehearsal_n_differences(p.rehearsal);
        *ret_n_same = rehearsal_n_same(p.rehearsal);
    }
    rehearsal_free(p.rehearsal);
    buffer_deinit(&p.in);
    buffer_deinit(&p.answer);
    if (p.fd >= 0)
        close(p.fd);
    return r;
}
