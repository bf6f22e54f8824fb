#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "proxy/changes.h"

static void write_down(void *userdata, const struct change *c) {
    struct buffer *b = userdata;

    buffer_printf(b, "%c%s", c->was && c->is ? '~' : c->was ? '-' : '+', c->path);
    if (c->was)
        buffer_printf(b, " %.*s", (int)c->was->n_text, c->was->text);
    if (c->is)
        buffer_printf(b, " %.*s", (int)c->is->n_text, c->is->text);
    buffer_append_string(b, "\n");
}

static void expect_changes(const char *was, const char *is, const char *expected) {
    struct buffer b = BUFFER_INIT;

    cr_assert(eq(int, changes_find(was, is, write_down, &b), 0));
    buffer_append(&b, "", 1);
    cr_assert(eq(str, b.data, (char *)expected));
    buffer_deinit(&b);
}

TEST(changes, members_are_told_with_their_path) {
    expect_changes("{\"execute\": \"a\", \"arguments\": {\"b\": 1, \"c\": {\"d\": [1, 2]}}}",
                   "{\"arguments\": {\"e\": true, \"c\": {\"d\": [1, 3, 4]}}, \"execute\": \"a\"}",
                   "-arguments.b 1\n~arguments.c.d.1 2 3\n+arguments.c.d.2 4\n+arguments.e true\n");
}

TEST(changes, of_another_type_are_told_whole) {
    expect_changes("{\"a\": {\"b\": 1}}", "{\"a\": [1]}", "~a {\"b\": 1} [1]\n");
}

TEST(changes, ids_are_left_out_but_at_the_top_only) {
    expect_changes("{\"id\": 1, \"a\": {\"id\": 1}}", "{\"a\": {\"id\": 2}, \"id\": \"x\"}",
                   "~a.id 1 2\n");
}

TEST(changes, of_numbers_are_those_of_their_values) {
    expect_changes("{\"a\": 1e1, \"b\": 1}", "{\"a\": 10, \"b\": 2}", "~b 1 2\n");
}

TEST(changes, of_what_is_no_object_are_none) {
    expect_changes("[1]", "[2]", "");
    expect_changes("{", "{}", "");
    expect_changes("{}", "", "");
}
