#pragma once

/*
 * What rules remember, recall and forget, in terms of their pictures.  Where
 * it is kept is facts.h's business.  Private to the engine.
 */

#include "rule/engine.h"

/* keep and drop what @rule says, as far as its variables are bound.  Return: 0 or -ENOMEM */
int memory_remember(struct exchange *x, const struct rule *rule, const struct bindings *b);

/* bind what x->rule recalls; it gives way to what an answer says later.  Return: 0 or -ENOMEM */
int memory_recall(struct exchange *x);
