/*
 * rule/build: a message read by one side's picture is written as the other's
 * shows it, and what neither mentions stays in its place, as its own text.
 */
#include "rule/build.h"

#include "rule.h"

struct way {
    const char *old, *new, *more; /* the pictures, and more of the rule */
    const char *from, *to; /* what came, on the old side, and what is written on the new one */
    bool is_one_way;       /* else the same comes back */
};

static void assert_way(const struct way *way) {
    struct loaded l;
    char *text;

    loaded_rule(&l, way->old, way->new, way->more ? way->more : "");
    text = loaded_convert(&l, VARS_OLD, way->from);
    cr_expect(eq(str, text, (char *)way->to), "%s to %s", way->old, way->new);
    free(text);
    if (!way->is_one_way) {
        text = loaded_convert(&l, VARS_NEW, way->to);
        cr_expect(eq(str, text, (char *)way->from), "%s back to %s", way->new, way->old);
        free(text);
    }
    loaded_deinit(&l);
}

static void assert_ways(const struct way *ways, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_way(&ways[i]);
}

TEST(build, members_are_renamed_and_the_others_stay) {
    static const struct way ways[] = {
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'a': 1}", "{'b': 1}", false},
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'p': 0, 'a': 1, 'q': [ 1.0 ]}",
         "{'p': 0, 'q': [1.0], 'b': 1}", true},
        {"{'a': '$x'}", "{'a': '$x'}", "'vars': {'x': {'scale': 2}}", "{'p': 0, 'a': 1, 'q': 2}",
         "{'p': 0, 'a': 2, 'q': 2}", false},
        {"{'a': '$x', 'b': '$y'}", "{'a': '$y', 'b': '$x'}", "", "{'a': 1, 'b': 2}",
         "{'a': 2, 'b': 1}", false},
        {"{'a': 1}", "{'a': 2}", "", "{'a': 1, 'z': null}", "{'a': 2, 'z': null}", false},
        {"{'a': 1}", "{}", "", "{'a': 1}", "{}", false},
        {"{'a': {'b': '$x'}}", "{'b': '$x'}", "", "{'a': {'b': 1}}", "{'b': 1}", false},
        {"{'o': {'a': '$x'}}", "{'o': {'b': '$x'}}", "", "{'o': {'z': 1, 'a': 2}, 'y': 3}",
         "{'o': {'z': 1, 'b': 2}, 'y': 3}", true},
        {"{'$$a': '$$x'}", "{'a': 'x'}", "", "{'$a': '$x'}", "{'a': 'x'}", false},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, numbers_and_strings_that_stay_keep_their_digits_and_escapes) {
    static const struct way ways[] = {
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'a': 18446744073709551615}",
         "{'b': 18446744073709551615}", false},
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'a': -9223372036854775808}",
         "{'b': -9223372036854775808}", false},
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'a': 1.50e+2}", "{'b': 1.50e+2}", false},
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'a': 'caf\\u00e9 \\ud83d\\ude00 \\/'}",
         "{'b': 'caf\\u00e9 \\ud83d\\ude00 \\/'}", false},
        {"{'a': 1}", "{'a': 2}", "", "{'n': 100000000000000000000000000000001, 'a': 1}",
         "{'n': 100000000000000000000000000000001, 'a': 2}", false},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, optional_members_come_and_go) {
    static const struct way ways[] = {
        {"{'*a': '$x'}", "{'*b': '$x'}", "", "{}", "{}", false},
        {"{'*a': '$x'}", "{'*b': '$x'}", "", "{'a': 1}", "{'b': 1}", false},
        {"{'*a': false}", "{}", "", "{'a': false, 'z': 1}", "{'z': 1}", true},
        {"{'*a': false}", "{}", "", "{'z': 1}", "{'z': 1}", false},
        {"{'*a': {'p': '$x', '*q': '$y'}}", "{'*p': '$x', '*q': '$y'}", "", "{'a': {'p': 1}}",
         "{'p': 1}", false},
        {"{'*a': {'p': '$x', '*q': '$y'}}", "{'*p': '$x', '*q': '$y'}", "", "{}", "{}", false},
        {"{'*a': {'p': '$x', 'q': '$y'}}", "{'*p': '$x', '*q': '$y'}", "",
         "{'a': {'p': 1, 'q': 2}}", "{'p': 1, 'q': 2}", false},
        {"{'a': '$x'}", "{'a': '$x', '*t': {'$only': 'k'}}", "", "{'a': 1}", "{'a': 1, 't': 'k'}",
         false},
        {"{'*a': '$x'}", "{'b': '$x'}", "", "{}", "unbound", true},
        {"{'*a': '$x'}", "{'b': '$x'}", "'vars': {'x': {'default': 7}}", "{}", "{'b': 7}", true},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, the_rest_is_spread) {
    static const struct way ways[] = {
        {"{'t': '$t', '*props': {'...': '$p'}}", "{'t': '$t', '...': '$p'}", "",
         "{'t': 1, 'props': {'s': 2, 'u': 3}}", "{'t': 1, 's': 2, 'u': 3}", false},
        {"{'t': '$t', '*props': {'...': '$p'}}", "{'t': '$t', '...': '$p'}", "", "{'t': 1}",
         "{'t': 1}", false},
        {"{'...': '$p'}", "{'o': [{'...': '$p'}]}", "", "{'s': 2, 'u': 3}",
         "{'o': [{'s': 2, 'u': 3}]}", false},
        {"{'a': 1, '...': '$p'}", "{'b': 1, '...': '$p'}", "", "{'s': 2, 'a': 1}",
         "{'s': 2, 'b': 1}", true},
        {"{'a': '$x', '...': null}", "{'b': '$x'}", "", "{'s': 2, 'a': 1}", "{'b': 1}", true},
        {"{'a': '$x'}", "{'b': '$x', '...': null}", "", "{'s': 2, 'a': 1}", "{'b': 1}", true},
        {"{'a': '$x', 'o': {'...': null}}", "{'a': '$x', 'o': {}}", "", "{'a': 1, 'o': {'s': 1}}",
         "{'a': 1, 'o': {}}", true},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, one_name_does_not_stand_twice) {
    static const struct way ways[] = {
        /* the rest has a member that the picture writes, or that stays */
        {"{'t': '$t', 'props': {'...': '$p'}}", "{'t': '$t', '...': '$p'}", "",
         "{'t': 1, 'props': {'t': 2}}", "unbound", true},
        {"{'t': '$t', 'props': {'...': '$p'}}", "{'t': '$t', '...': '$p'}", "",
         "{'t': 1, 'z': 3, 'props': {'z': 2}}", "unbound", true},
        {"{'*t': '$t', 'props': {'...': '$p'}}", "{'*t': '$t', '...': '$p'}", "",
         "{'props': {'t': 2}}", "{'t': 2}", true},
        /* a new member that was there under its name, unmentioned */
        {"{'a': '$x'}", "{'b': '$x'}", "", "{'b': 2, 'a': 1}", "{'b': 1}", true},
        /* the rest is no object */
        {"{'p': '$p'}", "{'...': '$p'}", "", "{'p': 5}", "unbound", true},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, lists_are_written_element_by_element) {
    static const struct way ways[] = {
        {"[{'a': '$x'}, '...']", "[{'b': '$x'}, '...']", "", "[{'a': 1}, {'a': 2}]",
         "[{'b': 1}, {'b': 2}]", false},
        {"[{'a': '$x'}, '...']", "[{'b': '$x'}, '...']", "", "[]", "[]", false},
        {"[{'a': '$x'}, '...']", "[{'b': '$x'}, '...']", "", "[{'z': 0, 'a': 1}]",
         "[{'z': 0, 'b': 1}]", true},
        {"[{'a': '$x', '*c': '$y'}, '...']", "[{'b': '$x', '*d': '$y'}, '...']", "",
         "[{'a': 1}, {'a': 2, 'c': 3}, {'a': 4}]", "[{'b': 1}, {'b': 2, 'd': 3}, {'b': 4}]", false},
        {"['$x', '...']", "[{'v': '$x'}, '...']", "", "[1, 2]", "[{'v': 1}, {'v': 2}]", false},
        {"{'l': [{'a': '$x'}, '...'], 'n': '$n'}", "{'l': [{'a': '$x', 'of': '$n'}, '...']}", "",
         "{'l': [{'a': 1}, {'a': 2}], 'n': 5}", "{'l': [{'a': 1, 'of': 5}, {'a': 2, 'of': 5}]}",
         true},
        {"[{'l': [{'a': '$x'}, '...']}, '...']", "[{'m': [{'b': '$x'}, '...']}, '...']", "",
         "[{'l': [{'a': 1}, {'a': 2}]}, {'l': []}, {'l': [{'a': 3}]}]",
         "[{'m': [{'b': 1}, {'b': 2}]}, {'m': []}, {'m': [{'b': 3}]}]", false},
        {"['$x', '$y']", "['$y', '$x']", "", "[1, 2]", "[2, 1]", false},
        {"['$x']", "'$x'", "", "[1]", "1", false},
        {"[{}, '...']", "[{'k': {'$only': 0}}, '...']", "", "[{'a': 1}, {}]",
         "[{'a': 1, 'k': 0}, {'k': 0}]", false},
        {"{'l': ['...', {'a': '$x'}, '...']}", "{'b': '$x'}", "", "{'l': [{'z': 0}, {'a': 1}]}",
         "{'b': 1}", true},
        {"{'l': {'$every': {'a': '$x'}}}", "{'l': [{'b': '$x'}, '...']}", "",
         "{'l': [{'a': 1}, {'z': 0}, {'a': 2}]}", "{'l': [{'b': 1}, {'b': 2}]}", true},
        {"[1, '...']", "[2, '...']", "", "[1, 1, 1]", "[2, 2, 2]", false},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, guards_keep_what_was_there) {
    static const struct way ways[] = {
        {"{'d': {'$like': 'a*'}, 'x': 1}", "{'d': {'$like': '*'}, 'x': 2}", "",
         "{'d': 'abc', 'x': 1}", "{'d': 'abc', 'x': 2}", false},
        {"{'d': {'$in': [1, 2]}}", "{'d': {'$not': 3}}", "", "{'d': 2.0}", "{'d': 2.0}", false},
        {"{'*d': {'$in': [1, 2]}}", "{'*d': {'$in': [1, 2]}}", "", "{'d': 2}", "{'d': 2}", false},
        {"{'*d': {'$in': [1, 2]}}", "{'*d': {'$in': [1, 2]}}", "", "{}", "{}", false},
        {"{'d': {'$absent': true}, 'x': 1}", "{'d': {'$absent': true}, 'x': 2}", "", "{'x': 1}",
         "{'x': 2}", false},
        {"{'d': {'$only': 5}}", "{}", "", "{'d': 5}", "{}", false},
        {"{'d': {'$only': 5}}", "{}", "", "{'d': 9}", "{}", true},
        {"{'d': {'$only': 5}}", "{'d': {'$absent': true}}", "", "{'d': 5}", "{}", false},
        {"{'d': {'$not': 1}}", "{}", "", "{'d': 2}", "{}", true},
        {"{}", "{'d': {'$not': 1}}", "", "{}", "unbound", true},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, values_are_converted) {
    static const struct way ways[] = {
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'scale': 1048576}}", "{'v': 32}",
         "{'v': 33554432}", false},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'scale': 1000, 'new': 'int'}}", "{'v': 0.3}",
         "{'v': 300}", false},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'scale': 1000, 'new': 'int'}}",
         "{'v': 0.0004}", "{'v': 0}", true},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'scale': 1000}}",
         "{'v': 9223372036854775807}", "{'v': 9223372036854775807000}", false},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'old': 'str', 'new': 'int'}}", "{'v': '5'}",
         "{'v': 5}", false},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'old': 'str', 'new': 'bool'}}",
         "{'v': 'on'}", "{'v': true}", false},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'new': 'int'}}", "{'v': 'many'}", "unbound",
         true},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'map': [['a', 'b'], ['c', null]]}}",
         "{'v': 'c'}", "{'v': null}", false},
        {"{'v': '$x'}", "{'v': '$x'}", "'vars': {'x': {'map': [['a', 'b']]}}", "{'v': 'z'}",
         "no match", true},
        {"{'t': 'Job ${x} of ${y}'}", "{'x': '$x', 'y': '$y'}", "", "{'t': 'Job 1 of 2'}",
         "{'x': '1', 'y': '2'}", false},
        {"{'x': '$x'}", "{'t': 'Job ${x}'}", "", "{'x': 12.50}", "{'t': 'Job 12.50'}", true},
        {"{'t': 'a\\u00e9${x}'}", "{'x': '$x'}", "", "{'t': 'a\\u00e9\\u20ac'}", "{'x': '\\u20AC'}",
         true},
    };

    assert_ways(ways, ARRAY_SIZE(ways));
}

TEST(build, the_first_unbound_variable_is_told) {
    struct bindings *b;
    struct loaded l;

    loaded_rule(&l, "{'a': '$x', 'b': '$y', '*c': '$z'}", "{}", "'for': 'old-client'");
    b = bindings_new(&l.arena, &l.file.rules[0].vars, NULL);
    cr_assert(eq(int, build_unbound(loaded_pattern(&l, VARS_OLD), b), 0));
    b->value[0] = loaded_json(&l, "1");
    cr_assert(eq(int, build_unbound(loaded_pattern(&l, VARS_OLD), b), 1));
    b->value[1] = loaded_json(&l, "2");
    cr_assert(eq(int, build_unbound(loaded_pattern(&l, VARS_OLD), b), -1));
    loaded_deinit(&l);
}
