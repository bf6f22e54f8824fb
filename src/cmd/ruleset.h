#pragma once

/*
 * Rule set: the options --rules, --client and --client-version of the
 * commands that play dialogues, and the program that they mean.
 */

#include "cmd/command.h"
#include "cmd/rules.h"

enum { RULESET_RULES = 512, RULESET_CLIENT, RULESET_CLIENT_VERSION };

/* rows for the table of options */
#define RULESET_OPTIONS                                                                            \
    {RULESET_RULES, "rules", "FILE|NAME",                                                          \
     "a rule file, or an installed one by its name; may be\ngiven several times.  Default: all "   \
     "installed ones if\n--client-version is given, else none"},                                   \
        {RULESET_CLIENT, "client", "old|new",                                                      \
         "which side of the rules the client is on\n(default: old)"},                              \
    {                                                                                              \
        RULESET_CLIENT_VERSION, "client-version", "X",                                             \
            "the QEMU version that the client was written for"                                     \
    }

struct ruleset {
    struct rules_choice rules;
    struct program_options options;
};

/* @argc: of the command.  Return: 0 or -ENOMEM */
int ruleset_init(struct ruleset *s, int argc);
void ruleset_deinit(struct ruleset *s);

/* @option: one of RULESET_….  Return: 0, COMMAND_USAGE (said why) */
int ruleset_set(struct ruleset *s, const struct command *c, int option, const char *value);

/* @ret: NULL: no rules.  Return: 0, RULES_E_FAILED (said why), -ENOMEM */
int ruleset_load(struct ruleset *s, struct program **ret);
