#pragma once

/*
 * Changes: what is different between a message and what it became, member by
 * member.  How that is drawn is the caller's business.
 */

#include "json/value.h"

struct change {
    const char
        *path; /* the names of the members, dots between; not decoded further than JSON does */
    const struct json *was, *is; /* NULL: there was none; there is none any more */
};

typedef void (*changes_fn)(void *userdata, const struct change *c);

/*
 * changes_find() - from the whole of two messages
 * Their ids are left out: what the shim puts there is its own business.  What
 * is no JSON has no changes.
 *
 * Return: 0 or -ENOMEM
 */
int changes_find(const char *was, const char *is, changes_fn tell, void *userdata);
