/*
 * qmp-shim check: everything that is wrong with rule files, in one run.
 * What is found goes to stdout; why the check could not be made, to stderr.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/origin.h"
#include "cmd/probe.h"
#include "cmd/rules.h"
#include "conf/conf.h"
#include "json/reader.h"
#include "proxy/example.h"
#include "rule/against.h"

struct check {
    struct program_options options;
    struct rules_choice rules;
    const char *schema_path, *server_path; /* NULL: not given */
    struct arena arena;                    /* for the schema */
    struct schema schema;
    bool has_schema;
    struct probe probe; /* what the server said; of --schema, its version alone, if that is known */
    size_t n_findings, n_incomplete;
};

enum { CHECK_SCHEMA = 256, CHECK_AGAINST, CHECK_CLIENT };

static const struct command_option check_options[] = {
    {CHECK_SCHEMA, "schema", "WHAT",
     "also find what this server has not got: a version that\nis installed, as 7.2, or a file with a reply to\nquery-qmp-schema"},
    {CHECK_AGAINST, "against", "SOCKET",
     "the same, but ask the server behind this socket; its\nversion tells which rules are meant"},
    {CHECK_CLIENT, "client", "old|new",
     "which side of the rules the clients are on, and not\nthat server (default: old)"},
    {.name = NULL},
};

static int check_usage(const char *message) {
    fprintf(stderr, "qmp-shim check: %s; see \"qmp-shim help check\"\n", message);
    return COMMAND_USAGE;
}

static int check_set(void *userdata, const struct command *c, int option, const char *value) {
    struct check *check = userdata;

    switch (option) {
    case CHECK_SCHEMA:
        check->schema_path = value;
        return 0;
    case CHECK_AGAINST:
        check->server_path = value;
        return 0;
    default:
        return options_client(c, value, &check->options.client);
    }
}

/* Return: 0, OPTIONS_HELP, COMMAND_USAGE (said why) */
static int check_parse(struct check *check, const struct command *c, int argc, char **argv) {
    int r;

    r = options_read(c, argc, argv, check_set, check);
    if (r)
        return r;
    if (optind == argc)
        return check_usage("which FILE is to be checked is missing");
    if (check->schema_path && check->server_path)
        return check_usage("--schema and --against exclude each other");
    check->rules.names = (const char **)argv + optind;
    check->rules.n_names = (size_t)(argc - optind);
    return 0;
}

static int check_out_of_memory(void) {
    fputs("qmp-shim check: out of memory\n", stderr);
    return COMMAND_FAILED;
}

static int check_print(struct check *check, const struct diag_set *diags) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    check->n_findings += diags->n_errors + diags->n_warnings;
    check->n_incomplete += diags->n_incomplete;
    if (diag_set_print(diags, &b) < 0)
        return -ENOMEM;
    if (b.n > 0)
        fwrite(b.data, 1, b.n, stdout);
    return 0;
}

/* --- the server's schema ---------------------------------------------------------------------------- */

static int check_take_schema(struct check *check, const struct json *value, const char *path) {
    if (schema_read(value, &check->schema)) {
        fprintf(stderr, "qmp-shim: %s: this is no reply to query-qmp-schema\n", path);
        return COMMAND_USAGE;
    }
    check->has_schema = true;
    return 0;
}

static int check_read_schema(struct check *check) {
    struct origin origin;
    int r = origin_read(&check->arena, check->schema_path, &origin);

    if (r)
        return r < 0 ? check_out_of_memory() : COMMAND_USAGE;
    check->schema = origin.schema;
    check->has_schema = true;
    check->probe.has_version = origin.has_version;
    check->probe.version = origin.version;
    return 0;
}

static int check_ask_server(struct check *check) {
    int r = probe_server(&check->arena, check->server_path, &check->probe);

    if (r)
        return r < 0 ? check_out_of_memory() : COMMAND_USAGE;
    return check_take_schema(check, check->probe.schema, check->server_path);
}

static int check_against(struct check *check, const struct program *program,
                         struct diag_set *diags) {
    struct selection *selection;
    int r;

    if (!check->has_schema)
        return 0;
    r = selection_new(program, check->probe.has_version ? &check->probe.version : NULL, NULL,
                      &selection);
    if (r < 0)
        return r;
    r = against_schema(selection, &check->schema, diags);
    selection_unref(selection);
    return r;
}

/* --- examples ----------------------------------------------------------------------------------------- */

static int check_play(struct check *check, struct program *program) {
    struct diag_set diags;
    int r = 0;

    diag_set_init(&diags);
    for (size_t i = 0; r >= 0 && i < program_n_rules(program); i++) {
        const struct rule *rule = program_rule(program, i);

        for (size_t k = 0; r >= 0 && rule->examples && k < rule->examples->n_items; k++)
            r = example_play(program, rule, &rule->examples->items[k], &diags);
    }
    if (r >= 0)
        r = check_print(check, &diags);
    diag_set_deinit(&diags);
    return r;
}

/* the examples of one file, alone, for one kind of client; what loading finds was printed */
static int check_examples_for(struct check *check, const struct diag_source *source,
                              enum dialect client) {
    struct program_source alone = {
        .path = source->path, .text = source->text, .n_text = source->n_text};
    struct program_options options = {.client = client};
    struct program *program = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(&alone, 1, &options, &program, &diags);
    diag_set_deinit(&diags);
    if (r == 0)
        r = check_play(check, program);
    program_unref(program);
    return r < 0 ? r : 0;
}

static int check_examples(struct check *check, const struct program *program) {
    for (size_t i = 0; i < program_n_files(program); i++) {
        const struct diag_source *source = program_file(program, i)->source;
        int r = check_examples_for(check, source, DIALECT_OLD);

        if (r == 0)
            r = check_examples_for(check, source, DIALECT_NEW);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- configuration files --------------------------------------------------------------------------------- */

/* Return: 0 or -ENOMEM */
static int check_config_text(struct check *check, const char *path, const struct buffer *text) {
    struct diag_source source = {.path = path, .text = text->data, .n_text = text->n};
    struct conf conf = CONF_INIT;
    struct diag_set diags;
    int r, printed;

    diag_set_init(&diags);
    r = conf_load(&conf, &source, &diags);
    printed = check_print(check, &diags);
    diag_set_deinit(&diags);
    conf_deinit(&conf);
    return r < 0 ? r : printed;
}

/* Return: 0, -ENOMEM, or RULES_E_FAILED: it is none */
static int check_config(struct check *check, const char *name) {
    struct buffer text = BUFFER_INIT;
    struct stat st;
    int r;

    /* what is not there is complained about by who reads rules, and a pipe can be read once only */
    if (stat(name, &st) < 0 || !S_ISREG(st.st_mode))
        return RULES_E_FAILED;
    r = rules_read_file(name, &text);
    if (r == 0)
        r = conf_recognise(text.data, text.n) ? check_config_text(check, name, &text)
                                              : RULES_E_FAILED;
    buffer_deinit(&text);
    return r;
}

/* those among the files are checked by themselves, and what is left are rules */
static int check_configs(struct check *check) {
    size_t n = 0;

    for (size_t i = 0; i < check->rules.n_names; i++) {
        int r = check_config(check, check->rules.names[i]);

        if (r < 0)
            return r;
        if (r > 0)
            check->rules.names[n++] = check->rules.names[i];
    }
    check->rules.n_names = n;
    return 0;
}

/* --- the command --------------------------------------------------------------------------------------- */

/* Return: 0, RULES_E_FAILED (said why), -ENOMEM */
static int check_rules(struct check *check) {
    struct program *program = NULL;
    struct diag_set diags;
    size_t n_files;
    int r, printed;

    diag_set_init(&diags);
    r = rules_load_with(&check->rules, &check->options, &program, &n_files, &diags);
    if (r == 0)
        r = check_against(check, program, &diags);
    printed = check_print(check, &diags);
    diag_set_deinit(&diags);
    if (r == 0)
        r = printed;
    if (r == 0)
        r = check_examples(check, program);
    program_unref(program);
    return r == RULES_E_FOUND ? 0 : r;
}

static int check_with(struct check *check, const struct command *c, int argc, char **argv) {
    int r;

    r = check_parse(check, c, argc, argv);
    if (r)
        return r == OPTIONS_HELP ? 0 : r;
    if (check->schema_path)
        r = check_read_schema(check);
    else if (check->server_path)
        r = check_ask_server(check);
    if (r)
        return r;
    r = check_configs(check);
    if (r == 0 && check->rules.n_names > 0)
        r = check_rules(check);
    if (r < 0)
        return check_out_of_memory();
    if (r > 0)
        return COMMAND_USAGE;
    return check->n_findings > 0     ? COMMAND_FAILED
           : check->n_incomplete > 0 ? COMMAND_INCOMPLETE
                                     : 0;
}

static int check_run(const struct command *c, int argc, char **argv) {
    struct check check = {.options = {.client = DIALECT_OLD}};
    int status = check_with(&check, c, argc, argv);

    arena_deinit(&check.arena);
    return status;
}

const struct command command_check = {
    .name = "check",
    .summary = "find what is wrong with rule files",
    .synopsis = "[OPTION]… FILE|NAME…",
    .text = "Reads rule files, or installed ones by their names, plays their examples, and\n"
            "prints everything that is wrong with them, each with its place and a way out.\n"
            "Configuration files, as run --config reads them, may be among the files.\n"
            "Exit status 0: nothing was found; 1: something was; 2: it could not be checked;\n"
            "3: nothing is wrong, but a TODO in a comment leaves something to be decided.\n",
    .options = check_options,
    .run = check_run,
};
