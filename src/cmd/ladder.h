#pragma once

/*
 * Ladder: a dialogue drawn on stdout, for a terminal or a file of plain text:
 * a line a message, and below it what became different.
 */

#include <stdbool.h>
#include "cmd/dialogue.h"

struct ladder {
    bool is_full;    /* whole messages, and all of their changes */
    bool is_colour;  /* for a terminal */
    bool is_starved; /* memory ran out: not all was drawn */
};

void ladder_head(void);
void ladder_line(struct ladder *s, const struct dialogue_line *l);
