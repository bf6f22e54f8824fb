#pragma once

/*
 * Rules: which files an operator means by --rules, and what stands in them.
 * What they say is rule/program.h's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "rule/program.h"

struct rules_choice {
    const char *
        *names; /* as given: a file (has a '/' or ends in .jsonc) or the name of an installed one */
    size_t n_names;
    bool is_all;     /* all installed ones instead */
    bool is_guarded; /* only if nobody else can write them, see rules_check_writers() */
    bool is_final;   /* and if no rule that may work has a TODO in it */
};

enum {
    _RULES_E_SUCCESS,
    RULES_E_FAILED, /* what is wrong was said on stderr */
    RULES_E_FOUND,  /* what is wrong stands in the caller's diagnostics */
};

/*
 * rules_load() - find, read and compile rule files
 * @ret_program: NULL when there is no file at all
 * @ret_n_files: how many were read
 *
 * Installed files are NAME.jsonc in the folders of $QMP_SHIM_RULES_PATH
 * (separated by colons), then in the folder they were installed to; of two
 * with one name, the first.  Diagnostics, warnings too, go to stderr.
 * Return: 0, RULES_E_FAILED, -ENOMEM.
 */
int rules_load(const struct rules_choice *choice, const struct program_options *options,
               struct program **ret_program, size_t *ret_n_files);

/*
 * rules_load_with() - the same, but the diagnostics are the caller's to print, before the program goes
 * Return: 0, RULES_E_FAILED (a file cannot be read), RULES_E_FOUND (one cannot be used), -ENOMEM.
 */
int rules_load_with(const struct rules_choice *choice, const struct program_options *options,
                    struct program **ret_program, size_t *ret_n_files, struct diag_set *diags);

/*
 * rules_check_writers() - can nobody write a file but who is trusted anyway?
 *
 * Not so when everybody can, when the group can and the owner is neither root
 * nor us, or when everybody can put another file in its place.  That is said
 * on stderr.
 * Return: 0, RULES_E_FAILED, -ENOMEM.
 */
int rules_check_writers(const char *path);

/* append what stands in a file.  Return: 0, RULES_E_FAILED, -ENOMEM */
int rules_read_file(const char *path, struct buffer *b);
