/* Message: kind and name of a framed object, and its id exchanged. */

#include "test.h"

#include <string.h>

#include "base/util.h"
#include "json/writer.h"
#include "qmp/message.h"

static struct arena arena;

static int read_message(const char *text, struct message *ret) {
    arena = (struct arena)ARENA_INIT;
    return message_read(&arena, text, strlen(text), ret);
}

static void check_kind(const char *text, enum frame_kind kind, const char *name) {
    struct message m;

    cr_assert(eq(int, read_message(text, &m), 0), "%s", text);
    cr_assert(eq(int, m.kind, kind), "%s", text);
    if (name)
        cr_assert(m.n_name == strlen(name) && memcmp(m.name, name, m.n_name) == 0, "%s", text);
    else
        cr_assert(m.name == NULL, "%s", text);
    arena_deinit(&arena);
}

static void check_invalid(const char *text) {
    struct message m;

    cr_assert(eq(int, read_message(text, &m), MESSAGE_E_INVALID), "%s", text);
    arena_deinit(&arena);
}

TEST(message, says_its_kind_and_name) {
    check_kind("{\"execute\": \"stop\"}", FRAME_COMMAND, "stop");
    check_kind("{\"id\": 1, \"exec-oob\": \"yank\"}", FRAME_COMMAND_OOB, "yank");
    check_kind("{\"event\": \"STOP\"}", FRAME_EVENT, "STOP");
    check_kind("{\"return\": {}}", FRAME_RETURN, NULL);
    check_kind("{\"id\": 1, \"error\": {}}", FRAME_ERROR, NULL);
    check_kind("{\"QMP\": {}}", FRAME_GREETING, NULL);
}

TEST(message, names_are_decoded) {
    check_kind("{\"execute\": \"\\u0073top\"}", FRAME_COMMAND, "stop");
    check_kind("{\"exec\\u0075te\": \"stop\"}", FRAME_COMMAND, "stop");
}

TEST(message, single_quotes_are_read) {
    check_kind("{'execute': 'sto\"p'}", FRAME_COMMAND, "sto\"p");
}

TEST(message, what_is_none_is_the_peers_to_judge) {
    check_invalid("{}");
    check_invalid("[]");
    check_invalid("{\"execute\": 1}");
    check_invalid("{\"execute\": \"a\", \"execute\": \"b\"}");
    check_invalid("{\"execute\": \"a\", \"exec-oob\": \"b\"}");
    check_invalid("{\"execute\": \"a\"");
    check_invalid("{\"execute\": \"a\"} x");
}

TEST(message, an_out_of_band_command_is_found_as_any_other) {
    struct message m;

    cr_assert(eq(int, read_message("{\"exec-oob\": \"yank\"}", &m), 0));
    cr_assert(json_is_string(json_member(m.root, "execute"), "yank"));
    arena_deinit(&arena);
}

static void check_id(const char *text, const char *id, const char *expected) {
    struct buffer b = BUFFER_INIT;

    cr_assert(
        eq(int, message_put_id(&b, FRAME_CLIENT, text, strlen(text), id, id ? strlen(id) : 0), 0));
    buffer_append(&b, "", 1);
    cr_assert(eq(str, b.data, (char *)expected));
    buffer_deinit(&b);
}

TEST(message, an_id_is_replaced_where_it_stands) {
    check_id("{\"id\": 1, \"execute\": \"a\"}", "\"x\"", "{\"id\": \"x\", \"execute\": \"a\"}");
    check_id("{\"execute\": \"a\" , \"id\" : {\"id\": [1, 2]} }", "null",
             "{\"execute\": \"a\" , \"id\" : null }");
    check_id("{\"execute\": \"a\", \"id\":1e2}", "100", "{\"execute\": \"a\", \"id\":100}");
    check_id("{\"execute\": \"a\", \"arguments\": {\"id\": 1}, \"id\": 2}", "3",
             "{\"execute\": \"a\", \"arguments\": {\"id\": 1}, \"id\": 3}");
}

TEST(message, one_without_id_gets_it_as_its_last_member) {
    check_id("{\"execute\": \"a\"}", "5", "{\"execute\": \"a\", \"id\": 5}");
    check_id("{\"execute\": \"a\" }", "5", "{\"execute\": \"a\", \"id\": 5 }");
    check_id("{\"execute\": \"a\", \"arguments\": {\"id\": 1}}", "5",
             "{\"execute\": \"a\", \"arguments\": {\"id\": 1}, \"id\": 5}");
}

TEST(message, an_id_goes_with_one_of_its_commas) {
    check_id("{\"id\": 1, \"execute\": \"a\"}", NULL, "{\"execute\": \"a\"}");
    check_id("{\"execute\": \"a\", \"id\": 1}", NULL, "{\"execute\": \"a\"}");
    check_id("{\"execute\": \"a\" , \"id\" : \"x,}\" , \"b\": 2}", NULL,
             "{\"execute\": \"a\"  , \"b\": 2}");
    check_id("{ \"id\": 1 }", NULL, "{  }");
    check_id("{\"execute\": \"a\"}", NULL, "{\"execute\": \"a\"}");
}

TEST(message, an_outline_can_be_written_whatever_blanks_it_has) {
    static const char *const texts[] = {"{\"return\": [{\"name\": \"a\", \"in\": [[1, 2]]}]}",
                                        "{\"return\": [{\"name\": \"a\", \"in\": [[1,\n2]]}]}"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        arena = (struct arena)ARENA_INIT;
        struct buffer b = BUFFER_INIT;
        struct message m;

        cr_assert(eq(int, message_outline(&arena, texts[i], strlen(texts[i]), &m), 0));
        cr_assert(eq(int, m.kind, FRAME_RETURN));
        json_write(&b, json_member(&json_member(m.root, "return")->items[0], "in"));
        cr_assert(b.n == 8 && memcmp(b.data, "[[1, 2]]", 8) == 0);
        buffer_deinit(&b);
        arena_deinit(&arena);
    }
}

TEST(message, its_kind_is_told_without_reading_it) {
    char late[1000];

    memset(late, ' ', sizeof(late));
    late[0] = '{';
    memcpy(late + sizeof(late) - 13, "\"return\": {}}", 13);
    cr_assert(eq(int, message_kind(late, sizeof(late)), FRAME_RETURN));
    cr_assert(eq(int, message_kind("{\"id\": 1, \"error\": {}}", 23), FRAME_ERROR));
    cr_assert(eq(int, message_kind("{}", 2), FRAME_UNKNOWN));
}

/* a server's message is read from its end where that is certain, a client's never */
static void check_same_id_from_the_end(const char *text, const char *id) {
    struct buffer ahead = BUFFER_INIT, from_end = BUFFER_INIT;
    size_t n = strlen(text), n_id = id ? strlen(id) : 0;

    cr_assert(eq(int, message_put_id(&ahead, FRAME_CLIENT, text, n, id, n_id), 0));
    cr_assert(eq(int, message_put_id(&from_end, FRAME_SERVER, text, n, id, n_id), 0));
    cr_assert(ahead.n == from_end.n && memcmp(ahead.data, from_end.data, ahead.n) == 0,
              "%s becomes %.*s", text, (int)from_end.n, from_end.data);
    buffer_deinit(&ahead);
    buffer_deinit(&from_end);
}

TEST(message, id_is_the_same_one_from_whichever_end_it_is_sought) {
    static const char *const texts[] = {
        "{\"return\": {}, \"id\": \"qmp-shim:1\"}",
        "{\"return\": {}, \"id\": \"\"}",
        "{\"return\": {}, \"id\": 0}",
        "{\"return\": {}, \"id\": 1234567890}",
        "{\"return\": {}, \"id\": -12}",
        "{\"return\": {}, \"id\": 1.5}",
        "{\"return\": {}, \"id\": 1e2}",
        "{\"return\": {}, \"id\": true}",
        "{\"return\": {}, \"id\": \"a\\\"\"}",
        "{\"return\": {}, \"id\": \"a\\\\\"}",
        "{\"return\": {}, \"id\": \"\\\", \\\"id\\\": \\\"x\"}",
        "{\"return\": {}, \"x\": \", \\\"id\\\": \\\"x\"}",
        "{\"return\": \", \", \"id\": \", \"}",
        "{\"return\": {}, \"xid\": 7}",
        "{\"return\": {}, \"x\\\"id\": 7}",
        "{\"return\": {\"a\": 1, \"id\": 7}}",
        "{\"return\": [1, \"id\", 7], \"x\": 7}",
        "{\"return\": {}, \"id\": {\"a\": 1, \"id\": 7}}",
        "{\"id\": 7, \"return\": {}}",
        "{\"id\": 7, \"return\": {}, \"x\": 7}",
        "{\"id\": 7}",
        "{\"return\": {}, \"id\":7}",
        "{\"return\": {},\"id\": 7}",
        "{\"return\": {}, \"id\": 7 }",
        "{\"return\": {}}",
        "{}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        check_same_id_from_the_end(texts[i], "\"other\"");
        check_same_id_from_the_end(texts[i], NULL);
    }
}
