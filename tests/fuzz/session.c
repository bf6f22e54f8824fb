/*
 * A whole session: what a client and a server may say, in whatever pieces, at
 * whatever times, with fds and ends in between, and an oracle for each way in
 * which it is played.
 *
 *   PLAY_BARE   no rules, any bytes.  What comes out is what went in, byte for
 *               byte, and fds come out on the bytes they went in with.
 *   PLAY_WILD   rules, any bytes.  Limits hold, it ends when it is told to, and
 *               under a policy the server hears nothing that is not allowed.
 *   PLAY_GOOD   rules, a client and a server that keep to the protocol.  Each
 *               command gets one reply, in its turn; what no rule mentions
 *               comes unchanged and in order.
 *
 * The first three bytes choose the play, the rules and the limits; the rest
 * are orders, see order().
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "proxy/checkpoint.h"
#include "proxy/flow.h"
#include "qmp/message.h"
#include "session-rules.h"

enum { MAX_COMMANDS = 400, MAX_MARKS = 4096, MAX_TICKS = 100000, FIRST_MS = 1000 };

enum play { PLAY_BARE, PLAY_WILD, PLAY_GOOD, _PLAY_N };

/* fds that went with a byte */
struct mark {
    size_t at, n_fds;
};

struct stream {
    struct buffer text;
    struct mark mark[MAX_MARKS];
    size_t n_marks;
};

/* one that the client sent, in a good play */
struct sent {
    char id[32];
    char text[120];
    size_t n_fds;
    bool is_plain, is_oob, is_replied, has_arrived;
};

/* one that the server heard */
struct heard {
    char name[40];
    char id[120];
    bool is_oob, is_answered;
};

struct world {
    enum play play;
    const struct session_rules *rules;
    struct session *session;
    struct limits limits;
    struct session_time time;
    struct stream in[2], out[2];
    bool is_slow[2], has_ended[2];
    size_t n_next_fds;
    int highest_fd;

    struct sent sent[MAX_COMMANDS];
    size_t n_sent;
    struct heard heard[MAX_COMMANDS * 8];
    size_t n_heard;
    struct frame_reader at_server, at_client;
    struct buffer half[2]; /* by whom it is for: of what came, not a whole object yet */
    size_t n_seen[2];      /* how much of out[] was looked at */
    size_t n_events, n_events_seen;
    bool is_oob, has_old_errors;
};

/* --- fds ------------------------------------------------------------------------------------------------ */

static void open_fds(struct world *w, struct fds *fds) {
    for (; w->n_next_fds > 0; w->n_next_fds--) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        FUZZ_CHECK(fd >= 0 && fds_push_take(fds, fd) == 0);
        w->highest_fd = fd > w->highest_fd ? fd : w->highest_fd;
    }
}

static int next_fd(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

/* FUZZ_TRACE=1 shows the dialogue, to understand what was found */
static void tell(const char *what, enum side side, const char *text, size_t n) {
    if (!getenv("FUZZ_TRACE"))
        return;
    fprintf(stderr, "%s %s ", side == SIDE_CLIENT ? "client" : "server", what);
    fwrite(text, 1, n, stderr);
    fputc('\n', stderr);
}

/* --- bytes in and out -------------------------------------------------------------------------------------- */

static void add_mark(struct stream *s, size_t n_fds) {
    if (n_fds > 0 && s->n_marks < MAX_MARKS)
        s->mark[s->n_marks++] = (struct mark){s->text.n, n_fds};
}

static void drain(struct world *w, enum side to, size_t max) {
    struct out *out = session_out(w->session, to);

    while (!out_is_empty(out) && max > 0) {
        const struct fds *fds;
        struct iovec iov;
        size_t n;

        out_peek(out, &iov, 1, &fds);
        n = iov.iov_len < max ? iov.iov_len : max;
        add_mark(&w->out[to], fds ? fds->n : 0);
        buffer_append(&w->out[to].text, iov.iov_base, n);
        tell("<", to, iov.iov_base, n);
        out_sent(out, n);
        max -= n;
    }
    FUZZ_CHECK(out_settle(out) == 0);
}

/* what holds between any two inputs */
static void check_limits(const struct world *w) {
    const struct session *s = w->session;

    /* more only behind a message that passes in pieces; then the client is not read */
    FUZZ_CHECK(s->n_queue <= s->limits.max_held ||
               (s->is_streaming && !session_wants(s, SIDE_CLIENT)));
    FUZZ_CHECK(s->n_queue_bytes <= s->limits.max_held_bytes ||
               (s->is_streaming && !session_wants(s, SIDE_CLIENT)));
    FUZZ_CHECK(s->n_filling == 0);
    FUZZ_CHECK(list_is_empty(&s->queue) == (s->n_queue == 0));
    FUZZ_CHECK(list_is_empty(&s->deferred) == (s->n_deferred_bytes == 0));
    FUZZ_CHECK(session_deadline_ms(s) > w->time.now_ms || session_deadline_ms(s) == UINT64_MAX);
}

static void look(struct world *w);

static void after_input(struct world *w, int r) {
    FUZZ_CHECK(r == 0);
    for (int side = 0; side < 2; side++)
        drain(w, (enum side)side, w->is_slow[side] ? 0 : SIZE_MAX);
    /* nobody may notice that another session goes on */
    if (checkpoint_is_due(w->session))
        FUZZ_CHECK(checkpoint_renew(&w->session) == 0);
    look(w);
}

/* from memory that goes at once: what is borrowed for too long is seen */
static void feed(struct world *w, enum side from, const void *text, size_t n) {
    struct fds fds = FDS_INIT;
    char *copy;
    int r;

    if (n == 0 || w->has_ended[from] || !session_wants(w->session, from))
        return;
    copy = malloc(n);
    FUZZ_CHECK(copy);
    memcpy(copy, text, n);
    add_mark(&w->in[from], w->n_next_fds);
    open_fds(w, &fds);
    buffer_append(&w->in[from].text, text, n);
    tell(">", from, text, n);
    r = session_feed(w->session, from, copy, n, &fds, w->time);
    FUZZ_CHECK(fds_is_empty(&fds));
    after_input(w, r);
    check_limits(w);
    free(copy);
}

static void feed_string(struct world *w, enum side from, const char *text) {
    feed(w, from, text, strlen(text));
}

static void end(struct world *w, enum side from) {
    if (w->has_ended[from])
        return;
    w->has_ended[from] = true;
    after_input(w, session_end(w->session, from, w->time));
}

/* each deadline at its time */
static void wait_ms(struct world *w, uint64_t ms) {
    uint64_t until_ms = w->time.now_ms + ms;
    size_t n_ticks = 0;

    while (session_deadline_ms(w->session) <= until_ms) {
        FUZZ_CHECK(n_ticks++ < MAX_TICKS);
        w->time.now_ms = session_deadline_ms(w->session);
        after_input(w, session_tick(w->session, w->time));
    }
    w->time.now_ms = until_ms;
    tell("waits", SIDE_CLIENT, "", 0);
    check_limits(w);
}

/* --- a policy ------------------------------------------------------------------------------------------------ */

static bool is_allowed(const struct world *w, const struct message *m) {
    for (const char *const *name = w->rules->allowed; *name; name++)
        if (strlen(*name) == m->n_name && memcmp(*name, m->name, m->n_name) == 0)
            return true;
    return false;
}

static void check_policy(const struct world *w, enum frame_scan scan, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct message m;

    if (!w->rules->allowed || scan == FRAME_BLANK)
        return;
    FUZZ_CHECK(scan == FRAME_OBJECT);
    FUZZ_CHECK(message_read(&arena, text, n, &m) == 0);
    FUZZ_CHECK(m.kind == FRAME_COMMAND || m.kind == FRAME_COMMAND_OOB);
    FUZZ_CHECK(is_allowed(w, &m));
}

/* --- what a good server hears ----------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, const char *text, size_t n) {
    FUZZ_CHECK(n < room);
    memcpy(to, text, n);
    to[n] = '\0';
}

static size_t n_fds_within(const struct stream *s, size_t from, size_t to) {
    size_t n_fds = 0;

    for (size_t i = 0; i < s->n_marks; i++)
        if (s->mark[i].at >= from && s->mark[i].at < to)
            n_fds += s->mark[i].n_fds;
    return n_fds;
}

/* a command that no rule mentions came: it must be the next one of its kind, as it was sent */
static void check_plain(struct world *w, const char *text, size_t n, size_t end_at) {
    for (size_t i = 0; i < w->n_sent; i++) {
        struct sent *c = &w->sent[i];

        if (!c->is_plain || c->has_arrived)
            continue;
        c->has_arrived = true;
        FUZZ_CHECK(strlen(c->text) == n && memcmp(c->text, text, n) == 0);
        FUZZ_CHECK(n_fds_within(&w->out[SIDE_SERVER], end_at - n, end_at) == c->n_fds);
        return;
    }
    FUZZ_CHECK(!"a command that nobody sent");
}

static void hear(struct world *w, const char *text, size_t n, size_t end_at) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct heard *h = &w->heard[w->n_heard++];
    const struct json *id;
    struct message m;

    FUZZ_CHECK(w->n_heard < ARRAY_SIZE(w->heard));
    FUZZ_CHECK(message_read(&arena, text, n, &m) == 0);
    FUZZ_CHECK(m.kind == FRAME_COMMAND || m.kind == FRAME_COMMAND_OOB);
    *h = (struct heard){.is_oob = m.kind == FRAME_COMMAND_OOB};
    copy_text(h->name, sizeof(h->name), m.name, m.n_name);
    id = json_member(m.root, "id");
    if (id)
        copy_text(h->id, sizeof(h->id), id->text, id->n_text);
    if (strcmp(h->name, "plain") == 0 && !h->is_oob && !w->is_oob)
        check_plain(w, text, n, end_at);
}

/* --- what a good client hears ------------------------------------------------------------------------------------- */

static void check_order(const struct world *w, const struct sent *c) {
    for (const struct sent *before = w->sent; before < c; before++)
        FUZZ_CHECK(c->is_oob || before->is_oob || before->is_replied);
}

static struct sent *find_sent(struct world *w, const char *id, size_t n) {
    for (size_t i = 0; i < w->n_sent; i++) {
        struct sent *c = &w->sent[i];

        if (n == 0 && !c->is_oob && !c->is_replied)
            return c; /* without an id, as some servers answer: it is the next one's */
        if (n > 0 && strlen(c->id) == n && memcmp(c->id, id, n) == 0)
            return c;
    }
    return NULL;
}

static void hear_reply(struct world *w, const char *text, const struct frame *frame) {
    struct sent *c = find_sent(w, text + frame->id.at, frame->id.n);

    FUZZ_CHECK(c);
    FUZZ_CHECK(!c->is_replied);
    c->is_replied = true;
    check_order(w, c);
}

/* those that no rule mentions are all there, in order */
static void hear_event(struct world *w, const char *text, const struct frame *frame) {
    char expected[100];

    if (frame->name.n != 5 || memcmp(text + frame->name.at, "PLAIN", 5) != 0)
        return;
    snprintf(expected, sizeof(expected), "{\"event\":\"PLAIN\",  \"data\": {\"n\": %zu}}",
             ++w->n_events_seen);
    FUZZ_CHECK(frame->n_bytes == strlen(expected) && memcmp(text, expected, frame->n_bytes) == 0);
}

static void hear_message(struct world *w, const char *text, const struct frame *frame) {
    switch (frame->kind) {
    case FRAME_RETURN:
    case FRAME_ERROR:
        hear_reply(w, text, frame);
        break;
    case FRAME_EVENT:
        hear_event(w, text, frame);
        break;
    default:
        FUZZ_CHECK(frame->kind == FRAME_GREETING);
    }
}

/* --- looking at what came out ---------------------------------------------------------------------------------------- */

static void look_at_piece(struct world *w, enum side to, enum frame_scan scan, const char *text,
                          size_t n, size_t end_at) {
    if (to == SIDE_SERVER)
        check_policy(w, scan, text, n);
    if (w->play != PLAY_GOOD || scan == FRAME_BLANK)
        return;
    FUZZ_CHECK(scan == FRAME_OBJECT);
    if (to == SIDE_SERVER)
        hear(w, text, n, end_at);
    else
        hear_message(w, text, frame_reader_frame(&w->at_client));
}

static void look_at(struct world *w, enum side to) {
    struct frame_reader *reader = to == SIDE_SERVER ? &w->at_server : &w->at_client;
    const struct buffer *out = &w->out[to].text;
    struct buffer *half = &w->half[to];
    size_t n;

    while (w->n_seen[to] < out->n) {
        enum frame_scan scan =
            frame_scan(reader, out->data + w->n_seen[to], out->n - w->n_seen[to], &n);

        buffer_append(half, out->data + w->n_seen[to], n);
        w->n_seen[to] += n;
        if (scan == FRAME_PART)
            continue;
        look_at_piece(w, to, scan, half->data, half->n, w->n_seen[to]);
        buffer_clear(half);
    }
}

static void look(struct world *w) {
    if (w->play == PLAY_BARE)
        return;
    look_at(w, SIDE_SERVER);
    if (w->play == PLAY_GOOD)
        look_at(w, SIDE_CLIENT);
}

/* --- what good peers say ------------------------------------------------------------------------------------------- */

static void say_command(struct world *w, uint8_t which, uint8_t how) {
    const char *name = session_commands[which % session_n_commands];
    struct sent *c = &w->sent[w->n_sent];

    if (w->n_sent == MAX_COMMANDS || w->has_ended[SIDE_CLIENT] ||
        !session_wants(w->session, SIDE_CLIENT))
        return;
    *c = (struct sent){.is_oob = w->is_oob && how % 8 == 7, .n_fds = w->n_next_fds};
    snprintf(c->id, sizeof(c->id),
             how & 8    ? "\"c%zu\""
             : how & 16 ? "[%zu]"
                        : "%zu.0",
             w->n_sent + 1);
    snprintf(c->text, sizeof(c->text),
             how & 32 ? "{\"id\": %s, \"%s\": \"%s\" ,\"arguments\":{\"id\": \"%c\"}}"
                      : "{ \"id\":%s,\"%s\":\"%s\"}",
             c->id, c->is_oob ? "exec-oob" : "execute", name, 'a' + how % 2);
    c->is_plain = strcmp(name, "plain") == 0 && !c->is_oob;
    w->n_sent++;
    feed_string(w, SIDE_CLIENT, c->text);
    if (how & 64)
        feed_string(w, SIDE_CLIENT, "\r\n");
}

static const char *reply_for(const struct heard *h, uint8_t how) {
    if (strcmp(h->name, "query-things") == 0 && how % 4)
        return "\"return\": [{\"id\": \"a\", \"size\": 1}, {\"id\": \"b\", \"size\": 2}]";
    switch (how % 8) {
    case 0:
        return "\"error\": {\"class\": \"NewError\", \"desc\": \"no\"}";
    case 1:
        return "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"the new text\"}";
    case 2:
        return "\"return\": []";
    default:
        return "\"return\": {}";
    }
}

static void say_reply(struct world *w, uint8_t how) {
    bool seen_in_band = false;
    char text[300];

    for (size_t i = 0; i < w->n_heard; i++) {
        struct heard *h = &w->heard[i];

        if (h->is_answered || (!h->is_oob && seen_in_band))
            continue;
        if (h->is_oob && how & 8) /* later */
            continue;
        if (w->has_ended[SIDE_SERVER] || !session_wants(w->session, SIDE_SERVER))
            return;
        seen_in_band = true;
        h->is_answered = true;
        if (h->id[0] == '\0' || (how % 8 == 1 && w->has_old_errors))
            snprintf(text, sizeof(text), "{%s}\r\n", reply_for(h, how));
        else if (how & 16)
            snprintf(text, sizeof(text), "{\"id\": %s, %s}\r\n", h->id, reply_for(h, how));
        else
            snprintf(text, sizeof(text), "{%s, \"id\": %s}\r\n", reply_for(h, how), h->id);
        feed_string(w, SIDE_SERVER, text);
        return;
    }
}

static void say_event(struct world *w, uint8_t which) {
    const char *name = session_events[which % session_n_events];
    bool is_plain = strcmp(name, "PLAIN") == 0;
    char text[100];

    if (w->has_ended[SIDE_SERVER] || !session_wants(w->session, SIDE_SERVER))
        return;
    if (is_plain)
        snprintf(text, sizeof(text), "{\"event\":\"PLAIN\",  \"data\": {\"n\": %zu}}\r\n",
                 ++w->n_events);
    else
        snprintf(text, sizeof(text), "{\"event\": \"%s\", \"data\": {\"id\": \"%c\"}}\r\n", name,
                 'a' + which / 16 % 2);
    feed_string(w, SIDE_SERVER, text);
}

static void greet(struct world *w) {
    feed_string(
        w, SIDE_SERVER,
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, "
        "\"capabilities\": [\"oob\"]}}\r\n");
    w->sent[w->n_sent++] = (struct sent){.id = "0"};
    feed_string(
        w, SIDE_CLIENT,
        w->is_oob
            ? "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}, \"id\": 0}"
            : "{\"execute\": \"qmp_capabilities\", \"id\": 0}");
    say_reply(w, 7);
}

/* --- orders ------------------------------------------------------------------------------------------------------ */

struct orders {
    const uint8_t *data;
    size_t n;
};

static uint8_t take(struct orders *o) {
    if (o->n == 0)
        return 0;
    o->n--;
    return *o->data++;
}

static void take_chunk(struct world *w, struct orders *o, enum side from) {
    size_t n = take(o);

    n = n < o->n ? n : o->n;
    feed(w, from, o->data, n);
    o->data += n;
    o->n -= n;
}

/* a fuzzer need not spell out what a session is about */
static void say_phrase(struct world *w, uint8_t which) {
    const struct session_phrase *p = &session_phrases[which % session_n_phrases];

    feed_string(w, p->from, p->text);
}

static void good_order(struct world *w, struct orders *o, uint8_t kind) {
    switch (kind) {
    case 0:
    case 1: {
        uint8_t which = take(o);

        say_command(w, which, take(o));
        break;
    }
    case 2:
        say_event(w, take(o));
        break;
    default:
        say_reply(w, take(o));
    }
}

static void bad_order(struct world *w, struct orders *o, uint8_t kind) {
    switch (kind) {
    case 0:
    case 1:
        take_chunk(w, o, (enum side)kind);
        break;
    default:
        say_phrase(w, take(o));
    }
}

static void order(struct world *w, struct orders *o) {
    uint8_t what = take(o);

    switch (what % 16) {
    case 15:
        wait_ms(w, (uint64_t)take(o) * 200);
        break;
    case 14:
        w->n_next_fds = 1 + what / 16 % 2;
        break;
    case 13:
        w->is_slow[what / 16 % 2] = true;
        break;
    case 12:
        w->is_slow[what / 16 % 2] = false;
        drain(w, (enum side)(what / 16 % 2), take(o));
        break;
    case 11:
        if (w->play != PLAY_GOOD)
            end(w, (enum side)(what / 16 % 2));
        break;
    default:
        if (w->play == PLAY_GOOD)
            good_order(w, o, what % 4);
        else
            bad_order(w, o, what % 4);
    }
}

/* --- the end, and what must hold there -------------------------------------------------------------------------- */

static void drain_all(struct world *w) {
    w->is_slow[SIDE_CLIENT] = w->is_slow[SIDE_SERVER] = false;
    after_input(w, 0);
}

static size_t n_unanswered(const struct world *w) {
    size_t n = 0;

    for (size_t i = 0; i < w->n_heard; i++)
        n += !w->heard[i].is_answered;
    return n;
}

/* a good server answers all there is; then all that waits has its end */
static void finish_good(struct world *w) {
    drain_all(w);
    for (size_t i = 0; i < ARRAY_SIZE(w->heard) &&
                       (n_unanswered(w) > 0 || session_deadline_ms(w->session) != UINT64_MAX);
         i++) {
        say_reply(w, 7);
        if (n_unanswered(w) == 0)
            wait_ms(w, 31000); /* longer than any rule waits */
    }
    for (size_t i = 0; i < w->n_sent; i++)
        FUZZ_CHECK(w->sent[i].is_replied);
    for (size_t i = 0; i < w->n_sent && !w->rules->allowed && !w->is_oob; i++)
        FUZZ_CHECK(!w->sent[i].is_plain || w->sent[i].has_arrived);
    FUZZ_CHECK(w->n_events_seen == w->n_events);
    FUZZ_CHECK(w->session->n_queue == 0 && w->session->n_in_flight == 0 &&
               list_is_empty(&w->session->tasks));
}

static bool has_text(const struct buffer *b, const char *text) {
    return b->n > 0 && memmem(b->data, b->n, text, strlen(text));
}

static void check_same(const struct world *w, enum side from) {
    const struct stream *in = &w->in[from], *out = &w->out[side_other(from)];

    FUZZ_CHECK(in->text.n == out->text.n);
    FUZZ_CHECK(in->text.n == 0 || memcmp(in->text.data, out->text.data, in->text.n) == 0);
    FUZZ_CHECK(in->n_marks == out->n_marks);
    for (size_t i = 0; i < in->n_marks; i++)
        FUZZ_CHECK(in->mark[i].at == out->mark[i].at && in->mark[i].n_fds == out->mark[i].n_fds);
}

/* with out-of-band execution, a command with fds gets an id of the shim's own */
static bool may_differ(const struct world *w) {
    return w->session->is_oob &&
           (w->in[SIDE_CLIENT].n_marks > 0 || w->in[SIDE_SERVER].n_marks > 0 ||
            has_text(&w->in[SIDE_CLIENT].text, "\\"));
}

static void finish(struct world *w) {
    drain_all(w);
    if (w->play == PLAY_GOOD)
        finish_good(w);
    /* the client goes, the server says nothing more: waits have their end, and what is left is sent */
    end(w, SIDE_CLIENT);
    wait_ms(w, 600000);
    end(w, SIDE_SERVER);
    wait_ms(w, 600000);
    drain_all(w);
    for (int side = 0; side < 2; side++)
        FUZZ_CHECK(session_is_finished(w->session, (enum side)side));
    FUZZ_CHECK(w->session->n_queue == 0 && w->session->n_deferred_bytes == 0);
    for (int side = 0; side < 2 && w->play == PLAY_BARE && !may_differ(w); side++)
        check_same(w, (enum side)side);
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static const struct limits small_limits = {
    .max_message_bytes = 100,
    .max_pending = 3,
    .max_held = 4,
    .max_held_bytes = 300,
    .max_facts = 2,
    .max_out_bytes = 200,
    .ask_timeout_ms = 1000,
    .fd_timeout_ms = 2000,
};

static void init(struct world *w, struct orders *o) {
    uint8_t play = take(o), rules = take(o), how = take(o);

    memset(w, 0, sizeof(*w));
    w->play = (enum play)(play % _PLAY_N);
    w->rules = session_rules_get(w->play == PLAY_BARE ? 0 : rules);
    w->limits = how & 1 ? small_limits : (struct limits)LIMITS_DEFAULT;
    w->is_oob = w->play == PLAY_GOOD && how & 2;
    w->has_old_errors = !w->is_oob && how & 4; /* a server that leaves out ids */
    w->time = (struct session_time){FIRST_MS, INT64_C(1330837567000000)};
    frame_reader_init(&w->at_server, FRAME_CLIENT);
    frame_reader_init(&w->at_client, FRAME_SERVER);
    FUZZ_CHECK(session_new(w->rules->program, &w->limits, NULL, NULL, &w->session) == 0);
}

static void deinit(struct world *w) {
    w->session = session_free(w->session);
    for (int side = 0; side < 2; side++) {
        buffer_deinit(&w->in[side].text);
        buffer_deinit(&w->out[side].text);
        buffer_deinit(&w->half[side]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct world w;
    struct orders o = {data, n};
    int first_fd = next_fd();

    init(&w, &o);
    if (w.play == PLAY_GOOD)
        greet(&w);
    while (o.n > 0)
        order(&w, &o);
    finish(&w);
    deinit(&w);
    FUZZ_CHECK(next_fd() == first_fd);
    return 0;
}
