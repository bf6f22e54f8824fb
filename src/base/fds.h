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

/* close them all; the set is empty afterwards */
void fds_deinit(struct fds *f);

/* Return: 0 or -ENOMEM; on failure @fd is closed */
int fds_push_take(struct fds *f, int fd);

/* @from replaces what @f held (which is closed), as a newer batch does in QEMU (tcp_chr_recv) */
void fds_replace_take(struct fds *f, struct fds *from);

/* Return: the set; @f is empty afterwards */
struct fds fds_steal(struct fds *f);

static inline bool fds_is_empty(const struct fds *f) {
    return f->n == 0;
}
