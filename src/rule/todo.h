#pragma once

/*
 * TODO: the word by which an author marks, in a comment of a rule file, what
 * is still to be decided.  A rule with one in it is not finished.
 */

#include "json/diag.h"
#include "rule/rule.h"

/* note each one as a finding, and the first of each rule in the rule */
void todo_find(struct rule_file *file, struct diag_set *diags);
