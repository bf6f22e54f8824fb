#pragma once

/*
 * Options: reads a command's options from its table (cmd/command.h) and tells
 * what is wrong with the others.
 */

#include <stdint.h>
#include "cmd/command.h"
#include "rule/program.h"

enum {
    OPTIONS_END = -1,   /* the rest of argv, from optind on, is arguments */
    OPTIONS_WRONG = -2, /* what is wrong was said on stderr: exit with COMMAND_USAGE */
    OPTIONS_HELP = -3,  /* --help, which every command has, was asked for and given: exit with 0 */
};

/*
 * options_next() - read on, from where getopt's optind is
 * The option's argument is in getopt's optarg.
 *
 * Return: the option's value, or OPTIONS_….
 */
int options_next(const struct command *c, int argc, char **argv);

/* Return: COMMAND_USAGE, having said that @argument is one too many; 0 when there are none left */
int options_no_arguments(const struct command *c, int argc, char **argv);

/*
 * options_argument() - the one argument, which must be there
 * @name: what it is called in the help
 *
 * Return: 0, COMMAND_USAGE (said why)
 */
int options_argument(const struct command *c, int argc, char **argv, const char *name,
                     const char **ret);

/* Return: COMMAND_USAGE, having said that the option @name cannot be @value but is @wanted */
int options_wrong_value(const struct command *c, const char *name, const char *value,
                        const char *wanted);

/* values of options.  Return: 0, COMMAND_USAGE (said why) */
int options_client(const struct command *c, const char *value, enum dialect *ret);
int options_version(const struct command *c, const char *name, const char *value);
int options_session(const struct command *c, const char *value, uint64_t *ret);

/* one option of a command, by its value in the table.  Return: 0, or an exit status (said why) */
typedef int (*options_set_fn)(void *userdata, const struct command *c, int option,
                              const char *value);

/*
 * options_read() - all of them, each to @set; arguments are left, from optind on
 * Return: 0, OPTIONS_HELP, or an exit status
 */
int options_read(const struct command *c, int argc, char **argv, options_set_fn set,
                 void *userdata);
