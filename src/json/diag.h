#pragma once

/*
 * Diagnostics: what is wrong in a file an operator wrote, where, and the way
 * out.  A set is collected and printed at the end, in the order of the text.
 *
 *   rules/hide.jsonc:14:16: error: unknown key "rewite"
 *      14 |     "then": [ {"rewite": {"event": "RESET"}} ]
 *         |                ^~~~~~~~
 *         = did you mean "rewrite"?
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buffer.h"

enum diag_level {
    DIAG_ERROR,
    DIAG_WARNING,
    DIAG_INCOMPLETE, /* its author has left it to be decided */
};

/* a text that was read, for the places in it */
struct diag_source {
    const char *path;
    const char *text; /* NULL when the file could not be read: findings have no place then */
    size_t n_text;
};

struct diag_set {
    struct arena arena;
    struct diag *first; /* sorted */
    size_t n_errors, n_warnings, n_incomplete;
    bool failed; /* out of memory: something could not be kept */
};

void diag_set_init(struct diag_set *d);
void diag_set_deinit(struct diag_set *d);

/*
 * diag_add() - note a finding; the same finding is noted once
 * @source:  must stay until the set is printed
 * @at, @n:  the bytes of source->text it is about; @n may be 0 (one caret)
 * @way_out: the line behind "=", or NULL
 * @format:  the message, one line, no full stop
 */
void diag_add(struct diag_set *d, enum diag_level level, const struct diag_source *source,
              size_t at, size_t n, const char *way_out, const char *format, ...) _printf_(7, 8);

/*
 * diag_set_print() - print all of them, by source (in the order first seen) and place
 * Columns count code points from 1.  A tab is shown as one blank, other bytes
 * that cannot be shown as '?', and a line of more than 160 bytes is cut
 * around the caret.
 *
 * Return: 0; -ENOMEM when @b or the set is not complete
 */
int diag_set_print(const struct diag_set *d, struct buffer *b);

/*
 * diag_suggest() - the nearest of the words one may have meant
 * An edit is a letter inserted, left out, replaced, or swapped with the next.
 * Return: one of @words (NULL-terminated) at a distance of at most 2 edits,
 *         and of less than half its length; NULL when there is none
 */
const char *diag_suggest(const char *word, size_t n_word, const char *const *words);
