#pragma once

/* "replies" of a rule: what a reply may look like, one after the other.  Private to load*.c. */

#include "rule/load_parts.h"

/* Return: 0 or -ENOMEM; findings are told */
int load_replies(struct load *l, struct pattern_compiler *c, const struct json *value,
                 struct rule *rule);

/* do they go together with the rest of the rule?  Findings are told */
void load_check_replies(struct load *l, const struct json *value, const struct rule *rule);
