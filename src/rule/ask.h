#pragma once

/*
 * Asks: what a rule wants to know of the server before its message is
 * written, and types that a command's arguments are conformed to.  What is
 * ordered stands in x->ask; who sends it is not known here.  Private to the
 * engine.
 */

#include "rule/engine.h"

/* order @picture to be sent.  Return: 0, -ENOMEM, BUILD_E_UNBOUND */
int ask_order(struct exchange *x, const struct picture *picture);

/* the next of the rule's asks.  Return: 0: it is ordered; 1: there is none left; -ENOMEM */
int ask_next(struct exchange *x);

/* @reply to it binds what it tells; NULL: there was none.  Return: 0 or -ENOMEM */
int ask_take(struct exchange *x, const struct message *reply);

/* Return: 0: the types are asked for; 1: that is not needed; -ENOMEM */
int ask_types(struct exchange *x);

/* @reply to that tells the types; NULL: there was none.  Return: 0 or -ENOMEM */
int ask_take_types(struct exchange *x, const struct message *reply);

/* the command that was written gets those types, as far as they are known.  Return: 0 or -ENOMEM */
int ask_conform(struct exchange *x);
