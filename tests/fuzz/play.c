#include "play.h"

#include <string.h>

#include "peers.h"

enum { FIRST_MS = 1000 };

/* --- orders ------------------------------------------------------------------------------------------------------ */

uint8_t play_take(struct play_orders *o) {
    if (o->n == 0)
        return 0;
    o->n--;
    return *o->data++;
}

static void take_chunk(struct world *w, struct play_orders *o, enum side from) {
    size_t n = play_take(o);

    n = n < o->n ? n : o->n;
    world_feed(w, from, o->data, n);
    o->data += n;
    o->n -= n;
}

/* a fuzzer need not spell out what a session is about */
static void say_phrase(struct world *w, uint8_t which) {
    const char *text;
    enum side from = session_rules_phrase(which, &text);

    world_feed_string(w, from, text);
}

static void good_order(struct world *w, struct play_orders *o, uint8_t kind) {
    switch (kind) {
    case 0:
    case 1: {
        uint8_t which = play_take(o);

        peers_say_command(w, which, play_take(o));
        break;
    }
    case 2:
        peers_say_event(w, play_take(o));
        break;
    default:
        peers_say_reply(w, play_take(o));
    }
}

static void bad_order(struct world *w, struct play_orders *o, uint8_t kind) {
    switch (kind) {
    case 0:
    case 1:
        take_chunk(w, o, (enum side)kind);
        break;
    default:
        say_phrase(w, play_take(o));
    }
}

void play_order(struct world *w, struct play_orders *o) {
    uint8_t what = play_take(o);

    switch (what % 16) {
    case 15:
        world_wait_ms(w, (uint64_t)play_take(o) * 200);
        break;
    case 14:
        w->n_next_fds = 1 + what / 16 % 2;
        w->next_kind = what / 32;
        break;
    case 13:
        w->is_slow[what / 16 % 2] = true;
        break;
    case 12:
        w->is_slow[what / 16 % 2] = false;
        world_drain(w, (enum side)(what / 16 % 2), play_take(o));
        break;
    case 11:
        if (w->play != WORLD_GOOD)
            world_end(w, (enum side)(what / 16 % 2));
        break;
    default:
        if (w->play == WORLD_GOOD)
            good_order(w, o, what % 4);
        else
            bad_order(w, o, what % 4);
    }
}

/* --- the end, and what must hold there -------------------------------------------------------------------------- */

static void drain_all(struct world *w) {
    w->is_slow[SIDE_CLIENT] = w->is_slow[SIDE_SERVER] = false;
    world_after_input(w, 0);
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
        peers_say_reply(w, 7);
        if (n_unanswered(w) == 0)
            world_wait_ms(w, 31000); /* longer than any rule waits */
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
    if (w->play == WORLD_GOOD)
        finish_good(w);
    /* the client goes, the server says nothing more: waits have their end, and what is left is sent */
    world_end(w, SIDE_CLIENT);
    world_wait_ms(w, 600000);
    world_end(w, SIDE_SERVER);
    world_wait_ms(w, 600000);
    drain_all(w);
    for (int side = 0; side < 2; side++)
        FUZZ_CHECK(session_is_finished(w->session, (enum side)side));
    FUZZ_CHECK(w->session->n_queue == 0 && w->session->n_deferred_bytes == 0);
    for (int side = 0; side < 2 && w->play == WORLD_BARE && !may_differ(w); side++)
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

void play_init(struct world *w, const struct ways *ways, struct play_orders *o) {
    uint8_t play = play_take(o), rules = play_take(o), how = play_take(o);

    memset(w, 0, sizeof(*w));
    w->ways = ways;
    w->look = peers_look;
    w->play = (enum world_play)(play % _WORLD_PLAY_N);
    w->rules = session_rules_get(w->play == WORLD_BARE ? 0 : rules);
    w->limits = how & 1 ? small_limits : (struct limits)LIMITS_DEFAULT;
    w->is_oob = w->play == WORLD_GOOD && how & 2;
    w->has_old_errors = !w->is_oob && how & 4; /* a server that leaves out ids */
    w->time = (struct session_time){FIRST_MS, INT64_C(1330837567000000)};
    frame_reader_init(&w->at_server, FRAME_CLIENT);
    frame_reader_init(&w->at_client, FRAME_SERVER);
    FUZZ_CHECK(session_new(w->rules->program, &w->limits, NULL, NULL, &w->session) == 0);
}

void play_deinit(struct world *w) {
    w->session = session_free(w->session);
    for (int side = 0; side < 2; side++) {
        buffer_deinit(&w->in[side].text);
        buffer_deinit(&w->out[side].text);
        buffer_deinit(&w->half[side]);
    }
}

void play_whole(struct world *w, struct play_orders *o) {
    if (w->play == WORLD_GOOD)
        peers_greet(w);
    while (o->n > 0)
        play_order(w, o);
    finish(w);
}
