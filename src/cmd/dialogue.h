#pragma once

/*
 * Dialogue: a trace as the messages that were exchanged, in the order in which
 * they went on, each reply with the command that it is for.  How they are
 * drawn is the caller's business.
 */

#include <stdbool.h>
#include <stdint.h>
#include "proxy/exchanges.h"

/* what is wanted; NULL, 0 and false: all */
struct dialogue_filter {
    uint64_t session;
    const char *command, *event, *rule;
    bool is_changed, is_failed;
};

struct dialogue_line {
    const struct exchanged *x;
    uint64_t ms;      /* when it came, since the session began */
    int from;         /* enum side: who would say such a thing, also when it is the shim's own */
    const char *text; /* of the message: as it came, or what the shim made; never NULL */
    const char *call; /* the command that this is the reply to; NULL: none, or not known */
    bool is_wanted;
};

/* Return: 0; what is not ends it */
typedef int (*dialogue_fn)(void *userdata, const struct dialogue_line *line);

enum {
    _DIALOGUE_E_SUCCESS,
    DIALOGUE_E_FAILED, /* what is wrong was said on stderr */
};

/*
 * dialogue_read() - tell all that is in a trace
 * @path: - is the standard input
 *
 * Return: 0, -ENOMEM, DIALOGUE_E_FAILED
 */
int dialogue_read(const char *path, const struct dialogue_filter *filter, dialogue_fn tell,
                  void *userdata);
