/*
 * proxy/commands: what goes to the server in one run is what goes there
 * command by command.  A byte at a time nothing is ever taken by a run, so
 * that the two ways can be compared.
 */
#include "proxy/commands.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "json/diag.h"
#include "proxy/flow.h"
#include "test.h"

#define RULES                                                                                      \
    "{\"name\": \"renamed\", \"old\": {\"execute\": \"old\"}, \"new\": {\"execute\": \"new\"}},"   \
    "{\"name\": \"reply\", \"old\": {\"execute\": \"r\", \"return\": {\"a\": \"$x\"}},"            \
    " \"new\": {\"execute\": \"r\", \"return\": {\"b\": \"$x\"}}},"                                \
    "{\"name\": \"event\", \"old\": {\"event\": \"OLD\"}, \"new\": {\"event\": \"NEW\"}},"         \
    "{\"name\": \"lost\", \"for\": \"old-client\", \"old\": {\"execute\": \"lost\", \"return\": "  \
    "{}}, \"new\": null}]}"

static const char open_rules[] = "{\"qmp-shim-rules\": 1, \"name\": \"t\", \"rules\": [" RULES;
static const char deny_rules[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"t\", \"default\": \"deny\", \"rules\": [" RULES;

static const char *const pieces[] = {
    "{\"execute\": \"query-status\", \"id\": 1000000000}\r\n",
    "{\"execute\":\"stop\"}\n",
    "{\"execute\": \"cont\"}",
    "{\"execute\": \"a\", \"arguments\": {\"x\": [1, \"}\"]}, \"id\": \"libvirt-7\"}\r\n\r\n  ",
    "{\"id\": null, \"execute\": \"a\"}\r\n",
    "{'execute': 'a', 'id': 1.5}\r\n",
    "{\"execute\": \"old\", \"id\": 2}\r\n",
    "{\"execute\": \"o\\u006cd\"}\r\n",
    "{\"execute\": \"new\", \"id\": 4}\r\n",
    "{\"exec-oob\": \"new\"}\r\n",
    "{\"execute\": \"new\", \"execute\": \"old\"}\r\n",
    "{\"exec\\u0075te\": \"old\"}\r\n",
    "{\"execute\": \"r\"}\r\n",
    "{\"execute\": \"lost\", \"id\": {\"a\": 1}}\r\n",
    "{\"execute\": \"lost\"}",
    "{\"execute\": \"query-commands\"}\r\n",
    "{\"execute\": \"qmp_capabilities\", \"id\": 9}\r\n",
    "{\"exec-oob\": \"yank\", \"id\": 3}\r\n",
    "{\"execute\": \"a\", \"id\": \"qmp-shim:1\"}\r\n",
    "{\"execute\": \"a\", \"execute\": \"old\"}\r\n",
    "{\"execute\": 5}\r\n",
    "{\"id\": 5}\r\n",
    "{}\r\n",
    "garbage\r\n",
    "{\"execute\": \"a\",}\r\n",
    "\r\n",
    "{\"execute\": \"query-status\"}\r\n{\"execute\": \"query-status\"}\r\n",
};

enum { N_PIECES = sizeof(pieces) / sizeof(pieces[0]) };

static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n";
static const char plain_hello[] = "{\"execute\": \"qmp_capabilities\"}\r\n";
static const char oob_hello[] =
    "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}\r\n";

static struct program *load(const char *text) {
    const struct program_source source = {"t.jsonc", text, strlen(text)};
    const struct program_options options = {.client = DIALECT_OLD, .no_probe = true};
    struct program *program = NULL;
    struct diag_set diags;

    diag_set_init(&diags);
    cr_assert(eq(int, program_load(&source, 1, &options, &program, &diags), 0));
    diag_set_deinit(&diags);
    return program;
}

/* how a session is played */
struct play {
    struct program *program;
    const char *hello; /* NULL: none, nothing is negotiated */
    bool is_compact;
};

/* what a session does */
struct heard {
    struct buffer text[2], told;
    bool has_rules; /* else what comes in parts passes so, and is not told of */
    struct session_stats stats;
};

static void heard_deinit(struct heard *h) {
    buffer_deinit(&h->text[SIDE_CLIENT]);
    buffer_deinit(&h->text[SIDE_SERVER]);
    buffer_deinit(&h->told);
}

static void on_trace(void *userdata, const struct trace_item *item) {
    struct heard *h = userdata;

    if (item->kind == TRACE_PASSED && !h->has_rules)
        return;
    buffer_printf(&h->told, "%d %d %s %.*s %.*s\n", item->kind, item->from,
                  item->rule ? item->rule : "-", (int)item->n_text, item->text ? item->text : "",
                  (int)item->n_to_text, item->to_text ? item->to_text : "");
}

static void hear(struct session *s, enum side to, struct heard *h) {
    struct out *out = session_out(s, to);

    while (!out_is_empty(out)) {
        const struct fds *fds;
        struct iovec iov;

        out_peek(out, &iov, 1, &fds);
        buffer_append(&h->text[to], iov.iov_base, iov.iov_len);
        out_sent(out, iov.iov_len);
    }
}

/* from memory that is gone afterwards */
static void feed(struct session *s, enum side from, const char *text, size_t n, struct heard *h) {
    char *copy = malloc(n);

    memcpy(copy, text, n);
    cr_assert(eq(int, session_feed(s, from, copy, n, NULL, (struct session_time){1, 0}), 0));
    hear(s, SIDE_SERVER, h);
    hear(s, SIDE_CLIENT, h);
    free(copy);
}

static void negotiate(struct session *s, const char *hello, struct heard *h) {
    static const char under_id[] = "{\"return\": {}, \"id\": \"qmp-shim:1\"}\r\n";
    static const char plain[] = "{\"return\": {}}\r\n";
    const char *reply;

    feed(s, SIDE_SERVER, greeting, strlen(greeting), h);
    if (!hello)
        return;
    feed(s, SIDE_CLIENT, hello, strlen(hello), h);
    reply = memmem(h->text[SIDE_SERVER].data, h->text[SIDE_SERVER].n, "qmp-shim:", 9) ? under_id
                                                                                      : plain;
    feed(s, SIDE_SERVER, reply, strlen(reply), h);
}

/* in parts of @n_part bytes, after a first one of @n_first; then the server says no more */
static struct heard play(const struct play *p, const struct buffer *text, size_t n_first,
                         size_t n_part) {
    static const struct session_time end = {2, 0};
    struct limits limits = LIMITS_DEFAULT;
    struct heard h = {.has_rules = p->program};
    struct session *s = NULL;

    cr_assert(eq(int, session_new(p->program, &limits, on_trace, &h, &s), 0));
    if (p->is_compact)
        session_compact(s);
    negotiate(s, p->hello, &h);
    for (size_t i = 0, n = size_min(n_first, text->n); i < text->n; i += n) {
        n = i == 0 && n > 0 ? n : size_min(n_part, text->n - i);
        feed(s, SIDE_CLIENT, text->data + i, n, &h);
    }
    cr_assert(eq(int, session_end(s, SIDE_CLIENT, end), 0));
    hear(s, SIDE_SERVER, &h);
    cr_assert(eq(int, session_end(s, SIDE_SERVER, end), 0));
    hear(s, SIDE_SERVER, &h);
    hear(s, SIDE_CLIENT, &h);
    h.stats = *session_stats(s);
    session_free(s);
    return h;
}

static void assert_same(const struct buffer *a, const struct buffer *b) {
    size_t at = 0;

    while (at < a->n && at < b->n && a->data[at] == b->data[at])
        at++;
    cr_assert(at == a->n && at == b->n, "from %zu on:\n%.*s\n---\n%.*s", at,
              (int)size_min(a->n - at, 200), a->data + at, (int)size_min(b->n - at, 200),
              b->data + at);
}

static void assert_agrees(const struct play *p, const struct buffer *text, size_t n_first) {
    struct heard bytes = play(p, text, 0, 1), run = play(p, text, n_first, SIZE_MAX);

    assert_same(&run.text[SIDE_SERVER], &bytes.text[SIDE_SERVER]);
    assert_same(&run.text[SIDE_CLIENT], &bytes.text[SIDE_CLIENT]);
    assert_same(&run.told, &bytes.told);
    cr_assert(memcmp(&run.stats, &bytes.stats, sizeof(run.stats)) == 0);
    heard_deinit(&bytes);
    heard_deinit(&run);
}

static void pairs_agree(const struct play *p) {
    for (size_t i = 0; i < N_PIECES; i++)
        for (size_t k = 0; k < N_PIECES; k++) {
            struct buffer text = BUFFER_INIT;

            buffer_append_string(&text, pieces[i]);
            buffer_append_string(&text, pieces[k]);
            buffer_append_string(&text, pieces[0]);
            assert_agrees(p, &text, 0);
            buffer_deinit(&text);
        }
}

TEST(commands, two_go_together_as_they_go_alone) {
    struct play p = {.program = load(open_rules), .hello = plain_hello};

    pairs_agree(&p);
    p.hello = oob_hello;
    pairs_agree(&p);
    p.hello = NULL;
    pairs_agree(&p);
    p = (struct play){.program = p.program, .hello = plain_hello, .is_compact = true};
    pairs_agree(&p);
    program_unref(p.program);
}

TEST(commands, two_go_together_as_they_go_alone_without_rules) {
    pairs_agree(&(struct play){.hello = plain_hello});
    pairs_agree(&(struct play){.hello = oob_hello});
}

TEST(commands, two_go_together_as_they_go_alone_under_a_policy) {
    struct play p = {.program = load(deny_rules), .hello = plain_hello};

    pairs_agree(&p);
    program_unref(p.program);
}

TEST(commands, all_go_together_however_they_are_split) {
    struct play p = {.program = load(open_rules), .hello = plain_hello};
    struct buffer text = BUFFER_INIT;

    for (size_t i = 0; i < N_PIECES; i++)
        buffer_append_string(&text, pieces[i]);
    for (size_t n = 1; n < text.n; n++)
        assert_agrees(&p, &text, n);
    buffer_deinit(&text);
    program_unref(p.program);
}

TEST(commands, that_pass_leave_in_one_borrowed_piece) {
    static const char text[] =
        "{\"execute\": \"a\"}\r\n{\"execute\": \"b\", \"id\": 1}\n{\"execute\": \"c\"}";
    struct limits limits = LIMITS_DEFAULT;
    struct play p = {.program = load(open_rules), .hello = plain_hello};
    struct heard h = {.has_rules = true};
    struct session *s = NULL;
    const struct fds *fds;
    struct iovec iov[4];

    cr_assert(eq(int, session_new(p.program, &limits, on_trace, &h, &s), 0));
    negotiate(s, p.hello, &h);
    session_feed(s, SIDE_CLIENT, text, strlen(text), NULL, (struct session_time){1, 0});
    cr_assert(eq(sz, out_peek(session_out(s, SIDE_SERVER), iov, 4, &fds), 1));
    cr_assert(eq(ptr, iov[0].iov_base, (void *)text));
    cr_assert(eq(sz, iov[0].iov_len, strlen(text)));
    session_free(s);
    heard_deinit(&h);
    program_unref(p.program);
}

TEST(commands, that_pass_though_rules_mention_them_do_so_only_while_those_rest) {
    static const char versioned[] =
        "{\"qmp-shim-rules\": 1, \"name\": \"t\", \"rules\": [{\"name\": \"event\", \"old\": {\"event\": \"OLD\"}, \"new\": {\"event\": \"NEW\"}}, "
        "{\"name\": \"late\", \"new-since\": \"5.0\", "
        "\"old\": {\"execute\": \"old\"}, \"new\": {\"execute\": \"new\"}}]}";
    static const char before[] =
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 4}}, \"capabilities\": []}}\r\n";
    static const char command[] = "{\"execute\": \"old\"}\r\n", reply[] = "{\"return\": {}}\r\n";
    struct limits limits = LIMITS_DEFAULT;
    struct program *program = load(versioned);
    struct heard h = {.has_rules = true};
    struct session *s = NULL;

    cr_assert(eq(int, session_new(program, &limits, on_trace, &h, &s), 0));
    negotiate(s, plain_hello, &h);
    feed(s, SIDE_SERVER, before, strlen(before), &h);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&h.text[SIDE_SERVER]);
        feed(s, SIDE_CLIENT, command, strlen(command), &h);
        cr_assert(
            ne(ptr, memmem(h.text[SIDE_SERVER].data, h.text[SIDE_SERVER].n, "\"old\"", 5), NULL));
        feed(s, SIDE_SERVER, reply, strlen(reply), &h);
    }
    feed(s, SIDE_SERVER, greeting, strlen(greeting), &h);
    buffer_clear(&h.text[SIDE_SERVER]);
    feed(s, SIDE_CLIENT, command, strlen(command), &h);
    cr_assert(ne(ptr, memmem(h.text[SIDE_SERVER].data, h.text[SIDE_SERVER].n, "\"new\"", 5), NULL));
    session_free(s);
    heard_deinit(&h);
    program_unref(program);
}

TEST(commands, of_the_client_may_have_ids_that_are_no_numbers_of_ours) {
    static const char tracked[] = "{\"execute\": \"r\", \"id\": 1}\r\n";
    static const char *const replies[] = {
        "{\"return\": {\"b\": 1}, \"id\": \"abcdefghi2\"}\r\n",
        "{\"return\": {\"b\": 1}, \"id\": \"Qmp-shim:2\"}\r\n",
        "{\"return\": {\"b\": 1}, \"id\": \"qmp-shim:3\"}\r\n",
        "{\"return\": {\"b\": 1}, \"id\": \"qmp-shim:\"}\r\n",
    };
    struct limits limits = LIMITS_DEFAULT;
    struct program *program = load(open_rules);
    struct heard h = {.has_rules = true};
    struct session *s = NULL;

    cr_assert(eq(int, session_new(program, &limits, on_trace, &h, &s), 0));
    negotiate(s, plain_hello, &h);
    feed(s, SIDE_CLIENT, tracked, strlen(tracked), &h);
    cr_assert(
        ne(ptr, memmem(h.text[SIDE_SERVER].data, h.text[SIDE_SERVER].n, "qmp-shim:2", 10), NULL));
    for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
        buffer_clear(&h.text[SIDE_CLIENT]);
        feed(s, SIDE_SERVER, replies[i], strlen(replies[i]), &h);
        cr_assert(eq(sz, h.text[SIDE_CLIENT].n, strlen(replies[i])));
        cr_assert(memcmp(h.text[SIDE_CLIENT].data, replies[i], strlen(replies[i])) == 0);
        cr_assert(eq(sz, s->n_in_flight, 1));
    }
    session_free(s);
    heard_deinit(&h);
    program_unref(program);
}

TEST(commands, that_pass_are_told_of_only_while_that_is_wanted) {
    static const char command[] = "{\"execute\": \"a\"}\r\n", reply[] = "{\"return\": {}}\r\n";
    struct limits limits = LIMITS_DEFAULT;
    struct heard h = {.has_rules = true};
    struct session *s = NULL;

    cr_assert(eq(int, session_new(NULL, &limits, on_trace, &h, &s), 0));
    for (int is_wanted = 0; is_wanted < 2; is_wanted++) {
        session_tell_passed(s, is_wanted);
        buffer_clear(&h.told);
        feed(s, SIDE_CLIENT, command, strlen(command), &h);
        feed(s, SIDE_SERVER, reply, strlen(reply), &h);
        for (size_t i = 0; i < strlen(command); i++)
            feed(s, SIDE_CLIENT, command + i, 1, &h);
        feed(s, SIDE_SERVER, "{\"event\": \"A\"} {}", 18, &h);
        cr_assert(is_wanted ? h.told.n > 0 : h.told.n == 0);
    }
    session_free(s);
    heard_deinit(&h);
}
