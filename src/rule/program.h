#pragma once

/*
 * Program: rule files, loaded and compiled, for one or many sessions.
 * Immutable and refcounted: a reload makes a new one, and a session keeps
 * the one it began with.
 *
 * Rule files stand in a chain, ordered by "old-until", then as given: the
 * first is nearest to the old side.  Names of commands and events lead to
 * the rules that mention them by one hash probe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"
#include "json/diag.h"
#include "rule/rule.h"

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
    bool no_probe;              /* never ask the server which commands it has */
    bool no_deny; /* leave out files that refuse what they do not mention: nobody named them */
};

enum {
    _PROGRAM_E_SUCCESS,
    PROGRAM_E_INVALID, /* the diagnostics tell what is wrong */
    PROGRAM_E_VERSION, /* options.client_version is no version number */
};

/*
 * program_load() - rule files to program
 * @sources: in the order given; copied
 * @diags:   findings are added to it; when loading succeeds, print them before
 *           the program goes
 *
 * Return: 0, -ENOMEM, PROGRAM_E_INVALID, PROGRAM_E_VERSION.
 */
int program_load(const struct program_source *sources, size_t n_sources,
                 const struct program_options *options, struct program **ret_program,
                 struct diag_set *diags);

struct program *program_ref(struct program *p);
struct program *program_unref(struct program *p);

size_t program_n_rules(const struct program *p);
const struct rule *program_rule(const struct program *p, size_t index);

/* the files in the order of the chain, the oldest first */
size_t program_n_files(const struct program *p);
const struct rule_file *program_file(const struct program *p, size_t index);
size_t program_file_index(const struct program *p, const struct rule_file *file);

const struct program_options *program_options(const struct program *p);

/* the client's version.  Return: false when none was given */
bool program_client_version(const struct program *p, struct version *ret);

/* does a file refuse whatever its rules do not mention ("default": "deny")? */
bool program_is_deny(const struct program *p);

/* does any rule speak of file descriptors? */
bool program_has_fds(const struct program *p);

/* may it make events (emit, emit-before)? */
bool program_has_events(const struct program *p);

/* what a name is looked up as */
enum program_role {
    PROGRAM_COMMAND,  /* the command a picture shows */
    PROGRAM_EVENT,    /* the event a picture shows */
    PROGRAM_UNTIL,    /* the event a reply is held for */
    PROGRAM_REPLY_OF, /* the command whose reply a rule must see, without a picture of it */
    PROGRAM_ERROR,    /* any error; the name is empty */
    PROGRAM_GREETING, /* the greeting; the name is empty */
    _PROGRAM_ROLE_N,
};

struct program_use {
    const struct rule *rule;
    enum vars_side side; /* whose picture it is */
};

/* in the order of the chain, in a file in the order of the text */
struct program_uses {
    const struct program_use *use;
    size_t n;
};

/* Return: the rules that mention @name; n is 0 when there are none */
struct program_uses program_find(const struct program *p, enum program_role role, const char *name,
                                 size_t n_name);

/* Return: @name as the rules have it, which stays as long as @p; NULL: they do not mention it as that */
const char *program_name(const struct program *p, enum program_role role, const char *name,
                         size_t n_name);

/*
 * program_may_mention() - is it worth while to look for @name?
 * Most messages have a name that no rule knows: this says so by a look at one bit.
 * Return: false when no rule mentions it, whatever its role
 */
bool program_may_mention(const struct program *p, const char *name, size_t n_name);

/* does any rule use this role at all? */
bool program_has(const struct program *p, enum program_role role);

/* what selection.c keeps with it; its own business */
struct list *program_selections(struct program *p);
