#include "io/pair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "io/pair_parts.h"
#include "io/tracelog.h"
#include "io/upstream.h"

static const enum side sides[] = {SIDE_CLIENT, SIDE_SERVER};

static int64_t wall_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * It is kept for what is told meanwhile.  A record has the time to the
 * millisecond; for all else that of the poller will do.
 */
struct session_time pair_time(struct pair *p) {
    struct recording *recording = p->shared->recording;

    p->time = (struct session_time){.now_ms = uv_now(p->shared->loop)};
    if (recording->is_on || session_needs_wall(p->session))
        p->time.wall_us = wall_us();
    if (recording->is_on)
        p->time.now_ms = recording_clock(recording, p->time.now_ms, p->time.wall_us);
    return p->time;
}

/* ---- over ---- */

static void pair_over(struct pair *p, const struct pair_end *end) {
    if (p->is_over)
        return;
    p->is_over = true;
    p->over(p, end);
}

static void pair_over_by_error(struct pair *p, int error) {
    pair_over(p, &(struct pair_end){.side = -1, .error = error, .reason = strerror(-error)});
}

static void pair_over_by_peers(struct pair *p) {
    const struct conn *c = &p->conns[p->ended_by];

    pair_over(p, &(struct pair_end){
                     .side = p->ended_by,
                     .is_normal = !c->error,
                     .reason = c->error ? strerror(c->error) : "closed the connection",
                 });
}

static void pair_note_end(struct pair *p, enum side side) {
    if (!p->has_ended)
        p->ended_by = side;
    p->has_ended = true;
}

/* Is there nothing more to do towards @to? */
static bool pair_is_done(const struct pair *p, enum side to) {
    if (p->conns[to].is_deaf)
        return true;
    return session_is_finished(p->session, to) && out_is_empty(session_out(p->session, to));
}

/*
 * A server whose client is gone is told by half a close and given time.  QEMU
 * drops a socket that hung up without reading what is left in it, and with it
 * the last commands of a client that sends and goes.
 */
static bool pair_must_linger(struct pair *p) {
    const struct conn *server = &p->conns[SIDE_SERVER];

    if (server->is_ended || server->is_deaf)
        return false;
    if (p->linger_ms == UINT64_MAX)
        p->linger_ms = uv_now(p->shared->loop) + PAIR_LINGER_MS;
    return uv_now(p->shared->loop) < p->linger_ms;
}

/* ---- the next step: derived from what is, after every event ---- */

/* What the session made of the input goes out at once, as far as the sockets take it. */
static int pair_send(struct pair *p) {
    for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
        struct conn *c = &p->conns[sides[i]];
        struct out *out = session_out(p->session, sides[i]);

        if (!out_is_empty(out)) {
            int r;

            conn_send(c, out); /* CONN_E_AGAIN: pair_wait() sees that @out is not empty */
            r = out_settle(out);
            if (r < 0)
                return r;
        }
        if (c->is_deaf)
            pair_note_end(p, sides[i]);
    }
    return 0;
}

static bool pair_is_reading(const struct pair *p, enum side from) {
    /* a server that is gone has no use for what the client says */
    if (from == SIDE_CLIENT && p->conns[SIDE_SERVER].is_deaf)
        return false;
    return !p->conns[from].is_ended && session_wants(p->session, from);
}

/* is all as it was before the last message? */
static bool pair_is_at_ease(const struct pair *p) {
    return conn_is_waiting_to_read(&p->conns[SIDE_CLIENT]) &&
           conn_is_waiting_to_read(&p->conns[SIDE_SERVER]) && !p->conns[SIDE_SERVER].is_deaf &&
           session_is_at_ease(p->session);
}

int pair_wait(struct pair *p) {
    for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
        int r = conn_wait(&p->conns[sides[i]], pair_is_reading(p, sides[i]),
                          !out_is_empty(session_out(p->session, sides[i])));

        if (r < 0)
            return r;
    }
    return 0;
}

void pair_set_alarm(struct pair *p, uint64_t due_ms) {
    if (due_ms != p->alarm.due_ms)
        poller_set_alarm(p->shared->poller, &p->alarm, due_ms);
}

static uint64_t pair_due_ms(const struct pair *p) {
    uint64_t session_ms = session_deadline_ms(p->session);

    return session_ms < p->linger_ms ? session_ms : p->linger_ms;
}

/* Return: is it over? */
static bool pair_end_if_done(struct pair *p) {
    bool is_done = true;

    for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
        if (pair_is_done(p, sides[i]))
            conn_shutdown(&p->conns[sides[i]]);
        else
            is_done = false;
    }
    if (!is_done || pair_must_linger(p))
        return false;
    pair_over_by_peers(p);
    return true;
}

/* @r: what the session said to the input */
static void pair_go_on(struct pair *p, int r) {
    if (r == 0)
        r = pair_send(p);
    buffer_clear(p->shared->room);
    if (r < 0) {
        pair_over_by_error(p, r);
        return;
    }
    if (p->keep)
        keep_rest(p->keep, p->session);
    if (p->has_ended && pair_end_if_done(p))
        return;
    pair_set_alarm(p, pair_due_ms(p));
    r = pair_is_at_ease(p) ? 0 : pair_wait(p);
    if (r < 0)
        pair_over_by_error(p, r);
}

/* ---- events ---- */

static void pair_tell_loss(struct pair *p, enum side side) {
    if (!p->is_loss_told)
        log_write(p->shared->log, LOG_LEVEL_WARNING, "file descriptors were lost",
                  LOG_NUMBER("session", p->id), LOG_WORD("side", tracelog_side(side)),
                  LOG_STRING("reason", "this process may not open more"));
    p->is_loss_told = true;
}

/* @r: what the session said to what it was told */
static int pair_told(struct pair *p, int r) {
    if (p->keep && r == 0)
        keep_told(p->keep, p->session);
    return r;
}

static int pair_end(struct pair *p, enum side from, struct session_time time) {
    pair_note_end(p, from);
    if (p->keep)
        keep_event(p->keep, JOURNAL_END, from, time);
    return pair_told(p, session_end(p->session, from, time));
}

static int pair_tick(struct pair *p) {
    struct session_time time = pair_time(p);

    if (p->keep)
        keep_event(p->keep, JOURNAL_TICK, SIDE_SERVER, time);
    return pair_told(p, session_tick(p->session, time));
}

static int pair_feed(struct pair *p, enum side from, const char *text, struct conn_chunk *chunk,
                     struct session_time now) {
    int r = 0;

    if (chunk->fds_at > 0)
        r = session_feed(p->session, from, text, chunk->fds_at, NULL, now);
    if (r < 0) {
        fds_deinit(&chunk->fds);
        return r;
    }
    return session_feed(p->session, from, text + chunk->fds_at, chunk->n - chunk->fds_at,
                        &chunk->fds, now);
}

static int pair_read(struct pair *p, enum side from) {
    struct session_time time = pair_time(p);
    char *text = p->shared->text;
    size_t n = p->shared->n_text, n_kept;
    struct conn_chunk chunk;
    int r;

    if (p->shared->recording->is_on && !p->recorder) {
        r = pair_join_record(p);
        if (r < 0)
            return r;
    }
    if (p->keep && keep_expect(p->keep, from, time, &text, &n_kept))
        n = size_min(n, n_kept);
    r = conn_receive(&p->conns[from], text, n, &chunk);
    if (p->keep)
        keep_received(p->keep, r == 0 ? &chunk : NULL);
    switch (r) {
    case 0:
        if (chunk.is_cut)
            pair_tell_loss(p, from);
        return pair_told(p, pair_feed(p, from, text, &chunk, time));
    case CONN_E_AGAIN:
        return 0;
    case CONN_E_END:
        return pair_end(p, from, time);
    default:
        return error_fold(r);
    }
}

static void pair_on_ready(struct pair *p, enum side side, bool is_readable) {
    pair_go_on(p, is_readable ? pair_read(p, side) : 0);
}

void pair_on_server(struct conn *c, bool is_readable) {
    pair_on_ready(container_of(c, struct pair, conns[SIDE_SERVER]), SIDE_SERVER, is_readable);
}

void pair_on_client(struct conn *c, bool is_readable) {
    struct pair *p = container_of(c, struct pair, conns[SIDE_CLIENT]);

    if (conn_is_open(&p->conns[SIDE_SERVER]))
        pair_on_ready(p, SIDE_CLIENT, is_readable);
    else if (c->is_deaf)
        pair_over(p, &(struct pair_end){.side = SIDE_CLIENT,
                                        .is_normal = true,
                                        .reason = "gone before the server had time"});
}

/* ---- the connection to the server ---- */

static void pair_keep_server(struct pair *p, int fd) {
    if (!p->keep)
        return;
    p->conns[SIDE_SERVER].witness = keep_witness(p->keep, SIDE_SERVER);
    keep_connected(p->keep, fd);
}

void pair_open_server(struct pair *p) {
    int fd = p->server_fd;

    p->server_fd = -1;
    /* QEMU sends no fds, and its replies are long: no second call for each read */
    conn_open_take(&p->conns[SIDE_SERVER], p->shared->poller, fd, false, pair_on_server);
    p->n_conns++;
    pair_keep_server(p, fd);
}

static void pair_connected(struct pair *p) {
    pair_open_server(p);
    pair_go_on(p, 0);
}

static void pair_not_connected(struct pair *p, int error) {
    char reason[256];

    snprintf(reason, sizeof(reason), "cannot connect to %s: %s", p->connect_path, strerror(error));
    pair_over(p, &(struct pair_end){.side = SIDE_SERVER, .reason = reason});
}

/* ask again in a while */
static void pair_wait_for_server(struct pair *p) {
    int r;

    pair_set_alarm(p, uv_now(p->shared->loop) + PAIR_CONNECT_RETRY_MS);
    r = conn_wait(&p->conns[SIDE_CLIENT], false, false); /* only to learn that it went */
    if (r < 0)
        pair_over_by_error(p, r);
}

/* a server that has just been started makes its socket in a moment */
static bool pair_is_patient(const struct pair *p, int error) {
    return (error == ENOENT || error == ECONNREFUSED) &&
           uv_now(p->shared->loop) < p->patient_until_ms;
}

static void pair_connect(struct pair *p) {
    int error;

    switch (upstream_connect(p->server_fd, p->connect_path, &error)) {
    case 0:
        pair_connected(p);
        break;
    case UPSTREAM_E_BUSY:
        pair_wait_for_server(p);
        break;
    default:
        if (pair_is_patient(p, error))
            pair_wait_for_server(p);
        else
            pair_not_connected(p, error);
        break;
    }
}

void pair_on_alarm(struct poller_alarm *a) {
    struct pair *p = container_of(a, struct pair, alarm);

    if (conn_is_open(&p->conns[SIDE_SERVER]))
        pair_go_on(p, pair_tick(p));
    else
        pair_connect(p);
}
