#pragma once

/*
 * Examples: is what stands under "examples" of a rule made as examples are?
 * Whether they come true is proxy/example.h's business.
 */

#include "json/diag.h"
#include "json/value.h"

enum {
    _EXAMPLES_E_SUCCESS,
    EXAMPLES_E_INVALID, /* diagnostics were added */
};

/* Return: 0, EXAMPLES_E_INVALID */
int examples_check(const struct json *value, const struct diag_source *source,
                   struct diag_set *diags);
