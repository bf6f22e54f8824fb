#pragma once

/*
 * Uses: which commands, arguments and words a client really said, and which
 * events came to it, counted from its messages.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "qmp/message.h"
#include "rule/gap.h"

enum { USES_MAX = 1 << 16 }; /* different ones; what comes later is not counted */

struct uses {
    struct arena arena;
    struct use *table; /* a hash table, half empty at least */
    size_t n, max;
};

void uses_init(struct uses *u);
void uses_deinit(struct uses *u);

/* a command of the client or an event that it got; others are left alone.  Return: 0 or -ENOMEM */
int uses_add(struct uses *u, const struct message *m);

/*
 * uses_count() - how often did the client do what it cannot do across this gap?
 * What is missed in a reply counts as often as the command.
 */
size_t uses_count(const struct uses *u, const struct gap *gap);
