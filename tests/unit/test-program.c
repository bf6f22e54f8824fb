/*
 * rule/program: the chain of files, and what is found by name.
 */
#include "rule/program.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define RULE(name, old, new) "{\"name\": \"" name "\", \"old\": {" old "}, \"new\": {" new "}}"
#define FILE_OF(name, more, rules)                                                                 \
    "{\"qmp-shim-rules\": 1, \"name\": \"" name "\"" more ", \"rules\": [" rules "]}"
#define UNTIL(version) ", \"old-until\": \"" version "\""

static int load(const char *const *texts, const struct program_options *options,
                struct program **ret_program, size_t *ret_n_errors) {
    struct program_source sources[8];
    struct diag_set diags;
    size_t n = 0;
    int r;

    for (; texts[n]; n++)
        sources[n] = (struct program_source){
            .path = "case.jsonc", .text = texts[n], .n_text = strlen(texts[n])};
    diag_set_init(&diags);
    r = program_load(sources, n, options, ret_program, &diags);
    *ret_n_errors = diags.n_errors;
    diag_set_deinit(&diags);
    return r;
}

static struct program *loaded(const char *const *texts) {
    struct program_options options = {.client = DIALECT_OLD};
    struct program *p = NULL;
    size_t n_errors;

    cr_assert(eq(int, load(texts, &options, &p, &n_errors), 0));
    return p;
}

TEST(program, files_stand_by_old_until_then_as_given) {
    static const char *const texts[] = {
        FILE_OF("no-version", "", ""),
        FILE_OF("of-11", UNTIL("11.0"), ""),
        FILE_OF("of-6-first", UNTIL("6.0"), ""),
        FILE_OF(
            "by-its-rules", "",
            "{\"name\": \"one\", \"old-until\": \"7.0\", \"old\": {\"execute\": \"a\"}, \"new\": {\"execute\": \"b\"}}"),
        FILE_OF("of-6-second", UNTIL("6.0"), ""),
        FILE_OF("also-none", "", ""),
        NULL,
    };
    static const char *const order[] = {"of-6-first", "of-6-second", "by-its-rules",
                                        "of-11",      "no-version",  "also-none"};
    struct program *p = loaded(texts);

    cr_assert(eq(sz, program_n_files(p), 6));
    for (size_t i = 0; i < 6; i++) {
        cr_assert(eq(str, (char *)program_file(p, i)->name, (char *)order[i]));
        cr_assert(eq(sz, program_file_index(p, program_file(p, i)), i));
    }
    program_unref(p);
}

TEST(program, rules_are_numbered_along_the_chain) {
    static const char *const texts[] = {
        FILE_OF("late", UNTIL("9.0"), RULE("one", "\"execute\": \"a\"", "\"execute\": \"b\"")),
        FILE_OF("early", UNTIL("2.0"),
                RULE("one", "\"execute\": \"a\"", "\"execute\": \"b\"") "," RULE(
                    "two", "\"execute\": \"c\"", "\"execute\": \"d\"")),
        NULL,
    };
    struct program *p = loaded(texts);

    cr_assert(eq(sz, program_n_rules(p), 3));
    for (size_t i = 0; i < 3; i++)
        cr_assert(eq(sz, program_rule(p, i)->index, i));
    cr_assert(eq(str, (char *)program_rule(p, 1)->name, "two"));
    cr_assert(eq(str, (char *)program_rule(p, 2)->file->name, "late"));
    program_unref(p);
}

TEST(program, names_lead_to_the_rules_that_show_them) {
    static const char *const texts[] = {
        FILE_OF("one", "",
                RULE("command", "\"execute\": \"a\"", "\"execute\": \"b\"") "," RULE(
                    "event", "\"event\": \"a\"",
                    "\"event\": \"B\"") "," RULE("error", "\"error\": {}",
                                                 "\"error\": {}") "," RULE("greeting",
                                                                           "\"QMP\": {}",
                                                                           "\"QMP\": {}")),
        FILE_OF(
            "two", "",
            "{\"name\": \"until\", \"for\": \"old-client\", \"old\": {\"execute\": \"b\"}, \"new\": [{\"execute\": \"c\", "
            "\"until\": {\"event\": \"U\"}}, {\"execute\": \"d\"}]},"
            "{\"name\": \"of\", \"command\": [\"x\", \"y\"], \"old\": {\"error\": {}}, \"new\": {\"error\": {}}},"
            "{\"name\": \"after\", \"after-reply\": [\"z\"], \"old\": {\"event\": \"C\"}, \"new\": {\"event\": \"C\"}}"),
        NULL,
    };
    static const struct {
        enum program_role role;
        const char *name;
        size_t n;
    } found[] = {
        {PROGRAM_COMMAND, "a", 1},  {PROGRAM_COMMAND, "b", 2},  {PROGRAM_COMMAND, "d", 1},
        {PROGRAM_COMMAND, "B", 0},  {PROGRAM_COMMAND, "", 0},   {PROGRAM_EVENT, "a", 1},
        {PROGRAM_EVENT, "C", 2},    {PROGRAM_EVENT, "U", 0},    {PROGRAM_UNTIL, "U", 1},
        {PROGRAM_REPLY_OF, "x", 1}, {PROGRAM_REPLY_OF, "y", 1}, {PROGRAM_REPLY_OF, "z", 1},
        {PROGRAM_REPLY_OF, "a", 0}, {PROGRAM_GREETING, "", 2},  {PROGRAM_ERROR, "", 2},
    };
    struct program *p = loaded(texts);

    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        cr_assert(eq(sz, program_find(p, found[i].role, found[i].name, strlen(found[i].name)).n,
                     found[i].n),
                  "%d %s", (int)found[i].role, found[i].name);
    cr_assert(program_has(p, PROGRAM_UNTIL));
    cr_assert(
        eq(str, (char *)program_find(p, PROGRAM_COMMAND, "b", 1).use[0].rule->name, "command"));
    cr_assert(eq(int, program_find(p, PROGRAM_COMMAND, "b", 1).use[0].side, VARS_NEW));
    cr_assert(eq(int, program_find(p, PROGRAM_COMMAND, "b", 1).use[1].side, VARS_OLD));
    program_unref(p);
}

TEST(program, many_names_are_all_found) {
    struct buffer text = BUFFER_INIT;
    struct program *p;
    char name[32];

    buffer_append_string(&text, "{\"qmp-shim-rules\": 1, \"name\": \"many\", \"rules\": [");
    for (int i = 0; i < 1000; i++)
        buffer_printf(
            &text,
            "%s{\"name\": \"r%d\", \"old\": {\"execute\": \"old-%d\"}, \"new\": {\"execute\": \"new-%d\"}}",
            i ? "," : "", i, i, i);
    buffer_append(&text, "]}", 3);
    p = loaded((const char *const[]){text.data, NULL});
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(name, sizeof(name), "new-%d", i);

        cr_assert(eq(sz, program_find(p, PROGRAM_COMMAND, name, (size_t)n).n, 1));
    }
    cr_assert(eq(sz, program_find(p, PROGRAM_COMMAND, "new-1000", 8).n, 0));
    cr_assert(not(program_has(p, PROGRAM_EVENT)));
    program_unref(p);
    buffer_deinit(&text);
}

TEST(program, an_error_in_any_file_or_from_the_check_makes_none) {
    static const char *const bad_key[] = {FILE_OF("good", "", ""),
                                          FILE_OF("bad", ", \"key\": 1", ""), NULL};
    static const char *const unbound[] = {
        FILE_OF("bad", "",
                RULE("one", "\"event\": \"A\", \"data\": {\"x\": \"$x\"}", "\"event\": \"B\"")),
        NULL};
    static const char *const warned[] = {
        FILE_OF(
            "warned", "",
            "{\"name\": \"one\", \"for\": \"old-client\", \"old\": {\"execute\": \"a\", \"arguments\": {\"*x\": \"$x\"}}, "
            "\"new\": {\"execute\": \"b\", \"arguments\": {\"y\": \"$x\"}}}"),
        NULL,
    };
    struct program_options options = {.client = DIALECT_OLD};
    struct program *p = NULL;
    size_t n_errors;

    cr_assert(eq(int, load(bad_key, &options, &p, &n_errors), PROGRAM_E_INVALID));
    cr_assert(eq(sz, n_errors, 1));
    cr_assert(eq(int, load(unbound, &options, &p, &n_errors), PROGRAM_E_INVALID));
    cr_assert(eq(sz, n_errors, 1));
    cr_assert(p == NULL);
    cr_assert(eq(int, load(warned, &options, &p, &n_errors), 0));
    program_unref(p);
}

TEST(program, options_are_kept_and_the_clients_version_read) {
    static const char *const texts[] = {FILE_OF("one", "", ""), NULL};
    struct program_options options = {
        .client = DIALECT_NEW, .client_version = "2.6", .no_probe = true};
    struct program *p = NULL;
    struct version v;
    size_t n_errors;

    cr_assert(eq(int, load(texts, &options, &p, &n_errors), 0));
    cr_assert(program_client_version(p, &v));
    cr_assert(eq(uint, v.minor, 6));
    cr_assert(eq(int, program_options(p)->client, DIALECT_NEW));
    cr_assert(program_ref(p) == p);
    cr_assert(program_unref(p) == NULL);
    cr_assert(eq(sz, program_n_files(p), 1), "one reference is left");
    program_unref(p);
    program_unref(NULL);
    options.client_version = "two";
    cr_assert(eq(int, load(texts, &options, &p, &n_errors), PROGRAM_E_VERSION));
}
