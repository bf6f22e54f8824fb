#pragma once

/*
 * Loading: the text of a rule file to struct rule_file, with diagnostics for
 * everything that is wrong in it.  Which rules then apply is program.h's
 * business.
 */

#include "base/arena.h"
#include "json/diag.h"
#include "rule/rule.h"

enum {
    _LOAD_E_SUCCESS,
    LOAD_E_INVALID, /* diagnostics were added */
};

/*
 * load_file()
 * @source: path and text; must stay as long as the file
 *
 * Return: 0, -ENOMEM, LOAD_E_INVALID (@ret_file then holds what could be read).
 */
int load_file(struct arena *arena, const struct diag_source *source, struct rule_file *ret_file,
              struct diag_set *diags);
