#pragma once

/*
 * Replies of which a rule shows several kinds: pairs, of which the first one
 * applies that the server's reply fits and the client's can be made of.
 * Private to the engine.
 */

#include "rule/engine.h"

/* Return: 0: @text is the reply for the client; MATCH_E_NO: none of them applies; -ENOMEM */
int replies_apply(struct exchange *x, const struct applied *a, struct buffer *text);
