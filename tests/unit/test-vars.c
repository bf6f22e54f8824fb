/*
 * rule/vars: the value of a variable on one side and on the other, and
 * scalars as other types.
 */
#include "rule/vars.h"

#include "rule.h"

struct conversion {
    const char *vars;      /* what "vars" says of x */
    const char *old, *new; /* NULL: it has no counterpart there */
};

static void assert_converted(struct loaded *l, enum vars_side to, const char *from,
                             const char *wanted) {
    const struct var *x = &l->file.rules[0].vars.var[0];
    const struct json *value = NULL;
    int r;

    r = vars_convert(&l->arena, x, to, loaded_json(l, from), &value);
    cr_assert(eq(int, r, wanted ? 0 : VARS_E_UNFIT), "%s", from);
    if (wanted)
        cr_assert(value->n_text == strlen(loaded_json(l, wanted)->text) &&
                      memcmp(value->text, loaded_json(l, wanted)->text, value->n_text) == 0,
                  "%s: %.*s, not %s", from, (int)value->n_text, value->text, wanted);
}

static void assert_conversion(const struct conversion *c, bool is_back_too) {
    struct buffer more = BUFFER_INIT;
    struct loaded l;

    buffer_printf(&more, "'vars': {'x': %s}", c->vars);
    loaded_rule(&l, "{'a': '$x'}", "{'a': '$x'}", more.data);
    if (c->old)
        assert_converted(&l, VARS_NEW, c->old, c->new);
    if (c->new &&is_back_too)
        assert_converted(&l, VARS_OLD, c->new, c->old);
    loaded_deinit(&l);
    buffer_deinit(&more);
}

TEST(vars, values_have_one_counterpart_each_way) {
    static const struct conversion both[] = {
        {"{}", "'a'", "'a'"},
        {"{'scale': 1000}", "5", "5000"},
        {"{'scale': 1000}", "0.3", "300"},
        {"{'scale': 1000}", "-0.0005", "-0.5"},
        {"{'scale': 0.001}", "1500", "1.5"},
        {"{'scale': 1048576}", "17592186044416", "18446744073709551616"},
        {"{'scale': 8}", "2305843009213693952", "18446744073709551616"},
        {"{'scale': 512, 'new': 'int'}", "3", "1536"},
        {"{'map': [['a', 1], ['b', [1, 2]], [null, {'k': 'v'}]]}", "'a'", "1"},
        {"{'map': [['a', 1], ['b', [1, 2]], [null, {'k': 'v'}]]}", "'b'", "[1, 2]"},
        {"{'map': [['a', 1], ['b', [1, 2]], [null, {'k': 'v'}]]}", "null", "{'k': 'v'}"},
        {"{'old': 'str', 'new': 'int'}", "'5'", "5"},
        {"{'old': 'str', 'new': 'bool'}", "'on'", "true"},
        {"{'old': 'str', 'new': 'bool'}", "'off'", "false"},
        {"{'old': 'int', 'new': 'str'}", "18446744073709551615", "'18446744073709551615'"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(both); i++)
        assert_conversion(&both[i], true);
}

TEST(vars, some_values_convert_one_way_only_or_not_at_all) {
    static const struct conversion one_way[] = {
        {"{'map': [['a', 1], ['a', 2], ['b', 1]]}", "'b'", "1"},
        {"{'map': [['a', 1]]}", "'b'", NULL},
        {"{'map': [[1, 'one']]}", "1.0", "'one'"},
        {"{'scale': 1000}", "'5'", NULL},
        {"{'scale': 1000}", "true", NULL},
        {"{'scale': 1000, 'new': 'int'}", "0.0015", "2"},
        {"{'new': 'int'}", "'five'", NULL},
        {"{'new': 'int'}", "'0x1F'", "31"},
        {"{'new': 'int'}", "'0xffffffffffffffff'", "18446744073709551615"},
        {"{'new': 'int'}", "'0x'", NULL},
        {"{'new': 'int'}", "'1.5'", NULL},
        {"{'new': 'number'}", "'1.5'", "1.5"},
        {"{'new': 'int'}", "1.5", "2"},
        {"{'new': 'bool'}", "'yes'", "true"},
        {"{'new': 'bool'}", "'n'", "false"},
        {"{'new': 'bool'}", "'maybe'", NULL},
        {"{'new': 'bool'}", "1", NULL},
        {"{'new': 'str'}", "true", "'on'"},
        {"{'new': 'str'}", "1.50", "'1.50'"},
        {"{'new': 'str'}", "null", NULL},
        {"{'new': 'str'}", "{}", NULL},
        {"{'new': 'object'}", "{}", "{}"},
        {"{'new': 'object'}", "[]", NULL},
        {"{'new': 'list'}", "[]", "[]"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(one_way); i++)
        assert_conversion(&one_way[i], false);
}

TEST(vars, types_have_qapis_names) {
    static const char *const names[] = {"any", "str", "int", "number", "bool", "object", "list"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        int type = vars_type_find(names[i], strlen(names[i]));

        cr_assert(ge(int, type, 0), "%s", names[i]);
        cr_assert(eq(str, (char *)vars_type_name((enum vars_type)type), (char *)names[i]));
    }
    cr_assert(eq(int, vars_type_find("string", 6), -1));
    cr_assert(eq(int, vars_type_find("", 0), -1));
    cr_assert(eq(int, vars_type_find("strx", 3), VARS_STR));
}

TEST(vars, a_name_is_met_once) {
    struct arena arena = ARENA_INIT;
    struct vars vars = {0};
    size_t a, b, c;

    cr_assert(eq(int, vars_intern(&arena, &vars, "speed", 5, &a), 0));
    cr_assert(eq(int, vars_intern(&arena, &vars, "spee", 4, &b), 0));
    cr_assert(eq(int, vars_intern(&arena, &vars, "speed!", 5, &c), 0));
    cr_assert(eq(sz, a, c));
    cr_assert(ne(sz, a, b));
    cr_assert(eq(sz, vars.n, 2));
    arena_deinit(&arena);
}

TEST(vars, new_scalars_know_their_text) {
    struct arena arena = ARENA_INIT;
    const struct json *s = vars_new_string(&arena, "a\"\n", 3);
    const struct json *n =
        vars_new_number(&arena, (struct number){.negative = true, .mantissa = 5, .exponent = 2});

    cr_assert(s->n_text == 7 && memcmp(s->text, "\"a\\\"\\n\"", 7) == 0);
    cr_assert(eq(int, memcmp(s->string, "a\"\n", 3), 0));
    cr_assert(n->n_text == 4 && memcmp(n->text, "-500", 4) == 0);
    arena_deinit(&arena);
}
