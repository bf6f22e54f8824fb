/*
 * qmp-shim: finds the command and leaves the rest to it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/exec.h"
#include "cmd/help.h"
#include "json/diag.h"

static int main_version(void) {
    puts("qmp-shim " PACKAGE_VERSION);
    return 0;
}

static int main_help(void) {
    help_overview(stdout);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} main_options[] = {
    {"--version", main_version},
    {"-V", main_version},
    {"--help", main_help},
    {"-h", main_help},
};

static int main_option(const char *name) {
    const char *near;

    for (size_t i = 0; i < sizeof(main_options) / sizeof(main_options[0]); i++)
        if (strcmp(main_options[i].name, name) == 0)
            return main_options[i].run();
    near = diag_suggest(name, strlen(name), (const char *const[]){"--version", "--help", NULL});
    if (near)
        fprintf(stderr, "qmp-shim: unknown option \"%s\"; did you mean \"%s\"?\n", name, near);
    else
        fprintf(stderr, "qmp-shim: unknown option \"%s\"; see \"qmp-shim --help\"\n", name);
    return COMMAND_USAGE;
}

static int main_command(int argc, char **argv) {
    const struct command *c;

    if (argc < 2) {
        help_overview(stderr);
        return COMMAND_USAGE;
    }
    if (argv[1][0] == '-')
        return main_option(argv[1]);
    c = command_find(argv[1]);
    return c ? c->run(c, argc - 1, argv + 1) : command_unknown(argv[1]);
}

int main(int argc, char **argv) {
    int status = argc > 0 && exec_is_emulator(argv[0]) ? exec_as_emulator(argc, argv)
                                                       : main_command(argc, argv);

    /* what was printed may still be on its way to a full disk or a closed pipe */
    if (fflush(stdout) == EOF && status == 0) {
        perror("qmp-shim: cannot write");
        status = COMMAND_FAILED;
    }
    return status;
}
