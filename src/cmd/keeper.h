#pragma once

/*
 * Keeper: where there is no service manager, a process that starts a relay,
 * keeps the file descriptors that it stores (io/fdstore.h), and starts it
 * again with them when it ends otherwise than by itself.  It reads no
 * message.
 */

#include <stddef.h>

enum { KEEPER_FIRST_FD = 3 };

struct keeper_relay {
    const char *const *words; /* its command line, without the program; NULL-terminated */
    size_t n_fds;             /* its own, at KEEPER_FIRST_FD and up */
    const char *fd_names;     /* theirs, with colons between */
    size_t room;              /* fds that it may store */
};

/* until the relay ends by itself, or never began.  Never returns */
void keeper_run(const struct keeper_relay *r) __attribute__((__noreturn__));
