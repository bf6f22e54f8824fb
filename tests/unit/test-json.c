/* reader, quoted, value and writer: they are of use together only */

#include "json/reader.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "json/quoted.h"
#include "json/value.h"
#include "json/writer.h"
#include "oom.h"
#include "test.h"

/* the text of a test ends where its memory ends, so that ASan sees a byte too far */
static char *exact_copy(const char *text, size_t n) {
    char *copy = malloc(n ? n : 1);

    cr_assert(ne(ptr, copy, NULL));
    memcpy(copy, text, n);
    return copy;
}

#define TEXT(literal) (literal), sizeof(literal) - 1

/* a read text with all it needs */
struct reading {
    struct arena arena;
    char *text;
    size_t n;
    int r;
    struct json *value;
    struct json_fault fault;
};

static struct reading read_n(const char *text, size_t n, bool is_comments) {
    struct reading i = {.arena = ARENA_INIT, .text = exact_copy(text, n), .n = n};

    i.r = json_read(&i.arena, i.text, n, is_comments, &i.value, &i.fault);
    return i;
}

static struct reading read_string(const char *text) {
    return read_n(text, strlen(text), false);
}

static void reading_deinit(struct reading *i) {
    arena_deinit(&i->arena);
    free(i->text);
}

#define READ(name, text) _cleanup_(reading_deinit) struct reading name = read_string(text)

static struct cr_mem mem(const char *text, size_t n) {
    return (struct cr_mem){text, n};
}

#define cr_assert_text(text, n, literal) cr_assert(eq(mem, mem(text, n), mem(TEXT(literal))))

static void assert_refused(const char *text, size_t n, bool is_comments, size_t at,
                           const char *message) {
    _cleanup_(reading_deinit) struct reading i = read_n(text, n, is_comments);

    cr_assert(eq(int, i.r, JSON_E_INVALID), "%.*s", (int)n, text);
    cr_assert(eq(str, i.fault.message, (char *)message), "%.*s", (int)n, text);
    cr_assert(eq(sz, i.fault.at, at), "%.*s", (int)n, text);
    cr_assert(ge(sz, i.fault.n, 1));
}

#define REFUSED(literal, at, message) assert_refused(TEXT(literal), false, at, message)
#define REFUSED_COMMENTS(literal, at, message) assert_refused(TEXT(literal), true, at, message)

/* Return: the text of @value, as the writer has it; the caller frees */
static char *written(const struct json *value) {
    struct buffer b = BUFFER_INIT;

    json_write(&b, value);
    return buffer_steal_string(&b);
}

/* reading */

TEST(json_read, scalars_come_with_their_text) {
    READ(null, " null\n");
    READ(yes, "true");
    READ(no, "false");
    READ(number, "-1.50e+2");

    cr_assert(eq(int, null.value->type, JSON_NULL));
    cr_assert_text(null.value->text, null.value->n_text, "null");
    cr_assert(eq(int, yes.value->type, JSON_BOOL));
    cr_assert(yes.value->boolean);
    cr_assert(not(no.value->boolean));
    cr_assert(eq(int, number.value->type, JSON_NUMBER));
    cr_assert_text(number.value->text, number.value->n_text, "-1.50e+2");
}

TEST(json_read, a_number_that_ends_the_text_is_whole) {
    READ(i, " \n 120");

    cr_assert_text(i.value->text, i.value->n_text, "120");
}

TEST(json_read, numbers_beyond_any_machine_type_keep_their_digits) {
    READ(
        i,
        "[18446744073709551615, 9223372036854775808, -9223372036854775808, 1e400, -0, 0.10000000000000001]");
    static const char *const expected[] = {
        "18446744073709551615", "9223372036854775808", "-9223372036854775808", "1e400", "-0",
        "0.10000000000000001",
    };

    cr_assert(eq(sz, i.value->n_items, ARRAY_SIZE(expected)));
    for (size_t j = 0; j < ARRAY_SIZE(expected); j++)
        cr_assert(eq(mem, mem(i.value->items[j].text, i.value->items[j].n_text),
                     mem(expected[j], strlen(expected[j]))));
}

TEST(json_read, containers_know_their_slice_and_members_their_names) {
    READ(i, "{ \"a\\u0062\" : [ 1 , {} ] ,\r\n\t\"\":[]}");
    const struct json *list = &i.value->items[0], *empty = &i.value->items[1];

    cr_assert(eq(int, i.value->type, JSON_OBJECT));
    cr_assert(eq(sz, i.value->n_items, 2));
    cr_assert(eq(sz, i.value->n_text, i.n));
    cr_assert(eq(ptr, (void *)i.value->key, NULL));
    cr_assert_text(list->key, list->n_key, "ab");
    cr_assert_text(list->key_text, list->n_key_text, "\"a\\u0062\"");
    cr_assert_text(list->text, list->n_text, "[ 1 , {} ]");
    cr_assert(eq(sz, list->n_items, 2));
    cr_assert_text(list->items[1].text, list->items[1].n_text, "{}");
    cr_assert(eq(ptr, (void *)list->items[1].key, NULL));
    cr_assert(eq(sz, empty->n_key, 0));
    cr_assert_text(empty->key_text, empty->n_key_text, "\"\"");
    cr_assert_text(empty->text, empty->n_text, "[]");
}

TEST(json_read, a_string_without_escapes_points_into_the_source) {
    READ(i, "\"h\xC3\xA9 \xF0\x9F\x98\x80, and plain text longer than a word\"");

    cr_assert(eq(ptr, (void *)i.value->string, i.text + 1));
    cr_assert(eq(sz, i.value->n_string, i.n - 2));
}

TEST(json_read, escapes_are_decoded) {
    READ(i, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\uDE00x\"");

    cr_assert_text(i.value->string, i.value->n_string,
                   "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80x");
}

TEST(json_read, an_escaped_nul_does_not_end_a_string) {
    READ(i, "{\"a\\u0000b\":\"c\\u0000\"}");

    cr_assert_text(i.value->items[0].key, i.value->items[0].n_key, "a\0b");
    cr_assert_text(i.value->items[0].string, i.value->items[0].n_string, "c\0");
}

TEST(json_read, a_lone_surrogate_becomes_its_three_bytes) {
    READ(high, "\"\\uD800\"");
    READ(low, "\"\\uDFFFx\"");
    READ(two_high, "\"\\uD800\\uD800\"");
    READ(wrong_order, "\"\\uDC00\\uD800\"");

    cr_assert_text(high.value->string, high.value->n_string, "\xED\xA0\x80");
    cr_assert_text(low.value->string, low.value->n_string, "\xED\xBF\xBFx");
    cr_assert_text(two_high.value->string, two_high.value->n_string, "\xED\xA0\x80\xED\xA0\x80");
    cr_assert_text(wrong_order.value->string, wrong_order.value->n_string,
                   "\xED\xB0\x80\xED\xA0\x80");
}

/* yajl 2.1.0 as released aborts here */
TEST(json_read, a_backslash_behind_a_lone_surrogate_is_read) {
    READ(i, "[\"\\uD800\\\\uZZZZ\", \"\\uDBff\\n\"]");

    cr_assert(eq(int, i.r, 0));
    cr_assert_text(i.value->items[0].string, i.value->items[0].n_string, "\xED\xA0\x80\\uZZZZ");
    cr_assert_text(i.value->items[1].string, i.value->items[1].n_string, "\xED\xAF\xBF\n");
    cr_assert_text(i.value->items[1].text, i.value->items[1].n_text, "\"\\uDBff\\n\"");
}

TEST(json_read, what_looks_like_a_surrogate_behind_a_backslash_is_text) {
    READ(i, "\"\\\\uD800\"");

    cr_assert_text(i.value->string, i.value->n_string, "\\uD800");
}

/* four bytes are hidden from yajl, which must not be the end of a comment or of a string */
TEST(json_read, half_an_escape_of_a_surrogate_hides_nothing) {
    static const char commented[] = "//\\udbe\n\".\"";
    _cleanup_(reading_deinit) struct reading i = read_n(commented, strlen(commented), true);

    cr_assert(eq(int, i.r, 0));
    cr_assert_text(i.value->string, i.value->n_string, ".");
    REFUSED_COMMENTS("//\\udbe\n/\n\".\"", 8, "comment has no end");
    REFUSED("[\"\\udb\",1]", 2, "unknown escape in a string");
}

TEST(json_read, bad_utf8_is_refused_where_it_is) {
    REFUSED("\"ab\xFF\"", 3, "not UTF-8");
    REFUSED("{\"\xC0\x80\":1}", 2, "not UTF-8");     /* overlong NUL */
    REFUSED("\"\xE0\x9F\xBF\"", 1, "not UTF-8");     /* overlong */
    REFUSED("\"\xF0\x8F\xBF\xBF\"", 1, "not UTF-8"); /* overlong */
    REFUSED("\"\xED\xA0\x80\"", 1, "not UTF-8");     /* surrogate */
    REFUSED("\"\xF4\x90\x80\x80\"", 1, "not UTF-8"); /* beyond U+10FFFF */
    REFUSED("\"\xE2\x82\"", 1, "not UTF-8");         /* cut */
    REFUSED("\"\x80\"", 1, "not UTF-8");
}

TEST(json_read, the_ends_of_utf8_are_taken) {
    READ(
        i,
        "\"\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"");

    cr_assert(eq(int, i.r, 0));
}

TEST(json_read, depth_is_limited) {
    char text[2 * (JSON_MAX_DEPTH + 1)];

    memset(text, '[', JSON_MAX_DEPTH);
    memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    {
        _cleanup_(reading_deinit) struct reading i = read_n(text, 2 * JSON_MAX_DEPTH, false);
        _cleanup_(freep) char *again = written(i.value);

        cr_assert(eq(int, i.r, 0));
        cr_assert(json_equal(i.value, i.value));
        cr_assert(eq(mem, mem(again, strlen(again)), mem(text, 2 * JSON_MAX_DEPTH)));
    }
    memset(text, '[', JSON_MAX_DEPTH + 1);
    memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    {
        _cleanup_(reading_deinit) struct reading i = read_n(text, sizeof(text), false);

        cr_assert(eq(int, i.r, JSON_E_TOO_DEEP));
        cr_assert(eq(sz, i.fault.at, JSON_MAX_DEPTH));
        cr_assert(eq(str, i.fault.message, "more than 1024 brackets deep"));
    }
}

TEST(json_read, brackets_side_by_side_are_not_deep) {
    struct buffer b = BUFFER_INIT;

    buffer_append(&b, "[", 1);
    for (int i = 0; i < 3 * JSON_MAX_DEPTH; i++)
        buffer_append_string(&b, "{\"a\":[]},");
    buffer_append(&b, "{}]", 3);
    {
        _cleanup_(reading_deinit) struct reading i = read_n(b.data, b.n, false);

        cr_assert(eq(int, i.r, 0));
        cr_assert(eq(sz, i.value->n_items, 3 * JSON_MAX_DEPTH + 1));
    }
    buffer_deinit(&b);
}

TEST(json_read, a_name_twice_is_refused_at_its_place) {
    READ(i, "{\"a\": 1, \"b\": {\"a\": 2}, \"\\u0061\": 3, \"b\": 4}");

    cr_assert(eq(int, i.r, JSON_E_DUPLICATE));
    cr_assert(eq(sz, i.fault.at, 24));
    cr_assert(eq(sz, i.fault.n, 8));
    cr_assert(eq(str, i.fault.message, "\"\\u0061\" twice in one object"));
}

/* members "k0", "k1", …; then "k" and the number @again, unless that is negative */
static struct reading read_members(int n, int again) {
    struct buffer b = BUFFER_INIT;
    struct reading i;

    buffer_append_string(&b, "{\"\":0");
    for (int j = 0; j < n; j++)
        buffer_printf(&b, ",\"k%d\":%d", j, j);
    if (again >= 0)
        buffer_printf(&b, ",\"k%d\":1,\"k%d\":2", again, again);
    buffer_append_string(&b, "}");
    i = read_n(b.data, b.n, false);
    buffer_deinit(&b);
    return i;
}

TEST(json_read, a_name_twice_is_found_among_few_and_many) {
    for (int n = 1; n < 1000; n = n < 50 ? n + 1 : n * 2) {
        _cleanup_(reading_deinit) struct reading once = read_members(n, -1),
                                                 twice = read_members(n, n - 1);
        char place[16];

        cr_assert(eq(int, once.r, 0));
        cr_assert(eq(sz, once.value->n_items, (size_t)n + 1));
        cr_assert(eq(int, twice.r, JSON_E_DUPLICATE));
        snprintf(place, sizeof(place), "\"k%d\":1,", n - 1);
        cr_assert(eq(int, strncmp(twice.text + twice.fault.at, place, strlen(place)), 0),
                  "the first that is too many");
    }
}

TEST(json_read, one_name_in_two_objects_is_fine) {
    READ(i, "[{\"a\":1},{\"a\":{\"a\":1}}]");

    cr_assert(eq(int, i.r, 0));
}

TEST(json_read, comments_are_white_space_when_asked_for) {
    static const char text[] =
        "// first\n/* a */{/**/\"a\"/***/:// \"x\n1/* , */,\"b\"\n:[/*]*/2/**/]//\n}/* \xFF */ // end";
    _cleanup_(reading_deinit) struct reading i = read_n(TEXT(text), true);

    cr_assert(eq(int, i.r, 0));
    cr_assert_text(i.value->items[0].text, i.value->items[0].n_text, "1");
    cr_assert_text(i.value->items[1].key_text, i.value->items[1].n_key_text, "\"b\"");
    cr_assert_text(i.value->items[1].items[0].text, i.value->items[1].items[0].n_text, "2");
}

TEST(json_read, comments_are_refused_when_not_asked_for) {
    REFUSED("// a\n1", 0, "expected a value; comments are not allowed here");
    REFUSED("[1 /* a */]", 3, "expected ',' or ']'; comments are not allowed here");
    REFUSED("1 // a", 2, "expected nothing more behind the value; comments are not allowed here");
}

TEST(json_read, a_comment_needs_an_end) {
    REFUSED_COMMENTS("[1, /* 2]", 4, "comment has no end");
    REFUSED_COMMENTS("[1] /* 2", 4, "comment has no end");
    REFUSED_COMMENTS("[1] /*/", 4, "comment has no end");
    REFUSED_COMMENTS("[1] /", 4, "comment has no end");
    REFUSED_COMMENTS("// only", 7, "the text ends where a value should stand");
}

TEST(json_read, what_yajl_takes_for_white_space_is_refused) {
    static const char message[] = "form feed or vertical tab, which is no white space in JSON";

    REFUSED("\f1", 0, message);
    REFUSED("[1\v]", 2, message);
    REFUSED("[1,\f2]", 3, message);
    REFUSED("{\f}", 1, message);
    REFUSED("{\"a\"\f:1}", 4, message);
    REFUSED("{\"a\":\v1}", 5, message);
    REFUSED("[1]\f", 3, message);
    REFUSED("1\f", 1, message);
}

TEST(json_read, text_behind_the_value_is_refused) {
    REFUSED("{} {}", 3, "expected nothing more behind the value");
    REFUSED("1 2", 2, "expected nothing more behind the value");
    REFUSED("{}\"", 2, "expected nothing more behind the value");
    REFUSED("{} \"abc", 3, "expected nothing more behind the value");
    REFUSED("{} tru", 3, "expected nothing more behind the value");
    REFUSED("[],", 2, "expected nothing more behind the value");
    REFUSED("{}\0", 2, "expected nothing more behind the value");
}

TEST(json_read, a_text_that_ends_early_says_what_is_missing) {
    REFUSED("", 0, "the text ends where a value should stand");
    REFUSED(" \n", 0, "the text ends where a value should stand");
    REFUSED("{", 1, "the text ends where a name in double quotation marks or '}' should stand");
    REFUSED("{\"a\"", 4, "the text ends where ':' behind the name should stand");
    REFUSED("{\"a\":", 5, "the text ends where a value should stand");
    REFUSED("{\"a\":1\n\n", 6, "the text ends where ',' or '}' should stand");
    REFUSED("{\"a\":1,", 7, "the text ends where a name in double quotation marks should stand");
    REFUSED("[", 1, "the text ends where a value should stand");
    REFUSED("[1", 2, "the text ends where ',' or ']' should stand");
    REFUSED("[1,", 3, "the text ends where a value should stand");
    REFUSED("\"abc", 0, "string has no closing quotation mark");
    REFUSED("[\"abc\n]", 1, "string has no closing quotation mark");
    REFUSED("\"abc\\", 4, "unknown escape in a string");
    REFUSED("tru", 0, "unknown word 'tru'");
    REFUSED("-", 0, "not a number as JSON has them");
    REFUSED("1e", 0, "not a number as JSON has them");
}

TEST(json_read, wrong_tokens_are_named) {
    REFUSED("[1 2]", 3, "expected ',' or ']'");
    REFUSED("{\"a\":1 \"b\":2}", 7, "expected ',' or '}'");
    REFUSED("{\"a\" 1}", 5, "expected ':' behind the name");
    REFUSED("{a:1}", 1, "expected a name in double quotation marks or '}'");
    REFUSED("{\"a\":1,b:2}", 7, "expected a name in double quotation marks");
    REFUSED("{\"a\":1,}", 6, "',' behind the last member");
    REFUSED("[1, ]", 2, "',' behind the last element");
    REFUSED("[1,,2]", 3, "expected a value");
    REFUSED("[1}", 2, "expected ',' or ']'");
    REFUSED("]", 0, "expected a value");
    REFUSED("[True]", 1, "unknown word 'True'");
    REFUSED("NaN", 0, "unknown word 'NaN'");
    REFUSED("{'a':1}", 1, "expected a name in double quotation marks or '}'");
    REFUSED("['a']", 1, "a string stands in double quotation marks");
    REFUSED("[01]", 2, "expected ',' or ']'");
    REFUSED("[+1]", 1, "expected a value");
    REFUSED("[1.]", 1, "not a number as JSON has them");
    REFUSED("[-a]", 1, "not a number as JSON has them");
    REFUSED("[\"a\\x\"]", 3, "unknown escape in a string");
    REFUSED("[\"\\u12g4\"]", 2, "unknown escape in a string");
    REFUSED("{\"a\x01\":1}", 3, "control character in a string");
    REFUSED("{\"a\":1,\"b\tc\":1}", 9, "control character in a string");
    REFUSED("\xEF\xBB\xBF{}", 0, "byte order mark before the value");
}

TEST(json_read, a_long_name_is_cut_in_the_message) {
    struct reading i;
    char text[1000];
    int n;

    n = snprintf(text, sizeof(text), "{\"%0300d\":1,\"%0300d\":2}", 0, 0);
    i = read_n(text, (size_t)n, false);
    cr_assert(eq(int, i.r, JSON_E_DUPLICATE));
    cr_assert(eq(sz, i.fault.n, 302));
    cr_assert(lt(sz, strlen(i.fault.message), sizeof(i.fault.message) - 1));
    reading_deinit(&i);
}

TEST(json_read, a_fault_needs_not_be_asked_for) {
    struct arena arena = ARENA_INIT;
    struct json *value = NULL;

    cr_assert(eq(int, json_read(&arena, TEXT("[1"), false, &value, NULL), JSON_E_INVALID));
    cr_assert(eq(ptr, value, NULL));
    arena_deinit(&arena);
}

/* whatever runs out, inside yajl and outside: -ENOMEM, and nothing is lost */
static void assert_survives_oom(const char *text, size_t n, int expected) {
    for (int mode = 0; mode < OOM_N_MODES; mode++) {
        for (size_t i = 0;; i++) {
            struct arena arena = ARENA_INIT;
            struct json *value = NULL;
            bool has_failed;
            int r;

            oom_start((enum oom_mode)mode, i);
            r = json_read(&arena, text, n, true, &value, NULL);
            has_failed = oom_stop();
            cr_assert(eq(int, r, has_failed ? -ENOMEM : expected), "allocation %zu", i);
            cr_assert(eq(int, value != NULL, r == 0));
            arena_deinit(&arena);
            if (!has_failed) {
                cr_assert(gt(sz, i, 3), "something was allocated");
                break;
            }
        }
    }
}

TEST(json_read, every_allocation_may_fail) {
    _cleanup_(reading_deinit) struct reading many = read_members(300, -1),
                                             twice = read_members(300, 200);
    char deep[2 * JSON_MAX_DEPTH], number[5000];

    assert_survives_oom(
        TEXT("{\"a\": [1, \"\\u00e9\\ud800\", /* */ true], \"b\\n\": {\"c\": null}} // end"), 0);
    assert_survives_oom(TEXT("{\"a\": [1, 2"), JSON_E_INVALID);
    assert_survives_oom(many.text, many.n, 0);
    assert_survives_oom(twice.text, twice.n, JSON_E_DUPLICATE);
    memset(deep, '[', JSON_MAX_DEPTH);
    memset(deep + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    assert_survives_oom(deep, sizeof(deep), 0);
    assert_survives_oom(deep, JSON_MAX_DEPTH, JSON_E_INVALID);
    memset(number, '7', sizeof(number)); /* yajl copies a token that the text's end cuts */
    assert_survives_oom(number, sizeof(number), 0);
}

/* decoding and unquoting on their own */

TEST(json_decode, takes_what_stands_between_quotes) {
    struct arena arena = ARENA_INIT;
    const char *string;
    size_t n;

    cr_assert(eq(int, json_decode(&arena, TEXT(""), &string, &n), 0));
    cr_assert(eq(sz, n, 0));
    cr_assert(eq(int, json_decode(&arena, TEXT("a\\tb and more"), &string, &n), 0));
    cr_assert_text(string, n, "a\tb and more");
    arena_deinit(&arena);
}

TEST(json_decode, refuses_what_no_string_has) {
    static const char *const texts[] = {"\"",      "1234567\"", "\\",   "\\x",       "\\u123",
                                        "\\u12g4", "1234567\n", "\xFF", "123456\xC3"};
    struct arena arena = ARENA_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_(freep) char *text = exact_copy(texts[i], strlen(texts[i]));
        const char *string;
        size_t n;

        cr_assert(eq(int, json_decode(&arena, text, strlen(texts[i]), &string, &n), JSON_E_INVALID),
                  "%s", texts[i]);
    }
    cr_assert(eq(sz, arena.n_bytes, 0));
    arena_deinit(&arena);
}

/* a byte that is not plain is seen at every place of an 8-byte word */
TEST(json_decode, sees_every_byte_of_a_long_string) {
    struct arena arena = ARENA_INIT;

    for (size_t at = 0; at < 24; at++) {
        for (int c = 0; c < 256; c++) {
            char text[24];
            const char *string;
            size_t n;
            int r;

            memset(text, 'x', sizeof(text));
            text[at] = (char)c;
            r = json_decode(&arena, text, sizeof(text), &string, &n);
            cr_assert(
                eq(int, r, c >= ' ' && c < 0x80 && c != '"' && c != '\\' ? 0 : JSON_E_INVALID),
                "%zu %d", at, c);
        }
    }
    arena_deinit(&arena);
}

TEST(json_decode, tells_when_memory_runs_out) {
    struct arena arena = ARENA_INIT;
    const char *string;
    size_t n;
    int r;

    oom_start(OOM_ONCE, 0);
    r = json_decode(&arena, TEXT("\\n"), &string, &n);
    cr_assert(oom_stop());
    cr_assert(eq(int, r, -ENOMEM));
    arena_deinit(&arena);
}

static void assert_unquoted(const char *text, const char *expected) {
    _cleanup_(freep) char *exact = exact_copy(text, strlen(text));
    struct buffer b = BUFFER_INIT;

    cr_assert(eq(int, json_unquote(exact, strlen(text), &b), 0));
    cr_assert(eq(mem, mem(b.data, b.n), mem(expected, strlen(expected))), "%s", text);
    buffer_deinit(&b);
}

TEST(json_unquote, single_quotes_become_double) {
    assert_unquoted("{'a': 'b', \"c\":1}", "{\"a\": \"b\", \"c\":1}");
    assert_unquoted("''", "\"\"");
    assert_unquoted(" [1, true ] ", " [1, true ] ");
    assert_unquoted("", "");
}

TEST(json_unquote, quotes_inside_keep_their_meaning) {
    assert_unquoted("'say \"hi\"'", "\"say \\\"hi\\\"\"");
    assert_unquoted("'say \\\"hi\\\"'", "\"say \\\"hi\\\"\"");
    assert_unquoted("'it\\'s'", "\"it's\"");
    assert_unquoted("\"it\\'s it's\"", "\"it's it's\"");
    assert_unquoted("'a\\\\'", "\"a\\\\\"");
    assert_unquoted("'\\n\\u0027'", "\"\\n\\u0027\"");
}

TEST(json_unquote, text_that_is_no_json_stays_none) {
    assert_unquoted("'abc", "\"abc");
    assert_unquoted("'abc\\", "\"abc\\");
    assert_unquoted("\"abc'", "\"abc'");
    assert_unquoted("'", "\"");
}

TEST(json_unquote, tells_when_memory_runs_out) {
    struct buffer b = BUFFER_INIT;
    int r;

    oom_start(OOM_ONCE, 0);
    r = json_unquote(TEXT("'a'"), &b);
    cr_assert(oom_stop());
    cr_assert(eq(int, r, -ENOMEM));
    buffer_deinit(&b);
}

/* looking at values */

TEST(json_member, finds_by_decoded_name) {
    READ(i, "{\"a\":1,\"\\u0062\":2,\"\":3,\"c\\u0000d\":4}");

    cr_assert(eq(ptr, (void *)json_member(i.value, "b"), &i.value->items[1]));
    cr_assert(eq(ptr, (void *)json_member(i.value, ""), &i.value->items[2]));
    cr_assert(eq(ptr, (void *)json_member(i.value, "c"), NULL));
    cr_assert(eq(ptr, (void *)json_member_n(i.value, TEXT("c\0d")), &i.value->items[3]));
    cr_assert(eq(ptr, (void *)json_member_n(i.value, "abc", 1), &i.value->items[0]));
}

TEST(json_member, is_null_where_there_are_no_members) {
    READ(i, "[1]");

    cr_assert(eq(ptr, (void *)json_member(i.value, "a"), NULL));
    cr_assert(eq(ptr, (void *)json_member(NULL, "a"), NULL));
}

TEST(json_is_string, compares_decoded_text) {
    READ(i, "[\"a\\n\", \"a\\u0000\", 1]");

    cr_assert(json_is_string(&i.value->items[0], "a\n"));
    cr_assert(not(json_is_string(&i.value->items[0], "a")));
    cr_assert(not(json_is_string(&i.value->items[1], "a")));
    cr_assert(not(json_is_string(&i.value->items[2], "1")));
    cr_assert(not(json_is_string(NULL, "")));
}

static bool equal(const char *a, const char *b) {
    _cleanup_(reading_deinit) struct reading x = read_string(a), y = read_string(b);

    cr_assert(eq(int, x.r, 0), "%s", a);
    cr_assert(eq(int, y.r, 0), "%s", b);
    cr_assert(eq(int, json_equal(x.value, y.value), json_equal(y.value, x.value)));
    return json_equal(x.value, y.value);
}

TEST(json_equal, compares_by_meaning) {
    cr_assert(equal("null", " null "));
    cr_assert(equal("[1, 2.50, -0]", "[1e0,2.5,0]"));
    cr_assert(equal("\"\\u0061/\"", "\"a\\/\""));
    cr_assert(equal("{\"a\":1,\"b\":{\"c\":[],\"d\":\"\"}}",
                    "{\"b\":{\"d\":\"\",\"c\":[]},\"\\u0061\":1.0}"));
    cr_assert(equal("18446744073709551615", "1844674407370955161.5e1"));
}

TEST(json_equal, sees_differences) {
    cr_assert(not(equal("null", "false")));
    cr_assert(not(equal("true", "false")));
    cr_assert(not(equal("18446744073709551615", "18446744073709551614")));
    cr_assert(not(equal("1", "\"1\"")));
    cr_assert(not(equal("\"a\"", "\"a\\u0000\"")));
    cr_assert(not(equal("[1,2]", "[2,1]")));
    cr_assert(not(equal("[1]", "[1,1]")));
    cr_assert(not(equal("{\"a\":1}", "{\"b\":1}")));
    cr_assert(not(equal("{\"a\":1}", "{\"a\":2}")));
    cr_assert(not(equal("{\"a\":1}", "{\"a\":1,\"b\":1}")));
    cr_assert(not(equal("{}", "[]")));
}

TEST(json_type_name, has_an_article) {
    cr_assert(eq(str, (char *)json_type_name(JSON_NULL), "null"));
    cr_assert(eq(str, (char *)json_type_name(JSON_OBJECT), "an object"));
}

/* writing */

TEST(json_write, spaces_like_qemu_and_keeps_scalars) {
    READ(i, "{\"a\":[1.50,{},[ ],\"\\u00e9\\/\"],\n \"\\u0062\" : null,\"c\":{\"d\":-0}}");
    _cleanup_(freep) char *text = written(i.value);

    cr_assert(eq(str, text,
                 "{\"a\": [1.50, {}, [], \"\\u00e9\\/\"], \"\\u0062\": null, \"c\": {\"d\": -0}}"));
}

TEST(json_write, tells_when_memory_runs_out) {
    READ(i, "[1,2,3]");
    struct buffer b = BUFFER_INIT;

    oom_start(OOM_ONCE, 0);
    json_write(&b, i.value);
    cr_assert(oom_stop());
    cr_assert(eq(int, buffer_status(&b), -ENOMEM));
    buffer_deinit(&b);
}

static void assert_string_written(const char *string, size_t n, const char *expected) {
    _cleanup_(freep) char *exact = exact_copy(string, n);
    struct buffer b = BUFFER_INIT;

    json_write_string(&b, exact, n);
    cr_assert(eq(mem, mem(b.data, b.n), mem(expected, strlen(expected))));
    buffer_deinit(&b);
}

TEST(json_write_string, is_ascii_as_qemu_has_it) {
    assert_string_written(TEXT(""), "\"\"");
    assert_string_written(TEXT("plain /"), "\"plain /\"");
    assert_string_written(TEXT("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    assert_string_written(TEXT("a\0\x1F\x7F"), "\"a\\u0000\\u001F\\u007F\"");
    assert_string_written(TEXT("\xC3\xA9\xE2\x82\xAC"), "\"\\u00E9\\u20AC\"");
    assert_string_written(TEXT("\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF"),
                          "\"\\uD83D\\uDE00\\uDBFF\\uDFFF\"");
}

TEST(json_write_string, a_lone_surrogate_comes_out_as_it_went_in) {
    assert_string_written(TEXT("\xED\xA0\x80x"), "\"\\uD800x\"");
}

TEST(json_write_string, what_is_no_utf8_is_replaced) {
    assert_string_written(TEXT("a\xFF\xC3"), "\"a\\uFFFD\\uFFFD\"");
}

TEST(json_write_string, what_was_written_reads_the_same) {
    struct arena arena = ARENA_INIT;
    struct buffer b = BUFFER_INIT;
    const char *string;
    char all[128];
    size_t n;

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    json_write_string(&b, all, sizeof(all));
    cr_assert(eq(int, json_decode(&arena, b.data + 1, b.n - 2, &string, &n), 0));
    cr_assert(eq(mem, mem(string, n), mem(all, sizeof(all))));
    buffer_deinit(&b);
    arena_deinit(&arena);
}
