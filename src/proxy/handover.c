#include "proxy/handover.h"

#include <errno.h>

bool handover_is_wanted(const struct session *s) {
    return s->program && program_has_fds(s->program);
}

/* QEMU takes the first of the newest batch (tcp_get_msgfds), and so do the rules */
static int newest(const struct rides *rides) {
    for (size_t i = rides->n; i > 0; i--)
        if (rides->ride[i - 1].fds.n > 0)
            return rides->ride[i - 1].fds.fd[0];
    return -1;
}

int handover_note(struct session *s, struct task *t) {
    struct fdlook_wish same = {.access = FDLOOK_ANY};
    int fd = newest(&t->rides), copy;

    if (fd < 0 || !handover_is_wanted(s))
        return 0;
    if (fdlook_copy(fd, &same, &copy))
        return 0; /* too many open files: as if none had come */
    return fdtable_add_take(&s->engine.fds, copy, &t->exchange->fd);
}

int handover_give(struct session *s, struct task *t, const struct engine_fd *fd) {
    struct fds fds = FDS_INIT;
    int copy, r;

    if (fdlook_copy(fd->entry->fd, &fd->wish, &copy))
        return HANDOVER_E_REFUSED;
    r = fds_push_take(&fds, copy);
    if (r < 0)
        return r;
    rides_deinit(&t->rides);
    r = rides_add_take(&t->rides, 0, &fds);
    if (r < 0)
        return r;
    if (!t->exchange->fd)
        t->exchange->fd = fdtable_ref(fd->entry);
    if (s->is_oob && !s->fd_wait)
        s->fd_wait = t; /* QEMU reads ahead then: the next fd would push this one out */
    return 0;
}
