/* Facts: kept by table and key, over each other, up to a limit. */

#include "test.h"

#include <string.h>

#include "base/buffer.h"
#include "json/reader.h"
#include "json/writer.h"
#include "rule/facts.h"

static struct arena arena;
static struct facts facts;

static const struct json *json(const char *text) {
    struct json *value;

    cr_assert(eq(int, json_read(&arena, text, strlen(text), false, &value, NULL), 0));
    return value;
}

static void setup(size_t max) {
    arena = (struct arena)ARENA_INIT;
    facts_init(&facts, max, SIZE_MAX);
}

static void cleanup(void) {
    facts_deinit(&facts);
    arena_deinit(&arena);
}

static int keep(const char *table, const char *key, const char *value) {
    return facts_remember(&facts, table, json(key), json(value), NULL);
}

static bool is_kept(const char *table, const char *key, const char *expected) {
    const struct json *value;

    return facts_recall(&facts, &arena, table, json(key), &value) == 0 &&
           json_equal(value, json(expected));
}

static bool is_none(const char *table, const char *key) {
    const struct json *value;

    return facts_recall(&facts, &arena, table, json(key), &value) == FACTS_E_NONE;
}

TEST(facts, are_found_by_table_and_key) {
    setup(10);
    cr_assert(eq(int, keep("a", "\"x\"", "{\"v\": 1}"), 0));
    cr_assert(eq(int, keep("b", "\"x\"", "{\"v\": 2}"), 0));
    cr_assert(eq(int, keep("a", "\"y\"", "{\"v\": 18446744073709551615}"), 0));
    cr_assert(is_kept("a", "\"x\"", "{\"v\": 1}"));
    cr_assert(is_kept("b", "\"x\"", "{\"v\": 2}"));
    cr_assert(is_kept("a", "\"y\"", "{\"v\": 18446744073709551615}"));
    cr_assert(is_none("b", "\"y\""));
    cr_assert(is_none("c", "\"x\""));
    cleanup();
}

TEST(facts, a_key_is_any_value_and_its_type_counts) {
    setup(10);
    cr_assert(eq(int, keep("t", "1", "{\"v\": 1}"), 0));
    cr_assert(is_none("t", "\"1\""));
    cr_assert(eq(int, keep("t", "{\"a\": [1]}", "{\"v\": 2}"), 0));
    cr_assert(is_kept("t", "{\"a\": [1]}", "{\"v\": 2}"));
    cleanup();
}

TEST(facts, a_later_one_leaves_what_it_does_not_mention) {
    setup(1);
    cr_assert(eq(int, keep("t", "\"k\"", "{\"a\": 1, \"b\": 2}"), 0));
    cr_assert(eq(int, keep("t", "\"k\"", "{\"b\": 3, \"c\": 4}"), 0));
    cr_assert(is_kept("t", "\"k\"", "{\"a\": 1, \"b\": 3, \"c\": 4}"));
    cleanup();
}

TEST(facts, outlive_what_they_were_read_from) {
    struct arena other = ARENA_INIT;
    char text[] = "{\"v\": \"abc\"}";
    struct json *value;

    setup(1);
    cr_assert(eq(int, json_read(&other, text, strlen(text), false, &value, NULL), 0));
    cr_assert(eq(int, facts_remember(&facts, "t", json("1"), value, NULL), 0));
    arena_deinit(&other);
    memset(text, 'x', sizeof(text));
    cr_assert(is_kept("t", "1", "{\"v\": \"abc\"}"));
    cleanup();
}

TEST(facts, no_more_than_max_are_kept) {
    setup(2);
    cr_assert(eq(int, keep("t", "1", "{}"), 0));
    cr_assert(eq(int, keep("t", "2", "{}"), 0));
    cr_assert(eq(int, keep("t", "3", "{}"), FACTS_E_FULL));
    cr_assert(is_none("t", "3"));
    cr_assert(eq(int, keep("t", "2", "{\"v\": 1}"), 0), "one that is there already may change");
    facts_forget(&facts, "t", json("1"));
    cr_assert(eq(int, keep("t", "3", "{}"), 0));
    cr_assert(is_none("t", "1"));
    cleanup();
}

TEST(facts, no_more_than_max_bytes_are_kept) {
    setup(10);
    facts.max_bytes = 20; /* t, 1, {"v": 1} are ten */
    cr_assert(eq(int, keep("t", "1", "{\"v\": 1}"), 0));
    cr_assert(eq(sz, facts.n_bytes, 10));
    cr_assert(eq(int, keep("t", "2", "{\"v\": 12}"), FACTS_E_FULL));
    cr_assert(is_none("t", "2"));
    cr_assert(eq(int, keep("t", "2", "{\"v\": 2}"), 0));
    cr_assert(eq(int, keep("t", "1", "{\"v\": 12}"), FACTS_E_FULL));
    cr_assert(is_kept("t", "1", "{\"v\": 1}"), "it stays as it was");
    facts_forget(&facts, "t", json("2"));
    cr_assert(eq(sz, facts.n_bytes, 10));
    cr_assert(eq(int, keep("t", "1", "{\"v\": 12}"), 0));
    cleanup();
}

TEST(facts, forgetting_what_is_not_there_does_nothing) {
    setup(2);
    facts_forget(&facts, "t", json("1"));
    cr_assert(eq(int, keep("t", "1", "{}"), 0));
    facts_forget(&facts, "u", json("1"));
    cr_assert(is_kept("t", "1", "{}"));
    cleanup();
}

static int collect(void *userdata, const char *table, const char *key_text, const char *value_text,
                   const struct fdtable_entry *fd) {
    cr_assert(eq(ptr, (void *)fd, NULL));
    buffer_printf(userdata, "%s %s %s\n", table, key_text, value_text);
    return 0;
}

TEST(facts, are_visited_oldest_first) {
    struct buffer b = BUFFER_INIT;

    setup(3);
    cr_assert(eq(int, keep("t", "2", "{\"v\": 1}"), 0));
    cr_assert(eq(int, keep("s", "1", "{}"), 0));
    cr_assert(eq(int, facts_visit(&facts, collect, &b), 0));
    buffer_append(&b, "", 1);
    cr_assert(eq(str, b.data, "t 2 {\"v\": 1}\ns 1 {}\n"));
    buffer_deinit(&b);
    cleanup();
}
