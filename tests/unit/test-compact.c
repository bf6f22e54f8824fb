/*
 * proxy/compact: commands get shorter and mean the same; the client gets its
 * own id back, whatever it was.
 */
#include "proxy/compact.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static struct compact compact;
static struct buffer out;

static void begin(void) {
    compact_init(&compact);
    compact.is_on = true;
    out = (struct buffer)BUFFER_INIT;
}

static void end(void) {
    compact_deinit(&compact);
    buffer_deinit(&out);
}

static void expect_out(const char *text) {
    cr_assert(eq(sz, out.n, strlen(text)), "%.*s", (int)out.n, out.data);
    cr_assert(memcmp(out.data, text, out.n) == 0, "%.*s", (int)out.n, out.data);
    buffer_clear(&out);
}

static int command(const char *text) {
    return compact_command(&compact, text, strlen(text), 100, &out);
}

static void becomes(const char *text, const char *expected) {
    cr_assert(eq(int, command(text), 0));
    expect_out(expected);
}

static int reply(const char *text) {
    struct frame_reader reader;
    struct frame restored;
    size_t n;
    int r;

    frame_reader_init(&reader, FRAME_SERVER);
    cr_assert(frame_scan(&reader, text, strlen(text), &n) == FRAME_OBJECT);
    r = compact_reply(&compact, text, n, frame_reader_frame(&reader), &out, &restored);
    if (r == 0) {
        cr_assert(eq(sz, restored.n_bytes, out.n));
        cr_assert(restored.id.at + restored.id.n <= out.n);
    }
    return r;
}

static void comes_back(const char *text, const char *expected) {
    cr_assert(eq(int, reply(text), 0));
    expect_out(expected);
}

TEST(compact, blanks_go_but_not_those_in_strings) {
    begin();
    becomes("{ \"execute\" : \"a b\",\r\n\t\"arguments\": {\"x\": [1, 2], \"y\": \"\\\" , \"}}\r\n",
            "{\"execute\":\"a b\",\"arguments\":{\"x\":[1,2],\"y\":\"\\\" , \"}}");
    end();
}

TEST(compact, an_id_of_any_type_comes_back_digit_for_digit) {
    begin();
    becomes("{\"execute\": \"a\", \"id\": \"libvirt-12\"}", "{\"execute\":\"a\",\"id\":0}");
    becomes("{\"id\": 1.50, \"execute\": \"a\"}", "{\"id\":1,\"execute\":\"a\"}");
    becomes("{\"execute\": \"a\", \"id\": {\"b\": [ 1 ]}}", "{\"execute\":\"a\",\"id\":2}");
    comes_back("{\"return\": {}, \"id\": 0}", "{\"return\": {}, \"id\": \"libvirt-12\"}");
    comes_back("{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"\"}}",
               "{\"id\": 1.50, \"error\": {\"class\": \"GenericError\", \"desc\": \"\"}}");
    comes_back("{\"return\": {}, \"id\": 2}", "{\"return\": {}, \"id\": {\"b\": [ 1 ]}}");
    cr_assert(not(compact_is_waiting(&compact)));
    end();
}

TEST(compact, a_command_without_an_id_gets_none) {
    begin();
    becomes("{\"execute\": \"a\"}", "{\"execute\":\"a\"}");
    cr_assert(eq(int, reply("{\"return\": {}}"), COMPACT_E_AS_IT_IS));
    cr_assert(not(compact_is_waiting(&compact)));
    end();
}

TEST(compact, more_commands_under_way_than_there_are_digits) {
    char text[80], expected[80];

    begin();
    for (int i = 0; i < 25; i++) {
        snprintf(text, sizeof(text), "{\"execute\": \"a\", \"id\": \"x%d\"}", i);
        snprintf(expected, sizeof(expected), "{\"execute\":\"a\",\"id\":%d}", i % 10);
        becomes(text, expected);
    }
    for (int i = 0; i < 25; i++) {
        snprintf(text, sizeof(text), "{\"return\": {}, \"id\": %d}", i % 10);
        snprintf(expected, sizeof(expected), "{\"return\": {}, \"id\": \"x%d\"}", i);
        comes_back(text, expected);
    }
    end();
}

TEST(compact, a_reply_that_lost_its_id_uses_up_its_place) {
    begin();
    becomes("{\"execute\": \"a\", \"id\": 10}", "{\"execute\":\"a\",\"id\":0}");
    becomes("{\"execute\": \"a\", \"id\": 11}", "{\"execute\":\"a\",\"id\":1}");
    cr_assert(eq(int, reply("{\"error\": {}}"), COMPACT_E_AS_IT_IS));
    comes_back("{\"return\": {}, \"id\": 1}", "{\"return\": {}, \"id\": 11}");
    end();
}

TEST(compact, events_pass) {
    begin();
    becomes("{\"execute\": \"a\", \"id\": 10}", "{\"execute\":\"a\",\"id\":0}");
    cr_assert(eq(int, reply("{\"event\": \"B\", \"data\": {}}"), COMPACT_E_AS_IT_IS));
    cr_assert(compact_is_waiting(&compact));
    end();
}

TEST(compact, what_is_no_plain_command_ends_it) {
    static const char *const texts[] = {
        "{\"exec-oob\": \"a\"}",
        "{\"no\": 1}",
        "{\"execute\": 1}",
        "{\"execute\": \"a\", \"id\": 1, \"id\": 2}",
        "{\"execute\": \"a\", \"i\\u0064\": 1}",
        "{\"execute\" \"a\"}",
        "{'execute': 'a'}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        begin();
        cr_assert(eq(int, command(texts[i]), COMPACT_E_AS_IT_IS), "%s", texts[i]);
        cr_assert(eq(int, command("{\"execute\": \"a\"}"), COMPACT_E_AS_IT_IS), "%s", texts[i]);
        cr_assert(eq(sz, out.n, 0));
        end();
    }
}

TEST(compact, no_more_commands_under_way_than_the_limit) {
    const char *text = "{\"execute\": \"a\"}";

    begin();
    cr_assert(eq(int, compact_command(&compact, text, strlen(text), 1, &out), 0));
    cr_assert(eq(int, compact_command(&compact, text, strlen(text), 1, &out), COMPACT_E_AS_IT_IS));
    end();
}
