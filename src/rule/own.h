#pragma once

/*
 * Messages of the shim's own: the commands and events that a rule orders
 * beside the message it applies to.  They stand in x->own until somebody
 * sends them.  Private to the engine.
 */

#include "rule/engine.h"

/* what @a's rule orders when all went well.  Return: 0 or -ENOMEM */
int own_order(struct exchange *x, const struct applied *a);

/* the commands that follow the reply whatever it says.  Return: 0 or -ENOMEM */
int own_order_finally(struct exchange *x, const struct applied *a);
