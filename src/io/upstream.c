#include "io/upstream.h"

#include <errno.h>

#include "io/address.h"

int upstream_open(int *ret_fd) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int upstream_connect(int fd, const char *path, int *reterr_errno) {
    struct sockaddr_un address;

    if (address_from_path(path, &address)) {
        *reterr_errno = ENAMETOOLONG;
        return UPSTREAM_E_FAILED;
    }
    /* a unix socket is connected at once or not at all: there is no EINPROGRESS to wait for */
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    /* EAGAIN: the backlog is full; QEMU's holds one or two */
    if (errno == EAGAIN || errno == EINTR)
        return UPSTREAM_E_BUSY;
    *reterr_errno = errno;
    return UPSTREAM_E_FAILED;
}
