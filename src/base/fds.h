#pragma once

/*
 * A set of file descriptors that arrived by one SCM_RIGHTS message and is
 * owned: closed exactly once, here or where it was given to.
 */

#include <stdbool.h>
#include <stddef.h>

struct fds {
    int *fd;
    size_t n;
};

#define FDS_INIT                                                                                   \
    { 0 }

void fds_close(struct fds *f); /* private: there may be some */

/* close them all; the set is empty afterwards */
static inline void fds_deinit(struct fds *f) {
    if (f->fd) /* none came with nearly all that comes */
        fds_close(f);
}

/* Return: 0 or -ENOMEM; on failure @fd is closed */
int fds_push_take(struct fds *f, int fd);

/* @from replaces what @f held (which is closed), as a newer batch does in QEMU (tcp_chr_recv) */
void fds_replace_take(struct fds *f, struct fds *from);

/* Return: the set; @f is empty afterwards */
static inline struct fds fds_steal(struct fds *f) {
    struct fds taken = *f;

    *f = (struct fds)FDS_INIT;
    return taken;
}

static inline bool fds_is_empty(const struct fds *f) {
    return f->n == 0;
}
