/*
 * rule/load: what stands in a file that has no fault.  What is said of
 * faults is tested by tests/load.py, to the letter.
 */
#include "rule/load.h"

#include "rule.h"

TEST(load, a_file_tells_its_name_and_versions) {
    static const char text[] =
        "// comment\n{\"$schema\": \"rules.schema.json\", \"qmp-shim-rules\": 1.0, \"name\": \"n\", \"summary\": \"s\", \"old\": \"o\",\n"
        "\"new\": \"n\", \"new-since\": \"2.12\", \"old-until\": \"6.0\", \"default\": \"deny\", /* none */ \"rules\": []}";
    struct loaded l = {.arena = ARENA_INIT};

    l.source = (struct diag_source){"path", text, sizeof(text) - 1};
    diag_set_init(&l.diags);
    cr_assert(eq(int, load_file(&l.arena, &l.source, &l.file, &l.diags), 0));
    cr_assert(eq(str, (char *)l.file.name, "n"));
    cr_assert(eq(str, (char *)l.file.summary, "s"));
    cr_assert(l.file.has_new_since && l.file.has_old_until && l.file.is_deny);
    cr_assert(eq(uint, l.file.new_since.minor, 12));
    cr_assert(eq(sz, l.file.n_rules, 0));
    loaded_deinit(&l);
}

TEST(load, rules_have_the_files_versions_unless_they_say_otherwise) {
    static const char text[] =
        "{\"qmp-shim-rules\": 1, \"name\": \"n\", \"new-since\": \"2.0\", \"old-until\": \"6.0\", \"rules\": ["
        "{\"name\": \"one\", \"old\": {\"execute\": \"a\"}, \"new\": {\"execute\": \"b\"}},"
        "{\"name\": \"two\", \"new-since\": \"3.0\", \"old-until\": \"7.0\", \"old\": {\"execute\": \"c\"}, \"new\": {\"execute\": \"d\"}}]}";
    struct loaded l = {.arena = ARENA_INIT};

    l.source = (struct diag_source){"path", text, sizeof(text) - 1};
    diag_set_init(&l.diags);
    cr_assert(eq(int, load_file(&l.arena, &l.source, &l.file, &l.diags), 0));
    cr_assert(eq(uint, l.file.rules[0].new_since.major, 2));
    cr_assert(eq(uint, l.file.rules[0].old_until.major, 6));
    cr_assert(eq(uint, l.file.rules[1].new_since.major, 3));
    cr_assert(eq(uint, l.file.rules[1].old_until.major, 7));
    loaded_deinit(&l);
}

TEST(load, a_rule_with_all_it_can_have) {
    const struct rule *rule;
    struct loaded l;

    loaded_init(
        &l,
        "{'name': 'one', 'summary': 's', 'for': 'old-client',"
        " 'old': {'execute': 'a', 'arguments': {'x': '$x'}, 'return': {}, 'error': {'class': 'C'}},"
        " 'new': [{'execute': 'b', 'return': {'y': '$y'}}, {'execute': 'c', 'arguments': {'y': '$y'}}],"
        " 'ask': {'execute': 'd'}, 'then': [{'execute': 'e'}, {'execute': 'f'}],"
        " 'emit': {'event': 'G'}, 'emit-before': [{'event': 'H'}], 'remember': {'t': {'$x': {'y': '$y'}}}, 'recall': {'t': {'$x': {'y': '$y'}}},"
        " 'forget': {'t': '$x'}, 'conform': 'schema', 'vars': {'x': {'scale': 2}}, 'examples': []}");
    cr_assert(eq(int, l.r, 0), "%s", loaded_findings(&l));
    rule = &l.file.rules[0];
    cr_assert(eq(int, rule->kind, PICTURE_COMMAND));
    cr_assert(eq(int, rule->for_client, RULE_FOR_OLD_CLIENT));
    cr_assert(rule->side[VARS_OLD].picture[0].reply[REPLY_RETURN] &&
              rule->side[VARS_OLD].picture[0].reply[REPLY_ERROR]);
    cr_assert(rule->side[VARS_NEW].is_list);
    cr_assert(eq(sz, rule->side[VARS_NEW].n, 2));
    cr_assert(eq(sz, rule->ask.n, 1));
    cr_assert(eq(sz, rule->then.n, 2));
    cr_assert(eq(sz, rule->emit.n, 1));
    cr_assert(eq(sz, rule->emit_before.n, 1));
    cr_assert(eq(str, (char *)rule->remember.fact[0].table, "t"));
    cr_assert(eq(sz, rule->recall.n + rule->forget.n, 2));
    cr_assert(eq(int, rule->conform, CONFORM_SCHEMA));
    loaded_deinit(&l);
}

TEST(load, a_rule_waits_for_the_first_of_some_events) {
    const struct rule *rule;
    struct loaded l;

    loaded_init(&l, "{'name': 'one', 'old': {'execute': 'a'}, 'new': {'execute': 'b'},"
                    " 'for': 'old-client', 'until': [{'event': 'I'}, {'event': 'J'}],"
                    " 'hide': true, 'timeout': 0.5}");
    cr_assert(eq(int, l.r, 0), "%s", loaded_findings(&l));
    rule = &l.file.rules[0];
    cr_assert(eq(sz, rule->until.n, 2));
    cr_assert(rule->hide);
    cr_assert(eq(u32, rule->timeout_ms, 500));
    loaded_deinit(&l);
}

TEST(load, names_of_commands_stand_alone_or_in_a_list) {
    struct loaded l;

    loaded_init(
        &l,
        "{'name': 'one', 'command': 'a', 'old': {'error': {}}, 'new': {'error': {}}},"
        "{'name': 'two', 'command': ['a', 'b'], 'old': {'error': {}}, 'new': {'error': {}}},"
        "{'name': 'three', 'after-reply': ['c'], 'timeout': 3600, 'old': {'event': 'A'}, 'new': {'event': 'B'}}");
    cr_assert(eq(int, l.r, 0));
    cr_assert(eq(str, (char *)l.file.rules[0].commands[0], "a"));
    cr_assert(l.file.rules[0].commands[1] == NULL);
    cr_assert(eq(str, (char *)l.file.rules[1].commands[1], "b"));
    cr_assert(eq(str, (char *)l.file.rules[2].after_reply[0], "c"));
    cr_assert(eq(u32, l.file.rules[2].timeout_ms, 3600000));
    loaded_deinit(&l);
}

TEST(load, what_is_without_fault_stays_beside_what_is_not) {
    struct loaded l;

    loaded_init(&l, "{'name': 'one', 'old': {'execute': 'a'}, 'nwe': null},"
                    "{'name': 'two', 'old': {'execute': 'b'}, 'new': {'execute': 'c'}}, 5");
    cr_assert(eq(int, l.r, LOAD_E_INVALID));
    cr_assert(eq(sz, l.diags.n_errors, 3));
    cr_assert(eq(sz, l.file.n_rules, 1));
    cr_assert(eq(str, (char *)l.file.rules[0].name, "two"));
    loaded_deinit(&l);
}

/* one fault, wherever a byte is left out or the text ends: findings, never a crash */
TEST(load, any_piece_of_a_file_is_judged) {
    static const char text[] =
        "{\"qmp-shim-rules\": 1, \"name\": \"n\", \"rules\": [{\"name\": \"one\", \"for\": \"old-client\", "
        "\"old\": {\"execute\": \"a\", \"arguments\": {\"x\": \"$x:int\", \"*y\": [\"${y}-\", \"...\"], \"...\": null}}, "
        "\"new\": [{\"execute\": \"b\", \"return\": {\"z\": {\"$in\": [1, {\"$not\": 2}]}}}], "
        "\"vars\": {\"x\": {\"map\": [[1, 2]], \"default\": 1}}, \"until\": {\"event\": \"E\"}, \"timeout\": 5, "
        "\"remember\": {\"t\": {\"$x\": {}}}, \"conform\": {\"ask\": {\"execute\": \"q\"}, \"types\": [{\"n\": \"$name\", "
        "\"t\": \"$type\"}, \"...\"]}, \"examples\": [{\"old\": null, \"new\": {\"event\": \"E\"}, \"first\": []}]}]}";

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        for (size_t is_cut = 0; is_cut < 2; is_cut++) {
            struct loaded l = {.arena = ARENA_INIT};
            char *copy = malloc(sizeof(text));
            size_t n = i;

            memcpy(copy, text, i);
            if (!is_cut) {
                memcpy(copy + i, text + i + 1, sizeof(text) - 2 - i);
                n = sizeof(text) - 2;
            }
            l.source = (struct diag_source){"path", copy, n};
            diag_set_init(&l.diags);
            l.r = load_file(&l.arena, &l.source, &l.file, &l.diags);
            cr_assert(eq(int, l.r != 0, l.diags.n_errors > 0));
            free(loaded_findings(&l));
            loaded_deinit(&l);
            free(copy);
        }
}
