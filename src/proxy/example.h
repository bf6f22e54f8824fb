#pragma once

/*
 * Examples: the "examples" of a rule, played over a real session with the
 * rule's file as its program.  Which files and rules there are is the
 * caller's business.
 */

#include "json/diag.h"
#include "rule/program.h"

enum {
    _EXAMPLE_E_SUCCESS,
    EXAMPLE_E_NONE,   /* nothing happens for this kind of client */
    EXAMPLE_E_FAILED, /* a finding tells what came instead */
};

/*
 * example_play() - play one example for the kind of client that the program is for
 * @program: has @rule
 * @example: one of rule->examples
 *
 * Return: 0, -ENOMEM, EXAMPLE_E_….
 */
int example_play(struct program *program, const struct rule *rule, const struct json *example,
                 struct diag_set *diags);
