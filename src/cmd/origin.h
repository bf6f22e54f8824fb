#pragma once

/*
 * Origin: a server as an operator names it: the socket of one that is alive,
 * a file or folder with what one said, or a version that is installed; and
 * what it has.
 */

#include <stdbool.h>
#include "base/arena.h"
#include "rule/schema.h"
#include "rule/version.h"

struct origin {
    const char *name; /* as given */
    bool has_version; /* not so when nothing tells */
    struct version version;
    struct schema schema; /* of a server that tells its commands only: those, without types */
};

enum {
    _ORIGIN_E_SUCCESS,
    ORIGIN_E_FAILED, /* why was said on stderr */
};

/*
 * origin_read()
 * @name: a version, as 7.2; a socket; a reply to query-qmp-schema or
 *        query-commands; or a folder with such as query-qmp-schema.json or
 *        query-commands.json, and perhaps greeting.json
 * @ret:  lives in @arena
 *
 * Return: 0, -ENOMEM, ORIGIN_E_FAILED
 */
int origin_read(struct arena *arena, const char *name, struct origin *ret);
