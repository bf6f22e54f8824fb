/*
 * qmp-shim list: which rule files are installed, and which of their rules
 * would work between a client and a server.
 */

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/rules.h"
#include "rule/selection.h"

enum { LIST_CLIENT_VERSION = 256, LIST_SERVER_VERSION };

struct list_choice {
    struct program_options options;
    const char *server_version;
};

static const struct command_option list_options[] = {
    {LIST_CLIENT_VERSION, "client-version", "X",
     "the QEMU version that the client was written for"},
    {LIST_SERVER_VERSION, "server-version", "Y",
     "the QEMU version of the server: with both, say for\neach rule whether it would work, and if not, why"},
    {.name = NULL},
};

static size_t list_n_working(const struct rule_file *file, const struct selection *selection) {
    size_t n = 0;

    for (size_t i = 0; i < file->n_rules; i++)
        n += selection_is_working(selection, &file->rules[i]);
    return n;
}

static void list_rules(const struct rule_file *file, const struct selection *selection) {
    for (size_t i = 0; i < file->n_rules; i++) {
        const struct rule *rule = &file->rules[i];

        if (selection_is_working(selection, rule))
            printf("  %-40s works, for a client of the %s side\n", rule->name,
                   selection_client_side(selection, rule) == VARS_OLD ? "old" : "new");
        else
            printf("  %-40s rests: %s\n", rule->name,
                   selection_reason_text(selection->reason[rule->index]));
    }
}

static void list_file(const struct rule_file *file, const struct selection *selection) {
    printf("%-24s ", file->name);
    if (selection)
        printf("%3zu of %3zu rules would work", list_n_working(file, selection), file->n_rules);
    else
        printf("%3zu rule%s", file->n_rules, file->n_rules == 1 ? "" : "s");
    if (file->summary)
        printf("%*s%s", !selection && file->n_rules == 1 ? 4 : 3, "", file->summary);
    putchar('\n');
    if (selection)
        list_rules(file, selection);
}

static int list_program(const struct list_choice *choice, const struct program *program) {
    struct selection *selection = NULL;
    struct version server = {0};
    int r = 0;

    if (choice->server_version &&
        version_read(choice->server_version, strlen(choice->server_version), &server) == 0)
        r = selection_new(program, &server, NULL, &selection);
    for (size_t i = 0; r == 0 && i < program_n_files(program); i++)
        list_file(program_file(program, i), selection);
    selection_unref(selection);
    return r;
}

static int list_load(const struct list_choice *choice, char **names, size_t n_names) {
    struct rules_choice rules = {
        .names = (const char **)names, .n_names = n_names, .is_all = n_names == 0};
    struct program *program = NULL;
    size_t n_files;
    int r;

    r = rules_load(&rules, &choice->options, &program, &n_files);
    if (r == 0 && program)
        r = list_program(choice, program);
    else if (r == 0)
        puts("no rule files are installed");
    program_unref(program);
    if (r < 0)
        fprintf(stderr, "qmp-shim list: %s\n", strerror(-r));
    return r ? COMMAND_FAILED : 0;
}

static int list_wrong(const char *message) {
    fprintf(stderr, "qmp-shim list: %s; see \"qmp-shim help list\"\n", message);
    return COMMAND_USAGE;
}

static int list_check(const struct list_choice *choice) {
    const char *const versions[] = {choice->options.client_version, choice->server_version};
    struct version version;

    for (size_t i = 0; i < 2; i++)
        if (versions[i] && version_read(versions[i], strlen(versions[i]), &version))
            return list_wrong("a version is a number, as 2.6");
    if (!versions[0] != !versions[1])
        return list_wrong("--client-version and --server-version belong together");
    return 0;
}

static int list_run(const struct command *c, int argc, char **argv) {
    struct list_choice choice = {.options = {.client = DIALECT_OLD}};
    int option, status;

    while ((option = options_next(c, argc, argv)) >= 0) {
        if (option == LIST_CLIENT_VERSION)
            choice.options.client_version = optarg;
        else
            choice.server_version = optarg;
    }
    if (option == OPTIONS_HELP)
        return 0;
    if (option == OPTIONS_WRONG)
        return COMMAND_USAGE;
    status = list_check(&choice);
    return status ? status : list_load(&choice, argv + optind, (size_t)(argc - optind));
}

const struct command command_list = {
    .name = "list",
    .summary = "print the rule files, and which rules would work",
    .synopsis = "[--client-version X --server-version Y] [NAME…]",
    .text = "Prints the rule files that are installed, or those named.  With the versions of\n"
            "a client and a server also each rule, and whether it would work between them;\n"
            "what the server itself says of its commands may still change that.\n",
    .options = list_options,
    .run = list_run,
};
