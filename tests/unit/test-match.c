/*
 * rule/match: what each kind of pattern reads, and what it binds.
 */
#include "rule/match.h"

#include "rule.h"

struct row {
    const char *pattern, *value;
    const char *bound; /* of $x; "": matches and binds nothing; NULL: does not match */
};

/* a pattern in the place of a member that may be absent (@value NULL) */
static void assert_row(const struct row *row, enum vars_side side, const char *more) {
    struct buffer pattern = BUFFER_INIT, value = BUFFER_INIT;
    const struct json *bound = NULL;
    struct bindings *b;
    struct loaded l;
    size_t var = 0;
    int r;

    buffer_printf(&pattern, "{'m': %s}", row->pattern);
    buffer_printf(&value, row->value ? "{'m': %s}" : "{}", row->value);
    loaded_rule(&l, side == VARS_OLD ? pattern.data : "{'m': '$x'}",
                side == VARS_NEW ? pattern.data : "{'m': '$x'}", more);
    b = bindings_new(&l.arena, &l.file.rules[0].vars, NULL);
    r = match_value(&l.arena, side, loaded_pattern(&l, side), loaded_json(&l, value.data), b);
    cr_assert(eq(int, r, row->bound ? 0 : MATCH_E_NO), "%s, %s", row->pattern,
              row->value ? row->value : "absent");
    cr_assert(eq(int, vars_intern(&l.arena, &l.file.rules[0].vars, "x", 1, &var), 0));
    if (row->bound)
        bound = b->value[var];
    if (row->bound && row->bound[0])
        cr_assert(bound && json_equal(bound, loaded_json(&l, row->bound)), "%s, %s: %.*s",
                  row->pattern, row->value, bound ? (int)bound->n_text : 0,
                  bound ? bound->text : "");
    else
        cr_assert(bound == NULL, "%s, %s", row->pattern, row->value ? row->value : "absent");
    loaded_deinit(&l);
    buffer_deinit(&pattern);
    buffer_deinit(&value);
}

static void assert_rows(const struct row *rows, size_t n, const char *more) {
    for (size_t i = 0; i < n; i++)
        assert_row(&rows[i], VARS_OLD, more);
}

TEST(match, constants_are_compared_by_value) {
    static const struct row rows[] = {
        {"12", "12", ""},
        {"12", "12.0", ""},
        {"12", "1.2e1", ""},
        {"12", "13", NULL},
        {"12", "'12'", NULL},
        {"18446744073709551615", "18446744073709551615", ""},
        {"18446744073709551615", "18446744073709551614", NULL},
        {"9007199254740993", "9007199254740992", NULL},
        {"'a'", "'a'", ""},
        {"'a'", "'\\u0061'", ""},
        {"'a'", "'A'", NULL},
        {"'a'", NULL, NULL},
        {"''", "''", ""},
        {"''", NULL, NULL},
        {"true", "true", ""},
        {"true", "1", NULL},
        {"true", "false", NULL},
        {"null", "null", ""},
        {"null", "0", NULL},
        {"null", NULL, NULL},
        {"'$$x'", "'$x'", ""},
        {"'$$x'", "'$$x'", NULL},
        {"'a $b'", "'a $b'", ""},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "");
}

TEST(match, variables_take_any_value_or_their_type_only) {
    static const struct row rows[] = {
        {"'$x'", "1", "1"},
        {"'$x'", "'s'", "'s'"},
        {"'$x'", "null", "null"},
        {"'$x'", "{'a': [1]}", "{'a': [1]}"},
        {"'$x'", NULL, NULL},
        {"'$x:any'", "[]", "[]"},
        {"'$x:str'", "'s'", "'s'"},
        {"'$x:str'", "1", NULL},
        {"'$x:int'", "1", "1"},
        {"'$x:int'", "1.5", NULL},
        {"'$x:int'", "1.50e1", "15"},
        {"'$x:int'", "'1'", NULL},
        {"'$x:number'", "1.5", "1.5"},
        {"'$x:number'", "1", "1"},
        {"'$x:number'", "true", NULL},
        {"'$x:bool'", "true", "true"},
        {"'$x:bool'", "'true'", NULL},
        {"'$x:object'", "{}", "{}"},
        {"'$x:object'", "[]", NULL},
        {"'$x:list'", "[1]", "[1]"},
        {"'$x:list'", "{}", NULL},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "");
}

TEST(match, the_same_variable_twice_must_be_equal) {
    static const struct row rows[] = {
        {"['$x', '$x']", "[1, 1]", "1"},
        {"['$x', '$x']", "[1, 1.0]", "1"},
        {"['$x', '$x']", "[1, 2]", NULL},
        {"['$x', '$x']", "[1, '1']", NULL},
        {"['$x', 'a ${x}']", "['b', 'a b']", "'b'"},
        {"['$x', 'a ${x}']", "['b', 'a c']", NULL},
        {"{'p': '$x', '*q': '$x'}", "{'p': 1}", "1"},
        {"{'p': '$x', '*q': '$x'}", "{'p': 1, 'q': 1}", "1"},
        {"{'p': '$x', '*q': '$x'}", "{'p': 1, 'q': 2}", NULL},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "");
}

TEST(match, captures_take_the_shortest_text_that_fits) {
    static const struct row rows[] = {
        {"'Device \\u0027${x}\\u0027 is in use'", "'Device \\u0027d0\\u0027 is in use'", "'d0'"},
        {"'Device ${x} is in use'", "'Device  is in use'", "''"},
        {"'Device ${x} is in use'", "'Device d0 is in us'", NULL},
        {"'Device ${x} is in use'", "'device d0 is in use'", NULL},
        {"'${x}: ${y}'", "'a: b: c'", "'a'"},
        {"'${x}: end'", "'a: b: end'", "'a: b'"},
        {"'<${x}>'", "'<a>b>'", "'a>b'"},
        {"'${x}'", "''", "''"},
        {"'${x}'", "'all'", "'all'"},
        {"'${x}'", "1", NULL},
        {"'a${x}'", NULL, NULL},
        {"'${x}-${x}'", "'ab-ab'", "'ab'"},
        {"'${x}-${x}'", "'a-a-a-a'", "'a-a'"},
        {"'${x}-${x}'", "'ab-ba'", NULL},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "");
}

/* a peer chooses the text: looking for many captures must not take long */
TEST(match, a_text_that_nearly_fits_everywhere_is_given_up_soon) {
    static const char *const patterns[] = {
        "'${a}x${b}x${c}x${d}x${x}y'",
        "'${a}x${b}x${c}x${d}x${x}x${a}y'",
        "'${a}-${b}-${a}-${b}-${x}-${x}'",
    };
    char text[4096 + 3];

    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
        for (size_t k = 0; k < 2; k++) {
            struct row row = {patterns[i], text, NULL};

            memset(text, k ? '-' : 'x', sizeof(text));
            text[0] = text[4097] = '\'';
            text[4098] = '\0';
            assert_row(&row, VARS_OLD, "'for': 'old-client'");
        }
}

TEST(match, a_text_beyond_the_limit_has_no_captures) {
    enum { MATCH_MAX_TEXT_BYTES = 4096 };

    for (size_t n = 4090; n <= 4100; n++) {
        struct buffer value = BUFFER_INIT;
        struct row row = {"'a${x}'", NULL, ""};
        char *text = malloc(n + 4), *bound = malloc(n + 4);

        memset(text, 'b', n + 3);
        text[0] = text[n + 1] = '\'';
        text[1] = 'a';
        text[n + 2] = '\0';
        memset(bound, 'b', n + 3);
        bound[0] = bound[n] = '\'';
        bound[n + 1] = '\0';
        row.value = text;
        row.bound = n <= MATCH_MAX_TEXT_BYTES ? bound : NULL;
        assert_row(&row, VARS_OLD, "");
        free(text);
        free(bound);
        buffer_deinit(&value);
    }
}

/* each dash is tried as the end of the first $x, and then the rest as the second one */
TEST(match, captures_are_tried_so_often_and_not_once_more) {
    enum { MATCH_MAX_TRIES = 1000, N = MATCH_MAX_TRIES / 2 - 1 };

    for (size_t n = N; n <= N + 1; n++) {
        struct row row = {"'${x}-${x}'", NULL, NULL};
        char text[2 * N + 6], bound[N + 4];

        memset(text, '-', sizeof(text));
        text[0] = text[2 * n + 2] = '\'';
        text[2 * n + 3] = '\0';
        memset(bound, '-', sizeof(bound));
        bound[0] = bound[n + 1] = '\'';
        bound[n + 2] = '\0';
        row.value = text;
        row.bound = n == N ? bound : NULL;
        assert_row(&row, VARS_OLD, "");
    }
}

TEST(match, objects_are_open_and_their_members_may_be_optional) {
    static const struct row rows[] = {
        {"{}", "{}", ""},
        {"{}", "{'other': 1}", ""},
        {"{}", "[]", NULL},
        {"{}", NULL, NULL},
        {"{'a': '$x'}", "{'b': 2, 'a': 1}", "1"},
        {"{'a': '$x'}", "{'b': 2}", NULL},
        {"{'*a': '$x'}", "{}", ""},
        {"{'*a': '$x'}", "{'a': 1}", "1"},
        {"{'*a': 1}", "{}", ""},
        {"{'*a': 1}", "{'a': 1}", ""},
        {"{'*a': 1}", "{'a': 2}", NULL},
        {"{'*a': '$x:int'}", "{'a': 'b'}", NULL},
        {"{'$$a': '$x'}", "{'$a': 1}", "1"},
        {"{'a': 1, '...': '$x'}", "{'b': 2, 'a': 1, 'c': [3]}", "{'b': 2, 'c': [3]}"},
        {"{'a': 1, '...': '$x'}", "{'a': 1}", ""},
        {"{'a': 1, '...': null}", "{'b': 2, 'a': 1}", ""},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "");
}

TEST(match, lists_by_every_first_some_or_exact_elements) {
    static const struct row rows[] = {
        {"[{'a': 1}, '...']", "[]", ""},
        {"[{'a': 1}, '...']", "[{'a': 1}, {'a': 1, 'b': 2}]", ""},
        {"[{'a': 1}, '...']", "[{'a': 1}, {'a': 2}]", NULL},
        {"[1, '...']", "1", NULL},
        {"['...', {'a': 2, 'b': '$x'}, '...']",
         "[{'a': 1, 'b': 1}, {'a': 2, 'b': 2}, {'a': 2, 'b': 3}]", "2"},
        {"['...', {'a': 2, 'b': '$x'}, '...']", "[{'a': 1, 'b': 1}]", NULL},
        {"['...', '$x', '...']", "[]", NULL},
        {"['$x', 2]", "[1, 2]", "1"},
        {"['$x', 2]", "[1, 2, 3]", NULL},
        {"['$x', 2]", "[1]", NULL},
        {"[]", "[]", ""},
        {"[]", "[1]", NULL},
        {"{'$every': 2}", "[1, 2, 3]", ""},
        {"{'$every': 2}", "[]", ""},
        {"{'$every': 2}", "{}", NULL},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "'for': 'old-client'");
}

TEST(match, operators_guard) {
    static const struct row rows[] = {
        {"{'$only': 1}", "2", ""},
        {"{'$only': 1}", NULL, ""},
        {"{'$only': '$x'}", "2", ""},
        {"{'$like': 'virtio-*'}", "'virtio-net'", ""},
        {"{'$like': 'virtio-*'}", "'e1000'", NULL},
        {"{'$like': '*'}", "1", NULL},
        {"{'$like': '*'}", NULL, NULL},
        {"{'$like': '*'}", "'a\\u0000b'", NULL},
        {"{'$like': 'a[0-9]?'}", "'a1x'", ""},
        {"{'$in': ['a', 1]}", "1.0", ""},
        {"{'$in': ['a', 1]}", "'a'", ""},
        {"{'$in': ['a', 1]}", "'b'", NULL},
        {"{'$in': ['a', 1]}", NULL, NULL},
        {"{'$in': [{'$like': 'a*'}, 'b']}", "'abc'", ""},
        {"{'$not': 1}", "2", ""},
        {"{'$not': 1}", "1", NULL},
        {"{'$not': 1}", NULL, ""},
        {"{'$not': '$x'}", "1", NULL},
        {"{'$not': {'a': '$x'}}", "{'b': 1}", ""},
        {"{'$not': {'$absent': true}}", "1", ""},
        {"{'$not': {'$absent': true}}", NULL, NULL},
        {"{'$absent': true}", NULL, ""},
        {"{'$absent': true}", "null", NULL},
    };

    assert_rows(rows, ARRAY_SIZE(rows), "'for': 'old-client'");
}

TEST(match, a_variable_holds_the_old_sides_value) {
    static const struct row scaled = {"'$x'", "300", "0.3"},
                            mapped = {"'$x'", "'concluded'", "'completed'"},
                            unmapped = {"'$x'", "'?'", NULL}, typed = {"'$x'", "5", "'5'"},
                            old = {"'$x'", "'?'", NULL};

    assert_row(&scaled, VARS_NEW, "'vars': {'x': {'scale': 1000, 'new': 'int'}}");
    assert_row(&mapped, VARS_NEW,
               "'vars': {'x': {'map': [['running', 'running'], ['completed', 'concluded']]}}");
    assert_row(&unmapped, VARS_NEW, "'vars': {'x': {'map': [['running', 'running']]}}");
    assert_row(&old, VARS_OLD, "'vars': {'x': {'map': [['running', 'running']]}}");
    assert_row(&typed, VARS_NEW, "'vars': {'x': {'old': 'str', 'new': 'int'}}");
}

TEST(match, what_does_not_fit_leaves_the_bindings_alone) {
    struct bindings *b;
    struct loaded l;

    loaded_rule(&l, "{'a': '$x', 'b': [{'c': '$y'}, '...'], 'd': 1}",
                "{'a': '$x', 'b': [{'c': '$y'}, '...']}", "");
    b = bindings_new(&l.arena, &l.file.rules[0].vars, NULL);
    cr_assert(eq(int,
                 match_value(&l.arena, VARS_OLD, loaded_pattern(&l, VARS_OLD),
                             loaded_json(&l, "{'a': 1, 'b': [{'c': 2}], 'd': 2}"), b),
                 MATCH_E_NO));
    for (size_t i = 0; i < l.file.rules[0].vars.n; i++)
        cr_assert(b->value[i] == NULL);
    for (size_t i = 0; i <= l.file.rules[0].vars.n_groups; i++)
        cr_assert(b->rows[i] == NULL);
    loaded_deinit(&l);
}
