#pragma once

/*
 * Tally: what has happened since the start, for those who look from outside.
 * Sessions count for themselves (proxy/session.h); here is the sum of those
 * that are over, and what no session knows.
 */

#include <stddef.h>
#include <stdint.h>
#include "proxy/session.h"

struct tally_rule {
    char *name;
    uint64_t n_failed;
};

struct tally {
    uint64_t n_sessions; /* that have begun */
    uint64_t n_refused;  /* clients that may not connect */
    uint64_t n_reloads, n_failed_reloads;
    struct session_stats ended; /* the sum of the sessions that are over */
    struct tally_rule *rules;   /* that failed, by the order of their first failures */
    size_t n_rules;
};

#define TALLY_INIT                                                                                 \
    { 0 }

void tally_deinit(struct tally *t);

/* @sum becomes larger by @more */
void tally_add(struct session_stats *sum, const struct session_stats *more);

/* A rule could not finish.  Out of memory, a rule that never failed before is not counted. */
void tally_note_failure(struct tally *t, const char *rule);
