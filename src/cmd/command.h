#pragma once

/*
 * Command: what `qmp-shim NAME` does, as a row of a table from which the
 * dispatcher, the options' reader and the help text are made.
 */

#include <stdio.h>

/* exit statuses beside 0 */
enum {
    COMMAND_FAILED = 1,     /* findings, or it could not be done */
    COMMAND_USAGE = 2,      /* it was asked for in a wrong way */
    COMMAND_INCOMPLETE = 3, /* nothing is wrong, and something is left to be decided */
};

struct command_option {
    int value;            /* what options_next() returns for it; not a character */
    const char *name;     /* without the dashes; NULL ends the table */
    const char *argument; /* what it is called in the help; NULL: takes none */
    const char *text;     /* one sentence or two, each line of at most 55 bytes */
};

struct command {
    const char *name;
    const char *summary;  /* one line, no full stop */
    const char *synopsis; /* what follows the name */
    const char *text;     /* what it does, lines of at most 79 bytes; ends with a newline */
    const struct command_option *options;
    /* Return: the exit status; argv[0] is the command's name */
    int (*run)(const struct command *c, int argc, char **argv);
};

extern const struct command command_run;
extern const struct command command_exec;
extern const struct command command_takeover;
extern const struct command command_keep;
extern const struct command command_check;
extern const struct command command_test;
extern const struct command command_explain;
extern const struct command command_diff;
extern const struct command command_list;
extern const struct command command_status;
extern const struct command command_trace;
extern const struct command command_show;
extern const struct command command_replay;
extern const struct command command_help;

/* all of them in the order of the help; ended by NULL */
extern const struct command *const command_table[];

/* Return: NULL when there is none of that name */
const struct command *command_find(const char *name);

/* say on stderr that there is no command @name, and the way out.  Return: COMMAND_USAGE */
int command_unknown(const char *name);
