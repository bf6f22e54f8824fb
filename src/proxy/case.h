#pragma once

/*
 * Case files: dialogues as text, for `qmp-shim test`.  Who sends and who
 * must receive; nothing else may arrive; time passes only where it is said.
 * qmp-shim-rules(5) tells of the language.  Reading files and loading rules
 * is the caller's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "json/diag.h"
#include "proxy/limits.h"
#include "rule/program.h"

struct case_step;

/* one dialogue */
struct case_dialogue {
    struct case_dialogue *next;
    const struct diag_source *source;
    const char *title;  /* what it shows; NULL: it has none */
    size_t at;          /* where it begins */
    const char **rules; /* NULL-terminated; NULL: none */
    struct program_options options;
    struct limits limits;
    const char *greeting; /* the server's */
    const char *commands; /* its "return" to query-commands; NULL: it refuses all questions */
    bool is_oob;          /* the client enables it */
    bool has_no_handshake;
    struct case_step *first, **last;
};

enum {
    _CASE_E_SUCCESS,
    CASE_E_INVALID, /* findings tell what is wrong with the file */
    CASE_E_FAILED,  /* a finding tells what came instead */
};

/*
 * case_read() - text to dialogues
 * @source: must stay as long as they do, and as findings about them
 *
 * Return: 0, -ENOMEM, CASE_E_INVALID.
 */
int case_read(struct arena *arena, const struct diag_source *source,
              struct case_dialogue **ret_first, struct diag_set *diags);

/*
 * case_play() - have one dialogue
 * @program:     of its rules and options; NULL: no rules
 * @is_bytewise: everything is sent in pieces of one byte
 *
 * Return: 0, -ENOMEM, CASE_E_FAILED.
 */
int case_play(const struct case_dialogue *d, struct program *program, bool is_bytewise,
              struct diag_set *diags);
