#pragma once

/*
 * Rules that do no more than rewrite one command and its reply, each by what
 * its pictures show: many do, and then plans (plan.h) do it, without an
 * exchange.  The engine comes to the same by its own way, and can take over
 * when the reply comes.
 */

#include "rule/engine.h"
#include "rule/plan.h"

struct shortcut {
    const struct rule *rule;
    const char *from, *to; /* the command's name as the client and as the server knows it */
    size_t n_from, n_to;
    const struct plan *command;
    const struct plan *reply; /* of a return; NULL: it passes */
    bool wants_reply;         /* the reply must be seen */
};

/*
 * shortcut_make() - for @rule, whose pictures of @client show what the client says
 * @ret_shortcut: NULL: it takes the engine
 *
 * Return: 0 or -ENOMEM.
 */
int shortcut_make(struct arena *arena, const struct rule *rule, enum vars_side client,
                  const struct shortcut **ret_shortcut);

/*
 * shortcut_find() - what the rules that work make of a command of the client's
 * @name: as it stands between its quotes; without escapes
 *
 * Return: NULL when it takes the engine to tell, or there is nothing to be done.
 */
const struct shortcut *shortcut_find(const struct engine *e, const char *name, size_t n_name);
