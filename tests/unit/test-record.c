#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "json/escape.h"
#include "proxy/exchanges.h"
#include "proxy/record.h"
#include "proxy/recorder.h"
#include "proxy/redact.h"

/* --- lines ----------------------------------------------------------------------------------------- */

TEST(record, every_byte_survives_a_line) {
    struct arena arena = ARENA_INIT;
    struct buffer line = BUFFER_INIT;
    struct record r = {.kind = RECORD_CAME,
                       .ms = 7,
                       .us = 1234567890123456,
                       .session = 3,
                       .side = SIDE_SERVER},
                  back;
    char bytes[256];

    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    r.text = bytes;
    r.n_text = sizeof(bytes);
    cr_assert(eq(int, record_write(&r, &(struct record_head){0}, &line), 0));
    for (size_t i = 0; i + 1 < line.n; i++)
        cr_assert(line.data[i] >= ' ' && line.data[i] <= '~',
                  "byte %zu of the line is no printable ASCII", i);
    cr_assert(eq(int, record_read(&arena, line.data, line.n - 1, &back), 0));
    cr_assert(eq(sz, back.n_text, sizeof(bytes)));
    cr_assert(memcmp(back.text, bytes, sizeof(bytes)) == 0);
    cr_assert(back.kind == r.kind && back.ms == 7 && back.us == r.us && back.session == 3 &&
              back.side == SIDE_SERVER);
    buffer_deinit(&line);
    arena_deinit(&arena);
}

TEST(record, all_members_survive_a_line) {
    struct arena arena = ARENA_INIT;
    struct buffer line = BUFFER_INIT;
    struct record r = {.kind = RECORD_OF(TRACE_REWRITTEN),
                       .side = -1,
                       .text = "",
                       .to_text = "b",
                       .n_to_text = 1,
                       .rule = "r\"",
                       .note = "n",
                       .fds = "file socket",
                       .is_part = true,
                       .is_blanked = true};
    struct record back;

    cr_assert(eq(int, record_write(&r, &(struct record_head){0}, &line), 0));
    cr_assert(eq(int, record_read(&arena, line.data, line.n - 1, &back), 0));
    cr_assert(back.text && back.n_text == 0 && back.side == -1 && back.is_part && back.is_blanked &&
              !back.is_continued);
    cr_assert(eq(str, (char *)back.to_text, "b"));
    cr_assert(eq(str, (char *)back.rule, "r\""));
    cr_assert(eq(str, (char *)back.note, "n"));
    cr_assert(eq(str, (char *)back.fds, "file socket"));
    buffer_deinit(&line);
    arena_deinit(&arena);
}

/* each kind of byte at each place, in texts of each length up to some blocks */
TEST(record, every_text_survives_wherever_a_byte_to_be_escaped_stands) {
    static const char odd[] = "\"\\\n\r\0\x1F\x7F\x80\xFF ";

    for (size_t n = 1; n < 70; n++)
        for (size_t i = 0; i < n * (sizeof(odd) - 1); i++) {
            struct arena arena = ARENA_INIT;
            struct buffer line = BUFFER_INIT;
            char bytes[70];
            struct record r = {.kind = RECORD_CAME, .text = bytes, .n_text = n}, back;

            memset(bytes, i % 2 ? 'x' : '"', sizeof(bytes));
            bytes[i % n] = odd[i / n];
            cr_assert(eq(int, record_write(&r, &(struct record_head){0}, &line), 0));
            cr_assert(eq(int, record_read(&arena, line.data, line.n - 1, &back), 0));
            cr_assert(back.n_text == n && memcmp(back.text, bytes, n) == 0, "%zu of %zu", i, n);
            buffer_deinit(&line);
            arena_deinit(&arena);
        }
}

TEST(record, numbers_of_each_length_survive) {
    for (uint64_t number = 1; number < UINT64_MAX / 10; number = number * 10 + 9) {
        struct arena arena = ARENA_INIT;
        struct buffer line = BUFFER_INIT;
        uint64_t ms = (number - 1) % RECORD_MAX_MS;
        struct record r = {.kind = RECORD_OPENED, .ms = ms, .session = number, .side = -1}, back;

        cr_assert(eq(int, record_write(&r, &(struct record_head){0}, &line), 0));
        cr_assert(eq(int, record_read(&arena, line.data, line.n - 1, &back), 0));
        cr_assert(back.ms == ms && back.session == number);
        buffer_deinit(&line);
        arena_deinit(&arena);
    }
}

TEST(record, what_went_on_as_it_is_stands_for_two_records) {
    struct record r = {
        .kind = RECORD_OF(TRACE_PASSED), .side = SIDE_CLIENT, .text = "x", .n_text = 1};
    struct record sent;

    cr_assert(record_split(&r, &sent));
    cr_assert(r.kind == RECORD_CAME && r.side == SIDE_CLIENT);
    cr_assert(sent.kind == RECORD_OF(TRACE_SENT) && sent.side == SIDE_SERVER &&
              sent.text == r.text);
    cr_assert(eq(int, record_split(&r, &sent), false));
}

static int read_text(const char *line) {
    struct arena arena = ARENA_INIT;
    struct record r;
    int x = record_read(&arena, line, strlen(line), &r);

    arena_deinit(&arena);
    return x;
}

TEST(record, a_line_of_anything_else_is_refused) {
    cr_assert(eq(int, read_text(""), RECORD_E_INVALID));
    cr_assert(eq(int, read_text("{"), RECORD_E_INVALID));
    cr_assert(eq(int, read_text("[]"), RECORD_E_INVALID));
    cr_assert(eq(int, read_text("{\"what\": \"ever\"}"), RECORD_E_INVALID));
    cr_assert(
        eq(int,
           read_text(
               "{\"what\": \"came\", \"text\": 7, \"side\": \"left\", \"ms\": \"x\", \"new\": {}}"),
           RECORD_E_INVALID));
}

TEST(record, a_time_that_none_can_reckon_with_is_refused) {
    char line[100];

    snprintf(line, sizeof(line), "{\"what\": \"lost\", \"ms\": %" PRIu64 ", \"us\": %" PRId64 "}",
             RECORD_MAX_MS, RECORD_MAX_US);
    cr_assert(eq(int, read_text(line), 0));
    snprintf(line, sizeof(line), "{\"what\": \"lost\", \"ms\": %" PRIu64 "}", RECORD_MAX_MS + 1);
    cr_assert(eq(int, read_text(line), RECORD_E_INVALID));
    snprintf(line, sizeof(line), "{\"what\": \"lost\", \"us\": %" PRId64 "}", RECORD_MAX_US + 1);
    cr_assert(eq(int, read_text(line), RECORD_E_INVALID));
    cr_assert(
        eq(int, read_text("{\"what\": \"lost\", \"us\": 18446744073709551615}"), RECORD_E_INVALID));
}

TEST(record, a_header_of_a_later_version_is_told_apart_and_an_older_one_is_read) {
    cr_assert(eq(int, read_text("{\"qmp-shim-trace\": 1, \"what\": \"header\"}"), 0));
    cr_assert(eq(int, read_text("{\"qmp-shim-trace\": 2, \"what\": \"header\"}"), 0));
    cr_assert(
        eq(int, read_text("{\"qmp-shim-trace\": 3, \"what\": \"header\"}"), RECORD_E_VERSION));
    cr_assert(eq(int, read_text("{\"what\": \"header\"}"), RECORD_E_VERSION));
}

/* --- secrets ------------------------------------------------------------------------------------------ */

#define SECRETS "{\"qmp-shim-redact\": 1, \"commands\": {\"set-key\": [\"key\"]}}"

static int load(struct redact *r, const char *text) {
    struct diag_source source = {.path = "secrets", .text = text, .n_text = strlen(text)};
    struct diag_set diags;
    int x;

    diag_set_init(&diags);
    x = redact_load(r, &source, &diags);
    cr_assert(eq(int, x == REDACT_E_INVALID, diags.n_errors > 0));
    diag_set_deinit(&diags);
    return x;
}

static void expect_redacted(const char *text, bool is_whole, const char *expected,
                            bool expected_is_blanked) {
    struct redact r = REDACT_INIT;
    struct buffer b = BUFFER_INIT;
    bool is_blanked;

    cr_assert(eq(int, load(&r, SECRETS), 0));
    cr_assert(eq(int, redact_text(&r, text, strlen(text), is_whole, &b, &is_blanked), 0));
    buffer_append(&b, "", 1);
    cr_assert(eq(str, b.data, (char *)expected));
    cr_assert(is_blanked == expected_is_blanked);
    buffer_deinit(&b);
    redact_deinit(&r);
}

TEST(redact, secrets_go_and_every_other_byte_stays) {
    expect_redacted(
        "\r\n{\"execute\" : \"set-key\", \"arguments\": {\"key\":\"abc\", \"a\": [ {\"key\": 1 } ]}}\n",
        true,
        "\r\n{\"execute\" : \"set-key\", \"arguments\": {\"key\":\"***\", \"a\": [ {\"key\": \"***\" } ]}}\n",
        true);
}

TEST(redact, a_name_with_escapes_is_the_same_name) {
    expect_redacted(
        "{\"execute\": \"set\\u002dkey\", \"arguments\": {\"k\\u0065y\": \"abc\"}}", true,
        "{\"execute\": \"set\\u002dkey\", \"arguments\": {\"k\\u0065y\": \"***\"}}", true);
}

TEST(redact, other_commands_stay) {
    expect_redacted("{\"execute\": \"get-key\", \"arguments\": {\"key\": \"abc\"}}", true,
                    "{\"execute\": \"get-key\", \"arguments\": {\"key\": \"abc\"}}", false);
}

TEST(redact, what_cannot_be_read_goes_unless_it_is_blank) {
    expect_redacted("{\"execute\": \"set-key\", \"arguments\": {\"key\": \"abc\"", true, "", true);
    expect_redacted("\"key\": \"abc\"}", false, "", true);
    expect_redacted("\r\n \t", false, "\r\n \t", false);
}

TEST(redact, a_file_of_anything_else_is_refused) {
    static const char *const texts[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"qmp-shim-redact\": 1}",
                                        "{\"qmp-shim-redact\": 1, \"commands\": []}",
                                        "{\"qmp-shim-redact\": 1, \"commands\": {\"a\": 1}}",
                                        "{\"qmp-shim-redact\": 1, \"commands\": {\"a\": [1]}}"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct redact r = REDACT_INIT;

        cr_assert(eq(int, load(&r, texts[i]), REDACT_E_INVALID), "%s", texts[i]);
        redact_deinit(&r);
    }
}

/* --- what a session tells, to records -------------------------------------------------------------------- */

/* what was recorded, a line each: kind, side, text */
static void keep(void *userdata, const struct record *r) {
    static const char *const kinds[] = {[RECORD_CLOSED] = "closed",
                                        [RECORD_CAME] = "came",
                                        [RECORD_OF(TRACE_SENT)] = "sent",
                                        [RECORD_OF(TRACE_PASSED)] = "passed"};
    struct buffer *b = userdata;

    buffer_printf(b, "%s%s %d \"%.*s\"%s\n", kinds[r->kind], r->is_part ? "+" : "", r->side,
                  (int)r->n_text, r->text ? r->text : "", r->fds ? r->fds : "");
}

static void tell(struct recorder *r, enum trace_kind kind, int side, const char *text,
                 const struct fds *fds) {
    struct trace_item item = {
        .kind = kind, .from = side, .text = text, .n_text = strlen(text), .fds = fds};

    recorder_tell(r, &item, (struct session_time){1, 2});
}

static void expect_kept(struct buffer *kept, const char *expected) {
    buffer_append(kept, "", 1);
    cr_assert(eq(str, kept->data, (char *)expected));
    buffer_deinit(kept);
}

TEST(recorder, bytes_become_messages_with_the_blanks_before_them) {
    struct buffer kept = BUFFER_INIT;
    struct recorder r;

    recorder_init(&r, 1, NULL, keep, &kept);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "{\"a\":", NULL);
    tell(&r, TRACE_CAME, SIDE_SERVER, "{\"return\": {}}", NULL);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "1}", NULL);
    tell(&r, TRACE_CAME, SIDE_CLIENT, " ", NULL);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "{}", NULL);
    recorder_deinit(&r);
    expect_kept(&kept, "came 1 \"{\"return\": {}}\"\ncame 0 \"{\"a\":1}\"\ncame 0 \" {}\"\n");
}

TEST(recorder, the_line_end_that_is_sent_with_a_message_is_recorded_with_it) {
    struct buffer kept = BUFFER_INIT;
    struct recorder r;

    recorder_init(&r, 1, NULL, keep, &kept);
    tell(&r, TRACE_SENT, SIDE_CLIENT, "{\"return\": {}}\r\n{\"return\": 1}\r\n", NULL);
    recorder_deinit(&r);
    expect_kept(&kept, "sent 0 \"{\"return\": {}}\r\n\"\nsent 0 \"{\"return\": 1}\r\n\"\n");
}

TEST(recorder, what_is_incomplete_at_the_end_is_recorded) {
    struct buffer kept = BUFFER_INIT;
    struct recorder r;

    recorder_init(&r, 1, NULL, keep, &kept);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "{\"a\":", NULL);
    tell(&r, TRACE_SENT, SIDE_SERVER, "\r\n", NULL);
    recorder_note(&r, RECORD_CLOSED, NULL, (struct session_time){1, 2});
    recorder_deinit(&r);
    expect_kept(&kept, "came 0 \"{\"a\":\"\nsent 1 \"\r\n\"\nclosed -1 \"\"\n");
}

TEST(recorder, fds_stand_with_the_message_they_came_with) {
    struct buffer kept = BUFFER_INIT;
    int fd[] = {0, 1};
    struct fds fds = {fd, 2};
    struct recorder r;

    recorder_init(&r, 1, NULL, keep, &kept);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "", &fds);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "{}", NULL);
    tell(&r, TRACE_CAME, SIDE_CLIENT, "{}", NULL);
    recorder_deinit(&r);
    expect_kept(&kept, "came 0 \"{}\"fd fd\ncame 0 \"{}\"\n");
}

TEST(record, a_line_begins_with_its_own_times_whatever_the_one_before_began_with) {
    static const struct {
        uint64_t ms;
        int64_t us;
        const char *begins;
    } lines[] = {
        {7, 1700000000123456, "{\"ms\":7,\"us\":1700000000123456,"},
        {7, 1700000000000009, "{\"ms\":7,\"us\":1700000000000009,"},
        {7, 1700000001000000, "{\"ms\":7,\"us\":1700000001000000,"},
        {8, 1700000001000001, "{\"ms\":8,\"us\":1700000001000001,"},
        {8, 0, "{\"ms\":8,\"us\":0,"},
        {8, 999999, "{\"ms\":8,\"us\":999999,"},
        {8, 1000000, "{\"ms\":8,\"us\":1000000,"},
        {UINT64_MAX, INT64_MAX, "{\"ms\":18446744073709551615,\"us\":9223372036854775807,"},
    };
    struct record_head head = {0};

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct record r = {.kind = RECORD_CAME, .ms = lines[i].ms, .us = lines[i].us, .text = ""};
        struct buffer b = BUFFER_INIT;

        cr_assert(eq(int, record_write(&r, &head, &b), 0));
        cr_assert(gt(sz, b.n, strlen(lines[i].begins)));
        cr_assert(memcmp(b.data, lines[i].begins, strlen(lines[i].begins)) == 0, "%.*s", (int)b.n,
                  b.data);
        buffer_deinit(&b);
    }
}

static void assert_escaped_alike(const char *text, size_t n) {
    char simple[ESCAPE_ROOM(200)], other[ESCAPE_ROOM(200)], *copy = malloc(n + 1);
    size_t i = 0, n_simple;

    memcpy(copy, text, n); /* nothing behind it may be read */
    while (escape_ways[i + 1])
        i++;
    n_simple = (size_t)(escape_ways[i](simple, text, n) - simple);
    while (i-- > 0) {
        cr_assert(eq(sz, (size_t)(escape_ways[i](other, copy, n) - other), n_simple));
        cr_assert(memcmp(simple, other, n_simple) == 0, "%.*s", (int)n_simple, other);
    }
    free(copy);
}

TEST(record, every_way_to_escape_bytes_comes_to_the_same) {
    static const char often[] = "\"\\\r\nab ,:";
    char text[200];
    unsigned chance = 1;

    for (unsigned round = 0; round < 20000; round++) {
        size_t n = round % sizeof(text);

        for (size_t i = 0; i < n; i++) {
            chance = chance * 1103515245 + 12345;
            text[i] = often[(chance >> 16) % (sizeof(often) - 1)];
            if (round % 3 == 0 && (chance >> 24) % 32 == 0)
                text[i] = (char)(chance >> 8);
        }
        assert_escaped_alike(text, n);
    }
    for (unsigned c = 0; c < 256; c++) {
        text[0] = (char)c;
        assert_escaped_alike(text, 1);
    }
}

/* as a session tells it: an object, or blanks when @kind is 0 */
static void tell_went(struct recorder *r, int side, enum frame_kind kind, const char *text) {
    struct frame frame = {.kind = kind, .n_bytes = strlen(text)};
    struct trace_item item = {.kind = TRACE_WENT,
                              .from = side,
                              .text = text,
                              .n_text = strlen(text),
                              .frame = kind ? &frame : NULL};

    recorder_tell(r, &item, (struct session_time){1, 2});
}

TEST(recorder, what_goes_on_as_it_is_is_recorded_once) {
    struct buffer kept = BUFFER_INIT;
    struct recorder r;

    recorder_init(&r, 1, NULL, keep, &kept);
    tell_went(&r, SIDE_CLIENT, FRAME_COMMAND, "{}");
    tell_went(&r, SIDE_CLIENT, FRAME_UNKNOWN, "\n");
    tell_went(&r, SIDE_CLIENT, FRAME_COMMAND, "{ }");
    tell_went(&r, SIDE_CLIENT, FRAME_UNKNOWN, " ");
    recorder_note(&r, RECORD_CLOSED, NULL, (struct session_time){1, 2});
    recorder_deinit(&r);
    expect_kept(&kept, "passed 0 \"{}\"\npassed 0 \"\n{ }\"\n"
                       "came 0 \" \"\nsent 1 \" \"\nclosed -1 \"\"\n");
}

TEST(recorder, what_goes_on_before_and_behind_what_does_not_loses_nothing) {
    struct buffer kept = BUFFER_INIT;
    struct recorder r;

    recorder_init(&r, 1, NULL, keep, &kept);
    tell_went(&r, SIDE_CLIENT, FRAME_COMMAND, "{}");
    tell_went(&r, SIDE_CLIENT, FRAME_UNKNOWN, "\n");
    tell(&r, TRACE_CAME, SIDE_CLIENT, "{\"a\": 1}", NULL);
    tell(&r, TRACE_SENT, SIDE_SERVER, "{\"b\": 1}", NULL);
    tell_went(&r, SIDE_CLIENT, FRAME_UNKNOWN, "\r");
    tell(&r, TRACE_CAME, SIDE_CLIENT, "\n", NULL);
    tell_went(&r, SIDE_CLIENT, FRAME_COMMAND, "{  }");
    tell_went(&r, SIDE_CLIENT, FRAME_UNKNOWN, "\t");
    tell_went(&r, SIDE_CLIENT, FRAME_COMMAND, "{   }");
    recorder_deinit(&r);
    expect_kept(&kept, "passed 0 \"{}\"\n"
                       "came 0 \"\n{\"a\": 1}\"\nsent 1 \"\n{\"b\": 1}\"\n"
                       "came 0 \"\r\n{  }\"\nsent 1 \"\r{  }\"\n"
                       "passed 0 \"\t{   }\"\n");
}

static void count(void *userdata, const struct record *r) {
    size_t *n = userdata;

    n[0] += r->n_text;
    n[1]++;
    cr_assert(r->n_text <= 2 * RECORDER_MAX_BYTES);
}

TEST(recorder, a_long_message_is_recorded_in_parts) {
    static char text[RECORDER_MAX_BYTES / 2 + 1];
    size_t n[2] = {0};
    struct recorder r;

    memset(text, 'x', sizeof(text) - 1);
    recorder_init(&r, 1, NULL, count, n);
    tell(&r, TRACE_CAME, SIDE_SERVER, "{\"return\": \"", NULL);
    for (int i = 0; i < 6; i++)
        tell(&r, TRACE_CAME, SIDE_SERVER, text, NULL);
    tell(&r, TRACE_CAME, SIDE_SERVER, "\"}", NULL);
    recorder_deinit(&r);
    cr_assert(eq(sz, n[0], 6 * (sizeof(text) - 1) + 14));
    cr_assert(n[1] >= 3);
}

TEST(recorder, what_is_as_long_as_the_limit_and_not_whole_is_a_part) {
    static const char head[] = "{\"return\": \"", tail[] = "\"}";
    static char text[RECORDER_MAX_BYTES];

    for (size_t more = 0; more <= 1; more++) {
        size_t n[2] = {0}, n_first = RECORDER_MAX_BYTES - 1 + more;
        struct recorder r;

        memset(text, 'x', sizeof(text));
        text[n_first - strlen(head)] = '\0';
        recorder_init(&r, 1, NULL, count, n);
        tell(&r, TRACE_CAME, SIDE_SERVER, head, NULL);
        tell(&r, TRACE_CAME, SIDE_SERVER, text, NULL);
        tell(&r, TRACE_CAME, SIDE_SERVER, tail, NULL);
        recorder_deinit(&r);
        cr_assert(eq(sz, n[0], n_first + strlen(tail)));
        cr_assert(eq(sz, n[1], 1 + more));
    }
}

/* --- records to exchanges ----------------------------------------------------------------------------------- */

static void keep_exchange(void *userdata, const struct exchanged *x) {
    struct buffer *b = userdata;

    buffer_printf(b, "%d %d>%d %s|%s|%s\n", (int)x->kind, x->from, x->to, x->text ? x->text : "",
                  x->to_text ? x->to_text : "", x->rule ? x->rule : "");
}

static void add(struct exchanges *e, int kind, int side, const char *text, const char *to) {
    struct record r = {.kind = kind,
                       .side = side,
                       .text = text,
                       .n_text = text ? strlen(text) : 0,
                       .to_text = to,
                       .n_to_text = to ? strlen(to) : 0,
                       .rule = kind == RECORD_OF(TRACE_REWRITTEN) ? "rule" : NULL};

    cr_assert(eq(int, exchanges_add(e, &r), 0));
}

TEST(exchanges, what_was_sent_is_found_under_another_id_and_other_blanks) {
    struct buffer kept = BUFFER_INIT;
    struct exchanges e;
    char expected[200];

    exchanges_init(&e, keep_exchange, &kept);
    add(&e, RECORD_CAME, SIDE_CLIENT, "\r\n{\"execute\": \"a\", \"id\": 1}", NULL);
    add(&e, RECORD_OF(TRACE_SENT), SIDE_SERVER, "{\"execute\":\"a\",\"id\":2}", NULL);
    exchanges_deinit(&e);
    snprintf(expected, sizeof(expected),
             "%d 0>1 {\"execute\": \"a\", \"id\": 1}|{\"execute\":\"a\",\"id\":2}|\n",
             EXCHANGE_PASSED);
    expect_kept(&kept, expected);
}

TEST(exchanges, a_rewritten_message_is_told_with_both_texts_and_its_rule) {
    struct buffer kept = BUFFER_INIT;
    struct exchanges e;
    char expected[200];

    exchanges_init(&e, keep_exchange, &kept);
    add(&e, RECORD_CAME, SIDE_CLIENT, "{\"execute\": \"a\"}", NULL);
    add(&e, RECORD_OF(TRACE_REWRITTEN), SIDE_CLIENT, "{\"execute\": \"a\"}",
        "{\"execute\": \"b\"}");
    add(&e, RECORD_OF(TRACE_SENT), SIDE_SERVER, "{\"execute\": \"b\", \"id\": \"qmp-shim:1\"}\r\n",
        NULL);
    exchanges_deinit(&e);
    snprintf(expected, sizeof(expected),
             "%d 0>1 {\"execute\": \"a\"}|{\"execute\": \"b\", \"id\": \"qmp-shim:1\"}|rule\n",
             EXCHANGE_REWRITTEN);
    expect_kept(&kept, expected);
}

TEST(exchanges, what_never_went_on_is_told_at_the_end) {
    struct buffer kept = BUFFER_INIT;
    struct exchanges e;
    char expected[200];

    exchanges_init(&e, keep_exchange, &kept);
    add(&e, RECORD_CAME, SIDE_SERVER, "{\"event\": \"E\"}", NULL);
    add(&e, RECORD_CAME, SIDE_CLIENT, "{\"execute\": \"a\"}", NULL);
    add(&e, RECORD_OF(TRACE_DROPPED), SIDE_SERVER, "{\"event\": \"E\"}", NULL);
    exchanges_deinit(&e);
    snprintf(expected, sizeof(expected),
             "%d 1>-1 {\"event\": \"E\"}||\n%d 0>-1 {\"execute\": \"a\"}||\n", EXCHANGE_DROPPED,
             EXCHANGE_OPEN);
    expect_kept(&kept, expected);
}

TEST(exchanges, no_more_than_so_many_are_kept) {
    struct buffer kept = BUFFER_INIT;
    struct exchanges e;

    exchanges_init(&e, keep_exchange, &kept);
    for (size_t i = 1; i <= EXCHANGES_MAX_OPEN + 1; i++) {
        add(&e, RECORD_CAME, SIDE_CLIENT, "{\"execute\": \"a\"}", NULL);
        cr_assert(eq(sz, e.n_open, size_min(i, EXCHANGES_MAX_OPEN)));
    }
    exchanges_deinit(&e);
    buffer_deinit(&kept);
}

static void count_exchange(void *userdata, const struct exchanged *x) {
    (void)x;
    ++*(size_t *)userdata;
}

TEST(exchanges, what_is_not_settled_is_bounded_in_bytes_too) {
    static char large[1 << 20];
    struct record r = {.kind = RECORD_CAME, .side = SIDE_SERVER, .text = large};
    struct exchanges e;
    size_t n_told = 0;

    memset(large, 'x', sizeof(large));
    r.n_text = sizeof(large);
    exchanges_init(&e, count_exchange, &n_told);
    for (size_t i = 0; i < EXCHANGES_MAX_OPEN_BYTES / sizeof(large); i++)
        cr_assert(eq(int, exchanges_add(&e, &r), 0));
    cr_assert(eq(sz, n_told, 0));
    cr_assert(eq(int, exchanges_add(&e, &r), 0));
    cr_assert(eq(sz, n_told, 1));
    exchanges_deinit(&e);
    cr_assert(eq(sz, n_told, EXCHANGES_MAX_OPEN_BYTES / sizeof(large) + 1));
    cr_assert(eq(sz, e.n_open_bytes, 0));
}
