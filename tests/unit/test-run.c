/*
 * proxy/run: what goes to the client in one run is what goes there message by
 * message.  A byte at a time nothing is ever taken by a run, so that the two
 * ways can be compared.
 */
#include "proxy/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "json/diag.h"
#include "test.h"

static const char one_file[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"one\", \"old-until\": \"2.0\", \"rules\": ["
    "{\"name\": \"renamed\", \"old\": {\"event\": \"OLD\"}, \"new\": {\"event\": \"NEW\"}},"
    "{\"name\": \"quoted\", \"old\": {\"event\": \"A\\u0022B\"}, \"new\": {\"event\": \"AB\"}},"
    "{\"name\": \"longer\", \"old\": {\"event\": \"A_LONGER_NAME\"}, \"new\": {\"event\": \"X\"}},"
    "{\"name\": \"read\", \"old\": {\"event\": \"READ\", \"data\": {\"a\": \"$x\"}}, \"new\": {\"event\": \"READ\", \"data\": {\"b\": \"$x\"}}},"
    "{\"name\": \"gone\", \"old\": null, \"new\": {\"event\": \"GONE\"}},"
    "{\"name\": \"chain\", \"old\": {\"event\": \"FIRST\"}, \"new\": {\"event\": \"SECOND\"}},"
    "{\"name\": \"twice\", \"for\": \"old-client\", \"old\": {\"event\": \"T1\"}, \"new\": {\"event\": \"T\"}},"
    "{\"name\": \"new-only\", \"for\": \"new-client\", \"old\": {\"event\": \"T\"}, \"new\": {\"event\": \"T2\"}}]}";

static const char other_file[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"other\", \"old-until\": \"3.0\", \"rules\": ["
    "{\"name\": \"chain\", \"old\": {\"event\": \"SECOND\"}, \"new\": {\"event\": \"THIRD\"}}]}";

#define STAMP "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": "

static const char *const pieces[] = {
    "{\"event\": \"NEW\"}\r\n",
    "{\"event\": \"NEW\"}\r\n",
    STAMP "\"NEW\", \"data\": {\"event\": \"NEW\", \"x\": [1, \"}\"]}}\r\n",
    STAMP "\"OTHER\", \"data\": {\"a\": 1}}\r\n",
    STAMP "\"AB\"}\r\n",
    STAMP "\"X\"}\r\n{\"return\": {}}\r\n",
    STAMP "\"READ\", \"data\": {\"a\": 1, \"b\": 2}}\r\n",
    STAMP "\"GONE\"}\r\n",
    STAMP "\"NEW\"}\n",
    STAMP "\"NEW\"}",
    STAMP "\"NEW\"}\r\n\r\n  ",
    STAMP "\"N\\u0045W\"}\r\n",
    STAMP "\"NEW\", \"event\": \"X\"}\r\n",
    STAMP "\"NEW\", \"return\": {}}\r\n",
    STAMP "5}\r\n",
    "{\"ev\\u0065nt\": \"NEW\"}\r\n",
    STAMP "\"T\"}\r\n",
    STAMP "\"OLD\"}\r\n",
    STAMP "\"THIRD\"}\r\n",
    STAMP "\"SECOND\"}\r\n",
    "{\"error\": {\"class\": \"C\", \"desc\": \"d\"}, \"id\": 5}\r\n",
    "{\"return\": [1, 2, {\"event\": \"NEW\"}], \"id\": \"x\"}\r\n",
    "garbage\r\n",
    "{}\r\n",
};

enum { N_PIECES = sizeof(pieces) / sizeof(pieces[0]) };

static struct program *load(bool has_other) {
    const struct program_source sources[] = {{"one.jsonc", one_file, sizeof(one_file) - 1},
                                             {"other.jsonc", other_file, sizeof(other_file) - 1}};
    struct program_options options = {.client = DIALECT_OLD};
    struct program *program = NULL;
    struct diag_set diags;

    diag_set_init(&diags);
    cr_assert(eq(int, program_load(sources, has_other ? 2 : 1, &options, &program, &diags), 0));
    diag_set_deinit(&diags);
    return program;
}

struct told {
    size_t n;
    struct buffer text;
};

static void on_trace(void *userdata, const struct trace_item *item) {
    struct told *told = userdata;

    if (item->kind != TRACE_REWRITTEN) /* what passes as it comes is not told of */
        return;
    told->n++;
    buffer_printf(&told->text, "%d %s %.*s %.*s\n", item->kind, item->rule ? item->rule : "-",
                  (int)item->n_text, item->text, (int)item->n_to_text, item->to_text);
}

/* from memory that is gone afterwards */
static void feed(struct session *s, const char *text, size_t n, struct buffer *heard) {
    struct out *out = session_out(s, SIDE_CLIENT);
    char *copy = malloc(n);

    memcpy(copy, text, n);
    cr_assert(eq(int, session_feed(s, SIDE_SERVER, copy, n, NULL, (struct session_time){1, 0}), 0));
    while (!out_is_empty(out)) {
        const struct fds *fds;
        struct iovec iov;

        out_peek(out, &iov, 1, &fds);
        buffer_append(heard, iov.iov_base, iov.iov_len);
        out_sent(out, iov.iov_len);
    }
    free(copy);
}

/* in parts of @n_part bytes, after a first one of @n_first.  Return: what the client hears */
static struct buffer play(struct program *program, const struct buffer *text, size_t n_first,
                          size_t n_part, struct told *told, struct session_stats *ret_stats) {
    struct limits limits = LIMITS_DEFAULT;
    struct buffer heard = BUFFER_INIT;
    struct session *s = NULL;

    cr_assert(eq(int, session_new(program, &limits, told ? on_trace : NULL, told, &s), 0));
    for (size_t i = 0, n = size_min(n_first, text->n); i < text->n; i += n) {
        n = i == 0 && n > 0 ? n : size_min(n_part, text->n - i);
        feed(s, text->data + i, n, &heard);
    }
    *ret_stats = *session_stats(s);
    session_free(s);
    return heard;
}

static void assert_same(const struct buffer *a, const struct buffer *b) {
    size_t at = 0;

    while (at < a->n && at < b->n && a->data[at] == b->data[at])
        at++;
    cr_assert(at == a->n && at == b->n, "from %zu on:\n%.*s\n---\n%.*s", at,
              (int)size_min(a->n - at, 200), a->data + at, (int)size_min(b->n - at, 200),
              b->data + at);
}

static void assert_agrees(struct program *program, const struct buffer *text, size_t n_first) {
    struct told told_bytes = {.n = 0}, told_run = {.n = 0};
    struct session_stats stats_bytes, stats_run;
    struct buffer bytes = play(program, text, 0, 1, &told_bytes, &stats_bytes);
    struct buffer run = play(program, text, n_first, SIZE_MAX, &told_run, &stats_run);

    assert_same(&run, &bytes);
    assert_same(&told_run.text, &told_bytes.text);
    cr_assert(memcmp(&stats_run, &stats_bytes, sizeof(stats_run)) == 0);
    buffer_deinit(&told_bytes.text);
    buffer_deinit(&told_run.text);
    buffer_deinit(&bytes);
    buffer_deinit(&run);
}

TEST(run, two_messages_go_together_as_they_go_alone) {
    for (int has_other = 0; has_other < 2; has_other++) {
        struct program *program = load(has_other);

        for (size_t i = 0; i < N_PIECES; i++)
            for (size_t k = 0; k < N_PIECES; k++) {
                struct buffer text = BUFFER_INIT;

                buffer_append_string(&text, pieces[i]);
                buffer_append_string(&text, pieces[k]);
                buffer_append_string(&text, pieces[0]);
                assert_agrees(program, &text, 0);
                buffer_deinit(&text);
            }
        program_unref(program);
    }
}

TEST(run, all_messages_go_together_however_they_are_split) {
    struct buffer text = BUFFER_INIT;
    struct program *program = load(true);

    for (size_t i = 0; i < N_PIECES; i++)
        buffer_append_string(&text, pieces[i]);
    for (size_t n = 1; n < text.n; n++)
        assert_agrees(program, &text, n);
    buffer_deinit(&text);
    program_unref(program);
}

TEST(run, a_name_is_written_over_and_no_other_byte) {
    static const char text[] = "{ \"x\" :1 ,\"event\" :\"NEW\" , \"data\":{\"a\":[ ]} }\r\n";
    static const char want[] = "{ \"x\" :1 ,\"event\" :\"OLD\" , \"data\":{\"a\":[ ]} }\r\n";
    struct buffer b = {.data = (char *)text, .n = sizeof(text) - 1};
    struct program *program = load(false);
    struct session_stats stats;
    struct buffer heard = play(program, &b, 0, SIZE_MAX, NULL, &stats);

    assert_same(&heard, &(struct buffer){.data = (char *)want, .n = sizeof(want) - 1});
    cr_assert(eq(u64, stats.n_rewritten, 1));
    buffer_deinit(&heard);
    program_unref(program);
}

TEST(run, much_that_is_renamed_and_much_that_passes_goes_in_order) {
    struct buffer text = BUFFER_INIT;
    struct program *program = load(false);

    for (size_t i = 0; i < 3000; i++)
        buffer_printf(&text, STAMP "\"%s\", \"data\": {\"n\": %zu}}\r\n",
                      i % 7 < 3 || i > 1000 ? "NEW" : "OTHER", i);
    assert_agrees(program, &text, 0);
    buffer_deinit(&text);
    program_unref(program);
}
