#pragma once

/*
 * Checkpoint: what a session at rest is, so that another process can go on
 * with it.  At rest nothing is under way: no part of a message, no wait, no
 * byte to be sent.  Most of it is a few numbers, taken after nearly every
 * message; the rest is large and seldom changes.
 *
 * The rules are not in it: whoever restores a session gives it the very ones
 * it had.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "proxy/session.h"

/*
 * Numbers are known by their place, to older and newer versions of this
 * program, too: new ones go to the end, and none goes away.
 */
enum checkpoint_number {
    CHECKPOINT_CLIENT_MESSAGES,
    CHECKPOINT_SERVER_MESSAGES,
    CHECKPOINT_CLIENT_BYTES,
    CHECKPOINT_SERVER_BYTES,
    CHECKPOINT_REWRITTEN,
    CHECKPOINT_DROPPED,
    CHECKPOINT_ANSWERED,
    CHECKPOINT_ASKED,
    CHECKPOINT_HELD,
    CHECKPOINT_FAILED,
    CHECKPOINT_TIMED_OUT,
    CHECKPOINT_LAST_NUMBER,
    CHECKPOINT_N_SENT,
    CHECKPOINT_N_ANSWERED,
    CHECKPOINT_COMPACT_SENT,
    CHECKPOINT_NEGOTIATION,
    CHECKPOINT_FLAGS,
    CHECKPOINT_LAST_FD,
    _CHECKPOINT_N,
    CHECKPOINT_ROOM = 32, /* for those to come */
};

struct checkpoint {
    uint64_t number[CHECKPOINT_ROOM];
};

/* is nothing under way, and is nothing to be sent? */
bool checkpoint_is_due(const struct session *s);

/* @s must be at rest */
void checkpoint_take(const struct session *s, struct checkpoint *ret);

/* Return: another number whenever what checkpoint_take_large() appends is not the same any more */
uint64_t checkpoint_large_version(const struct session *s);

/* Return: 0 or -ENOMEM; appended to @b */
int checkpoint_take_large(const struct session *s, struct buffer *b);

enum {
    _CHECKPOINT_E_SUCCESS,
    CHECKPOINT_E_INVALID, /* this was not taken of a session with these rules */
};

/*
 * checkpoint_restore() - make a new session what another one was
 * @s: new, with the same rules and limits
 *
 * Return: 0, -ENOMEM, CHECKPOINT_E_INVALID; after the last two it is good for nothing.
 */
int checkpoint_restore(struct session *s, const struct checkpoint *c, const char *large,
                       size_t n_large);

/*
 * checkpoint_renew() - another session in the place of one at rest, which nobody may notice
 * Return: 0, negative (a fault of ours; @session is as it was).
 */
int checkpoint_renew(struct session **session);
