#pragma once

/*
 * Options: reads a command's options from its table (cmd/command.h) and tells
 * what is wrong with the others.
 */

#include "cmd/command.h"

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
