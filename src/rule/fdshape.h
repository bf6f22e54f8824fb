#pragma once

/*
 * What a picture may say of a file descriptor, checked when it is loaded.
 * What it then means is fdpicture.h's business.
 */

#include "json/diag.h"
#include "rule/rule.h"

/* "fd" of a picture, compiled to @ret.  Return: 0, -ENOMEM, PATTERN_E_INVALID */
int fdshape_compile(struct pattern_compiler *c, const struct json *value, struct pattern *ret);

/* can @p, of a picture that is sent, tell which one goes with it?  If not, a finding is added */
bool fdshape_is_sent(const struct pattern *p, const struct diag_source *source,
                     struct diag_set *diags);
