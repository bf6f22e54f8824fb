#pragma once

/*
 * Directions: for each kind of client that a rule is for, which pictures are
 * read and which are written, and whether what is written was bound before.
 * Findings only; how messages are read and written is match.h's and
 * build.h's business.
 */

#include <stdbool.h>
#include "base/arena.h"
#include "json/diag.h"
#include "rule/rule.h"

/* is @rule for clients of this side? */
static inline bool direction_has(const struct rule *rule, enum vars_side client) {
    return rule->for_client != (client == VARS_OLD ? RULE_FOR_NEW_CLIENT : RULE_FOR_OLD_CLIENT);
}

static inline enum vars_side direction_other(enum vars_side side) {
    return side == VARS_OLD ? VARS_NEW : VARS_OLD;
}

/*
 * direction_read() - the picture by which a rule is chosen
 * Of a command the client's, of all else the server's.
 * Return: NULL when that side has none: the rule then does nothing for such clients
 */
const struct picture *direction_read(const struct rule *rule, enum vars_side client);

/*
 * direction_check() - find what cannot be written
 * @arena: for the time of the call and longer; nothing of it is kept
 *
 * Return: 0 or -ENOMEM.
 */
int direction_check(struct arena *arena, const struct diag_source *source, const struct rule *rule,
                    struct diag_set *diags);
