#pragma once

/*
 * Overlap: rules of one file that match the same message.  In a file the
 * first rule that matches is the only one that applies, so a later one may
 * never be reached, or the order alone decides between two.
 */

#include "base/arena.h"
#include "json/diag.h"
#include "rule/rule.h"

/*
 * overlap_check() - find the rules of a file that stand in each other's way
 * @arena: for the time of the call and longer; nothing of it is kept
 *
 * What cannot be decided from the patterns alone (two texts with captures,
 * two globs) is taken to be apart: a finding is certain.
 *
 * Return: 0 or -ENOMEM.
 */
int overlap_check(struct arena *arena, const struct rule_file *file, struct diag_set *diags);
