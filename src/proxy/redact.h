#pragma once

/*
 * Redact: takes secrets out of commands before they are written down.  Which
 * members of which commands are secret is said by a file
 * (qmp-shim-trace(5)); nothing is known here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "json/diag.h"
#include "json/value.h"

struct redact {
    struct arena arena;
    const struct json *commands; /* command to list of members; NULL: nothing is secret */
    uint64_t marks;              /* a bit for the mark of each name, see redact_has() */
};

#define REDACT_INIT                                                                                \
    { 0 }

enum {
    _REDACT_E_SUCCESS,
    REDACT_E_INVALID, /* what is wrong was told */
};

/*
 * redact_load() - the text of such a file
 * @source: must stay as long as @r is used
 *
 * Return: 0, -ENOMEM, REDACT_E_INVALID; redact_deinit() is due either way.
 */
int redact_load(struct redact *r, const struct diag_source *source, struct diag_set *diags);
void redact_deinit(struct redact *r);

/* is something secret in commands of this name? */
bool redact_has(const struct redact *r, const char *name, size_t n_name);

/*
 * redact_text() - a command without what is secret in it
 * @is_whole: it is all of one, and nothing else but blanks
 * @ret_text: replaced; the command with "***" for each secret, or nothing at
 *            all when it cannot be read and might have one
 *
 * Return: 0 (*ret_is_blanked: something was taken out), -ENOMEM.
 */
int redact_text(const struct redact *r, const char *text, size_t n, bool is_whole,
                struct buffer *ret_text, bool *ret_is_blanked);
