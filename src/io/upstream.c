#include "io/upstream.h"

#include <errno.h>
#include <unistd.h>

#include "io/address.h"

static int upstream_outcome(int error) {
    switch (error) {
    case EAGAIN: /* connect(): the backlog is full; QEMU's holds one or two */
    case EINTR:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return UPSTREAM_E_BUSY;
    default:
        return UPSTREAM_E_FAILED;
    }
}

int upstream_connect(const char *path, int *ret_fd, int *reterr_errno) {
    struct sockaddr_un address;
    int fd;

    if (address_from_path(path, &address)) {
        *reterr_errno = ENAMETOOLONG;
        return UPSTREAM_E_FAILED;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *reterr_errno = errno;
        return upstream_outcome(errno);
    }
    /* a unix socket is connected at once or not at all: there is no EINPROGRESS to wait for */
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        *reterr_errno = errno;
        close(fd);
        return upstream_outcome(*reterr_errno);
    }
    *ret_fd = fd;
    return 0;
}
