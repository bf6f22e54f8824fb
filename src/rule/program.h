#pragma once

/*
 * Program: rule files, loaded and compiled, for one or many sessions.
 * Immutable and refcounted: a reload makes a new one, and a session keeps
 * the one it began with.
 */

#include <stdbool.h>
#include <stddef.h>
#include "json/diag.h"

struct program;

/* which dialect the client speaks; the server is taken to speak the other */
enum dialect { DIALECT_OLD, DIALECT_NEW };

struct program_source {
    const char *path; /* for diagnostics and names */
    const char *text;
    size_t n_text;
};

struct program_options {
    enum dialect client;
    const char *client_version; /* e.g. "2.6": decides rule by rule; NULL: as `client` says */
    bool no_probe;
};

enum {
    _PROGRAM_E_SUCCESS,
    PROGRAM_E_INVALID, /* the diagnostics tell what is wrong */
};

/*
 * program_load() - rule files to program
 * @sources: in the order given; copied
 * @diags:   findings are added to it; its sources live as long as the program
 *           (or, when loading failed, as long as @diags)
 *
 * Return: 0, -ENOMEM, PROGRAM_E_INVALID.
 */
int program_load(const struct program_source *sources, size_t n_sources, const struct program_options *options, struct program **ret_program,
                 struct diag_set *diags);

struct program *program_ref(struct program *p);
struct program *program_unref(struct program *p);

size_t program_n_rules(const struct program *p);
