#pragma once

/*
 * Digest: what a dialogue comes to: counts, the longest waits, which rules
 * did something and which did not.  It only counts; what is made of it is the
 * caller's business.  However long the dialogue, it stays small.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cmd/dialogue.h"

enum {
    DIGEST_MAX_NAMES = 10000, /* of rules, and of messages; more are counted and not named */
    DIGEST_MAX_HOLDS = 10,
    DIGEST_MAX_SESSIONS = 1000, /* that are named */
};

struct digest_name {
    char *text;       /* NULL: an empty place */
    const char *what; /* a word of ours, which tells two of the same name apart; NULL: none */
    uint64_t n;
};

/* names and how often each was counted */
struct digest_names {
    struct digest_name *place; /* n_places, a power of 2, never full */
    size_t n_places, n, n_lost;
};

struct digest_hold {
    char *name;
    uint64_t ms;
    size_t index; /* as it was given */
};

struct digest {
    uint64_t n_from[2]; /* messages, by enum side */
    uint64_t n_passed, n_rewritten, n_dropped, n_answered, n_asked, n_emitted;
    uint64_t n_held, n_failed, n_errors;
    int64_t first_us, last_us;
    uint64_t sessions[DIGEST_MAX_SESSIONS];
    size_t n_sessions, n_sessions_lost;
    struct digest_names active;  /* rules that were chosen for some session */
    struct digest_names used;    /* rules that had to do with some message */
    struct digest_names strange; /* what the server said and the client did not get as it was */
    struct digest_hold holds[DIGEST_MAX_HOLDS]; /* the longest first */
    size_t n_holds;
};

/* one that is all zero is empty */
void digest_deinit(struct digest *d);

/*
 * digest_add()
 * @index: told back in holds
 *
 * Return: 0 or -ENOMEM
 */
int digest_add(struct digest *d, const struct dialogue_line *line, size_t index);

/* how often was it counted?  0: never */
uint64_t digest_count(const struct digest_names *names, const char *text);
