#pragma once

/*
 * Rules that do no more than give an event another name: many do, and for
 * those the message need not be read, only its name be written over.  The
 * engine comes to the same by its own way.
 */

#include "rule/engine.h"

/* does @rule do that?  Asked once, when it is loaded */
bool rename_is_all(const struct rule *rule);

/* another name for an event */
struct rename {
    const struct rule *rule;
    const char *text; /* as it stands between the quotes */
    size_t n_text;
};

enum {
    _RENAME_E_SUCCESS,
    RENAME_E_READ, /* it takes more than that: the engine has to read the event */
};

/*
 * rename_find() - what the rules that work make of an event of the server's
 * @name: as it stands between its quotes; without escapes
 *
 * Only for one that a rule reads.  Return: 0, RENAME_E_READ.
 */
int rename_find(const struct engine *e, const char *name, size_t n_name, struct rename *ret);
