#include "io/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "io/address.h"

static int listener_fail(int *reterr_errno) {
    *reterr_errno = errno;
    return LISTENER_E_IMPOSSIBLE;
}

/*
 * Is the socket file dead?  A datagram socket asks: the kernel refuses it with
 * EPROTOTYPE where a stream socket lives and ECONNREFUSED where none does.
 * Asking with a stream socket would be a client to whoever listens, and a QEMU
 * has time for one.
 */
static int listener_probe(const struct sockaddr_un *address, int *reterr_errno) {
    int fd, error = 0;

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return listener_fail(reterr_errno);
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        error = errno;
    close(fd);
    switch (error) {
    case ECONNREFUSED:
    case ENOENT: /* it went away just now */
        return 0;
    case 0:
    case EPROTOTYPE:
        return LISTENER_E_IN_USE;
    default:
        *reterr_errno = error;
        return LISTENER_E_IMPOSSIBLE;
    }
}

/* make room: remove a dead socket, and nothing but that */
static int listener_clear(const struct sockaddr_un *address, int *reterr_errno) {
    struct stat st;
    int r;

    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : listener_fail(reterr_errno);
    if (!S_ISSOCK(st.st_mode))
        return LISTENER_E_NO_SOCKET;
    r = listener_probe(address, reterr_errno);
    if (r)
        return r;
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return listener_fail(reterr_errno);
    return 0;
}

static int listener_make(struct listener *l, const struct sockaddr_un *address, int *reterr_errno) {
    struct stat st;
    mode_t mask;
    int r;

    /* the file must never be there with a wider mode, so chmod() would come too late */
    mask = umask(0177);
    r = bind(l->fd, (const struct sockaddr *)address, sizeof(*address));
    umask(mask);
    if (r < 0)
        return errno == EADDRINUSE ? LISTENER_E_IN_USE : listener_fail(reterr_errno);
    l->path = strdup(address->sun_path);
    if (!l->path) {
        unlink(address->sun_path);
        return -ENOMEM;
    }
    if (lstat(l->path, &st) < 0)
        return listener_fail(reterr_errno);
    l->device = st.st_dev;
    l->inode = st.st_ino;
    if (listen(l->fd, SOMAXCONN) < 0)
        return listener_fail(reterr_errno);
    return 0;
}

int listener_bind(struct listener *l, const char *path, int *reterr_errno) {
    struct sockaddr_un address;
    int r;

    *l = (struct listener)LISTENER_INIT;
    switch (address_from_path(path, &address)) {
    case ADDRESS_E_EMPTY:
        return LISTENER_E_EMPTY_PATH;
    case ADDRESS_E_TOO_LONG:
        return LISTENER_E_LONG_PATH;
    }
    r = listener_clear(&address, reterr_errno);
    if (r)
        return r;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return listener_fail(reterr_errno);
    r = listener_make(l, &address, reterr_errno);
    if (r)
        listener_close(l, NULL);
    return r;
}

void listener_adopt_take(struct listener *l, int fd) {
    *l = (struct listener){.fd = fd};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int listener_own(struct listener *l) {
    struct sockaddr_un address = {0};
    socklen_t n = sizeof(address);
    struct stat st;

    if (getsockname(l->fd, (struct sockaddr *)&address, &n) < 0 || address.sun_path[0] == '\0')
        return 0;
    l->path = strndup(address.sun_path, sizeof(address.sun_path));
    if (!l->path)
        return -ENOMEM;
    if (lstat(l->path, &st) == 0) {
        l->device = st.st_dev;
        l->inode = st.st_ino;
    }
    return 0;
}

/* by an fd, so that nothing but our socket is changed, whatever stands at its path by now */
static int listener_permit_fd(const struct listener *l, int fd,
                              const struct listener_permit *permit, int *reterr_errno) {
    char path[64];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return listener_fail(reterr_errno);
    if (st.st_dev != l->device || st.st_ino != l->inode)
        return LISTENER_E_IN_USE;
    if ((permit->uid != (uid_t)-1 || permit->gid != (gid_t)-1) &&
        fchownat(fd, "", permit->uid, permit->gid, AT_EMPTY_PATH) < 0)
        return listener_fail(reterr_errno);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fchmod() refuses O_PATH */
    return chmod(path, permit->mode) < 0 ? listener_fail(reterr_errno) : 0;
}

int listener_set_permit(struct listener *l, const struct listener_permit *permit,
                        int *reterr_errno) {
    int fd = open(l->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (fd < 0)
        return listener_fail(reterr_errno);
    r = listener_permit_fd(l, fd, permit, reterr_errno);
    close(fd);
    return r;
}

static void listener_on_poll(uv_poll_t *handle, int status, int events);

static void listener_on_retry(uv_timer_t *timer) {
    struct listener *l = container_of(timer, struct listener, retry);

    if (!l->is_paused)
        uv_poll_start(&l->poll, UV_READABLE, listener_on_poll);
}

/* The client that could not be accepted stays in the queue, so the socket stays readable: only time helps. */
static void listener_starve(struct listener *l, int error) {
    if (!l->is_starved)
        log_write(l->log, LOG_LEVEL_WARNING, "cannot accept clients for now",
                  LOG_STRING("path", l->path), LOG_STRING("reason", strerror(error)));
    l->is_starved = true;
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->retry, listener_on_retry, LISTENER_RETRY_MS, 0);
}

/*
 * A client that had the last fd would wait for one more, and with it all who
 * came before it, if they did the same.  So none is let in without room for two.
 */
static int listener_accept_fd(struct listener *l) {
    int spare = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    int fd, error;

    if (spare < 0)
        return -1;
    fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    error = errno;
    close(spare);
    errno = error;
    return fd;
}

/* Return: may there be more? */
static bool listener_accept(struct listener *l) {
    int fd = listener_accept_fd(l);

    if (fd >= 0) {
        l->accepted(l, fd);
        return l->fd >= 0; /* the callee may have closed us */
    }
    switch (errno) {
    case EINTR:
    case ECONNABORTED:
        return true;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        listener_starve(l, errno);
        return false;
    default: /* EAGAIN: no more.  Not before that is the shortage over: one fd may come free, and be too few. */
        l->is_starved = false;
        return false;
    }
}

static void listener_on_poll(uv_poll_t *handle, int status, int events) {
    struct listener *l = container_of(handle, struct listener, poll);

    (void)events;
    if (status < 0) { /* no known way leads here; it must not become a loop */
        listener_starve(l, -status);
        return;
    }
    /* mostly there is one, and if not, we are told again; but only after the last a shortage is over */
    for (int i = 0; i < LISTENER_MAX_ACCEPTS && !l->is_paused && listener_accept(l); i++)
        if (!l->is_starved)
            break;
}

/*
 * Accepted sockets inherit these, systemd sets the first on request, and each
 * makes MSG_CTRUNC say more than conn.c asks it (are there fds?).
 */
static void listener_ask_fds_only(int fd) {
    static const int options[] = {SO_PASSCRED, SO_PASSSEC};

    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        setsockopt(fd, SOL_SOCKET, options[i], &(int){0}, sizeof(int));
}

int listener_start(struct listener *l, uv_loop_t *loop, const struct log *log,
                   listener_accepted_fn accepted) {
    int r;

    assert(l->fd >= 0); /* listener_bind() came before */
    l->log = log;
    l->accepted = accepted;
    listener_ask_fds_only(l->fd);
    r = uv_poll_init(loop, &l->poll, l->fd);
    if (r < 0)
        return r;
    uv_timer_init(loop, &l->retry);
    l->n_open = 2;
    return uv_poll_start(&l->poll, UV_READABLE, listener_on_poll);
}

/* ---- its place ---- */

void listener_pause(struct listener *l) {
    l->is_paused = true;
    uv_poll_stop(&l->poll);
    uv_timer_stop(&l->retry);
}

void listener_resume(struct listener *l) {
    if (!l->is_paused)
        return;
    l->is_paused = false;
    uv_poll_start(&l->poll, UV_READABLE, listener_on_poll);
}

enum listener_place listener_look(const struct listener *l) {
    struct stat st;

    if (!l->path)
        return LISTENER_AT_HOME;
    if (lstat(l->path, &st) < 0)
        return errno == ENOENT ? LISTENER_GONE : LISTENER_REPLACED;
    return st.st_dev == l->device && st.st_ino == l->inode ? LISTENER_AT_HOME : LISTENER_REPLACED;
}

void listener_accept_all(struct listener *l) {
    /* who waits in a socket that goes is let in, be they too many */
    while (listener_accept(l))
        continue;
}

int listener_restore(struct listener *l, const struct listener_permit *permit, int *reterr_errno) {
    struct listener made;
    int r;

    r = listener_bind(&made, l->path, reterr_errno);
    if (r == 0 && permit)
        r = listener_set_permit(&made, permit, reterr_errno);
    if (r) {
        listener_close(&made, NULL);
        return r;
    }
    listener_accept_all(l);
    /* the new one gets the old one's number, so that the loop's handle can stay */
    uv_poll_stop(&l->poll);
    dup3(made.fd, l->fd, O_CLOEXEC);
    close(made.fd);
    free(made.path);
    l->device = made.device;
    l->inode = made.inode;
    if (!l->is_paused)
        uv_poll_start(&l->poll, UV_READABLE, listener_on_poll);
    return 0;
}

int listener_move(struct listener *l, const char *path) {
    char *moved = strdup(path);

    if (!moved)
        return -ENOMEM;
    free(l->path);
    l->path = moved;
    return 0;
}

bool listener_is_held(const char *path) {
    struct sockaddr_un address;
    struct stat st;
    int error;

    return address_from_path(path, &address) == 0 && lstat(path, &st) == 0 &&
           S_ISSOCK(st.st_mode) && listener_probe(&address, &error) != 0;
}

static void listener_unlink(struct listener *l) {
    if (listener_look(l) == LISTENER_AT_HOME)
        unlink(l->path);
}

static void listener_finish(struct listener *l) {
    if (l->closed)
        l->closed(l);
}

static void listener_on_poll_closed(uv_handle_t *handle) {
    struct listener *l = container_of((uv_poll_t *)handle, struct listener, poll);

    if (--l->n_open == 0)
        listener_finish(l);
}

static void listener_on_retry_closed(uv_handle_t *handle) {
    struct listener *l = container_of((uv_timer_t *)handle, struct listener, retry);

    if (--l->n_open == 0)
        listener_finish(l);
}

void listener_close(struct listener *l, listener_closed_fn closed) {
    l->closed = closed;
    if (l->path)
        listener_unlink(l);
    free(steal(l->path));
    if (l->n_open > 0) {
        uv_close((uv_handle_t *)&l->poll, listener_on_poll_closed);
        uv_close((uv_handle_t *)&l->retry, listener_on_retry_closed);
    }
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    if (l->n_open == 0)
        listener_finish(l);
}

const char *listener_explain(int outcome, int error) {
    switch (outcome) {
    case LISTENER_E_EMPTY_PATH:
        return "the path is empty";
    case LISTENER_E_LONG_PATH:
        return "the path is longer than the 107 bytes of a socket address; choose a shorter one";
    case LISTENER_E_IN_USE:
        return "another process uses this socket; stop it, or choose another path";
    case LISTENER_E_NO_SOCKET:
        return "there is a file that is no socket; move it away, or choose another path";
    default:
        return strerror(error);
    }
}
