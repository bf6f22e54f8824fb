/*
 * A kernel in a bad mood, for LD_PRELOAD: reads and writes of sockets that are
 * short, interrupted or not possible just now, and an accept() that finds no
 * room.  All of it is allowed by POSIX, at any time.  Since the true kernel has
 * told of what is taken back here and tells once only (EPOLLET), it is made to
 * tell again and again.
 *
 *   FAULTY_SEED=N    other faults, the same every time
 *   FAULTY_BYTES=N   no read or write has more (default: any number)
 */

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* these are what libc has */
int epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event);
ssize_t send(int fd, const void *text, size_t n, int flags);
ssize_t recvmsg(int fd, struct msghdr *m, int flags);
ssize_t sendmsg(int fd, const struct msghdr *m, int flags);
int accept4(int fd, struct sockaddr *address, socklen_t *n, int flags);

static uint32_t number(const char *name) {
    const char *text = getenv(name);

    return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static uint32_t next_random(void) {
    static uint32_t state;

    if (!state)
        state = number("FAULTY_SEED") * 2654435761u + 1;
    state = state * 1664525 + 1013904223;
    return state >> 8;
}

/* Return: whether the call fails, with errno set */
static int fails(const int *errors, size_t n) {
    uint32_t dice = next_random() % 16;

    if (dice >= n)
        return 0;
    errno = errors[dice];
    return 1;
}

/* the first piece alone, and not all of it */
static struct iovec shortened(const struct msghdr *m) {
    struct iovec iov = m->msg_iov[0];
    size_t max = number("FAULTY_BYTES");

    if (!max)
        max = next_random() % 3 ? SIZE_MAX : 1 + next_random() % 7;
    iov.iov_len = iov.iov_len < max ? iov.iov_len : max;
    return iov;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
    static const int errors[] = {EINTR, EAGAIN, EINTR};
    ssize_t (*real)(int, struct msghdr *, int) =
        (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    struct iovec *all = m->msg_iov, iov = shortened(m);
    ssize_t n;

    if (fails(errors, sizeof(errors) / sizeof(errors[0])))
        return -1;
    m->msg_iov = &iov;
    n = real(fd, m, flags);
    m->msg_iov = all;
    return n;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
    static const int errors[] = {EINTR, EINTR, EINTR};
    ssize_t (*real)(int, const struct msghdr *, int) =
        (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    struct msghdr other = *m;
    struct iovec iov = shortened(m);

    if (fails(errors, sizeof(errors) / sizeof(errors[0])))
        return -1;
    other.msg_iov = &iov;
    other.msg_iovlen = 1;
    return real(fd, &other, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *n, int flags) {
    static const int errors[] = {EMFILE, EINTR, ECONNABORTED, ENFILE, ENOBUFS, EAGAIN};
    int (*real)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");

    return fails(errors, sizeof(errors) / sizeof(errors[0])) ? -1 : real(fd, address, n, flags);
}

ssize_t send(int fd, const void *text, size_t n, int flags) {
    struct iovec iov = {.iov_base = (void *)text, .iov_len = n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    return sendmsg(fd, &m, flags);
}

int epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event) {
    int (*real)(int, int, int, struct epoll_event *) =
        (int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_NEXT, "epoll_ctl");
    struct epoll_event other;

    if (!event)
        return real(epoll_fd, what, fd, event);
    other = *event;
    other.events &= ~(uint32_t)EPOLLET;
    return real(epoll_fd, what, fd, &other);
}
