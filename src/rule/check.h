#pragma once

/*
 * Check: what is wrong with rules that can be read, beyond what load.h finds
 * in each of them alone.  Findings of level error keep a program from being
 * made.
 *
 *   direction.h  a variable is written that nothing binds
 *   overlap.h    two rules of a file match the same message
 *   here         maps that cannot be inverted, defaults that do not fit,
 *                tables that nothing fills
 */

#include <stddef.h>
#include "json/diag.h"
#include "rule/rule.h"

/*
 * check_file() - one file
 * @file: as loaded; rules that could not be read are not among its
 *
 * Return: 0 or -ENOMEM; findings are added to @diags
 */
int check_file(const struct rule_file *file, struct diag_set *diags);

/* what the files of a program need of each other: tables that nothing fills */
void check_together(const struct rule_file *files, size_t n_files, struct diag_set *diags);
