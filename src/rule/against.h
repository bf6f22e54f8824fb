#pragma once

/*
 * Against a server: the commands, events, arguments and members that the
 * rules expect of it, and that its own schema has not got.
 */

#include "json/diag.h"
#include "rule/program.h"
#include "rule/schema.h"
#include "rule/selection.h"

/*
 * against_schema() - judge what the rules that work say of the server's side
 * @selection: which ones, and which side that is
 *
 * What a rule of another file turns into something else on its way to the
 * server is that rule's to answer for.  A name that a rule leaves as it is, and
 * an event that it hides, may be of another version or machine: of these it is
 * told only what looks mistyped, and nothing of what a policy lets pass.
 * Return: 0 or -ENOMEM; findings are added to @diags
 */
int against_schema(const struct selection *selection, const struct schema *schema,
                   struct diag_set *diags);
