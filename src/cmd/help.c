#include "cmd/help.h"

#include <string.h>
#include <getopt.h>

#include "cmd/options.h"

enum { HELP_COLUMN = 24 }; /* where the texts of options begin */

void help_overview(FILE *file) {
    fputs("Usage: qmp-shim COMMAND [OPTION]…\n"
          "       qmp-shim --version | --help\n"
          "\n"
          "Stands on a QMP socket between a client and a server and rewrites what passes,\n"
          "by rules, so that old and new understand each other.\n"
          "\n"
          "Commands:\n",
          file);
    for (size_t i = 0; command_table[i]; i++)
        fprintf(file, "  %-10s  %s\n", command_table[i]->name, command_table[i]->summary);
    fputs("\nMore: qmp-shim help COMMAND, and the manual page qmp-shim(1)\n", file);
}

/* the lines of an option's text stand below each other */
static void help_option_text(FILE *file, const char *text) {
    size_t n;

    for (;; text += n + 1) {
        n = strcspn(text, "\n");
        fprintf(file, "%.*s\n", (int)n, text);
        if (!text[n])
            break;
        fprintf(file, "%*s", HELP_COLUMN, "");
    }
}

static void help_option(FILE *file, const struct command_option *o) {
    int n = fprintf(file, "  --%s%s%s", o->name, o->argument ? " " : "",
                    o->argument ? o->argument : "");

    if (n > HELP_COLUMN - 2)
        fprintf(file, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(file, "%*s", HELP_COLUMN - n, "");
    help_option_text(file, o->text);
}

void help_command(FILE *file, const struct command *c) {
    static const struct command_option help = {.name = "help", .text = "print this"};

    fprintf(file, "Usage: qmp-shim %s %s\n\n%s\nOptions:\n", c->name, c->synopsis, c->text);
    for (const struct command_option *o = c->options; o->name; o++)
        help_option(file, o);
    help_option(file, &help);
}

static int help_run(const struct command *c, int argc, char **argv) {
    const struct command *about;

    switch (options_next(c, argc, argv)) {
    case OPTIONS_END:
        break;
    case OPTIONS_HELP:
        return 0;
    default:
        return COMMAND_USAGE;
    }
    if (optind == argc) {
        help_overview(stdout);
        return 0;
    }
    about = command_find(argv[optind]);
    if (!about)
        return command_unknown(argv[optind]);
    optind++;
    if (options_no_arguments(c, argc, argv))
        return COMMAND_USAGE;
    help_command(stdout, about);
    return 0;
}

static const struct command_option help_options[] = {{.name = NULL}};

const struct command command_help = {
    .name = "help",
    .summary = "print how a command is used",
    .synopsis = "[COMMAND]",
    .text = "Prints how COMMAND is used, or which commands there are.\n",
    .options = help_options,
    .run = help_run,
};
