#pragma once

/*
 * Pager: what a command prints on a terminal goes through a program that
 * shows it page by page, as the environment says: $QMP_SHIM_PAGER, $PAGER,
 * else less.  It is a shell's command; empty or "cat" means none.
 */

#include <stdbool.h>
#include <sys/types.h>

struct pager {
    pid_t pid; /* 0: there is none */
};

/*
 * pager_start() - from now on stdout goes there, if it is a terminal
 * What cannot be started is as if there were none.
 */
void pager_start(struct pager *p);

/* let it show the rest, and wait until it has been left */
void pager_end(struct pager *p);
