#pragma once

/*
 * Probe: asks a live server who it is and what it has, over a connection of
 * its own.  Blocks, with a deadline for each answer; for commands that do
 * nothing else meanwhile.
 */

#include "base/arena.h"
#include "json/value.h"
#include "rule/version.h"

struct probe {
    bool has_version;
    struct version version;    /* from its greeting */
    const struct json *schema; /* its reply to query-qmp-schema */
};

enum {
    _PROBE_E_SUCCESS,
    PROBE_E_FAILED, /* why was said on stderr */
};

/* @arena: for what the answers hold.  Return: 0, PROBE_E_FAILED, -ENOMEM */
int probe_server(struct arena *arena, const char *path, struct probe *ret);
