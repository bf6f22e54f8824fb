#include "cmd/command.h"

#include <string.h>

#include "base/util.h"
#include "json/diag.h"

const struct command *const command_table[] = {
    &command_run,   &command_exec,    &command_takeover, &command_keep, &command_check,
    &command_test,  &command_explain, &command_diff,     &command_list, &command_status,
    &command_trace, &command_show,    &command_replay,   &command_help, NULL,
};

const struct command *command_find(const char *name) {
    for (size_t i = 0; command_table[i]; i++)
        if (strcmp(command_table[i]->name, name) == 0)
            return command_table[i];
    return NULL;
}

int command_unknown(const char *name) {
    const char *names[ARRAY_SIZE(command_table)] = {NULL};
    const char *near;

    for (size_t i = 0; command_table[i]; i++)
        names[i] = command_table[i]->name;
    near = diag_suggest(name, strlen(name), names);
    if (near)
        fprintf(stderr, "qmp-shim: unknown command \"%s\"; did you mean \"%s\"?\n", name, near);
    else
        fprintf(stderr, "qmp-shim: unknown command \"%s\"; see \"qmp-shim --help\"\n", name);
    return COMMAND_USAGE;
}
