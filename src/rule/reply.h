#pragma once

/*
 * Replies: the half of the engine that brings the answer to a command back
 * through the rules the command went through.  Private to engine.c and
 * reply.c.
 */

#include "rule/engine.h"

/* Return: the rule file at @hop */
const struct rule_file *reply_file_at(const struct engine *e, size_t hop);

/* note that a rule could not finish */
void reply_fail(struct exchange *x, const struct rule *rule, const char *why);

/* x->reply goes back from @hop down to x->first_hop.  Return: 0 or -ENOMEM */
int reply_back(struct exchange *x, size_t hop);

/* x->reply becomes what @a's client side shows, without asking the server.  Return: 0 or -ENOMEM */
int reply_local(struct exchange *x, const struct applied *a);

/* x->reply becomes an error of the shim's own: the command is not let through.  Return: 0 or -ENOMEM */
int reply_refuse(struct exchange *x);

/* x->reply becomes an error of the shim's own: the server did not answer.  Return: 0 or -ENOMEM */
int reply_timeout(struct exchange *x);

/* is @event, at the hop it is at, what @waiting waits for?  Return: 0 or -ENOMEM */
int reply_look_for_until(struct exchange *waiting, struct exchange *event);
