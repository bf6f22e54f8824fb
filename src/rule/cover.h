#pragma once

/*
 * Two questions about two patterns: does one match whatever the other does
 * (covers), and is there surely a value that both match (meets)?  What cannot
 * be decided from the patterns alone is answered with no.
 */

#include <stdbool.h>
#include "base/arena.h"
#include "rule/rule.h"

/* a rule above another one, both read on one side */
struct cover_pair {
    struct arena *arena;
    enum vars_side client;
    enum vars_side side; /* that is read */
    const struct rule *above, *below;
    const struct pattern *
        *met;    /* by variable of the rule above: what it met first; NULL: nothing yet */
    bool failed; /* out of memory */
};

/* does @a of the rule above match whatever @b of the one below does? */
bool cover_all(struct cover_pair *pair, const struct pattern *a, const struct pattern *b);

/* is there a value that both match? */
bool cover_meets(struct cover_pair *pair, const struct pattern *a, const struct pattern *b);

/* does a variable of @rule stand twice in @p?  That ties members together, of which cover_meets() knows nothing */
bool cover_has_ties(struct cover_pair *pair, const struct rule *rule, const struct pattern *p);
