/* Session: pieces, fds, bounds and ends, which dialogues in text do not reach.  What rules do stands in tests/cases. */

#include "test.h"
#include "oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "json/diag.h"
#include "proxy/session.h"

static const char rules[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"t\", \"rules\": ["
    "{\"name\": \"renamed\", \"old\": {\"execute\": \"old\", \"return\": {\"o\": \"$a\"}}, \"new\": {\"execute\": \"new\", \"return\": {\"n\": \"$a\"}}},"
    "{\"name\": \"event\", \"old\": {\"event\": \"OLD\"}, \"new\": {\"event\": \"NEW\"}},"
    "{\"name\": \"asking\", \"for\": \"old-client\", \"old\": {\"event\": \"ASK\", \"data\": {\"x\": \"$x\"}}, \"new\": {\"event\": \"ASK\"},"
    " \"ask\": [{\"execute\": \"query\", \"return\": {\"x\": \"$x\"}}], \"then\": [{\"execute\": \"dismiss\"}],"
    " \"emit\": [{\"event\": \"MADE\", \"data\": {\"x\": \"$x\"}}]},"
    "{\"name\": \"until\", \"for\": \"old-client\", \"old\": {\"execute\": \"cancel\"}, \"new\": {\"execute\": \"cancel\"},"
    " \"until\": {\"event\": \"DONE\"}, \"hide\": true},"
    "{\"name\": \"both\", \"for\": \"old-client\", \"old\": {\"execute\": \"both\", \"arguments\": {\"a\": \"$a\"}},"
    " \"new\": [{\"execute\": \"one\", \"arguments\": {\"a\": \"$a\"}}, {\"execute\": \"two\"}]},"
    "{\"name\": \"kept\", \"for\": \"old-client\", \"old\": {\"execute\": \"keep\", \"arguments\": {\"k\": \"$k\", \"v\": \"$v\"}},"
    " \"new\": {\"execute\": \"keep\", \"arguments\": {\"k\": \"$k\"}}, \"remember\": {\"t\": {\"$k\": {\"v\": \"$v\"}}}},"
    "{\"name\": \"lost\", \"for\": \"old-client\", \"old\": {\"execute\": \"lost\", \"return\": {}}, \"new\": null}"
    "]}";

/* a conversation in which everything happens once */
static const struct {
    enum side from;
    const char *text;
} conversation[] = {
    {SIDE_SERVER,
     "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n"},
    {SIDE_CLIENT,
     "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}, \"id\": 0}\r\n"},
    {SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:1\"}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"plain\", \"id\": 1e2} {'execute': 'old', 'id': 'x'}\n@\n"},
    {SIDE_SERVER,
     "{\"return\": {}, \"id\": 100.0}\r\n{\"return\": {\"n\": [1, {\"b\": \"\\u00e9\"}]}, \"id\": \"qmp-shim:2\"}\r\n"},
    {SIDE_SERVER, "{\"event\": \"NEW\"}\r\n{\"event\": \"ASK\"}\r\n{\"event\": \"OTHER\"}\n"},
    {SIDE_SERVER, "{\"return\": {\"x\": 5}, \"id\": \"qmp-shim:3\"}\r\n"},
    {SIDE_CLIENT,
     "{\"execute\": \"keep\", \"arguments\": {\"k\": \"a\", \"v\": [1]}}{\"execute\": \"both\", \"arguments\": {\"a\": 1}}{\"execute\": \"later\"}"},
    {SIDE_SERVER,
     "{\"return\": {}, \"id\": \"qmp-shim:4\"}\r\n{\"return\": {}, \"id\": \"qmp-shim:5\"}\r\n{\"return\": {}, \"id\": \"qmp-shim:6\"}\r\n"},
    {SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:7\"}\r\n"},
    {SIDE_CLIENT,
     "{\"execute\": \"lost\", \"id\": \"l\"}\r\n{\"execute\": \"cancel\", \"id\": \"c\"}\r\n{\"exec-oob\": \"yank\", \"id\": \"y\"}\r\n"},
    {SIDE_SERVER,
     "{\"return\": {}, \"id\": \"qmp-shim:8\"}\r\n{\"return\": {}, \"id\": \"qmp-shim:9\"}\r\n"},
    {SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:10\"}\r\n{\"event\": \"OTHER\"}\r\n"},
    {SIDE_SERVER,
     "{\"event\": \"DONE\"}\r\n{\"event\": \"ASK\"}\r\n{\"error\": {\"class\": \"C\", \"desc\": \"d\"}}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"unfini"},
};

enum { N_LINES = sizeof(conversation) / sizeof(conversation[0]) };

struct heard {
    struct buffer text[2];
};

static void heard_deinit(struct heard *h) {
    buffer_deinit(&h->text[SIDE_CLIENT]);
    buffer_deinit(&h->text[SIDE_SERVER]);
}

/* Return: 0, -ENOMEM */
static int load_program(struct program **ret) {
    struct program_source source = {"t.jsonc", rules, sizeof(rules) - 1};
    struct program_options options = {.client = DIALECT_OLD};
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(&source, 1, &options, ret, &diags);
    diag_set_deinit(&diags);
    return r;
}

static struct session_time at(uint64_t now_ms) {
    return (struct session_time){now_ms, 0};
}

static void drain(struct session *s, struct heard *h) {
    for (size_t side = 0; side < 2; side++) {
        struct out *out = session_out(s, (enum side)side);

        while (!out_is_empty(out)) {
            const struct fds *fds;
            struct iovec iov;

            out_peek(out, &iov, 1, &fds);
            buffer_append(&h->text[side], iov.iov_base, iov.iov_len);
            out_sent(out, iov.iov_len);
        }
    }
}

/* from memory that is gone afterwards.  Return: 0, -ENOMEM */
static int feed(struct session *s, enum side from, const char *text, size_t n, struct heard *h) {
    char *copy = __real_malloc(n);
    int r;

    memcpy(copy, text, n);
    r = session_feed(s, from, copy, n, NULL, at(1));
    drain(s, h);
    free(copy);
    return r;
}

/* one line of the conversation, cut at @cut.  Return: 0, -ENOMEM */
static int say(struct session *s, size_t line, size_t cut, struct heard *h) {
    const char *text = conversation[line].text;
    size_t n = strlen(text);
    int r = 0;

    cut = cut < n ? cut : n;
    if (cut > 0)
        r = feed(s, conversation[line].from, text, cut, h);
    if (r == 0 && cut < n)
        r = feed(s, conversation[line].from, text + cut, n - cut, h);
    return r;
}

static int end(struct session *s, struct heard *h) {
    int r;

    r = session_end(s, SIDE_CLIENT, at(2));
    if (r == 0)
        r = session_tick(s, at(100000));
    if (r == 0)
        r = session_end(s, SIDE_SERVER, at(100001));
    drain(s, h);
    return r;
}

/* the first @n_lines; the line @line is cut at @cut; ended when all was said.  Return: 0, -ENOMEM */
static int talk(struct program *program, size_t n_lines, size_t line, size_t cut, struct heard *h) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s = NULL;
    int r;

    r = session_new(program, &limits, NULL, NULL, &s);
    for (size_t i = 0; r == 0 && i < n_lines; i++)
        r = say(s, i, i == line ? cut : SIZE_MAX, h);
    if (r == 0 && n_lines == N_LINES)
        r = end(s, h);
    session_free(s);
    return r;
}

static bool is_same(const struct buffer *a, const struct buffer *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n) == 0);
}

TEST(session, says_the_same_wherever_its_input_is_split) {
    struct program *program;
    struct heard whole = {0};

    cr_assert(eq(int, load_program(&program), 0));
    cr_assert(eq(int, talk(program, N_LINES, 0, SIZE_MAX, &whole), 0));
    for (size_t line = 0; line < N_LINES; line++)
        for (size_t cut = 1; cut < strlen(conversation[line].text); cut++) {
            struct heard split = {0};

            cr_assert(eq(int, talk(program, N_LINES, line, cut, &split), 0));
            cr_assert(is_same(&whole.text[SIDE_CLIENT], &split.text[SIDE_CLIENT]),
                      "line %zu cut at %zu: the client got\n%.*s", line, cut,
                      (int)split.text[SIDE_CLIENT].n, split.text[SIDE_CLIENT].data);
            cr_assert(is_same(&whole.text[SIDE_SERVER], &split.text[SIDE_SERVER]),
                      "line %zu cut at %zu: the server got\n%.*s", line, cut,
                      (int)split.text[SIDE_SERVER].n, split.text[SIDE_SERVER].data);
            heard_deinit(&split);
        }
    heard_deinit(&whole);
    program_unref(program);
}

TEST(session, may_be_freed_in_any_state) {
    struct program *program;

    cr_assert(eq(int, load_program(&program), 0));
    for (size_t n = 0; n <= N_LINES; n++) {
        struct heard h = {0};

        cr_assert(eq(int, talk(program, n, 0, SIZE_MAX, &h), 0));
        heard_deinit(&h);
    }
    program_unref(program);
}

/* Return: whether memory ran out */
static bool talk_without_memory(struct program *program, size_t n_allocations) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s = NULL;
    int r;

    oom_start(OOM_FOR_GOOD, n_allocations);
    r = session_new(program, &limits, NULL, NULL, &s);
    for (size_t i = 0; r == 0 && i < N_LINES; i++) {
        r = session_feed(s, conversation[i].from, conversation[i].text,
                         strlen(conversation[i].text), NULL, at(1));
        for (size_t side = 0; r == 0 && side < 2; side++)
            out_sent(session_out(s, (enum side)side), session_out(s, (enum side)side)->n_bytes);
    }
    if (r == 0)
        r = session_end(s, SIDE_SERVER, at(2));
    if (!oom_stop()) {
        cr_assert(eq(int, r, 0));
        session_free(s);
        return false;
    }
    cr_assert(eq(int, r, -ENOMEM));
    session_free(s);
    return true;
}

TEST(session, says_so_wherever_memory_runs_out) {
    struct program *program;
    size_t n = 0;

    cr_assert(eq(int, load_program(&program), 0));
    while (talk_without_memory(program, n))
        n++;
    cr_assert(gt(sz, n, 100));
    program_unref(program);
}

/* --- what no rule touches --------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void append_random_value(struct buffer *b, uint64_t *state, size_t depth) {
    static const char *const scalars[] = {
        "0",       "-0",       "1.50",  "1E+2",          "18446744073709551615", "true",
        "null",    "\"\"",     "\"{\"", "\"]\\\"\\\\\"", "\"\\u00e9\\/\"",       "\"qmp-shim:1\"",
        "\"old\"", "\"event\""};
    uint64_t x = next_random(state);

    if (depth == 0 || x % 4 < 2) {
        buffer_append_string(b, scalars[(x >> 8) % (sizeof(scalars) / sizeof(scalars[0]))]);
        return;
    }
    buffer_append_string(b, x % 4 == 2 ? "[" : "{ ");
    for (size_t i = 0, n = (x >> 8) % 4; i < n; i++) {
        buffer_append_string(b, i > 0 ? " ,\t" : "");
        if (x % 4 == 3)
            buffer_printf(b, "\"k%zu\" :", i);
        append_random_value(b, state, depth - 1);
    }
    buffer_append_string(b, x % 4 == 2 ? " ]" : "}");
}

static void append_random_message(struct buffer *b, uint64_t *state, enum side from) {
    static const char *const starts[2][4] = {
        {"{\"execute\": \"untouched\", \"id\": ", "{ \"execute\":\"x\",\"arguments\": ",
         "{\"exec-oob\": \"z\", \"id\": ", "{\"nothing\": "},
        {"{\"return\": ", "{\"id\": 5, \"error\": ", "{\"event\": \"UNTOUCHED\", \"data\": ",
         "{\"QMP\": "},
    };
    static const char *const ends[] = {"\r\n", "\n", "", " \n\n"};

    buffer_append_string(b, starts[from][next_random(state) % 4]);
    if (from == SIDE_CLIENT && b->data[b->n - 2] == ':' && next_random(state) % 8 == 0)
        buffer_append_string(b, "@");
    append_random_value(b, state, 4);
    buffer_append_string(b, "}");
    buffer_append_string(b, ends[next_random(state) % 4]);
}

/* ids like the shim's own are the one thing that is always changed on its way to the server */
static bool has_reserved_id(const struct buffer *b) {
    return memmem(b->data, b->n, "\"id\": \"qmp-shim", 15) ||
           memmem(b->data, b->n, "\"id\": \"\\", 8) || memmem(b->data, b->n, "\"id\": \"]\\", 9);
}

static void check_untouched(struct session *s, const struct buffer *text, enum side from,
                            uint64_t *state) {
    struct heard h = {0};
    size_t n_part;

    for (size_t i = 0; i < text->n; i += n_part) {
        n_part = 1 + next_random(state) % 40;
        n_part = n_part < text->n - i ? n_part : text->n - i;
        cr_assert(eq(int, feed(s, from, text->data + i, n_part, &h), 0));
    }
    cr_assert(is_same(&h.text[side_other(from)], text), "sent\n%.*s\ngot\n%.*s", (int)text->n,
              text->data, (int)h.text[side_other(from)].n, h.text[side_other(from)].data);
    cr_assert(eq(sz, h.text[from].n, 0));
    heard_deinit(&h);
}

/* a session that holds the reply to "cancel" since @now_ms, until DONE comes */
static struct session *new_holding(struct program *program, uint64_t now_ms, struct heard *h) {
    static const char command[] = "{\"execute\": \"cancel\", \"id\": \"c\"}\r\n";
    static const char reply[] = "{\"return\": {}, \"id\": \"qmp-shim:2\"}\r\n";
    struct limits limits = LIMITS_DEFAULT;
    struct session *s;

    cr_assert(eq(int, session_new(program, &limits, NULL, NULL, &s), 0));
    for (size_t i = 0; i < 3; i++)
        cr_assert(eq(int, say(s, i, SIZE_MAX, h), 0));
    buffer_deinit(&h->text[SIDE_CLIENT]);
    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, command, strlen(command), NULL, at(now_ms)), 0));
    drain(s, h);
    cr_assert(eq(int, session_feed(s, SIDE_SERVER, reply, strlen(reply), NULL, at(now_ms)), 0));
    drain(s, h);
    cr_assert(eq(sz, h->text[SIDE_CLIENT].n, 0));
    return s;
}

TEST(session, a_clock_that_jumps_ahead_ends_each_wait_once) {
    struct program *program;
    struct heard h = {0};
    struct session *s;

    cr_assert(eq(int, load_program(&program), 0));
    s = new_holding(program, 1000, &h);
    for (int i = 0; i < 2; i++) {
        cr_assert(eq(int, session_tick(s, at(UINT64_MAX - 1)), 0));
        drain(s, &h);
        cr_assert(eq(sz, h.text[SIDE_CLIENT].n, strlen("{\"return\": {}, \"id\": \"c\"}\r\n")));
    }
    session_free(s);
    heard_deinit(&h);
    program_unref(program);
}

TEST(session, a_clock_that_jumps_back_ends_no_wait_and_loses_nothing) {
    static const char event[] = "{\"event\": \"DONE\"}\r\n";
    struct program *program;
    struct heard h = {0};
    struct session *s;

    cr_assert(eq(int, load_program(&program), 0));
    s = new_holding(program, UINT64_MAX / 2, &h);
    cr_assert(eq(int, session_tick(s, at(0)), 0));
    drain(s, &h);
    cr_assert(eq(sz, h.text[SIDE_CLIENT].n, 0));
    cr_assert(eq(int, session_feed(s, SIDE_SERVER, event, strlen(event), NULL, at(1)), 0));
    drain(s, &h);
    cr_assert(eq(sz, h.text[SIDE_CLIENT].n, strlen("{\"return\": {}, \"id\": \"c\"}\r\n")));
    session_free(s);
    heard_deinit(&h);
    program_unref(program);
}

TEST(session, what_no_rule_touches_leaves_byte_for_byte) {
    struct limits limits = LIMITS_DEFAULT;
    struct heard h = {0};
    struct program *program;
    struct session *s;
    uint64_t state = 88172645463325252u;

    cr_assert(eq(int, load_program(&program), 0));
    cr_assert(eq(int, session_new(program, &limits, NULL, NULL, &s), 0));
    for (size_t i = 0; i < 3; i++)
        cr_assert(eq(int,
                     feed(s, conversation[i].from,
                          i == 1 ? "{\"execute\": \"qmp_capabilities\"}" : conversation[i].text,
                          i == 1 ? 31 : strlen(conversation[i].text), &h),
                     0));
    heard_deinit(&h);
    for (size_t i = 0; i < 2000; i++) {
        struct buffer text = BUFFER_INIT;
        enum side from = i % 2 ? SIDE_CLIENT : SIDE_SERVER;

        append_random_message(&text, &state, from);
        if (!has_reserved_id(&text))
            check_untouched(s, &text, from, &state);
        buffer_deinit(&text);
    }
    session_free(s);
    program_unref(program);
}

/* --- fds ------------------------------------------------------------------------------------------------ */

static struct fds one_fd(void) {
    struct fds fds = FDS_INIT;

    cr_assert(eq(int, fds_push_take(&fds, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0));
    return fds;
}

static void send_with_fd(struct session *s, const char *text) {
    struct fds fds = one_fd();

    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, text, strlen(text), &fds, at(1)), 0));
}

/* the bytes of the next sendmsg() to the server, and how many fds go with its first one */
static size_t peek_one(struct session *s, char *text, size_t size) {
    const struct fds *fds;
    struct iovec iov[8];
    size_t n = out_peek(session_out(s, SIDE_SERVER), iov, 8, &fds), n_text = 0;

    for (size_t i = 0; i < n; i++) {
        memcpy(text + n_text, iov[i].iov_base, iov[i].iov_len);
        n_text += iov[i].iov_len;
    }
    cr_assert(lt(sz, n_text, size));
    text[n_text] = '\0';
    n = fds ? fds->n : 0;
    out_sent(session_out(s, SIDE_SERVER), n_text);
    return n;
}

TEST(session, fds_leave_with_the_first_byte_of_their_message) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s;
    char text[200];

    cr_assert(eq(int, session_new(NULL, &limits, NULL, NULL, &s), 0));
    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, "{\"execute\": \"a\"}\n", 17, NULL, at(1)), 0));
    send_with_fd(s, "{\"execute\": \"b\"}\n");
    send_with_fd(s, "{\"execute\": \"c\"}\n{\"execute\": \"d\"}\n");
    cr_assert(eq(sz, peek_one(s, text, sizeof(text)), 0));
    cr_assert(eq(str, text, "{\"execute\": \"a\"}\n"));
    cr_assert(eq(sz, peek_one(s, text, sizeof(text)), 1));
    cr_assert(eq(str, text, "{\"execute\": \"b\"}\n"));
    cr_assert(eq(sz, peek_one(s, text, sizeof(text)), 1));
    cr_assert(eq(str, text, "{\"execute\": \"c\"}\n{\"execute\": \"d\"}\n"));
    session_free(s);
}

TEST(session, fds_in_the_middle_of_a_message_that_is_not_whole_ride_on_their_byte) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s;
    char text[200];

    cr_assert(eq(int, session_new(NULL, &limits, NULL, NULL, &s), 0));
    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, "{\"execute\": ", 12, NULL, at(1)), 0));
    send_with_fd(s, "\"b\"}\n");
    cr_assert(eq(sz, peek_one(s, text, sizeof(text)), 0));
    cr_assert(eq(str, text, "{\"execute\": "));
    cr_assert(eq(sz, peek_one(s, text, sizeof(text)), 1));
    cr_assert(eq(str, text, "\"b\"}\n"));
    session_free(s);
}

TEST(session, fds_that_were_not_sent_are_closed_with_the_session) {
    struct limits limits = LIMITS_DEFAULT;
    struct program *program;
    struct session *s;

    cr_assert(eq(int, load_program(&program), 0));
    cr_assert(eq(int, session_new(program, &limits, NULL, NULL, &s), 0));
    send_with_fd(s, "{\"execute\": \"sent\"}\n");
    send_with_fd(s, "{\"execute\": \"qmp_capabilities\"}");
    send_with_fd(s, "{\"execute\": \"waits\"}\n");
    send_with_fd(s, " ");
    send_with_fd(s, "{\"execute\": \"is not who");
    session_free(s);
    program_unref(program);
}

/* --- bounds ------------------------------------------------------------------------------------------------ */

TEST(session, a_side_is_not_read_while_more_than_max_out_bytes_wait_for_the_other) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s;

    limits.max_out_bytes = 17;
    cr_assert(eq(int, session_new(NULL, &limits, NULL, NULL, &s), 0));
    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, "{\"execute\": \"a\"}\n", 17, NULL, at(1)), 0));
    cr_assert(session_wants(s, SIDE_CLIENT));
    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, "\n", 1, NULL, at(1)), 0));
    cr_assert(not(session_wants(s, SIDE_CLIENT)));
    cr_assert(session_wants(s, SIDE_SERVER));
    out_sent(session_out(s, SIDE_SERVER), 1);
    cr_assert(session_wants(s, SIDE_CLIENT));
    session_free(s);
}

TEST(session, the_client_is_not_read_while_more_than_max_held_bytes_of_it_wait) {
    struct limits limits = LIMITS_DEFAULT;
    struct program *program;
    struct session *s;

    limits.max_held_bytes = 40;
    cr_assert(eq(int, load_program(&program), 0));
    cr_assert(eq(int, session_new(program, &limits, NULL, NULL, &s), 0));
    cr_assert(eq(
        int, session_feed(s, SIDE_CLIENT, "{\"execute\": \"qmp_capabilities\"}", 31, NULL, at(1)),
        0));
    cr_assert(session_wants(s, SIDE_CLIENT));
    cr_assert(eq(int,
                 session_feed(s, SIDE_CLIENT, "{\"execute\": \"a command with a longer nam", 40,
                              NULL, at(1)),
                 0));
    cr_assert(session_wants(s, SIDE_CLIENT));
    cr_assert(eq(int, session_feed(s, SIDE_CLIENT, "s", 1, NULL, at(1)), 0));
    cr_assert(not(session_wants(s, SIDE_CLIENT)));
    cr_assert(eq(int,
                 session_feed(s, SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:1\"}\r\n", 36,
                              NULL, at(1)),
                 0));
    cr_assert(session_wants(s, SIDE_CLIENT));
    session_free(s);
    program_unref(program);
}

TEST(session, ends_towards_one_side_when_the_other_has_ended_and_all_is_out) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s;

    cr_assert(eq(int, session_new(NULL, &limits, NULL, NULL, &s), 0));
    cr_assert(not(session_is_finished(s, SIDE_SERVER)));
    cr_assert(eq(int, session_end(s, SIDE_CLIENT, at(1)), 0));
    cr_assert(session_is_finished(s, SIDE_SERVER));
    cr_assert(not(session_is_finished(s, SIDE_CLIENT)));
    cr_assert(not(session_wants(s, SIDE_CLIENT)));
    cr_assert(eq(int, session_end(s, SIDE_SERVER, at(1)), 0));
    cr_assert(session_is_finished(s, SIDE_CLIENT));
    session_free(s);
}
