#pragma once

/*
 * Schemas of several versions in one file, as scripts/make-schemas writes it:
 * an entry that versions have in common stands there once.
 */

#include "base/arena.h"
#include "rule/schema.h"
#include "rule/version.h"

enum {
    _SCHEMAS_E_SUCCESS,
    SCHEMAS_E_INVALID, /* this is no such file */
    SCHEMAS_E_UNKNOWN, /* it has not got this version */
};

/*
 * schemas_find()
 * @file: as read
 * @ret:  lives in @arena and points into @file
 *
 * Return: 0, -ENOMEM, SCHEMAS_E_….
 */
int schemas_find(struct arena *arena, const struct json *file, struct version version,
                 struct schema *ret);

/* Return: the versions it has, a list of strings; NULL when this is no such file */
const struct json *schemas_versions(const struct json *file);
