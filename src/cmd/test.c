/*
 * qmp-shim test: plays the examples of rule files, and the dialogues of case
 * files, over the session that run has.
 */

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/rules.h"
#include "proxy/case.h"
#include "proxy/example.h"

#define TEST_CASE_SUFFIX ".case"

enum { TEST_TAP = 256 };

struct test {
    bool is_tap;
    size_t n_passed, n_failed;
};

static const struct command_option test_options[] = {
    {TEST_TAP, "tap", NULL, "print a line for each, in the Test Anything Protocol"},
    {.name = NULL},
};

/* --- results -------------------------------------------------------------------------------------- */

static void test_print_findings(const struct test *t, const struct diag_set *diags) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    size_t n;

    if (diag_set_print(diags, &b) < 0)
        fputs("qmp-shim test: out of memory\n", stderr);
    for (size_t at = 0; at < b.n; at += n) {
        const char *newline = memchr(b.data + at, '\n', b.n - at);

        n = newline ? (size_t)(newline - b.data) - at + 1 : b.n - at;
        fprintf(t->is_tap ? stdout : stderr, "%s%.*s", t->is_tap ? "# " : "", (int)n, b.data + at);
    }
}

/* one thing was tried; @name is for TAP */
static void test_result(struct test *t, bool has_passed, const char *name,
                        const struct diag_set *diags) {
    if (has_passed)
        t->n_passed++;
    else
        t->n_failed++;
    if (t->is_tap) {
        printf("%sok %zu - ", has_passed ? "" : "not ", t->n_passed + t->n_failed);
        for (; *name; name++)
            printf(*name == '#' ? "\\%c" : "%c", *name); /* what follows a plain one is no name */
        putchar('\n');
    }
    if (diags)
        test_print_findings(t, diags);
}

static int _printf_(4, 5) test_report(struct test *t, bool has_passed, const struct diag_set *diags,
                                      const char *format, ...) {
    _cleanup_(freep) char *name = NULL;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vasprintf(&name, format, ap);
    va_end(ap);
    if (n < 0) {
        name = NULL;
        return -ENOMEM;
    }
    test_result(t, has_passed, name, diags);
    return 0;
}

/* --- rule files -------------------------------------------------------------------------------------- */

static int test_example(struct test *t, struct program *program, const struct rule *rule,
                        size_t i) {
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = example_play(program, rule, &rule->examples->items[i], &diags);
    if (r == 0 || r == EXAMPLE_E_FAILED)
        r = test_report(t, r == 0, &diags, "%s: rule %s, example %zu, %s client",
                        rule->file->source->path, rule->name, i + 1,
                        program_options(program)->client == DIALECT_OLD ? "old" : "new");
    diag_set_deinit(&diags);
    return r < 0 ? r : 0;
}

static int test_examples(struct test *t, struct program *program) {
    for (size_t i = 0; i < program_n_rules(program); i++) {
        const struct rule *rule = program_rule(program, i);

        for (size_t k = 0; rule->examples && k < rule->examples->n_items; k++) {
            int r = test_example(t, program, rule, k);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* for one kind of client.  Return: 0, -ENOMEM, RULES_E_FAILED */
static int test_rules_for(struct test *t, const struct program_source *source, enum dialect client,
                          bool is_printed) {
    struct program_options options = {.client = client};
    struct program *program = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(source, 1, &options, &program, &diags);
    if (is_printed && r > 0)
        test_result(t, false, source->path, &diags);
    else if (is_printed)
        test_print_findings(t, &diags);
    diag_set_deinit(&diags);
    if (r)
        return r < 0 ? r : RULES_E_FAILED;
    r = test_examples(t, program);
    program_unref(program);
    return r;
}

static int test_rules(struct test *t, const char *path, const struct buffer *text) {
    struct program_source source = {.path = path, .text = text->data, .n_text = text->n};
    int r;

    r = test_rules_for(t, &source, DIALECT_OLD, true);
    return r ? r : test_rules_for(t, &source, DIALECT_NEW, false);
}

/* --- case files --------------------------------------------------------------------------------------- */

/* a file that a case names stands beside the case */
static char *test_path_beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    bool is_file = strchr(name, '/') || strstr(name, ".jsonc");
    char *joined;

    if (!slash || !is_file || name[0] == '/')
        return strdup(name);
    return asprintf(&joined, "%.*s/%s", (int)(slash - path), path, name) < 0 ? NULL : joined;
}

/* Return: 0, -ENOMEM, RULES_E_FAILED */
static int test_load(const struct case_dialogue *d, struct program **ret_program) {
    struct rules_choice choice = {0};
    char **names;
    size_t n = 0, n_files;
    int r = 0;

    while (d->rules && d->rules[n])
        n++;
    names = calloc(n + 1, sizeof(*names));
    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        names[i] = test_path_beside(d->source->path, d->rules[i]);
        r = names[i] ? r : -ENOMEM;
    }
    choice.names = (const char **)names;
    choice.n_names = n;
    if (r == 0)
        r = rules_load(&choice, &d->options, ret_program, &n_files);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return r;
}

static int test_dialogue(struct test *t, const struct case_dialogue *d) {
    struct program *program = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = test_load(d, &program);
    if (r == 0)
        r = case_play(d, program, false, &diags);
    if (r == 0)
        r = case_play(d, program, true, &diags);
    if (r >= 0)
        r = test_report(t, r == 0, &diags, "%s%s%s", d->source->path, d->title ? ": " : "",
                        d->title ? d->title : "");
    diag_set_deinit(&diags);
    program_unref(program);
    return r;
}

static int test_cases(struct test *t, const char *path, const struct buffer *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct diag_source source = {
        .path = path, .text = text->data ? text->data : "", .n_text = text->n};
    struct case_dialogue *d = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = case_read(&arena, &source, &d, &diags);
    if (r > 0) {
        test_result(t, false, path, &diags);
        d = NULL;
    }
    diag_set_deinit(&diags);
    for (r = r < 0 ? r : 0; r == 0 && d; d = d->next)
        r = test_dialogue(t, d);
    return r;
}

/* --- the command ----------------------------------------------------------------------------------------- */

static bool test_is_case(const char *path) {
    size_t n = strlen(path), n_suffix = strlen(TEST_CASE_SUFFIX);

    return n > n_suffix && strcmp(path + n - n_suffix, TEST_CASE_SUFFIX) == 0;
}

/* Return: 0, -ENOMEM; what else is wrong is counted */
static int test_file(struct test *t, const char *path) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    int r;

    r = rules_read_file(path, &text);
    if (r < 0)
        return r;
    if (r > 0) {
        test_result(t, false, path, NULL);
        return 0;
    }
    r = test_is_case(path) ? test_cases(t, path, &text) : test_rules(t, path, &text);
    return r < 0 ? r : 0;
}

static int test_all(struct test *t, char **paths) {
    for (; *paths; paths++) {
        int r = test_file(t, *paths);

        if (r < 0) {
            fprintf(stderr, "qmp-shim test: %s: %s\n", *paths, strerror(-r));
            return COMMAND_FAILED;
        }
    }
    if (t->is_tap)
        printf("1..%zu\n", t->n_passed + t->n_failed);
    else
        printf("%zu passed, %zu failed\n", t->n_passed, t->n_failed);
    return t->n_failed > 0 ? COMMAND_FAILED : 0;
}

static int test_run(const struct command *c, int argc, char **argv) {
    struct test test = {0};
    int option;

    while ((option = options_next(c, argc, argv)) == TEST_TAP)
        test.is_tap = true;
    if (option == OPTIONS_HELP)
        return 0;
    if (option == OPTIONS_WRONG)
        return COMMAND_USAGE;
    if (optind == argc) {
        fputs("qmp-shim test: FILE is missing; see \"qmp-shim help test\"\n", stderr);
        return COMMAND_USAGE;
    }
    return test_all(&test, argv + optind);
}

const struct command command_test = {
    .name = "test",
    .summary = "play the examples of rule files, and case files",
    .synopsis = "[--tap] FILE…",
    .text = "Plays every example that stands in a rule file, for each kind of client that its\n"
            "rule is for, and every dialogue of a .case file.  What goes another way than it\n"
            "is written is printed with its place.\n",
    .options = test_options,
    .run = test_run,
};
