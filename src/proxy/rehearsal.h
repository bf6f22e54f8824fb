#pragma once

/*
 * Rehearsal: one side of a recorded session, played to a peer that is alive.
 * What the recorded side said is said again once all that it had heard by
 * then has come; what comes is compared with what came then.  Sockets, time
 * and the reading of the trace are the caller's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "proxy/record.h"

enum {
    REHEARSAL_AHEAD = 256,      /* lines that are wanted ahead of what is said next */
    REHEARSAL_MAX_LINES = 4096, /* and that are kept at most */
};

struct rehearsal;

struct rehearsal_difference {
    uint64_t ms;       /* since the recorded session began */
    const char *then;  /* what came; NULL: nothing */
    const char *now;   /* what comes; NULL: nothing */
    const char *where; /* as return.status; "": all of it */
};

typedef void (*rehearsal_fn)(void *userdata, const struct rehearsal_difference *d);

/*
 * rehearsal_new()
 * @played:   enum side: who is played; the other one is alive
 * @is_shape: only members and types are compared, not values
 * @start_ms: when the recorded session began
 *
 * Return: 0 or -ENOMEM
 */
int rehearsal_new(int played, bool is_shape, uint64_t start_ms, rehearsal_fn tell, void *userdata,
                  struct rehearsal **ret);
struct rehearsal *rehearsal_free(struct rehearsal *r);

/* the session's next record.  Return: 0 or -ENOMEM */
int rehearsal_add(struct rehearsal *r, const struct record *record);

/* are more records wanted, if there are any? */
bool rehearsal_is_hungry(const struct rehearsal *r);

enum {
    _REHEARSAL_E_SUCCESS,
    REHEARSAL_E_WAIT, /* something must come first */
    REHEARSAL_E_END,  /* it is time to send no more */
    REHEARSAL_E_OVER, /* nothing is left */
};

/*
 * rehearsal_next() - what is to be said now
 * @b:         the bytes are appended
 * @ret_n_fds: that go with the first of them
 *
 * Return: 0, -ENOMEM, REHEARSAL_E_….
 */
int rehearsal_next(struct rehearsal *r, struct buffer *b, size_t *ret_n_fds);

/*
 * rehearsal_hear() - a whole message came
 * @answer: what must be said to it at once is appended: a command that the
 *          trace has no answer to gets an error
 *
 * Return: 0 or -ENOMEM
 */
int rehearsal_hear(struct rehearsal *r, const char *text, size_t n, struct buffer *answer);

/* what is waited for does not come in time, or never: it is told, and waited for no longer */
void rehearsal_give_up(struct rehearsal *r);

size_t rehearsal_n_differences(const struct rehearsal *r);
size_t rehearsal_n_same(const struct rehearsal *r);
