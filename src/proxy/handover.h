#pragma once

/*
 * File descriptors of a client that rules hand over: what came with a command
 * is looked at for them, and what they keep goes with another one.  Those
 * that no rule speaks of stay with their bytes (rides.h).
 */

#include "proxy/flow.h"

/* is what comes with a command of interest to rules? */
bool handover_is_wanted(const struct session *s);

/* look at what came with the command of @t.  Return: 0 or -ENOMEM */
int handover_note(struct session *s, struct task *t);

enum {
    _HANDOVER_E_SUCCESS,
    HANDOVER_E_REFUSED, /* the kernel would not give another one */
};

/* @fd goes with the command of @t, in the place of what came with it.  Return: 0, -ENOMEM, HANDOVER_E_REFUSED */
int handover_give(struct session *s, struct task *t, const struct engine_fd *fd);
