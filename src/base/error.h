#pragma once

/*
 * Outcomes: how every function of this project says what became of a call.
 *
 *   0              done
 *   negative errno fatal: nobody can mend it here, passed up unchanged
 *   positive       a documented outcome of that one function (MODULE_E_…):
 *                  its caller handles it and never forwards it
 *
 * A peer or an operator can never cause a negative number.
 */

#include <errno.h>

/*
 * error_fold() - make an outcome that the caller has no use for fatal
 * @r: what a call returned
 *
 * Return: @r when it is 0 or negative, -ENOTRECOVERABLE when it is positive.
 */
static inline int error_fold(int r) {
    return r > 0 ? -ENOTRECOVERABLE : r;
}
