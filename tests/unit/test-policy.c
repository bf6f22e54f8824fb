/*
 * A session under a policy ("default": "deny"), seen from the server: what
 * the live test of it cannot tell, for a QEMU refuses much by itself.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "json/diag.h"
#include "proxy/flow.h"
#include "test.h"

static const char rules[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"t\", \"default\": \"deny\", \"rules\": ["
    "{\"name\": \"look\", \"old\": {\"execute\": \"query-name\"}, \"new\": {\"execute\": \"query-name\"}},"
    "{\"name\": \"fds\", \"old\": {\"execute\": \"getfd\"}, \"new\": {\"execute\": \"getfd\"}}]}";

static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n";

struct scene {
    struct program *program;
    struct session *s;
    struct buffer heard[2]; /* by enum side */
    size_t n_fds;           /* that went to the server */
};

static void take(struct scene *c, enum side to) {
    struct out *out = session_out(c->s, to);

    buffer_clear(&c->heard[to]);
    while (!out_is_empty(out)) {
        const struct fds *fds;
        struct iovec iov;

        out_peek(out, &iov, 1, &fds);
        c->n_fds += fds ? fds->n : 0;
        buffer_append(&c->heard[to], iov.iov_base, iov.iov_len);
        out_sent(out, iov.iov_len);
    }
}

static void feed(struct scene *c, enum side from, const char *text, size_t n, struct fds *fds) {
    struct session_time now = {1, 0};

    c->n_fds = 0;
    cr_assert(eq(int, session_feed(c->s, from, text, n, fds, now), 0));
    take(c, SIDE_SERVER);
    take(c, SIDE_CLIENT);
}

static void say(struct scene *c, enum side from, const char *text) {
    feed(c, from, text, strlen(text), NULL);
}

static void say_with_fd(struct scene *c, const char *text) {
    struct fds fds = FDS_INIT;

    cr_assert(eq(int, fds_push_take(&fds, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0));
    feed(c, SIDE_CLIENT, text, strlen(text), &fds);
}

static bool has_heard(const struct scene *c, enum side side, const char *text) {
    const struct buffer *b = &c->heard[side];

    return b->n > 0 && memmem(b->data, b->n, text, strlen(text));
}

static void begin(struct scene *c, bool is_negotiated) {
    struct program_source source = {"t.jsonc", rules, sizeof(rules) - 1};
    struct program_options options = {.client = DIALECT_OLD, .no_probe = true};
    struct limits limits = LIMITS_DEFAULT;
    struct diag_set diags;

    *c = (struct scene){.n_fds = 0};
    diag_set_init(&diags);
    cr_assert(eq(int, program_load(&source, 1, &options, &c->program, &diags), 0));
    diag_set_deinit(&diags);
    cr_assert(eq(int, session_new(c->program, &limits, NULL, NULL, &c->s), 0));
    say(c, SIDE_SERVER, greeting);
    if (!is_negotiated)
        return;
    say(c, SIDE_CLIENT, "{\"execute\": \"qmp_capabilities\"}\r\n");
    cr_assert(has_heard(c, SIDE_SERVER, "\"qmp-shim:1\""));
    say(c, SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:1\"}\r\n");
}

static void end(struct scene *c) {
    session_free(c->s);
    program_unref(c->program);
    buffer_deinit(&c->heard[SIDE_CLIENT]);
    buffer_deinit(&c->heard[SIDE_SERVER]);
}

/* nothing of it goes to the server, and the client gets an error */
static void is_refused(struct scene *c, const char *text) {
    say(c, SIDE_CLIENT, text);
    cr_assert(zero(sz, c->heard[SIDE_SERVER].n), "%s", text);
    cr_assert(has_heard(c, SIDE_CLIENT, "{\"error\": "), "%s", text);
}

TEST(policy, what_rules_mention_goes_to_the_server_and_nothing_else) {
    struct scene c;

    begin(&c, true);
    is_refused(&c, "{\"execute\": \"cont\"}\r\n");
    say(&c, SIDE_CLIENT, "{\"execute\": \"query-name\", \"id\": 1}\r\n");
    cr_assert(has_heard(&c, SIDE_SERVER, "\"query-name\""));
    end(&c);
}

TEST(policy, a_nul_in_any_string_is_refused) {
    struct scene c;

    begin(&c, true);
    is_refused(&c, "{\"execute\": \"query-name\", \"arguments\": {\"a\": \"\\u0000\"}}\r\n");
    is_refused(&c, "{\"execute\": \"query-name\", \"arguments\": {\"a\\u0000\": 1}}\r\n");
    is_refused(&c, "{\"execute\": \"query-name\\u0000\"}\r\n");
    is_refused(&c, "{\"execute\": \"query-name\", \"id\": [\"x\\u0000y\"]}\r\n");
    end(&c);
}

TEST(policy, only_a_plain_qmp_capabilities_negotiates) {
    static const char *const others[] = {
        "{\"execute\": \"qmp_capabilities\", \"execute\": \"cont\"}\r\n",
        "{\"execute\": \"qmp_capabilities\", \"exec-oob\": \"cont\"}\r\n",
        "{\"execute\": \"qmp_capabilities\", \"exec\\u0075te\": \"cont\"}\r\n",
        "{\"execute\": \"qmp\\u005fcapabilities\"}\r\n",
    };
    struct scene c;

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        begin(&c, false);
        is_refused(&c, others[i]);
        say(&c, SIDE_CLIENT,
            "{\"execute\": \"qmp_capabilities\"}\r\n"); /* and it need not wait for that */
        cr_assert(has_heard(&c, SIDE_SERVER, "\"qmp_capabilities\""));
        end(&c);
    }
}

TEST(policy, a_command_that_is_allowed_goes_whole_however_long_it_is) {
    struct buffer text = BUFFER_INIT;
    struct scene c;

    begin(&c, true);
    buffer_append_string(&text, "{\"execute\": \"query-name\", \"id\": \"");
    for (size_t i = 0; i < 20000; i++)
        buffer_append_string(&text, "x");
    buffer_append_string(&text, "\"}\r\n");
    feed(&c, SIDE_CLIENT, text.data, text.n / 2, NULL);
    cr_assert(zero(sz, c.heard[SIDE_SERVER].n));
    feed(&c, SIDE_CLIENT, text.data + text.n / 2, text.n - text.n / 2, NULL);
    cr_assert(has_heard(&c, SIDE_SERVER, "\"query-name\""));
    buffer_deinit(&text);
    end(&c);
}

TEST(policy, fds_of_what_is_refused_go_nowhere) {
    struct scene c;

    begin(&c, true);
    say_with_fd(&c, "{\"execute\": \"cont\"}\r\n");
    cr_assert(has_heard(&c, SIDE_CLIENT, "{\"error\": "));
    cr_assert(zero(sz, c.n_fds));
    say(&c, SIDE_CLIENT, "{\"execute\": \"getfd\"}\r\n");
    cr_assert(zero(sz, c.n_fds));
    /* while a reply is awaited, a command of the shim's own finds the place of the error */
    say_with_fd(&c, "{\"execute\": \"cont\"}\r\n");
    cr_assert(zero(sz, c.n_fds));
    end(&c);
}

TEST(policy, fds_before_what_is_refused_do_not_go_with_what_follows) {
    struct scene c;

    begin(&c, true);
    say_with_fd(&c, "\r\n");
    cr_assert(zero(sz, c.n_fds));
    say(&c, SIDE_CLIENT, "garbage\n");
    say(&c, SIDE_CLIENT, "{\"execute\": \"getfd\"}\r\n");
    cr_assert(has_heard(&c, SIDE_SERVER, "\"getfd\""));
    cr_assert(zero(sz, c.n_fds));
    end(&c);
}

TEST(policy, fds_before_what_is_allowed_go_with_it) {
    struct scene c;

    begin(&c, true);
    say_with_fd(&c, "\r\n");
    say(&c, SIDE_CLIENT, "{\"execute\": \"getfd\"}\r\n");
    cr_assert(has_heard(&c, SIDE_SERVER, "\"getfd\""));
    cr_assert(eq(sz, c.n_fds, 1));
    end(&c);
}
