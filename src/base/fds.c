#include "base/fds.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void fds_close(struct fds *f) {
    for (size_t i = 0; i < f->n; i++)
        close(f->fd[i]);
    free(f->fd);
    *f = (struct fds)FDS_INIT;
}

int fds_push_take(struct fds *f, int fd) {
    int *more = realloc(f->fd, (f->n + 1) * sizeof(*more));

    if (!more) {
        close(fd);
        return -ENOMEM;
    }
    f->fd = more;
    f->fd[f->n++] = fd;
    return 0;
}

void fds_replace_take(struct fds *f, struct fds *from) {
    struct fds taken = fds_steal(from);

    fds_deinit(f);
    *f = taken;
}
