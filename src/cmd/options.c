#include "cmd/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cmd/help.h"
#include "json/diag.h"

enum { OPTIONS_MAX = 32 }; /* in one table */

static const struct command_option *options_by_value(const struct command *c, int value) {
    for (const struct command_option *o = c->options; o->name; o++)
        if (o->value == value)
            return o;
    return NULL;
}

static int options_unknown(const struct command *c, const char *text) {
    const char *names[OPTIONS_MAX + 2] = {"help"};
    const char *name = text + strspn(text, "-");
    const char *near;
    size_t n = 1;

    for (const struct command_option *o = c->options; o->name; o++)
        names[n++] = o->name;
    near = diag_suggest(name, strcspn(name, "="), names);
    if (near)
        fprintf(stderr, "qmp-shim %s: unknown option \"%s\"; did you mean \"--%s\"?\n", c->name,
                text, near);
    else
        fprintf(stderr, "qmp-shim %s: unknown option \"%s\"; see \"qmp-shim help %s\"\n", c->name,
                text, c->name);
    return OPTIONS_WRONG;
}

/* what getopt_long() did not like */
static int options_wrong(const struct command *c, int outcome, char **argv) {
    const struct command_option *o = options_by_value(c, optopt);

    if (!o)
        return options_unknown(c, argv[optind - 1]);
    if (outcome == ':')
        fprintf(stderr, "qmp-shim %s: option \"--%s\" needs its %s\n", c->name, o->name,
                o->argument);
    else
        fprintf(stderr, "qmp-shim %s: option \"--%s\" takes no argument\n", c->name, o->name);
    return OPTIONS_WRONG;
}

static void options_for_getopt(const struct command *c, struct option *table) {
    size_t n = 0;

    for (const struct command_option *o = c->options; o->name; o++) {
        assert(n < OPTIONS_MAX);
        table[n++] = (struct option){
            .name = o->name,
            .has_arg = o->argument ? required_argument : no_argument,
            .val = o->value,
        };
    }
    table[n++] = (struct option){.name = "help", .val = 'h'};
    table[n] = (struct option){0};
}

int options_next(const struct command *c, int argc, char **argv) {
    struct option table[OPTIONS_MAX + 2];
    int value;

    options_for_getopt(c, table);
    opterr = 0;
    value = getopt_long(argc, argv, ":h", table, NULL);
    switch (value) {
    case -1:
        return OPTIONS_END;
    case 'h':
        help_command(stdout, c);
        return OPTIONS_HELP;
    case '?':
    case ':':
        return options_wrong(c, value, argv);
    default:
        return value;
    }
}

int options_no_arguments(const struct command *c, int argc, char **argv) {
    if (optind >= argc)
        return 0;
    fprintf(stderr, "qmp-shim %s: unexpected argument \"%s\"; see \"qmp-shim help %s\"\n", c->name,
            argv[optind], c->name);
    return COMMAND_USAGE;
}

int options_argument(const struct command *c, int argc, char **argv, const char *name,
                     const char **ret) {
    if (optind == argc) {
        fprintf(stderr, "qmp-shim %s: %s is missing; see \"qmp-shim help %s\"\n", c->name, name,
                c->name);
        return COMMAND_USAGE;
    }
    *ret = argv[optind++];
    return options_no_arguments(c, argc, argv);
}

int options_wrong_value(const struct command *c, const char *name, const char *value,
                        const char *wanted) {
    fprintf(stderr, "qmp-shim %s: --%s cannot be \"%s\"; it is %s\n", c->name, name, value, wanted);
    return COMMAND_USAGE;
}

int options_client(const struct command *c, const char *value, enum dialect *ret) {
    if (strcmp(value, "old") != 0 && strcmp(value, "new") != 0)
        return options_wrong_value(c, "client", value, "\"old\" or \"new\"");
    *ret = strcmp(value, "old") == 0 ? DIALECT_OLD : DIALECT_NEW;
    return 0;
}

int options_version(const struct command *c, const char *name, const char *value) {
    struct version version;

    return version_read(value, strlen(value), &version)
               ? options_wrong_value(c, name, value, "a number, as 2.6")
               : 0;
}

int options_session(const struct command *c, const char *value, uint64_t *ret) {
    char *end;

    *ret = strtoull(value, &end, 10);
    return *ret > 0 && !*end
               ? 0
               : options_wrong_value(c, "session", value, "a number, as in the trace");
}

int options_read(const struct command *c, int argc, char **argv, options_set_fn set,
                 void *userdata) {
    int option;

    while ((option = options_next(c, argc, argv)) >= 0) {
        int status = set(userdata, c, option, optarg);

        if (status)
            return status;
    }
    if (option == OPTIONS_HELP)
        return OPTIONS_HELP;
    return option == OPTIONS_WRONG ? COMMAND_USAGE : 0;
}
