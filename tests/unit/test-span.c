/* the fast reader: that it takes and makes what the other one does */

#include "json/span.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "oom.h"
#include "span-test.h"
#include "test.h"

/* at the end of its memory, so that ASan sees a byte too far */
static void assert_agree(const char *text, size_t n) {
    char *copy = malloc(n ? n : 1);
    const char *difference;

    cr_assert(ne(ptr, copy, NULL));
    memcpy(copy, text, n);
    difference = span_difference(copy, n);
    cr_assert(eq(ptr, (void *)difference, NULL), "%s of %.*s", difference, (int)size_min(n, 300),
              text);
    free(copy);
}

static const char *const texts[] = {
    "",
    " ",
    "{}",
    "[]",
    "\r\n {\t} ",
    "null",
    "true",
    "false",
    "nul",
    "nullx",
    "truefalse",
    "[true false]",
    "True",
    "\"\"",
    "\"a",
    "\"",
    "\"\\",
    "\"\\\"",
    "\"\\\"\"",
    "\"\\u00e9\\ud83d\\ude00\\ud800 \\udc00\\ud800\\u0041\\u0000\"",
    "\"\\u00\"",
    "\"\\ud800\\\\uZZZZ\"",
    "\"\\x\"",
    "\"\\'\"",
    "'a'",
    "\"\x01\"",
    "\"\x7f\"",
    "\"\xc3\xa9 plain text that is long enough \xe2\x82\xac\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe2\x82",
    "\"sixteen bytes..\"",
    "\"sixteen bytes...\"",
    "\"sixteen bytes....\"",
    "\"a long string, and then an escape \\n and more after that, and a \\\"quotation\\\"\"",
    "0",
    "-0",
    "00",
    "01",
    "-",
    "-a",
    "1.",
    ".1",
    "1.5",
    "1.5.2",
    "1e",
    "1e+",
    "1E-7",
    "1e5",
    "+1",
    "1 2",
    "0x10",
    "-1.50e+003",
    "123456789012345678901234567890",
    "9223372036854775808",
    "-9223372036854775808",
    "1e400",
    "inf",
    "NaN",
    "[1,2]",
    "[1, 2]",
    "[1,  2]",
    "[1 ,2]",
    "[1,\t2]",
    "[ 1]",
    "[1 ]",
    "[1,]",
    "[,1]",
    "[1",
    "[1,",
    "[",
    "]",
    "[}",
    "{]",
    "[[], {}, [[]]]",
    "[[],{}, [[]]]",
    "{\"a\": 1}",
    "{\"a\":1}",
    "{\"a\" : 1}",
    "{\"a\": 1, \"b\": {\"c\": [1, null, \"x\"]}}",
    "{\"a\": 1,\"b\": {\"c\": [1, null, \"x\"]}}",
    "{\"a\": 1, \"b\": {\"c\": [1, null, \"x\" ]}}",
    "{\"a\": 1, \"a\": 1}",
    "{\"a\": 1, \"b\": {\"a\": 1}}",
    "{\"execute\": \"x\", \"\\u0065xecute\": \"y\"}",
    "{\"\": 1, \"\": 2}",
    "{\"a\": 1, }",
    "{a: 1}",
    "{\"a\" 1}",
    "{\"a\": }",
    "{\"a\":",
    "{\"a\"",
    "{\"a",
    "{1: 1}",
    "{null: 1}",
    "{\"a\": 1 \"b\": 2}",
    "{\"a\": 1; \"b\": 2}",
    "{} {}",
    "{} x",
    "{} \"x",
    "{}\f",
    "\v{}",
    "[\f1]",
    "[1, /* */ 2]",
    "{} // end",
    "\xef\xbb\xbf{}",
    "{\"return\": [{\"name\": \"query-status\", \"ret-type\": \"1\"}], \"id\": \"libvirt-42\"}\r\n",
    "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}",
};

TEST(span, makes_of_texts_what_the_other_reader_makes) {
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_agree(texts[i], strlen(texts[i]));
    assert_agree("[\"a\0b\"]", 7);
    assert_agree("[1\0]", 4);
}

TEST(span, takes_no_part_of_a_text_for_the_whole) {
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        for (size_t n = 0; n < strlen(texts[i]); n++)
            assert_agree(texts[i], n);
}

/* --- texts made up --- */

static uint64_t chance; /* the same in every run */

static size_t pick(size_t n) {
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(chance >> 33) % n;
}

static void put_any(struct buffer *b, const char *const *choices, size_t n) {
    buffer_append_string(b, choices[pick(n)]);
}

/* mostly none, or as is neat */
static void put_blanks(struct buffer *b, const char *neat) {
    static const char *const blanks[] = {"", " ", "  ", "\t", "\r\n", "\n "};

    if (pick(16) > 0)
        buffer_append_string(b, neat);
    else
        put_any(b, blanks, ARRAY_SIZE(blanks));
}

static void put_value(struct buffer *b, size_t depth) {
    static const char *const scalars[] = {"0",
                                          "-1",
                                          "12.50",
                                          "1e2",
                                          "18446744073709551615",
                                          "true",
                                          "false",
                                          "null",
                                          "\"\"",
                                          "\"plain\"",
                                          "\"not \\u0065 plain\"",
                                          "\"\\ud83d\\ude00\"",
                                          "\"\xc3\xa9\"",
                                          "\"a string that is longer than sixteen bytes\"",
                                          "\"\\ud800\""};
    static const char *const names[] = {"\"a\"",
                                        "\"b\"",
                                        "\"c\"",
                                        "\"name\"",
                                        "\"\\u0061\"",
                                        "\"id\"",
                                        "\"a much longer name\"",
                                        "\"\xc3\xa9\"",
                                        "\"x\"",
                                        "\"y\"",
                                        "\"z\"",
                                        "\"\""};
    bool is_object = pick(2);

    if (depth == 0 || pick(3) == 0) {
        put_any(b, scalars, ARRAY_SIZE(scalars));
        return;
    }
    buffer_append_string(b, is_object ? "{" : "[");
    for (size_t i = 0, n = pick(5); i < n; i++) {
        put_blanks(b, "");
        if (i > 0) {
            buffer_append_string(b, ",");
            put_blanks(b, " ");
        }
        if (is_object) {
            put_any(b, names, ARRAY_SIZE(names));
            put_blanks(b, "");
            buffer_append_string(b, ":");
            put_blanks(b, " ");
        }
        put_value(b, depth - 1);
    }
    put_blanks(b, "");
    buffer_append_string(b, is_object ? "}" : "]");
}

/* a byte or a few become others, come, or go */
static void mutate(struct buffer *b) {
    static const char bytes[] =
        "{}[]:,\"\\ \t\r\n'-+.eE0123456789utfnrlas/x\x01\x7f\x80\xc3\xed\xff";

    for (size_t n = pick(3) + 1; n > 0 && b->n > 0; n--) {
        size_t at = pick(b->n);

        if (pick(3) == 0) {
            memmove(b->data + at, b->data + at + 1, b->n - at - 1);
            b->n--;
        } else if (pick(2)) {
            b->data[at] = bytes[pick(sizeof(bytes) - 1)];
        } else {
            b->data[at] = b->data[pick(b->n)];
        }
    }
}

TEST(span, makes_of_any_text_what_the_other_reader_makes) {
    struct buffer b = BUFFER_INIT;

    chance = 1;
    for (size_t i = 0; i < 30000; i++) {
        buffer_clear(&b);
        put_value(&b, pick(6));
        assert_agree(b.data, b.n);
        mutate(&b);
        assert_agree(b.data, b.n);
    }
    buffer_deinit(&b);
}

/* --- limits --- */

static void assert_agree_nested(size_t depth, bool is_closed, int expected) {
    struct arena arena = ARENA_INIT;
    struct buffer b = BUFFER_INIT;
    struct json *value;

    for (size_t i = 0; i < depth; i++)
        buffer_append_string(&b, i % 2 ? "{\"a\": " : "[");
    buffer_append_string(&b, "1");
    for (size_t i = depth; is_closed && i > 0; i--)
        buffer_append_string(&b, i % 2 ? "]" : "}");
    cr_assert(eq(int, span_read(&arena, b.data, b.n, &value), expected), "%zu", depth);
    assert_agree(b.data, b.n);
    buffer_deinit(&b);
    arena_deinit(&arena);
}

TEST(span, takes_as_many_brackets_as_the_limit_and_not_one_more) {
    assert_agree_nested(JSON_MAX_DEPTH, true, 0);
    assert_agree_nested(JSON_MAX_DEPTH, false, JSON_E_INVALID);
    assert_agree_nested(JSON_MAX_DEPTH + 1, true, JSON_E_TOO_DEEP);
    assert_agree_nested(JSON_MAX_DEPTH + 1, false, JSON_E_TOO_DEEP);
    assert_agree_nested(100000, false, JSON_E_TOO_DEEP);
}

static void put_members(struct buffer *b, size_t n, size_t twice) {
    buffer_append_string(b, "{");
    for (size_t i = 0; i < n; i++)
        buffer_printf(b, "%s\"m%zu\": %zu", i > 0 ? ", " : "", i == n - 1 ? twice : i, i);
    buffer_append_string(b, "}");
}

TEST(span, sees_a_name_twice_among_few_and_among_many) {
    for (size_t n = 2; n < 100; n++)
        for (size_t twice = 0; twice < n; twice += n / 7 + 1) {
            struct arena arena = ARENA_INIT;
            struct buffer b = BUFFER_INIT;
            struct json *value;

            put_members(&b, n, twice);
            cr_assert(eq(int, span_read(&arena, b.data, b.n, &value),
                         twice < n - 1 ? JSON_E_DUPLICATE : 0));
            assert_agree(b.data, b.n);
            buffer_deinit(&b);
            arena_deinit(&arena);
        }
}

TEST(span, every_allocation_may_fail) {
    struct buffer b = BUFFER_INIT;

    put_members(&b, 3000, 2999);
    buffer_append_string(&b, "\r\n");
    for (int mode = 0; mode < OOM_N_MODES; mode++)
        for (size_t i = 0, has_failed = true; has_failed; i++) {
            struct arena arena = ARENA_INIT;
            struct json *value = NULL;
            int r;

            oom_start((enum oom_mode)mode, i);
            r = span_read(&arena, b.data, b.n, &value);
            has_failed = oom_stop();
            cr_assert(eq(int, r, has_failed ? -ENOMEM : 0), "allocation %zu", i);
            cr_assert(has_failed || i > 3, "something was allocated");
            arena_deinit(&arena);
        }
    buffer_deinit(&b);
}

/* --- without what is inside --- */

TEST(span, an_outline_has_no_items_below_its_depth_and_is_checked_for_all_that) {
    static const char text[] = "{\"return\": [{\"name\": \"a\", \"list\": [1, {\"x\": 2}]}, []]}";
    static const char twice[] =
        "{\"return\": [{\"name\": \"a\", \"list\": [1, {\"x\": 2, \"x\": 3}]}]}";
    struct arena arena = ARENA_INIT;
    const struct json *list;
    struct json *value;

    cr_assert(eq(int, span_outline(&arena, text, strlen(text), 3, &value), 0));
    list = json_member(value, "return");
    cr_assert(eq(sz, list->n_items, 2));
    cr_assert(json_is_string(json_member(&list->items[0], "name"), "a"));
    cr_assert(eq(sz, json_member(&list->items[0], "list")->n_items, 0));
    cr_assert(json_member(&list->items[0], "list")->is_neat);
    cr_assert(eq(int, span_outline(&arena, text, strlen(text), 4, &value), 0));
    list = json_member(&json_member(value, "return")->items[0], "list");
    cr_assert(eq(sz, list->n_items, 2));
    cr_assert(eq(sz, list->items[1].n_items, 0));
    cr_assert(eq(int, span_outline(&arena, twice, strlen(twice), 2, &value), JSON_E_DUPLICATE));
    arena_deinit(&arena);
}
