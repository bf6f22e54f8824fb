/*
 * rule/pattern: what the notation of a rule file is compiled to.
 */
#include "rule/pattern.h"

#include "rule.h"

struct kind {
    const char *text;
    enum pattern_kind kind;
};

static void assert_kind(const struct kind *k) {
    struct buffer old = BUFFER_INIT;
    struct loaded l;

    buffer_printf(&old, "{'m': %s}", k->text);
    loaded_rule(&l, old.data, "{}", "'for': 'old-client'");
    cr_assert(eq(int, loaded_pattern(&l, VARS_OLD)->members[0].pattern.kind, k->kind), "%s",
              k->text);
    loaded_deinit(&l);
    buffer_deinit(&old);
}

TEST(pattern, each_notation_is_its_kind) {
    static const struct kind kinds[] = {
        {"1", PATTERN_CONST},
        {"null", PATTERN_CONST},
        {"'text'", PATTERN_CONST},
        {"''", PATTERN_CONST},
        {"'$$'", PATTERN_CONST},
        {"'$$x'", PATTERN_CONST},
        {"'$${x}'", PATTERN_CONST},
        {"'a$x'", PATTERN_CONST},
        {"'...'", PATTERN_CONST},
        {"'$x'", PATTERN_VAR},
        {"'$some_name-2'", PATTERN_VAR},
        {"'$x:list'", PATTERN_VAR},
        {"'${x}'", PATTERN_TEXT},
        {"'a ${x} b ${y}'", PATTERN_TEXT},
        {"{}", PATTERN_OBJECT},
        {"{'$$only': 1}", PATTERN_OBJECT},
        {"{'$': 1}", PATTERN_OBJECT},
        {"{'...': null}", PATTERN_OBJECT},
        {"['$x', '...']", PATTERN_EACH},
        {"['...', '$x', '...']", PATTERN_FIRST},
        {"[]", PATTERN_EXACT},
        {"['$x']", PATTERN_EXACT},
        {"['$x', '$y', '$z']", PATTERN_EXACT},
        {"{'$only': 1}", PATTERN_ONLY},
        {"{'$like': '*'}", PATTERN_LIKE},
        {"{'$in': [1]}", PATTERN_IN},
        {"{'$not': 1}", PATTERN_NOT},
        {"{'$absent': true}", PATTERN_ABSENT},
        {"{'$every': 1}", PATTERN_EVERY},
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        assert_kind(&kinds[i]);
}

TEST(pattern, members_know_their_names_and_marks) {
    const struct pattern_member *m;
    const struct pattern *p;
    struct loaded l;

    loaded_rule(&l, "{'plain': 1, '*optional': 2, '$$dollar': 3, '*': 4, '...': '$rest'}", "{}",
                "'for': 'old-client'");
    p = loaded_pattern(&l, VARS_OLD);
    cr_assert(eq(sz, p->n_members, 4));
    cr_assert(eq(int, p->rest, PATTERN_REST_VAR));
    m = pattern_member(p, "optional", 8);
    cr_assert(m && m->is_optional);
    cr_assert(not(pattern_member(p, "plain", 5)->is_optional));
    cr_assert(pattern_member(p, "$dollar", 7) != NULL);
    cr_assert(pattern_member(p, "*", 1) != NULL);
    cr_assert(pattern_member(p, "*optional", 9) == NULL);
    cr_assert(pattern_member(p, "plai", 4) == NULL);
    cr_assert(pattern_member(NULL, "plain", 5) == NULL);
    loaded_deinit(&l);
}

TEST(pattern, what_one_side_shows_of_arguments_or_data_is_implied_on_the_other) {
    const struct rule *rule;
    struct loaded l;

    loaded_init(
        &l,
        "{'name': 'one', 'for': 'old-client', 'old': {'execute': 'a', 'arguments': {'x': 1}}, 'new': {'execute': 'b'}}");
    cr_assert(eq(int, l.r, 0));
    rule = &l.file.rules[0];
    for (size_t side = 0; side < 2; side++)
        cr_assert(pattern_member(&rule->side[side].picture[0].message, "arguments", 9)->is_implied);
    loaded_deinit(&l);
}

TEST(pattern, lists_with_a_variable_in_common_have_rows_in_common) {
    const struct rule *rule;
    struct loaded l;

    loaded_rule(&l, "{'p': [{'a': '$x'}, '...'], 'q': ['$y', '...']}",
                "{'r': [{'b': '$x'}, '...'], 's': [{'c': 1}, '...']}", "'for': 'old-client'");
    rule = &l.file.rules[0];
    cr_assert(eq(sz, loaded_pattern(&l, VARS_OLD)->members[0].pattern.group,
                 loaded_pattern(&l, VARS_NEW)->members[0].pattern.group));
    cr_assert(ne(sz, loaded_pattern(&l, VARS_OLD)->members[0].pattern.group,
                 loaded_pattern(&l, VARS_OLD)->members[1].pattern.group));
    cr_assert(ne(sz, loaded_pattern(&l, VARS_NEW)->members[1].pattern.group,
                 loaded_pattern(&l, VARS_NEW)->members[0].pattern.group));
    cr_assert(eq(sz, rule->vars.n, 2));
    loaded_deinit(&l);
}

struct visited {
    size_t n, n_optional;
};

static void visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    struct visited *v = userdata;

    (void)p, (void)var;
    v->n++;
    v->n_optional += is_optional;
}

TEST(pattern, a_visit_comes_to_every_variable) {
    struct visited v = {0};
    struct loaded l;

    loaded_rule(
        &l,
        "{'a': '$x', '*b': {'c': '$x', 'd': ['$y', '...']}, 'e': 'from ${x} to ${y}', 'f': {'$in': ['$z', 1]}, '...': '$rest'}",
        "{}", "'for': 'old-client'");
    pattern_visit(loaded_pattern(&l, VARS_OLD), false, visit, &v);
    cr_assert(eq(sz, v.n, 7));
    cr_assert(eq(sz, v.n_optional, 3));
    loaded_deinit(&l);
}
