/*
 * qmp/frame: the same outcome for every byte, however the stream is split;
 * faults told at the byte where QEMU tells them or before; slices.
 */
#include "qmp/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/util.h"
#include "qmp/frame_quick.h"
#include "test.h"

/* a byte's outcome: b(lank), r(aw), o(bject), its last byte O, or X where it breaks */
static void mark(char *marks, enum frame_scan kind, size_t n) {
    static const char letters[] = {
        [FRAME_BLANK] = 'b', [FRAME_RAW] = 'r',    [FRAME_OBJECT] = 'o',
        [FRAME_PART] = 'o',  [FRAME_BROKEN] = 'o',
    };

    memset(marks, letters[kind], n);
    if (kind == FRAME_OBJECT)
        marks[n - 1] = 'O';
    if (kind == FRAME_BROKEN)
        marks[n - 1] = 'X';
}

/* scan all of it, in exactly sized copies so that reading beyond is seen; @ret_frame: the last object's */
static void scan_piece(struct frame_reader *r, const char *text, size_t n, char *marks,
                       struct frame *ret_frame) {
    char *copy = malloc(n ? n : 1);
    size_t i = 0;

    memcpy(copy, text, n);
    while (i < n) {
        size_t n_scanned = 0;
        enum frame_scan kind = frame_scan(r, copy + i, n - i, &n_scanned);

        cr_assert(n_scanned >= 1 && n_scanned <= n - i);
        cr_assert(kind != FRAME_PART || n_scanned == n - i);
        mark(marks + i, kind, n_scanned);
        i += n_scanned;
        if (kind == FRAME_OBJECT || kind == FRAME_PART)
            *ret_frame = *frame_reader_frame(r);
    }
    free(copy);
}

static bool is_same_slice(struct frame_slice a, struct frame_slice b) {
    return a.at == b.at && a.n == b.n;
}

static bool is_same_frame(const struct frame *a, const struct frame *b) {
    return a->kind == b->kind && is_same_slice(a->name, b->name) && is_same_slice(a->id, b->id) &&
           a->n_bytes == b->n_bytes && a->has_name == b->has_name && a->has_id == b->has_id &&
           a->is_escaped == b->is_escaped && a->is_single_quoted == b->is_single_quoted &&
           a->is_ambiguous == b->is_ambiguous;
}

enum { MAX_TEXT = 512 };

/* @text whole, in two pieces split at each byte, and byte by byte: always the same; Return: the last object's frame */
static struct frame scan_bytes(enum frame_source source, const char *text, size_t n,
                               const char *want) {
    struct frame whole = {0};

    for (size_t split = 0; split <= n; split++) {
        char marks[MAX_TEXT + 1] = "";
        struct frame_reader r;
        struct frame frame = {0};

        cr_assert(n <= MAX_TEXT);
        frame_reader_init(&r, source);
        if (split == n) {
            for (size_t i = 0; i < n; i++)
                scan_piece(&r, text + i, 1, marks + i, &frame);
        } else {
            scan_piece(&r, text, split, marks, &frame);
            scan_piece(&r, text + split, n - split, marks + split, &frame);
        }
        cr_assert(eq(str, marks, (char *)want), "%s, split at %zu", text, split);
        if (split == 0)
            whole = frame;
        cr_assert(is_same_frame(&frame, &whole), "%s, split at %zu", text, split);
    }
    return whole;
}

static struct frame scan(enum frame_source source, const char *text, const char *want) {
    return scan_bytes(source, text, strlen(text), want);
}

static struct frame scan_object(enum frame_source source, const char *text) {
    char want[MAX_TEXT + 1] = "";

    memset(want, 'o', strlen(text) - 1);
    want[strlen(text) - 1] = 'O';
    return scan(source, text, want);
}

/* @text, then {}, which must be framed again */
static void breaks(const char *text, const char *want) {
    char longer[MAX_TEXT], marks[MAX_TEXT];

    snprintf(longer, sizeof(longer), "%s{}", text);
    snprintf(marks, sizeof(marks), "%soO", want);
    scan(FRAME_CLIENT, longer, marks);
}

static void is_slice(const char *text, struct frame_slice slice, const char *want) {
    char got[MAX_TEXT];

    snprintf(got, sizeof(got), "%.*s", (int)slice.n, text + slice.at);
    cr_assert(eq(str, got, (char *)want));
}

static void has_id(enum frame_source source, const char *text, const char *want) {
    struct frame f = scan_object(source, text);

    cr_assert(f.has_id);
    is_slice(text, f.id, want);
}

static void has_name(enum frame_source source, const char *text, enum frame_kind kind,
                     const char *want) {
    struct frame f = scan_object(source, text);

    cr_assert(eq(int, f.kind, kind));
    cr_assert(f.has_name);
    is_slice(text, f.name, want);
}

static const enum frame_source both[] = {FRAME_CLIENT, FRAME_SERVER};

TEST(frame, reader_is_small) {
    cr_assert(le(sz, sizeof(struct frame_reader), 300));
}

TEST(frame, object_ends_at_its_own_brace) {
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        scan(both[i], "{}{\"a\":{}}{\"a\":[{}]}", "oOoooooooOoooooooooO");
        scan(both[i], "{\"a\":\"}]\"}{}", "oooooooooOoO");
        scan(both[i], "{\"a\\\"}\":\"\\\\\"}{}", "ooooooooooooOoO");
    }
}

TEST(frame, blanks_between_objects_are_told) {
    for (size_t i = 0; i < ARRAY_SIZE(both); i++)
        scan(both[i], " \t\r\n{ } \n{}\r\n", "bbbbooObboObb");
}

TEST(frame, part_tells_what_is_known_so_far) {
    const char *text = "{\"execute\":\"stop\",\"id\":7";
    struct frame_reader r;
    size_t n;

    frame_reader_init(&r, FRAME_CLIENT);
    cr_assert(eq(int, frame_scan(&r, text, 10, &n), FRAME_PART));
    cr_assert(eq(int, frame_reader_frame(&r)->kind, FRAME_COMMAND));
    cr_assert(not(frame_reader_frame(&r)->has_name));
    cr_assert(eq(sz, frame_reader_frame(&r)->n_bytes, 10));
    cr_assert(eq(int, frame_scan(&r, text + 10, strlen(text) - 10, &n), FRAME_PART));
    cr_assert(frame_reader_frame(&r)->has_name);
    cr_assert(not(frame_reader_frame(&r)->has_id), "the number may go on");
    cr_assert(eq(sz, frame_reader_frame(&r)->n_bytes, strlen(text)));
}

TEST(frame, kind_and_name_are_found) {
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        has_name(both[i], "{\"execute\":\"query-status\"}", FRAME_COMMAND, "query-status");
        has_name(both[i], "{ \"exec-oob\" : \"x\" }", FRAME_COMMAND_OOB, "x");
        has_name(both[i], "{\"id\":1,\"arguments\":{\"execute\":\"n\"},\"execute\":\"\"}",
                 FRAME_COMMAND, "");
        has_name(both[i], "{\"data\":[{\"id\":3}],\"event\":\"STOP\"}", FRAME_EVENT, "STOP");
        cr_assert(eq(int, scan_object(both[i], "{\"return\":{}}").kind, FRAME_RETURN));
        cr_assert(eq(int, scan_object(both[i], "{\"id\":1,\"error\":{}}").kind, FRAME_ERROR));
        cr_assert(eq(int, scan_object(both[i], "{\"QMP\":{\"version\":{}}}").kind, FRAME_GREETING));
    }
}

TEST(frame, keys_that_only_look_alike_are_none) {
    static const char *const texts[] = {
        "{\"exec-oob2\":\"x\"}", "{\"exec-oo\":\"x\"}",     "{\"executes\":\"x\"}",
        "{\"\":\"x\"}",          "{\"EVENT\":\"x\"}",       "{\"a\":{\"event\":\"x\"}}",
        "{\"a\":\"execute\"}",   "{\"a\":[\"execute\",1]}", "{\"execute\\u0000\":\"x\"}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(texts); j++) {
            struct frame f = scan_object(both[i], texts[j]);

            cr_assert(eq(int, f.kind, FRAME_UNKNOWN), "%s", texts[j]);
            cr_assert(not(f.has_name), "%s", texts[j]);
            cr_assert(not(f.has_id), "%s", texts[j]);
        }
    }
}

TEST(frame, name_that_is_no_string_is_none) {
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        struct frame f = scan_object(both[i], "{\"execute\":[\"x\"],\"a\":\"y\"}");

        cr_assert(eq(int, f.kind, FRAME_COMMAND));
        cr_assert(not(f.has_name));
    }
}

TEST(frame, id_is_told_as_it_stands) {
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        has_id(both[i], "{\"id\":1.50e+2}", "1.50e+2");
        has_id(both[i], "{\"id\": 7 ,\"a\":1}", "7");
        has_id(both[i], "{\"id\":-0\n}", "-0");
        has_id(both[i], "{\"a\":{\"id\":1},\"id\":\"a\\\"}\"}", "\"a\\\"}\"");
        has_id(both[i], "{\"id\":{\"id\": [1, {}]} , \"a\":2}", "{\"id\": [1, {}]}");
        has_id(both[i], "{\"id\":[],\"id2\":2}", "[]");
        has_id(both[i], "{\"id\":true}", "true");
        has_id(both[i], "{\"id\" : null }", "null");
    }
}

TEST(frame, escapes_in_keys_and_name_are_told) {
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        cr_assert(scan_object(both[i], "{\"\\u0065xecute\":\"x\"}").is_escaped);
        cr_assert(scan_object(both[i], "{\"execute\":\"a\\/b\"}").is_escaped);
        cr_assert(not(scan_object(both[i], "{\"execute\":\"a\",\"id\":\"\\n\"}").is_escaped));
        cr_assert(not(scan_object(both[i], "{\"a\":{\"\\n\":\"\\n\"}}").is_escaped));
        has_name(both[i], "{\"execute\":\"a\\\"b\"}", FRAME_COMMAND, "a\\\"b");
    }
}

TEST(frame, doubled_keys_are_told_and_the_first_counts) {
    static const char *const texts[] = {
        "{\"execute\":\"a\",\"execute\":\"b\",\"id\":1}",
        "{\"execute\":\"a\",\"exec-oob\":\"b\",\"id\":1}",
        "{\"execute\":\"a\",\"id\":1,\"id\":\"b\"}",
        "{\"id\":1,\"execute\":\"a\",\"error\":{}}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(texts); j++) {
            struct frame f = scan_object(both[i], texts[j]);

            cr_assert(f.is_ambiguous);
            cr_assert(eq(int, f.kind, FRAME_COMMAND));
            is_slice(texts[j], f.name, "a");
            is_slice(texts[j], f.id, "1");
        }
        cr_assert(not(
            scan_object(both[i], "{\"id\":{\"id\":1,\"event\":2},\"event\":\"E\"}").is_ambiguous));
    }
}

TEST(frame, each_object_is_told_of_anew) {
    struct frame f;

    f = scan(FRAME_CLIENT, "{'execute':'a\\n','id':1,'id':2}{\"a\":0}",
             "ooooooooooooooooooooooooooooooOooooooO");
    cr_assert(is_same_frame(&f, &(struct frame){.n_bytes = 7}));
    f = scan(FRAME_SERVER, "{\"event\":\"a\\n\",\"id\":1}{\"a\":0}",
             "oooooooooooooooooooooOooooooO");
    cr_assert(is_same_frame(&f, &(struct frame){.n_bytes = 7}));
}

/* ---- client ---- */

TEST(frame, single_quotes_are_as_good_as_double_ones) {
    struct frame f;

    has_name(FRAME_CLIENT, "{'execute':\"a'b\",'id':'\\''}", FRAME_COMMAND, "a'b");
    has_id(FRAME_CLIENT, "{'execute':'a\"b','id':'\\'\"'}", "'\\'\"'");
    f = scan_object(FRAME_CLIENT, "{\"a\":['b']}");
    cr_assert(f.is_single_quoted);
    f = scan_object(FRAME_CLIENT, "{\"a\":[\"'b'\"]}");
    cr_assert(not(f.is_single_quoted));
}

TEST(frame, values_that_are_valid_are_not_broken) {
    static const char *const values[] = {
        "0",
        "-0",
        "10",
        "-1.5",
        "0.5e1",
        "1E-2",
        "1e+2",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        "[]",
        "[[],{}]",
        "[1 , \"a\" , {\"b\" : [ ] }]",
        "\"\\\"\\'\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\uABCD\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uD800\\uDC00\"",
        "\"\x7f \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"",
        "\"\xc0\x80\"",
        "\"\xef\xb7\x8f\xef\xb7\xb0\xef\xbf\xbd\"",
        "\"\xf4\x8f\xbf\xbd\"",
        "\"%d\"",
        "\"\xed\x9f\xbf\"",
    };

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char text[MAX_TEXT];

        snprintf(text, sizeof(text), "{\"a\":%s,\"b\":[%s, %s]}", values[i], values[i], values[i]);
        scan_object(FRAME_CLIENT, text);
    }
}

TEST(frame, fault_of_syntax_breaks_at_once_and_ends_with_balance) {
    breaks("{\"a\" \"b\"}", "oooooXrrr");
    breaks("{\"a\":1,}", "oooooooX");
    breaks("{,\"a\":[}]}", "oXrrrrrrrr");
    breaks("{{}}", "oXrr");
    breaks("{1:2}", "oXrrr");
    breaks("{\"a\":}", "oooooX");
    breaks("{\"a\"}", "ooooX");
    breaks("{\"a\":1 2}", "oooooooXr");
    breaks("{\"a\":[1,]}", "ooooooooXr");
    breaks("{\"a\":[,1]}", "ooooooXrrr");
    breaks("{\"a\":[1 {}]}", "ooooooooXrrr");
    breaks("{\"a\":[\"b\":1]}", "oooooooooXrrr");
    breaks("{\"a\" \"}\" }", "oooooXrrrr");
    breaks("{true:1}", "oXrrrrrr");
}

TEST(frame, brackets_count_as_in_qemu_after_a_fault) {
    breaks("{]", "oX");
    breaks("{\"a\":]", "oooooX");
    breaks("{[}]", "oXrr");
    breaks("{[}}", "oXrr");
    breaks("{\"a\":[}]", "ooooooXr");
    breaks("{\"a\":{]", "ooooooX");
}

TEST(frame, unknown_words_break_the_object) {
    breaks("{\"a\":nil}", "ooooooXrr");
    breaks("{\"a\":tru}", "ooooooooX");
    breaks("{\"a\":truex}", "oooooooooXr");
    breaks("{\"a\":tru }", "ooooooooXr");
    breaks("{\"a\":xyz}", "oooooXrrr");
}

TEST(frame, invalid_strings_break_the_object) {
    breaks("{\"a\":\"\\x\"}", "oooooooXrr");
    breaks("{\"a\":\"\\u12\"}", "ooooooooooXr");
    breaks("{\"a\":\"\\u12g4\"}", "ooooooooooXrrr");
    breaks("{\"a\":\"\\ud800\"}", "ooooooooooooXr");
    breaks("{\"a\":\"\\ud800x\"}", "ooooooooooooXrr");
    breaks("{\"a\":\"\\ud800\\n\"}", "oooooooooooooXrr");
    breaks("{\"a\":\"\\ud800\\u0041\"}", "oooooooooooooooooXrr");
    breaks("{\"a\":\"\\udc00\"}", "oooooooooooXrr");
    breaks("{\"a\":\"\\uffff\"}", "oooooooooooXrr");
    breaks("{\"a\":\"\\uFDD0\"}", "oooooooooooXrr");
    breaks("{\"a\":\"\\ud83f\\udffe\"}", "oooooooooooooooooXrr");
    breaks("{\"\\x\":1}", "oooXrrrr");
    breaks("{'a':'\\\"\\'\\x'}", "oooooooooooXrr");
}

TEST(frame, invalid_utf8_breaks_the_object) {
    breaks("{\"a\":\"\x80\"}", "ooooooXrr");
    breaks("{\"a\":\"\xc3\"}", "oooooooXr");
    breaks("{\"a\":\"\xc3\x28\"}", "oooooooXrr");
    breaks("{\"a\":\"\xc1\xbf\"}", "oooooooXrr");
    breaks("{\"a\":\"\xc0\x81\"}", "oooooooXrr");
    breaks("{\"a\":\"\xe0\x80\x80\"}", "ooooooooXrr");
    breaks("{\"a\":\"\xed\xa0\x80\"}", "ooooooooXrr");
    breaks("{\"a\":\"\xef\xb7\x90\"}", "ooooooooXrr");
    breaks("{\"a\":\"\xef\xbf\xbf\"}", "ooooooooXrr");
    breaks("{\"a\":\"\xf0\x9f\xbf\xbe\"}", "oooooooooXrr");
    breaks("{\"a\":\"\xf4\x90\x80\x80\"}", "oooooooooXrr");
    breaks("{\"a\":\"\xf8\x88\x80\x80\x80\"}", "ooooooXrrrrrr");
}

TEST(frame, lexical_fault_is_skipped_to_a_structural_byte) {
    breaks("@", "r");
    breaks("{@", "oX");
    breaks("{\"a\": @ x \"y\" 5", "ooooooXrrrrrrrr");
    breaks("{\"a\": 01 ", "oooooooXr");
    breaks("{\"a\": 1. ", "ooooooooX");
    breaks("{\"a\": -a", "oooooooX");
    breaks("{\"a\": 1e+ ", "oooooooooX");
    breaks("{\"a\": %d", "ooooooXr");
    breaks("{\"a\n", "oooX");
    breaks("{\"a\\\n", "ooooX");
    breaks("{\"a\xff", "oooX");
    breaks("{\"a\":[[@", "oooooooX");
}

TEST(frame, recovery_ends_where_qemu_ends_it) {
    scan(FRAME_CLIENT, "@ \t\"{}", "rrrroO");
    scan(FRAME_CLIENT, "@ \t\n {}", "rrrbboO");
    scan(FRAME_CLIENT, "@\x01\xfe\xff{}", "rrrroO");
    scan(FRAME_CLIENT, "@ \"[{}]\"{}", "rrrrrrrrrr");
    scan(FRAME_CLIENT, "@ ] {}", "rrrboO");
    scan(FRAME_CLIENT, "@ : {}", "rrrboO");
}

TEST(frame, values_that_are_no_object_are_raw) {
    scan(FRAME_CLIENT, "[1,{\"a\":2}] {}", "rrrrrrrrrrrboO");
    scan(FRAME_CLIENT, "\"{\" {}", "rrrboO");
    scan(FRAME_CLIENT, "'{\\'' {}", "rrrrrboO");
    scan(FRAME_CLIENT, "12.5 true null{}", "rrrrbrrrrbrrrroO");
    scan(FRAME_CLIENT, "} ] , : {}", "rbrbrbrboO");
    scan(FRAME_CLIENT, "[}{}", "rroO");
    scan(FRAME_CLIENT, "[ \"]\" @{}", "rrrrrrroO");
}

TEST(frame, number_or_word_before_an_object_is_no_part_of_it) {
    scan(FRAME_CLIENT, "12{\"a\":1}", "rrooooooO");
    scan(FRAME_CLIENT, "tru{\"a\":1}x{}", "rrrooooooOroO");
}

TEST(frame, nul_bytes_are_lexical_faults) {
    scan_bytes(FRAME_CLIENT, "\0{\"a\":\0{}", 9, "roooooXoO");
}

/* an object and lists in it, @depth brackets open at once, and closed again */
static void scan_depth(size_t depth, const char *want_opened, const char *want_closed) {
    size_t n_opened = 5 + depth - 1, n = n_opened + depth;
    char *text = malloc(n + 1), *marks = calloc(1, n + 1);
    struct frame_reader r;
    struct frame frame;

    strcpy(text, "{\"a\":");
    memset(text + 5, '[', depth - 1);
    memset(text + n_opened, ']', depth - 1);
    text[n - 1] = '}';
    frame_reader_init(&r, FRAME_CLIENT);
    scan_piece(&r, text, n, marks, &frame);
    cr_assert(eq(str, marks + n - strlen(want_closed), (char *)want_closed));
    marks[n_opened] = '\0';
    cr_assert(eq(str, marks + n_opened - strlen(want_opened), (char *)want_opened));
    free(text);
    free(marks);
}

TEST(frame, depth_of_the_limit_is_an_object) {
    scan_depth(FRAME_MAX_DEPTH, "ooo", "ooO");
}

TEST(frame, depth_above_the_limit_breaks_at_that_bracket_and_starts_afresh) {
    scan_depth(FRAME_MAX_DEPTH + 1, "ooX", "rrr");
}

/* feed @n times @text; Return: the last outcome */
static enum frame_scan feed(struct frame_reader *r, const char *text, size_t n) {
    enum frame_scan kind = FRAME_RAW;
    size_t n_text = strlen(text), n_scanned;

    while (n-- > 0)
        for (size_t i = 0; i < n_text; i += n_scanned)
            kind = frame_scan(r, text + i, n_text - i, &n_scanned);
    return kind;
}

TEST(frame, tokens_are_limited_in_number) {
    struct frame_reader r;

    /* {, "a", :, [ and then 1 and a comma a piece */
    frame_reader_init(&r, FRAME_CLIENT);
    cr_assert(eq(int, feed(&r, "{\"a\":[", 1), FRAME_PART));
    cr_assert(eq(int, feed(&r, "1,", FRAME_MAX_TOKENS / 2 - 3), FRAME_PART));
    cr_assert(eq(int, feed(&r, "[]}", 1), FRAME_BROKEN), "} is one too many");
    cr_assert(eq(int, feed(&r, "{}", 1), FRAME_OBJECT));

    cr_assert(eq(int, feed(&r, "{\"a\":[", 1), FRAME_PART));
    cr_assert(eq(int, feed(&r, "1,", FRAME_MAX_TOKENS / 2 - 4), FRAME_PART));
    cr_assert(eq(int, feed(&r, "1]}", 1), FRAME_OBJECT));
}

/* Return: the outcome of the last of @n bytes of 'a', in one call or many */
static enum frame_scan feed_long(struct frame_reader *r, size_t n, size_t n_once) {
    char *text = malloc(n_once);
    enum frame_scan kind = FRAME_PART;
    size_t n_scanned;

    memset(text, 'a', n_once);
    for (; n > 0; n -= n_scanned)
        kind = frame_scan(r, text, size_min(n, n_once), &n_scanned);
    free(text);
    return kind;
}

TEST(frame, token_of_the_limit_is_still_read) {
    struct frame_reader r;

    frame_reader_init(&r, FRAME_CLIENT);
    feed(&r, "{\"a\":\"", 1);
    cr_assert(eq(int, feed_long(&r, FRAME_MAX_TOKEN_BYTES - 1, 1 << 20), FRAME_PART));
}

TEST(frame, token_above_the_limit_breaks_at_that_byte) {
    static const size_t n_once[] = {(1 << 20) - 1, FRAME_MAX_TOKEN_BYTES};

    for (size_t i = 0; i < ARRAY_SIZE(n_once); i++) {
        struct frame_reader r;

        frame_reader_init(&r, FRAME_CLIENT);
        feed(&r, "{\"a\":\"", 1);
        cr_assert(eq(int, feed_long(&r, FRAME_MAX_TOKEN_BYTES, n_once[i]), FRAME_BROKEN));
        cr_assert(eq(int, feed(&r, "{}", 1), FRAME_OBJECT), "read afresh from there");
    }
}

TEST(frame, tokens_are_limited_in_their_sum) {
    struct frame_reader r;

    frame_reader_init(&r, FRAME_CLIENT);
    feed(&r, "{\"",
         1); /* eight bytes of tokens beside the key; all together stay below the limit */
    feed_long(&r, FRAME_MAX_TOKEN_BYTES - 9, 1 << 20);
    cr_assert(eq(int, feed(&r, "\":[1]", 1), FRAME_PART));
    cr_assert(eq(int, feed(&r, "}", 1), FRAME_OBJECT));
    feed(&r, "{\"", 1);
    feed_long(&r, FRAME_MAX_TOKEN_BYTES - 8, 1 << 20);
    cr_assert(eq(int, feed(&r, "\":[1]", 1), FRAME_PART));
    cr_assert(eq(int, feed(&r, "}", 1), FRAME_BROKEN));
}

/* ---- server ---- */

TEST(frame, server_output_is_framed_whatever_its_layout) {
    const char *text = "{\r\n    \"timestamp\": {\r\n        \"seconds\": 1\r\n    },\r\n"
                       "    \"event\": \"STOP\",\r\n    \"id\": 12\r\n}";

    has_name(FRAME_SERVER, text, FRAME_EVENT, "STOP");
    has_id(FRAME_SERVER, text, "12");
}

TEST(frame, server_may_print_what_is_not_json) {
    has_id(FRAME_SERVER, "{\"return\": inf, \"id\": -nan}", "-nan");
    has_id(FRAME_SERVER, "{\"return\": [inf, {\"a\": inf}], \"id\": \"x\"}", "\"x\"");
}

TEST(frame, server_brackets_in_strings_do_not_count) {
    scan_object(FRAME_SERVER,
                "{\"return\": [\"}\\\"]\", \"\\\\\", {\"[\": \"{\"}], \"id\": \"}\"}");
}

TEST(frame, server_slices_lie_inside_the_object_whatever_the_server_says) {
    static const char first[] = "{\"return\": {}, \"id\": \"qmp-shim:1\"}\n";
    static const char second[] = "{\"return\": {}, \"id\"{}}";
    struct frame_reader r;
    size_t n;

    frame_reader_init(&r, FRAME_SERVER);
    cr_assert(eq(int, feed(&r, first, 1), FRAME_BLANK));
    cr_assert(eq(int, frame_scan(&r, second, strlen(second), &n), FRAME_OBJECT));
    cr_assert(eq(sz, frame_reader_frame(&r)->id.n, 0));
}

TEST(frame, server_bytes_between_objects_are_raw) {
    scan(FRAME_SERVER, "abc {}x\"}{}\n", "rrrboOrrroOb");
}

TEST(frame, server_depth_is_not_limited) {
    enum { DEPTH = 100000 };
    struct frame_reader r;

    frame_reader_init(&r, FRAME_SERVER);
    cr_assert(eq(int, feed(&r, "{\"id\":", 1), FRAME_PART));
    cr_assert(eq(int, feed(&r, "[", DEPTH), FRAME_PART));
    cr_assert(eq(int, feed(&r, "]", DEPTH), FRAME_PART));
    cr_assert(eq(int, feed(&r, "}", 1), FRAME_OBJECT));
    cr_assert(eq(sz, frame_reader_frame(&r)->id.n, 2 * DEPTH));
}

TEST(frame, server_bytes_are_never_broken) {
    static const char alphabet[] = "{}[]:,\"'\\ \n0aE\xff\x01";
    unsigned state = 1;

    for (size_t round = 0; round < 2000; round++) {
        char text[64], marks[64];
        struct frame_reader r;
        struct frame frame;

        for (size_t i = 0; i < sizeof(text); i++) {
            state = state * 1103515245 + 12345;
            text[i] = alphabet[(state >> 16) % (sizeof(alphabet) - 1)];
        }
        frame_reader_init(&r, FRAME_SERVER);
        scan_piece(&r, text, sizeof(text), marks, &frame);
        cr_assert(eq(ptr, memchr(marks, 'X', sizeof(marks)), NULL));
    }
}

/* ---- the ordinary object, in one go ---- */

static size_t quick(const char *text, struct frame *ret_frame) {
    char *copy = malloc(strlen(text)); /* exactly sized, so that reading beyond is seen */
    size_t n;

    memcpy(copy, text, strlen(text));
    n = frame_quick(copy, strlen(text), ret_frame);
    free(copy);
    return n;
}

TEST(frame, ordinary_objects_are_read_in_one_go) {
    static const char *const ordinary[] = {
        "{}",
        "{ }",
        "{\"execute\": \"query-status\"}",
        "{\"execute\":\"x\",\"id\":\"libvirt-12\"}",
        "{\"execute\": \"x\", \"arguments\": {\"a\": [1, {\"b\": [], \"c\": {}}], \"d\": null}, \"id\": -0}",
        "{\"exec-oob\" : \"x\" ,\t\"control\":{\"a\": true, \"b\\n\": false}\r\n}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(ordinary); i++) {
        struct frame f;

        cr_assert(eq(sz, quick(ordinary[i], &f), strlen(ordinary[i])), "%s", ordinary[i]);
        scan_object(FRAME_CLIENT, ordinary[i]);
    }
}

TEST(frame, objects_that_are_not_ordinary_are_left_to_the_lexer) {
    static const char *const others[] = {
        "{",
        "{\"a\"",
        "{\"a\":1",
        "{\"a\":\"\\",
        "{'a':1}",
        "{\"a\":1.5}",
        "{\"a\":1e5}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":tru}",
        "{\"a\":nulls}",
        "{\"a\":\"\\u0041\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\xc3\xa9\"}",
        "{\"a\":\"\n\"}",
        "{\"\\/\":1}",
        "{\"execute\":\"a\\/\"}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":[}}",
        "{\"a\":{]}",
        "{\"a\":1 2}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":}",
        "{\"a\":\f1}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        struct frame f;

        cr_assert(eq(sz, quick(others[i], &f), 0), "%s", others[i]);
    }
}

TEST(frame, depth_of_what_is_read_in_one_go_is_limited) {
    for (size_t depth = FRAME_QUICK_MAX_DEPTH - 1; depth <= FRAME_QUICK_MAX_DEPTH + 1; depth++) {
        char text[MAX_TEXT] = "{\"a\":", marks[MAX_TEXT] = "";
        size_t n = strlen(text), n_nested = depth - 1;
        struct frame f;

        memset(text + n, '[', n_nested);
        memset(text + n + n_nested, ']', n_nested);
        strcpy(text + n + 2 * n_nested, "}");
        memset(marks, 'o', strlen(text) - 1);
        cr_assert(eq(sz, quick(text, &f), depth <= FRAME_QUICK_MAX_DEPTH ? strlen(text) : 0));
        scan(FRAME_CLIENT, text, strcat(marks, "O"));
    }
}

/* @text in one piece, where it may be read in one go, and byte by byte, where it never is */
static void is_same_bytewise_from(enum frame_source source, const char *text, size_t n) {
    char whole[MAX_TEXT], bytes[MAX_TEXT];
    struct frame_reader a, b;
    struct frame frame_a = {0}, frame_b = {0};

    frame_reader_init(&a, source);
    frame_reader_init(&b, source);
    scan_piece(&a, text, n, whole, &frame_a);
    for (size_t i = 0; i < n; i++)
        scan_piece(&b, text + i, 1, bytes + i, &frame_b);
    cr_assert(memcmp(whole, bytes, n) == 0, "%.*s", (int)n, text);
    if (bytes[n - 1] == 'O') /* of an object that breaks, more is known while it is a part */
        cr_assert(is_same_frame(&frame_a, &frame_b), "%.*s", (int)n, text);
    cr_assert(eq(int, frame_reader_is_fresh(&a), frame_reader_is_fresh(&b)));
}

static void is_same_bytewise(const char *text, size_t n) {
    is_same_bytewise_from(FRAME_CLIENT, text, n);
}

static unsigned int next_random(unsigned int *state) {
    *state = *state * 1103515245 + 12345;
    return *state >> 16;
}

TEST(frame, what_is_read_in_one_go_is_what_the_lexer_reads) {
    static const char *const tokens[] = {
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\r\n",
        "{\"execute\": \"x-y\"",
        ", \"id\": 1",
        "}{",
        "\"a\": ",
        "\"id\":",
        "\"event\":",
        "\"execute\":",
        "\"a-longer-key-than-16\": ",
        "[]",
        "{}",
        "\"a\"",
        "\"",
        "\\",
        "\\n",
        "\\u0041",
        "'b'",
        "true",
        "null",
        "fals",
        "0",
        "-12",
        "1.5",
        "e3",
        "\x7f",
        "\xc3\xa9",
        "\xff",
        "\t",
        "\001",
    };
    static const char *const ends[] = {"", "}", "}}", "]}", "\"}", "}\n"};
    unsigned int state = 7;

    for (size_t round = 0; round < 200000; round++) {
        char text[MAX_TEXT] = "";
        size_t n_tokens = next_random(&state) % 14;

        strcat(text, next_random(&state) % 4 ? "{" : "{\"execute\":\"a\",");
        for (size_t i = 0; i < n_tokens; i++)
            strcat(text, tokens[next_random(&state) % ARRAY_SIZE(tokens)]);
        strcat(text, ends[next_random(&state) % ARRAY_SIZE(ends)]);
        is_same_bytewise(text, strlen(text));
    }
}

/* @text with each byte changed to each other */
static void is_same_with_any_byte_changed(enum frame_source source, const char *text) {
    char changed[MAX_TEXT];

    for (size_t i = 0; i < strlen(text); i++)
        for (int c = 0; c < 256; c++) {
            memcpy(changed, text, strlen(text));
            changed[i] = (char)c;
            is_same_bytewise_from(source, changed, strlen(text));
        }
}

TEST(frame, a_byte_changed_in_an_ordinary_object_is_read_alike) {
    static const char *const objects[] = {
        "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"iothread\", \"n\": [-10, 0, true, "
        "{\"s\": null}], \"b\": false}, \"id\": \"libvirt-391\"}",
        "{\"execute\":\"query-status\",\"id\":1000000000}",
        "{\"execute\": \"stop\"}\r\n{\"execute\": \"cont\", \"arguments\": {}}",
        "{\"execute\": \"stop\", \"id\": 17}\n{}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        is_same_with_any_byte_changed(FRAME_CLIENT, objects[i]);
}

TEST(frame, a_byte_changed_in_an_ordinary_reply_is_read_alike) {
    static const char *const replies[] = {
        "{\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}, \"id\": \"libvirt-391\"}\r\n{}",
        "{\"return\": {\"status\": \"running\"}, \"id\": 1000000000}\r\n{\"id\": 2}",
        "{\"return\": {}, \"id\": 17}\r\n",
        "{\"return\": [{\"name\": \"a}\"}, {\"name\": \"\\\"b\"}]}\r\n{}",
        "{\"return\": {\"a\": \"}\"}}{\"return\": []}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
        is_same_with_any_byte_changed(FRAME_SERVER, replies[i]);
}

TEST(frame, a_byte_changed_in_an_ordinary_event_is_read_alike) {
    static const char *const events[] = {
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \"STOP\"}\r\n{}",
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \"JOB_STATUS_CHANGE\", "
        "\"data\": {\"status\": \"a}\\\"b\", \"x\": [{}], \"event\": 1}}\r\n{\"id\": 1}",
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 12345}, \"event\": \"X\", \"data\": {}}  {}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        is_same_with_any_byte_changed(FRAME_SERVER, events[i]);
}

TEST(frame, ordinary_events_are_the_same_wherever_they_are_split) {
    static const char event[] =
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \"A_B\", "
        "\"data\": {\"a\": \"}\"}}";
    struct frame f = scan_object(FRAME_SERVER, event);

    cr_assert(eq(int, f.kind, FRAME_EVENT));
    is_slice(event, f.name, "A_B");
}

TEST(frame, ordinary_replies_are_the_same_wherever_they_are_split) {
    static const char reply[] = "{\"return\": {\"status\": \"running\"}, \"id\": \"libvirt-391\"}";
    struct frame f = scan_object(FRAME_SERVER, reply);

    cr_assert(eq(int, f.kind, FRAME_RETURN));
    is_slice(reply, f.id, "\"libvirt-391\"");
    has_id(FRAME_SERVER, "{\"return\": [\"}\"], \"id\": 12345678901}", "12345678901");
    cr_assert(not(scan_object(FRAME_SERVER, "{\"return\": {}}").has_id));
}

TEST(frame, a_reply_of_any_length_is_read_alike) {
    for (size_t n = 0; n < 1100; n++) {
        struct frame_reader r;
        struct buffer b = BUFFER_INIT;
        size_t n_scanned;

        buffer_append_string(&b, "{\"return\": [\"");
        for (size_t i = 0; i < n; i++)
            buffer_append_string(&b, i % 3 ? "x" : "]");
        buffer_append_string(&b, "\"], \"id\": 7}");
        frame_reader_init(&r, FRAME_SERVER);
        cr_assert(eq(int, frame_scan(&r, b.data, b.n, &n_scanned), FRAME_OBJECT));
        cr_assert(eq(sz, n_scanned, b.n));
        cr_assert(eq(sz, frame_reader_frame(&r)->n_bytes, b.n));
        cr_assert(eq(sz, frame_reader_frame(&r)->id.at, b.n - 2));
        cr_assert(eq(sz, frame_reader_frame(&r)->id.n, 1));
        buffer_deinit(&b);
    }
}

TEST(frame, a_line_end_behind_an_object_is_skipped_and_no_more) {
    static const struct {
        const char *text;
        size_t n;
    } ends[] = {{"", 0},   {"\n", 1},  {"\r\n", 2}, {"\r\n\n", 2},
                {"\r", 0}, {" \n", 0}, {"\r{", 0},  {"\n{", 1}};

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct frame_reader r;
        size_t n;

        frame_reader_init(&r, FRAME_CLIENT);
        cr_assert(eq(int, frame_scan(&r, "{}", 2, &n), FRAME_OBJECT));
        cr_assert(eq(sz, frame_skip_line_end(&r, ends[i].text, strlen(ends[i].text)), ends[i].n));
        cr_assert(eq(sz, r.at, 2 + ends[i].n));
    }
}
