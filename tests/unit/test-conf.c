/* Configuration: one table for the command line and the file, and who wins. */

#include "test.h"

#include <stdio.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/settings.h"
#include "conf/conf.h"

static struct conf conf;
static struct conf_advice advice;

/* Return: conf_load()'s outcome; the findings are thrown away */
static int load(const char *text) {
    struct diag_source source = {.path = "conf", .text = text, .n_text = strlen(text)};
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = conf_load(&conf, &source, &diags);
    cr_assert(eq(int, r != 0, diags.n_errors > 0));
    diag_set_deinit(&diags);
    return r;
}

/* Return: the outcome of loading a file with these members alone */
static int load_alone(const char *members) {
    char text[400];
    int r;

    snprintf(text, sizeof(text), "{\"qmp-shim-config\": 1%s%s}", *members ? ", " : "", members);
    conf = (struct conf)CONF_INIT;
    r = load(text);
    conf_deinit(&conf);
    return r;
}

static int set_alone(const char *key, const char *value) {
    int r;

    conf = (struct conf)CONF_INIT;
    r = conf_set(&conf, key, value, &advice);
    conf_deinit(&conf);
    return r;
}

static bool is_key(const char *name) {
    for (size_t i = 0; conf_key_name(i); i++)
        if (strcmp(conf_key_name(i), name) == 0)
            return true;
    return false;
}

static bool is_option(const char *name) {
    for (const struct command_option *o = command_run.options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

TEST(conf, every_option_of_run_is_a_key_and_every_key_an_option) {
    for (const struct command_option *o = command_run.options; o->name; o++)
        if (strcmp(o->name, SETTINGS_CONFIG) != 0 && strcmp(o->name, SETTINGS_INSTANCE) != 0)
            cr_assert(is_key(o->name), "--%s is no key", o->name);
    for (size_t i = 0; conf_key_name(i); i++)
        cr_assert(is_option(conf_key_name(i)), "%s is no option", conf_key_name(i));
}

TEST(conf, numbers_end_at_2147483647) {
    _Static_assert(CONF_MAX_NUMBER == 2147483647, "these are the limit, and one more");
    cr_assert(eq(int, set_alone("drain-timeout", "2147483647"), 0));
    cr_assert(eq(int, set_alone("drain-timeout", "2147483648"), CONF_E_INVALID));
    cr_assert(eq(int, set_alone("drain-timeout", "99999999999999999999"), CONF_E_INVALID));
    cr_assert(eq(int, set_alone("drain-timeout", "-1"), CONF_E_INVALID));
    cr_assert(eq(int, set_alone("drain-timeout", "1.5"), CONF_E_INVALID));
    cr_assert(eq(int, load_alone("\"drain-timeout\": 2147483648"), CONF_E_INVALID));
    cr_assert(eq(int, load_alone("\"drain-timeout\": 1e3"), CONF_E_INVALID));
}

TEST(conf, modes_are_octal_and_end_at_0777) {
    cr_assert(eq(int, set_alone("socket-mode", "0777"), 0));
    cr_assert(eq(int, set_alone("socket-mode", "1000"), CONF_E_INVALID));
    cr_assert(eq(int, set_alone("socket-mode", "rw"), CONF_E_INVALID));
    cr_assert(eq(int, set_alone("socket-mode", ""), CONF_E_INVALID));
}

TEST(conf, limits_begin_at_1) {
    cr_assert(eq(int, load_alone("\"limits\": {\"max-held\": 1}"), 0));
    cr_assert(eq(int, load_alone("\"limits\": {\"max-held\": 0}"), CONF_E_INVALID));
    cr_assert(eq(int, load_alone("\"limits\": []"), CONF_E_INVALID));
}

TEST(conf, values_of_another_type_or_empty_are_wrong) {
    static const char *const wrong[] = {
        "\"listen\": 1",         "\"listen\": \"\"",    "\"listen\": \"a\\u0000b\"",
        "\"no-probe\": \"yes\"", "\"rules\": \"a\"",    "\"rules\": [1]",
        "\"rules\": [\"\"]",     "\"allow-uid\": [[]]", "\"client-version\": \"x\"",
        "\"client\": null",
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        cr_assert(eq(int, load_alone(wrong[i]), CONF_E_INVALID), "%s", wrong[i]);
    cr_assert(eq(int, load_alone("\"no-probe\": false, \"$schema\": \"x\", \"rules\": []"), 0));
}

TEST(conf, what_was_set_first_stays) {
    conf = (struct conf)CONF_INIT;
    cr_assert(eq(int, conf_set(&conf, "rules", "line", &advice), 0));
    cr_assert(eq(int, conf_set(&conf, "rules", "two", &advice), 0));
    cr_assert(
        eq(int, load("{\"qmp-shim-config\": 1, \"rules\": [\"file\"], \"control\": \"file\"}"), 0));
    cr_assert(eq(int, conf_default(&conf, "control", "default"), 0));
    cr_assert(eq(int, conf_default(&conf, "listen", "default"), 0));
    cr_assert(eq(sz, conf.rules.n, 2));
    cr_assert(eq(str, (char *)conf.rules.item[0], "line"));
    cr_assert(eq(str, (char *)conf.rules.item[1], "two"));
    cr_assert(eq(str, (char *)conf.control, "file"));
    cr_assert(eq(str, (char *)conf.listen, "default"));
    conf_deinit(&conf);
}

TEST(conf, recognises_its_own_files_only) {
    static const char config[] = "/* x */ {\"qmp-shim-config\": 7}";
    static const char rules[] = "{\"qmp-shim-rules\": 1}";

    cr_assert(conf_recognise(config, strlen(config)));
    cr_assert(not(conf_recognise(rules, strlen(rules))));
    cr_assert(not(conf_recognise("[]", 2)));
    cr_assert(not(conf_recognise("{", 1)));
}

TEST(conf, tells_what_excludes_each_other) {
    conf = (struct conf)CONF_INIT;
    cr_assert(not(conf_check(&conf) != NULL));
    cr_assert(eq(int, conf_set(&conf, "no-rules", NULL, &advice), 0));
    cr_assert(not(conf_check(&conf) != NULL));
    cr_assert(eq(int, conf_set(&conf, "rules", "x", &advice), 0));
    cr_assert(eq(str, (char *)conf_check(&conf), "--rules and --no-rules exclude each other"));
    conf_deinit(&conf);
}

TEST(conf, advice_names_the_nearest_word_or_all) {
    cr_assert(eq(int, set_alone("log-level", "inof"), CONF_E_INVALID));
    cr_assert(eq(str, advice.text, "did you mean \"info\"?"));
    cr_assert(eq(int, set_alone("client", "both"), CONF_E_INVALID));
    cr_assert(eq(str, advice.text, "it is one of \"old\", \"new\""));
}
