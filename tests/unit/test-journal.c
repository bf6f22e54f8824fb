/* Journal: a session that another process goes on with, after an end at any moment, does what it would have done. */

#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buffer.h"
#include "json/diag.h"
#include "proxy/journal.h"
#include "proxy/session.h"
#include "rule/pack.h"

static const char rules[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"t\", \"rules\": ["
    "{\"name\": \"renamed\", \"old\": {\"execute\": \"old\", \"return\": {\"o\": \"$a\"}}, \"new\": {\"execute\": \"new\", \"return\": {\"n\": \"$a\"}}},"
    "{\"name\": \"event\", \"old\": {\"event\": \"OLD\"}, \"new\": {\"event\": \"NEW\"}},"
    "{\"name\": \"asking\", \"for\": \"old-client\", \"old\": {\"event\": \"ASK\", \"data\": {\"x\": \"$x\"}}, \"new\": {\"event\": \"ASK\"},"
    " \"ask\": [{\"execute\": \"query\", \"return\": {\"x\": \"$x\"}}], \"then\": [{\"execute\": \"dismiss\"}],"
    " \"emit\": [{\"event\": \"MADE\", \"data\": {\"x\": \"$x\"}}]},"
    "{\"name\": \"until\", \"for\": \"old-client\", \"old\": {\"execute\": \"cancel\"}, \"new\": {\"execute\": \"cancel\"},"
    " \"until\": {\"event\": \"DONE\"}, \"hide\": true},"
    "{\"name\": \"kept\", \"for\": \"old-client\", \"old\": {\"execute\": \"keep\", \"arguments\": {\"k\": \"$k\", \"v\": \"$v\"}},"
    " \"new\": {\"execute\": \"keep\", \"arguments\": {\"k\": \"$k\"}}, \"remember\": {\"t\": {\"$k\": {\"v\": \"$v\"}}}},"
    "{\"name\": \"told\", \"for\": \"old-client\", \"old\": {\"event\": \"TOLD\", \"data\": {\"k\": \"$k\", \"v\": \"$v\"}},"
    " \"new\": {\"event\": \"TOLD\", \"data\": {\"k\": \"$k\"}}, \"recall\": {\"t\": {\"$k\": {\"v\": \"$v\"}}}},"
    "{\"name\": \"lost\", \"for\": \"old-client\", \"old\": {\"execute\": \"lost\", \"return\": {}}, \"new\": null}"
    "]}";

/* when nothing is said, time passes */
struct line {
    enum side from;
    const char *text;
    uint64_t after_ms;
};

#define SERVER(text)                                                                               \
    { SIDE_SERVER, text, 0 }
#define CLIENT(text)                                                                               \
    { SIDE_CLIENT, text, 0 }

/* renamed, held, remembered, asked, refused, in pieces, out of band */
static const struct line conversation[] = {
    SERVER("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, "
           "\"capabilities\": [\"oob\"]}}\r\n"),
    CLIENT(
        "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}, \"id\": 0}\r\n"),
    SERVER("{\"return\": {}, \"id\": \"qmp-shim:1\"}\r\n"),
    CLIENT("{\"execute\": \"plain\", \"id\": 1e2}\n"),
    SERVER("{\"return\": {}, \"id\": 100.0}\r\n"),
    CLIENT("{\"execute\": \"old\", \"id\": \"x\"}\n"),
    SERVER("{\"return\": {\"n\": [1]}, \"id\": \"qmp-shim:2\"}\r\n"),
    CLIENT("{\"execute\": \"keep\", \"arguments\": {\"k\": \"a\", \"v\": [1]}, \"id\": 3}\r\n"),
    SERVER("{\"return\": {}, \"id\": \"qmp-shim:3\"}\r\n"),
    SERVER("{\"event\": \"OTHER\"}\r\n"),
    SERVER("{\"event\": \"TOLD\", \"data\": {\"k\": \"a\"}}\r\n"),
    CLIENT("{\"execute\": \"pie"),
    SERVER("{\"event\": \"NE"),
    CLIENT("ces\"}\n"),
    SERVER("W\"}\r\n{\"return\""),
    SERVER(": {}}\r\n"),
    SERVER("{\"event\": \"ASK\"}\r\n{\"event\": \"BEHIND\"}\r\n"),
    SERVER("{\"return\": {\"x\": 5}, \"id\": \"qmp-shim:4\"}\r\n"),
    SERVER("{\"return\": {}, \"id\": \"qmp-shim:5\"}\r\n"),
    CLIENT("{\"execute\": \"lost\", \"id\": \"l\"}\r\n{\"execute\": \"cancel\", \"id\": \"c\"}\r\n"
           "{\"exec-oob\": \"yank\", \"id\": \"y\"}\r\n"),
    SERVER("{\"return\": {}, \"id\": \"qmp-shim:6\"}\r\n"),
    SERVER("{\"return\": {}, \"id\": \"qmp-shim:7\"}\r\n{\"event\": \"OTHER\"}\r\n"),
    SERVER("{\"event\": \"DONE\"}\r\n"),
    CLIENT("{\"execute\": \"cancel\", \"id\": \"c2\"}\r\n"),
    SERVER(
        "{\"return\": {}, \"id\": \"qmp-shim:8\"}\r\n{\"return\": {}, \"id\": \"qmp-shim:9\"}\r\n"),
    SERVER("{\"event\": \"TOLD\", \"data\": {\"k\": \"a\"}}\r\n"),
    {SIDE_SERVER, NULL, 100000},
    CLIENT("@ \"broken\n"),
    CLIENT("{\"execute\": \"old\", \"id\": 9}\r\n"),
    CLIENT("{\"execute\": \"unfini"),
};

enum { N_LINES = sizeof(conversation) / sizeof(conversation[0]), N_LOG = 64 << 10 };

/* a process with a session; its memory and what it sent stay when it ends */
struct world {
    struct program *program;
    void *memory;
    size_t n_log;
    struct journal journal;
    struct session *session;
    uint64_t n_sent[2];
    struct buffer heard[2];
    size_t n_points;           /* where it could have ended, so far */
    size_t ends_at;            /* the one where it ends; SIZE_MAX: at all of them; 0: never */
    size_t n_unread, n_lapsed; /* of the read that was begun */
    uint64_t now_ms;
    size_t n_at_once; /* bytes that one call sends */
};

static struct program *load_program(void) {
    struct program_source source = {"t.jsonc", rules, sizeof(rules) - 1};
    struct program_options options = {.client = DIALECT_OLD};
    struct program *program;
    struct diag_set diags;

    diag_set_init(&diags);
    cr_assert(eq(int, program_load(&source, 1, &options, &program, &diags), 0));
    diag_set_deinit(&diags);
    return program;
}

static struct session *session_make(struct program *program) {
    struct limits limits = LIMITS_DEFAULT;
    struct session *s;

    cr_assert(eq(int, session_new(program, &limits, NULL, NULL, &s), 0));
    return s;
}

static void world_init(struct world *w, struct program *program, size_t n_log) {
    struct journal_info info = {.session = 7};

    *w = (struct world){.program = program, .n_log = n_log, .n_at_once = 7};
    w->memory = mmap(NULL, journal_n_bytes(n_log), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(ne(ptr, w->memory, MAP_FAILED));
    w->session = session_make(program);
    cr_assert(eq(int, journal_init(&w->journal, w->memory, n_log, &info, w->session), 0));
}

static void world_deinit(struct world *w) {
    session_free(w->session);
    munmap(w->memory, journal_n_bytes(w->n_log));
    buffer_deinit(&w->heard[0]);
    buffer_deinit(&w->heard[1]);
}

/* here the process may end, and another one goes on.  Return: did it? */
static bool may_end(struct world *w) {
    enum side from;

    w->n_points++;
    if (w->ends_at != SIZE_MAX && w->n_points != w->ends_at)
        return false;
    session_free(w->session);
    memset(&w->journal, 0xff, sizeof(w->journal));
    cr_assert(eq(int, journal_open(&w->journal, w->memory, journal_n_bytes(w->n_log)), 0),
              "ended at %zu", w->n_points);
    if (journal_is_feeding(&w->journal, &from))
        journal_end_feed(&w->journal, w->n_unread, 0, 0);
    w->session = session_make(w->program);
    cr_assert(eq(int, journal_resume(&w->journal, w->session, w->n_sent, NULL, NULL), 0),
              "ended at %zu", w->n_points);
    return true;
}

static void send_some(struct world *w, enum side to) {
    struct out *out = session_out(w->session, to);
    const struct fds *fds;
    struct iovec iov;

    out_peek(out, &iov, 1, &fds);
    iov.iov_len = iov.iov_len < w->n_at_once ? iov.iov_len : w->n_at_once;
    buffer_append(&w->heard[to], iov.iov_base, iov.iov_len);
    w->n_sent[to] += iov.iov_len; /* as the kernel writes it there */
    if (!may_end(w))
        out_sent(out, iov.iov_len);
}

static void send_all(struct world *w) {
    for (size_t to = 0; to < 2; to++)
        while (!out_is_empty(session_out(w->session, (enum side)to)))
            send_some(w, (enum side)to);
}

/* what follows an input */
static void go_on(struct world *w) {
    journal_done(&w->journal, w->session, w->n_sent);
    may_end(w);
    send_all(w);
    may_end(w);
    journal_rest(&w->journal, w->session, w->n_sent);
    may_end(w);
}

static struct session_time now(const struct world *w) {
    return (struct session_time){.now_ms = w->now_ms, .wall_us = (int64_t)w->now_ms * 1000};
}

static bool say_unrecorded(struct world *w, enum side from, const char *text, size_t n) {
    cr_assert(eq(int, session_feed(w->session, from, text, n, NULL, now(w)), 0));
    send_all(w);
    journal_rest(&w->journal, w->session, w->n_sent);
    w->n_lapsed++;
    return true;
}

static bool say(struct world *w, enum side from, const char *text, size_t n) {
    size_t n_room;
    char *to;

    w->n_unread = 0;
    if (!journal_begin_feed(&w->journal, from, now(w), &to, &n_room))
        return say_unrecorded(w, from, text, n);
    cr_assert(ge(sz, n_room, n));
    if (may_end(w)) /* nothing was read: it is read again */
        cr_assert(journal_begin_feed(&w->journal, from, now(w), &to, &n_room));
    memcpy(to, text, n);
    w->n_unread = n;
    if (may_end(w)) { /* it was read, and that is all that is known */
        go_on(w);
        return true;
    }
    journal_end_feed(&w->journal, n, 0, 0);
    if (!may_end(w))
        cr_assert(eq(int, session_feed(w->session, from, to, n, NULL, now(w)), 0));
    may_end(w);
    go_on(w);
    return true;
}

static void happen(struct world *w, enum journal_kind kind, enum side side) {
    cr_assert(journal_add(&w->journal, kind, side, now(w)));
    if (!may_end(w))
        cr_assert(eq(int,
                     kind == JOURNAL_TICK ? session_tick(w->session, now(w))
                                          : session_end(w->session, side, now(w)),
                     0));
    go_on(w);
}

static void talk(struct world *w, size_t n_lines) {
    for (size_t i = 0; i < n_lines; i++) {
        const struct line *line = &conversation[i];

        w->now_ms += 1 + line->after_ms;
        if (line->text)
            say(w, line->from, line->text, strlen(line->text));
        else
            happen(w, JOURNAL_TICK, SIDE_SERVER);
    }
}

static void end(struct world *w) {
    w->now_ms++;
    happen(w, JOURNAL_END, SIDE_CLIENT);
    happen(w, JOURNAL_END, SIDE_SERVER);
}

static bool is_same(const struct buffer *a, const struct buffer *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n) == 0);
}

static void check_same(const struct world *a, const struct world *b) {
    const struct session_stats *of_a = session_stats(a->session), *of_b = session_stats(b->session);

    for (size_t side = 0; side < 2; side++)
        cr_assert(is_same(&a->heard[side], &b->heard[side]),
                  "ended at %zu: side %zu got\n%.*s\ninstead of\n%.*s", b->ends_at, side,
                  (int)b->heard[side].n, b->heard[side].data, (int)a->heard[side].n,
                  a->heard[side].data);
    cr_assert(eq(int, memcmp(of_a, of_b, sizeof(*of_a)), 0), "ended at %zu: other counts",
              b->ends_at);
}

TEST(journal, wherever_the_process_ends_both_sides_get_the_same_bytes_once) {
    struct program *program = load_program();
    struct world whole, ended;

    world_init(&whole, program, N_LOG);
    talk(&whole, N_LINES);
    end(&whole);
    cr_assert(gt(sz, whole.heard[SIDE_CLIENT].n, 500));
    cr_assert(gt(sz, whole.n_points, 200));
    for (size_t n = 1; n <= whole.n_points; n++) {
        world_init(&ended, program, N_LOG);
        ended.ends_at = n;
        talk(&ended, N_LINES);
        end(&ended);
        check_same(&whole, &ended);
        world_deinit(&ended);
    }
    world_deinit(&whole);
    program_unref(program);
}

TEST(journal, a_process_that_ends_at_every_step_loses_nothing_either) {
    struct program *program = load_program();
    struct world whole, ended;

    for (size_t n_at_once = 1; n_at_once <= 1000; n_at_once = n_at_once * 3 + 1) {
        world_init(&whole, program, N_LOG);
        talk(&whole, N_LINES);
        world_init(&ended, program, N_LOG);
        ended.ends_at = SIZE_MAX;
        ended.n_at_once = n_at_once;
        talk(&ended, N_LINES);
        check_same(&whole, &ended);
        world_deinit(&ended);
        world_deinit(&whole);
    }
    program_unref(program);
}

TEST(journal, without_rules_everything_passes_whoever_passes_it) {
    struct world whole, ended;

    world_init(&whole, NULL, N_LOG);
    talk(&whole, N_LINES);
    for (size_t n = 1; n <= whole.n_points; n += 3) {
        world_init(&ended, NULL, N_LOG);
        ended.ends_at = n;
        talk(&ended, N_LINES);
        check_same(&whole, &ended);
        world_deinit(&ended);
    }
    world_deinit(&whole);
}

TEST(journal, is_empty_whenever_the_session_is_at_rest) {
    struct program *program = load_program();
    struct world w;

    world_init(&w, program, N_LOG);
    talk(&w, 11);
    cr_assert(eq(sz, journal_n_log(&w.journal), 0));
    talk(&w, 1); /* the greeting again, whatever that is good for */
    say(&w, SIDE_CLIENT, "{\"execute\": \"pie", 16);
    cr_assert(gt(sz, journal_n_log(&w.journal), 0));
    world_deinit(&w);
    program_unref(program);
}

/* a message of @n bytes */
static void say_long(struct world *w, size_t n, bool is_whole) {
    char *text = malloc(n);

    memset(text, 'x', n);
    memcpy(text, "{\"event\": \"", 11);
    if (is_whole)
        memcpy(text + n - 2, "\"}", 2);
    say(w, SIDE_SERVER, text, n);
    free(text);
}

TEST(journal, lapses_at_its_limit_and_begins_anew_at_rest) {
    struct program *program = load_program();
    struct journal other;
    struct world w;

    world_init(&w, program, JOURNAL_MIN_LOG_BYTES);
    talk(&w, 3);
    say_long(&w, 2000, false);
    say(&w, SIDE_SERVER, "x", 1);
    cr_assert(eq(sz, w.n_lapsed, 0));
    cr_assert(eq(int, journal_open(&other, w.memory, journal_n_bytes(w.n_log)), 0));
    say(&w, SIDE_SERVER, "x", 1); /* room for itself, but not for what a read might bring */
    say(&w, SIDE_SERVER, "x", 1);
    say(&w, SIDE_SERVER, "x", 1);
    while (w.n_lapsed == 0)
        say(&w, SIDE_SERVER, "x", 1);
    cr_assert(eq(int, journal_open(&other, w.memory, journal_n_bytes(w.n_log)), JOURNAL_E_LAPSED));
    say(&w, SIDE_SERVER, "\"}\r\n", 4);
    cr_assert(eq(int, journal_open(&other, w.memory, journal_n_bytes(w.n_log)), 0));
    w.n_lapsed = 0;
    say(&w, SIDE_SERVER, "{\"event\": \"NEW\"}\r\n", 18);
    cr_assert(eq(sz, w.n_lapsed, 0));
    world_deinit(&w);
    program_unref(program);
}

static void fill(struct program *program, size_t n_begun) {
    struct journal other;
    struct world w;
    size_t n_entry;

    world_init(&w, program, JOURNAL_MIN_LOG_BYTES);
    talk(&w, 3);
    say_long(&w, n_begun, false); /* it is not at rest */
    n_entry = journal_n_log(&w.journal);
    cr_assert(journal_add(&w.journal, JOURNAL_TICK, SIDE_SERVER, now(&w)));
    n_entry = journal_n_log(&w.journal) - n_entry;
    while (journal_n_log(&w.journal) + n_entry <= JOURNAL_MIN_LOG_BYTES)
        cr_assert(journal_add(&w.journal, JOURNAL_TICK, SIDE_SERVER, now(&w)));
    cr_assert(not(journal_add(&w.journal, JOURNAL_TICK, SIDE_SERVER, now(&w))));
    cr_assert(eq(int, journal_open(&other, w.memory, journal_n_bytes(w.n_log)), JOURNAL_E_LAPSED));
    world_deinit(&w);
}

TEST(journal, takes_as_many_entries_as_it_has_room_for_and_no_more) {
    struct program *program = load_program();

    for (size_t n = 16; n < 120; n += 16) /* whatever is left then */
        fill(program, n);
    program_unref(program);
}

TEST(journal, what_is_no_journal_is_refused) {
    struct program *program = load_program();
    struct journal other;
    size_t n;
    struct world w;
    char *h;

    world_init(&w, program, N_LOG);
    talk(&w, 12);
    n = journal_n_bytes(N_LOG);
    h = w.memory;
    cr_assert(eq(int, journal_open(&other, w.memory, n), 0));
    for (size_t n_cut = 0; n_cut < n; n_cut = n_cut * 2 + 1)
        cr_assert(eq(int, journal_open(&other, w.memory, n_cut), JOURNAL_E_INVALID));
    h[0]++; /* the magic */
    cr_assert(eq(int, journal_open(&other, w.memory, n), JOURNAL_E_INVALID));
    h[0]--;
    h[8]++; /* the format */
    cr_assert(eq(int, journal_open(&other, w.memory, n), JOURNAL_E_INVALID));
    h[8]--;
    other.head->banks[other.head->bank].n_log = N_LOG + 1;
    cr_assert(eq(int, journal_open(&other, w.memory, n), JOURNAL_E_INVALID));
    world_deinit(&w);
    program_unref(program);
}

/* the numbers of an entry, as src/proxy/journal.c has them */
struct entry_numbers {
    uint64_t kind_and_side, now_ms, wall_us, n, ride, n_fds;
};

static int open_again(struct world *w) {
    struct journal j;

    return journal_open(&j, w->memory, journal_n_bytes(w->n_log));
}

TEST(journal, more_fds_than_one_read_brings_are_refused) {
    struct program *program = load_program();
    struct entry_numbers *e;
    struct journal *j;
    struct world w;

    world_init(&w, program, N_LOG);
    talk(&w, 22);
    j = &w.journal;
    e = (struct entry_numbers *)(void *)j->log;
    e->n_fds = JOURNAL_MAX_FDS;
    cr_assert(eq(int, open_again(&w), 0));
    cr_assert(eq(u64, j->head->n_rides, JOURNAL_MAX_FDS));
    e->n_fds = JOURNAL_MAX_FDS + 1;
    cr_assert(eq(int, open_again(&w), JOURNAL_E_INVALID));
    world_deinit(&w);
    program_unref(program);
}

TEST(journal, an_fd_that_cannot_have_come_yet_is_refused) {
    struct program *program = load_program();
    struct entry_numbers *e;
    struct journal *j;
    struct world w;

    world_init(&w, program, N_LOG);
    talk(&w, 22);
    j = &w.journal;
    e = (struct entry_numbers *)(void *)j->log;
    j->head->n_rides = e->ride = 5; /* the next one */
    e->n_fds = 1;
    cr_assert(eq(int, open_again(&w), 0));
    cr_assert(eq(u64, j->head->n_rides, 6));
    e->ride = 7;
    cr_assert(eq(int, open_again(&w), JOURNAL_E_INVALID));
    j->head->n_rides = e->ride = UINT64_MAX - JOURNAL_MAX_FDS;
    cr_assert(eq(int, open_again(&w), 0));
    j->head->n_rides = e->ride = UINT64_MAX - JOURNAL_MAX_FDS + 1;
    cr_assert(eq(int, open_again(&w), JOURNAL_E_INVALID));
    world_deinit(&w);
    program_unref(program);
}

TEST(journal, a_read_that_had_no_room_is_refused) {
    struct program *program = load_program();
    struct journal_bank *bank;
    struct session_time time = {.now_ms = 5000};
    struct world w;
    char *text;
    size_t n;

    world_init(&w, program, JOURNAL_MIN_LOG_BYTES);
    cr_assert(journal_begin_feed(&w.journal, SIDE_CLIENT, time, &text, &n));
    cr_assert(eq(sz, journal_feed_room(&w.journal), n));
    cr_assert(eq(int, open_again(&w), 0));
    memset(w.journal.log, 0, JOURNAL_MIN_LOG_BYTES); /* entries without bytes */
    bank = &w.journal.head->banks[w.journal.head->bank];
    while (JOURNAL_MIN_LOG_BYTES - bank->n_log >= 96 + JOURNAL_MIN_FEED_BYTES) {
        cr_assert(eq(int, open_again(&w), 0), "%zu", (size_t)bank->n_log);
        w.journal.head->feeding_at = bank->n_log += 80;
    }
    cr_assert(eq(int, open_again(&w), JOURNAL_E_INVALID));
    world_deinit(&w);
    program_unref(program);
}

TEST(journal, a_read_of_no_side_is_refused) {
    static const uint32_t wrong[][2] = {
        {JOURNAL_FEED, 2}, {JOURNAL_FEED, UINT32_MAX}, {JOURNAL_END, 0}, {9, 0}};
    struct program *program = load_program();
    struct world w;
    char *text;
    size_t n;

    world_init(&w, program, JOURNAL_MIN_LOG_BYTES);
    cr_assert(journal_begin_feed(&w.journal, SIDE_SERVER, now(&w), &text, &n));
    cr_assert(eq(int, open_again(&w), 0));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        memcpy(w.journal.log, wrong[i], sizeof(wrong[i])); /* kind and side of the entry */
        cr_assert(eq(int, open_again(&w), JOURNAL_E_INVALID));
    }
    world_deinit(&w);
    program_unref(program);
}

/* whatever the length of the log says, it is refused or read, and never read beyond */
TEST(journal, one_that_is_cut_anywhere_does_no_harm) {
    struct program *program = load_program();
    struct world w;
    uint64_t n_log;

    world_init(&w, program, N_LOG);
    talk(&w, 22); /* a reply is held, an event waits */
    n_log = journal_n_log(&w.journal);
    cr_assert(gt(sz, n_log, 0));
    for (uint64_t n = 0; n <= n_log; n++) {
        struct session *s = session_make(program);
        struct journal j;
        int r;

        w.journal.head->banks[w.journal.head->bank].n_log = n;
        r = journal_open(&j, w.memory, journal_n_bytes(N_LOG));
        if (r == 0)
            r = journal_resume(&j, s, w.n_sent, NULL, NULL);
        cr_assert(n == n_log ? r == 0 : r >= 0, "cut at %zu: %d", (size_t)n, r);
        session_free(s);
    }
    world_deinit(&w);
    program_unref(program);
}

TEST(journal, other_rules_than_before_are_noticed) {
    struct program *program = load_program();
    struct session *s = session_make(NULL);
    struct world w;

    world_init(&w, program, N_LOG);
    talk(&w, 20);
    cr_assert(eq(int, journal_open(&w.journal, w.memory, journal_n_bytes(N_LOG)), 0));
    cr_assert(eq(int, journal_resume(&w.journal, s, w.n_sent, NULL, NULL), JOURNAL_E_INVALID));
    session_free(s);
    world_deinit(&w);
    program_unref(program);
}

TEST(journal, what_was_sent_and_cannot_have_been_is_noticed) {
    struct program *program = load_program();
    struct session *s = session_make(program);
    struct world w;

    world_init(&w, program, N_LOG);
    talk(&w, 20);
    w.n_sent[SIDE_CLIENT] += 100000;
    cr_assert(eq(int, journal_open(&w.journal, w.memory, journal_n_bytes(N_LOG)), 0));
    cr_assert(eq(int, journal_resume(&w.journal, s, w.n_sent, NULL, NULL), JOURNAL_E_DIFFERS));
    session_free(s);
    world_deinit(&w);
    program_unref(program);
}

TEST(journal, rules_that_were_packed_are_the_same_rules) {
    struct program *program = load_program(), *same;
    struct buffer packed = BUFFER_INIT, again = BUFFER_INIT;
    struct world whole, ended;

    cr_assert(eq(int, pack_program(program, &packed), 0));
    for (size_t n = 0; n < packed.n; n++)
        cr_assert(eq(int, pack_read(packed.data, n, &same), PACK_E_INVALID));
    cr_assert(eq(int, pack_read(packed.data, packed.n, &same), 0));
    cr_assert(eq(int, pack_program(same, &again), 0));
    cr_assert(is_same(&packed, &again));
    world_init(&whole, program, N_LOG);
    talk(&whole, N_LINES);
    world_init(&ended, same, N_LOG);
    talk(&ended, N_LINES);
    check_same(&whole, &ended);
    world_deinit(&whole);
    world_deinit(&ended);
    program_unref(program);
    program_unref(same);
    buffer_deinit(&packed);
    buffer_deinit(&again);
}
