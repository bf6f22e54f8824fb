#pragma once

/*
 * Rerun: recorded sessions played again through other rules.  What came comes
 * again, each byte at its time on a clock of its own.  A reply of the server
 * goes to the command that it was for, whatever that is called now; to what
 * the shim asks only now there is no reply, and it gets an error.  What is
 * sent now is compared with what was sent then.  Reading the trace and
 * printing what differs is the caller's business.
 */

#include <stddef.h>
#include <stdint.h>
#include "proxy/record.h"
#include "rule/program.h"

struct rerun;

struct rerun_difference {
    uint64_t session;
    uint64_t ms;            /* since the session began */
    int side;               /* enum side: who gets it */
    const char *then, *now; /* what was sent and what would be; NULL: nothing */
};

typedef void (*rerun_fn)(void *userdata, const struct rerun_difference *d);

struct rerun_counts {
    size_t n_played, n_differences;
    size_t n_skipped; /* sessions that began before the trace does */
    size_t n_blanked; /* messages that cannot be played: their text was not recorded */
};

/*
 * rerun_new()
 * @program: NULL: no rules
 * @session: only this one; 0: all
 *
 * Return: 0 or -ENOMEM
 */
int rerun_new(struct program *program, uint64_t session, rerun_fn fn, void *userdata,
              struct rerun **ret);
struct rerun *rerun_free(struct rerun *rerun);

/* the next record of the trace.  Return: 0 or negative */
int rerun_add(struct rerun *rerun, const struct record *r);

/* sessions that were still being recorded end here.  Return: 0 or negative */
int rerun_finish(struct rerun *rerun);

struct rerun_counts rerun_counts(const struct rerun *rerun);

/* how many fds these kinds are, as a record has them */
size_t rerun_count_fds(const char *kinds);
