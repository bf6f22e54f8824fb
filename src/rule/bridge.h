#pragma once

/*
 * Bridges: does a rule that works between this client and this server see to
 * a gap (gap.h)?  Said from what its pictures mention.
 */

#include "rule/gap.h"
#include "rule/selection.h"

/* Return: the first rule that does; NULL: none */
const struct rule *bridge_find(const struct selection *selection, const struct gap *gap);
