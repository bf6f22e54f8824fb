#pragma once

/*
 * What the parts of loading share: the file that is being read, and how a
 * finding in it is told.  Private to load*.c.
 */

#include "base/arena.h"
#include "json/diag.h"
#include "rule/rule.h"

struct load {
    struct arena *arena;
    const struct diag_source *source;
    struct diag_set *diags;
    struct rule_file *file;
    bool is_invalid; /* a diagnostic of level error was added */
};

/* a finding about @value */
void load_fault(struct load *l, const struct json *value, const char *way_out, const char *message);

/* a finding about the name of a member */
void load_fault_at_key(struct load *l, const struct json *member, const char *way_out,
                       const char *message);

/* a member whose name is none of @known (NULL-terminated) */
void load_fault_key(struct load *l, const struct json *member, const char *const *known);

/* @value, perhaps a member, is not what it must be */
void load_fault_value(struct load *l, const struct json *value, const char *way_out,
                      const char *wanted);

/* fold the outcome of a compiler: its diagnostic is there, reading goes on.  Return: 0 or negative */
int load_fold(struct load *l, int r);

/* Return: 0 or -ENOMEM; what is no string is told, and empty */
int load_string(struct load *l, const struct json *value, const char **ret);

/* what is no version is told, and not there */
void load_version(struct load *l, const struct json *value, bool *ret_has, struct version *ret);

/* a name or a list of names, NULL-terminated.  Return: 0 or -ENOMEM */
int load_names(struct load *l, const struct json *value, const char ***ret);

/* one rule, with all that can be said of it alone.  Return: 0 or -ENOMEM */
int load_rule(struct load *l, const struct json *value, struct rule *rule);

/* what a rule must be as a whole, once its members are read; findings are told */
void load_check_rule(struct load *l, const struct json *value, struct rule *rule);
