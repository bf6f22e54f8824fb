/*
 * rule/selection: which rules work, by the versions of both sides and by
 * what the server itself says it has.
 */
#include "rule/selection.h"

#include <string.h>

#include "base/util.h"
#include "json/reader.h"
#include "test.h"

/* a command renamed in 2.0, its old name gone since 6.0 */
#define RENAMED                                                                                    \
    "{\"name\": \"r\", \"new-since\": \"2.0\", \"old-until\": \"6.0\", \"old\": {\"execute\": \"a\"}, \"new\": {\"execute\": \"b\"}"
/* one whose argument changed */
#define CHANGED                                                                                                                                   \
    "{\"name\": \"r\", \"new-since\": \"2.0\", \"old-until\": \"6.0\", \"old\": {\"execute\": \"a\", \"arguments\": {\"x\": \"$x\"}}, \"new\": {" \
    "\"execute\": \"a\", \"arguments\": {\"y\": \"$x\"}}"

#define NEEDING                                                                                    \
    "{\"name\": \"r\", \"new-since\": \"2.0\", \"old-until\": \"6.0\", \"for\": \"old-client\", "  \
    "\"old\": {\"execute\": \"a\", \"arguments\": {\"x\": \"$x\"}}, "                              \
    "\"new\": {\"execute\": \"b\", \"arguments\": {\"y\": \"$y\"}}, "                              \
    "\"ask\": [{\"execute\": \"b\", \"return\": {\"y\": \"$y\"}}], \"needs\": [\"$y\"]"

struct scene {
    const char *rule;     /* without its closing brace */
    const char *client;   /* "old", "new", or a version */
    const char *server;   /* a version; NULL: not known */
    const char *commands; /* what the server has; NULL: not asked */
    enum selection_state state;
    enum selection_reason reason;
};

static struct program *program_of(const char *rules, const char *client) {
    struct program_options options = {.client = client[0] == 'n' ? DIALECT_NEW : DIALECT_OLD,
                                      .client_version =
                                          client[0] >= '0' && client[0] <= '9' ? client : NULL};
    struct program *p = NULL;
    struct buffer text = BUFFER_INIT;
    struct diag_set diags;

    buffer_printf(&text, "{\"qmp-shim-rules\": 1, \"name\": \"case\", \"rules\": [%s]}", rules);
    diag_set_init(&diags);
    cr_assert(eq(int,
                 program_load(&(struct program_source){"case.jsonc", text.data, text.n}, 1,
                              &options, &p, &diags),
                 0),
              "%s", rules);
    diag_set_deinit(&diags);
    buffer_deinit(&text);
    return p;
}

static struct selection *select_for(struct arena *arena, const struct program *p,
                                    const char *server, const char *commands) {
    struct selection_commands list = {NULL};
    struct version version = {0, 0, 0};
    struct selection *s = NULL;
    struct json *value = NULL;

    if (server)
        cr_assert(eq(int, version_read(server, strlen(server), &version), 0));
    if (commands)
        cr_assert(eq(int, json_read(arena, commands, strlen(commands), false, &value, NULL), 0));
    list.list = value;
    cr_assert(eq(int, selection_new(p, server ? &version : NULL, commands ? &list : NULL, &s), 0));
    return s;
}

static void assert_scene(const struct scene *scene) {
    struct arena arena = ARENA_INIT;
    struct buffer rule = BUFFER_INIT;
    struct program *p;
    struct selection *s;

    buffer_printf(&rule, "%s}", scene->rule);
    p = program_of(rule.data, scene->client);
    s = select_for(&arena, p, scene->server, scene->commands);
    cr_assert(s->state[0] == scene->state && s->reason[0] == scene->reason,
              "client %s, server %s, commands %s: %s", scene->client,
              scene->server ? scene->server : "?", scene->commands ? scene->commands : "?",
              selection_reason_text((enum selection_reason)s->reason[0]));
    cr_assert(eq(sz, s->n_working, scene->state != SELECTION_RESTS));
    selection_unref(s);
    program_unref(p);
    arena_deinit(&arena);
    buffer_deinit(&rule);
}

static void assert_scenes(const struct scene *scenes, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_scene(&scenes[i]);
}

TEST(selection, by_dialect_the_server_must_have_the_other_form) {
    static const struct scene scenes[] = {
        {RENAMED, "old", NULL, NULL, SELECTION_OLD_CLIENT, SELECTION_WORKS},
        {RENAMED, "new", NULL, NULL, SELECTION_NEW_CLIENT, SELECTION_WORKS},
        {RENAMED, "old", "2.0", NULL, SELECTION_OLD_CLIENT, SELECTION_WORKS},
        {RENAMED, "old", "1.9", NULL, SELECTION_RESTS, SELECTION_SERVER_LACKS},
        {RENAMED, "new", "5.9", NULL, SELECTION_NEW_CLIENT, SELECTION_WORKS},
        {RENAMED, "new", "6.0", NULL, SELECTION_RESTS, SELECTION_SERVER_LACKS},
        {RENAMED ", \"for\": \"new-client\"", "old", "7.0", NULL, SELECTION_RESTS, SELECTION_FOR},
        {RENAMED ", \"for\": \"old-client\"", "old", "7.0", NULL, SELECTION_OLD_CLIENT,
         SELECTION_WORKS},
    };

    assert_scenes(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

TEST(selection, a_command_vouches_for_the_new_form_whatever_the_version) {
#define VOUCHED                                                                                    \
    "{\"name\": \"r\", \"new-since\": \"3.0\", \"old-until\": \"3.0\", \"new-with\": \"jobs\", "   \
    "\"old\": {\"event\": \"E\", \"data\": {\"x\": 1}}, \"new\": {\"event\": \"E\", \"data\": {\"y\": 1}}"
    static const struct scene scenes[] = {
        {VOUCHED, "5.2", "2.12", "[]", SELECTION_NEW_CLIENT, SELECTION_WORKS},
        {VOUCHED, "5.2", "2.12", NULL, SELECTION_NEW_CLIENT, SELECTION_WORKS},
        {VOUCHED, "5.2", "2.12", "[{\"name\": \"jobs\"}]", SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {VOUCHED, "2.10", "2.12", "[]", SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {VOUCHED, "2.10", "2.12", "[{\"name\": \"jobs\"}]", SELECTION_OLD_CLIENT, SELECTION_WORKS},
        {VOUCHED, "2.12", "2.12", "[{\"name\": \"jobs\"}]", SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {VOUCHED, "2.10", "3.0", "[]", SELECTION_OLD_CLIENT, SELECTION_WORKS},
    };

    assert_scenes(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

TEST(selection, by_version_a_rule_rests_when_both_understand_each_other) {
    static const struct scene scenes[] = {
        {CHANGED, "1.0", "6.0", NULL, SELECTION_OLD_CLIENT, SELECTION_WORKS},
        {CHANGED, "5.9", "6.0", NULL, SELECTION_OLD_CLIENT, SELECTION_WORKS},
        {CHANGED, "6.0", "6.0", NULL, SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "1.0", "5.9", NULL, SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "2.0", "1.9", NULL, SELECTION_NEW_CLIENT, SELECTION_WORKS},
        {CHANGED, "2.0", "2.0", NULL, SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "1.9", "1.8", NULL, SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "7.0", "5.0", NULL, SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "1.0", NULL, NULL, SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED ", \"for\": \"new-client\"", "1.0", "6.0", NULL, SELECTION_RESTS, SELECTION_FOR},
    };

    assert_scenes(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

TEST(selection, the_servers_own_word_counts_for_more_than_its_number) {
    static const struct scene scenes[] = {
        {RENAMED, "1.0", "5.0", "[{\"name\": \"b\"}]", SELECTION_OLD_CLIENT, SELECTION_WORKS},
        {RENAMED, "1.0", "7.0", "[{\"name\": \"a\"}, {\"name\": \"b\"}]", SELECTION_RESTS,
         SELECTION_SERVER_HAS},
        {RENAMED, "1.0", "7.0", "[{\"name\": \"c\"}]", SELECTION_RESTS, SELECTION_COMMAND_LACKED},
        {RENAMED, "1.0", "7.0", "[]", SELECTION_RESTS, SELECTION_COMMAND_LACKED},
        {RENAMED, "3.0", "2.5", "[{\"name\": \"a\"}]", SELECTION_NEW_CLIENT, SELECTION_WORKS},
        /* the same name on both sides: the list cannot tell */
        {CHANGED, "1.0", "5.0", "[{\"name\": \"a\"}]", SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "1.0", "6.0", "[{\"name\": \"a\"}]", SELECTION_OLD_CLIENT, SELECTION_WORKS},
        /* for some of these commands only */
        {NEEDING, "1.0", "6.0", "[{\"name\": \"a\"}, {\"name\": \"b\"}]", SELECTION_OLD_CLIENT,
         SELECTION_WORKS},
        {NEEDING, "1.0", "6.0", "[{\"name\": \"a\"}]", SELECTION_RESTS, SELECTION_COMMAND_LACKED},
        {NEEDING, "1.0", "5.0", "[{\"name\": \"b\"}]", SELECTION_RESTS, SELECTION_BOTH_KNOW},
        {CHANGED, "1.0", "6.0", "[{\"name\": 5}, {}]", SELECTION_RESTS, SELECTION_COMMAND_LACKED},
    };

    assert_scenes(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

TEST(selection, a_name_may_be_bridged_by_the_next_file) {
    static const char first[] =
        "{\"qmp-shim-rules\": 1, \"name\": \"one\", \"old-until\": \"2.0\", \"rules\": ["
        "{\"name\": \"r\", \"old\": {\"execute\": \"a\"}, \"new\": {\"execute\": \"b\"}}]}";
    static const char second[] =
        "{\"qmp-shim-rules\": 1, \"name\": \"two\", \"old-until\": \"6.0\", \"rules\": ["
        "{\"name\": \"r\", \"old\": {\"execute\": \"b\"}, \"new\": {\"execute\": \"c\"}}]}";
    struct program_source sources[] = {{"one", first, sizeof(first) - 1},
                                       {"two", second, sizeof(second) - 1}};
    struct program_options options = {.client_version = "1.0"};
    struct arena arena = ARENA_INIT;
    struct program *p = NULL;
    struct selection *s;
    struct diag_set diags;

    diag_set_init(&diags);
    cr_assert(eq(int, program_load(sources, 2, &options, &p, &diags), 0));
    diag_set_deinit(&diags);
    s = select_for(&arena, p, "7.0", "[{\"name\": \"c\"}]");
    cr_assert(eq(sz, s->n_working, 2));
    cr_assert(s->is_ascending);
    selection_unref(s);
    s = select_for(&arena, p, "7.0", "[{\"name\": \"d\"}]");
    cr_assert(eq(sz, s->n_working, 0), "the last step has nowhere to go, nor then has the first");
    selection_unref(s);
    program_unref(p);
    arena_deinit(&arena);
}

TEST(selection, the_server_is_asked_only_where_versions_decide) {
    struct program
        *by_dialect = program_of(RENAMED "}", "old"),
        *by_version = program_of(RENAMED "}", "1.0"),
        *events = program_of(
            "{\"name\": \"r\", \"old\": {\"event\": \"A\"}, \"new\": {\"event\": \"B\"}}", "1.0");

    cr_assert(not(selection_wants_probe(by_dialect)));
    cr_assert(selection_wants_probe(by_version));
    cr_assert(not(selection_wants_probe(events)));
    program_unref(by_dialect);
    program_unref(by_version);
    program_unref(events);
}

TEST(selection, client_and_server_stand_at_the_ends_of_the_chain) {
    struct arena arena = ARENA_INIT;
    struct program *p = program_of(RENAMED "}", "new");
    struct selection *s = select_for(&arena, p, "2.5", NULL);
    const struct rule *rule = program_rule(p, 0);

    cr_assert(not(s->is_ascending));
    cr_assert(selection_is_working(s, rule));
    cr_assert(eq(int, selection_client_side(s, rule), VARS_NEW));
    cr_assert(selection_is_client_side(s, rule, VARS_NEW) &&
              !selection_is_client_side(s, rule, VARS_OLD));
    selection_unref(s);
    program_unref(p);
    arena_deinit(&arena);
}
