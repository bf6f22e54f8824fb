#pragma once

/*
 * What the session targets play with: rules, each kind of exchange once, and
 * the words of good peers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "proxy/session.h"
#include "rule/program.h"

/* rule files, each whole */
extern const char session_rules_exchanges[], session_rules_second[], session_rules_policy[],
    session_rules_newest[];

struct session_rules {
    const char *text[2];
    enum dialect client;
    const char *const *allowed; /* what a server may hear; NULL: anything */
    bool no_probe;
    bool is_newest;
    struct program *program;
};

/* Return: the one that @index chooses, 0: no rules; loaded once and kept */
const struct session_rules *session_rules_get(uint8_t index);

const char *session_rules_command(const struct session_rules *r, size_t which);
const char *session_rules_event(const struct session_rules *r, size_t which);

/* a good server's answer to @name, of several kinds.  Return: NULL when it has none of its own */
const char *session_rules_reply(const struct session_rules *r, const char *name, size_t which);

/* what either may say that keeps to no protocol.  Return: from whom */
enum side session_rules_phrase(size_t which, const char **ret_text);
