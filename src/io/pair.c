#include "io/pair.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fdlook.h"
#include "base/util.h"
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
static struct session_time pair_time(struct pair *p) {
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

static int pair_wait(struct pair *p) {
    for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
        int r = conn_wait(&p->conns[sides[i]], pair_is_reading(p, sides[i]),
                          !out_is_empty(session_out(p->session, sides[i])));

        if (r < 0)
            return r;
    }
    return 0;
}

static void pair_set_alarm(struct pair *p, uint64_t due_ms) {
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

static int pair_join_record(struct pair *p);

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

static void pair_on_server(struct conn *c, bool is_readable) {
    pair_on_ready(container_of(c, struct pair, conns[SIDE_SERVER]), SIDE_SERVER, is_readable);
}

static void pair_on_client(struct conn *c, bool is_readable) {
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

static void pair_open_server(struct pair *p) {
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

static void pair_on_alarm(struct poller_alarm *a) {
    struct pair *p = container_of(a, struct pair, alarm);

    if (conn_is_open(&p->conns[SIDE_SERVER]))
        pair_go_on(p, pair_tick(p));
    else
        pair_connect(p);
}

/* ---- birth and death ---- */

static void pair_record(struct pair *p, const struct trace_item *item) {
    recorder_tell(p->recorder, item, p->time);
    if (!p->recorder->has_failed)
        return;
    p->recorder->has_failed = false;
    log_write(p->shared->log, LOG_LEVEL_ERROR, "out of memory, a record in the trace is not whole",
              LOG_NUMBER("session", p->id));
}

static void pair_on_trace(void *userdata, const struct trace_item *item) {
    struct pair *p = userdata;

    if (p->is_resuming)
        return;
    if (p->recorder)
        pair_record(p, item);
    if (item->kind >= TRACE_CAME || p->is_repeating)
        return;
    if (item->kind == TRACE_FAILED)
        tally_note_failure(p->shared->tally, item->rule);
    tracelog_write(p->shared->log, p->id, item);
}

/* Return: 0 or -ENOMEM */
static int pair_new_session(struct pair *p, struct program *program, const struct limits *limits) {
    int r = session_new(program, limits, pair_on_trace, p, &p->session);

    if (r == 0) /* which is most of what there is to tell, and nobody would write it down */
        session_tell_passed(p->session, log_is_on(p->shared->log, LOG_LEVEL_DEBUG));
    return r;
}

static void pair_on_record(void *userdata, const struct record *r) {
    const struct pair *p = userdata;

    recording_write(p->shared->recording, r);
}

/* it is larger than all the rest, and most pairs have none.  Return: 0 or -ENOMEM */
static int pair_new_record(struct pair *p) {
    p->recorder = malloc(sizeof(*p->recorder));
    if (!p->recorder)
        return -ENOMEM;
    recorder_init(p->recorder, p->id, p->shared->recording->redact, pair_on_record, p);
    p->recorder->fd_kind = fdlook_kind;
    session_tell_traffic(p->session, true);
    return 0;
}

/* Return: 0 or -ENOMEM */
static int pair_start_record(struct pair *p) {
    int r = pair_new_record(p);

    if (r == 0)
        recorder_note(p->recorder, RECORD_OPENED, NULL, pair_time(p));
    return r;
}

/* in the midst of a session, as soon as that is no midst of a message.  Return: 0 or -ENOMEM */
static int pair_join_record(struct pair *p) {
    int r;

    if (!session_is_between(p->session))
        return 0;
    r = pair_new_record(p);
    if (r < 0)
        return r;
    p->is_repeating = true;
    r = session_tell_active(p->session);
    p->is_repeating = false;
    return r;
}

void pair_end_record(struct pair *p) {
    if (!p->recorder)
        return;
    session_tell_traffic(p->session, false);
    recorder_deinit(p->recorder);
    free(steal(p->recorder));
}

static struct pair *pair_free(struct pair *p) {
    if (p->recorder && p->session)
        recorder_note(p->recorder, RECORD_CLOSED, NULL, pair_time(p));
    pair_end_record(p);
    if (p->server_fd >= 0)
        close(p->server_fd);
    if (p->keep)
        keep_end(p->keep);
    session_free(p->session);
    free(p->connect_path);
    free(p);
    return NULL;
}

/* all that needs no handle in the loop */
static int pair_prepare(struct pair *p, const char *connect_path, struct program *program) {
    int r;

    p->connect_path = strdup(connect_path);
    if (!p->connect_path)
        return -ENOMEM;
    r = upstream_open(&p->server_fd);
    if (r < 0)
        return r;
    r = pair_new_session(p, program, &p->shared->limits);
    if (r < 0)
        return r;
    session_lend(p->session, p->shared->room);
    if (p->shared->is_compact)
        session_compact(p->session);
    return p->shared->recording->is_on ? pair_start_record(p) : 0;
}

/* without it, it is a session like others */
static void pair_begin_keep(struct pair *p, int client_fd, struct program *program) {
    int r = keep_new(p->shared->store, p->id, p->connect_path, &p->shared->limits, client_fd,
                     program, p->session, &p->keep);

    if (r < 0)
        log_write(p->shared->log, LOG_LEVEL_WARNING, "the session will end with this process",
                  LOG_NUMBER("session", p->id), LOG_STRING("reason", strerror(-r)));
}

static int pair_start(struct pair *p, int client_fd, const char *connect_path,
                      struct program *program) {
    uv_loop_t *loop = p->shared->loop;
    int r, error;

    r = pair_prepare(p, connect_path, program);
    if (r < 0) {
        close(client_fd);
        return r;
    }
    if (fdstore_is_open(p->shared->store))
        pair_begin_keep(p, client_fd, program);
    conn_open_take(&p->conns[SIDE_CLIENT], p->shared->poller, client_fd, true, pair_on_client);
    if (p->keep)
        p->conns[SIDE_CLIENT].witness = keep_witness(p->keep, SIDE_CLIENT);
    p->n_conns = 1;
    if (upstream_connect(p->server_fd, p->connect_path, &error) == 0) {
        pair_open_server(p);
        if (pair_wait(p) == 0)
            return 0;
    }
    /* whatever is wrong is found from the loop, so that over() is never called before we return */
    pair_set_alarm(p, uv_now(loop));
    return 0;
}

static struct pair *pair_alloc(const struct pair_shared *shared, uint64_t id, pair_over_fn over,
                               void *userdata) {
    struct pair *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    *p = (struct pair){
        .id = id,
        .shared = shared,
        .conns = {CONN_INIT, CONN_INIT},
        .server_fd = -1,
        .linger_ms = UINT64_MAX,
        .patient_until_ms = uv_now(shared->loop) + shared->patience_ms,
        .over = over,
        .userdata = userdata,
    };
    list_init(&p->in_server);
    poller_alarm_init(&p->alarm, pair_on_alarm);
    return p;
}

int pair_new(const struct pair_shared *shared, uint64_t id, int client_fd, const char *connect_path,
             struct program *program, pair_over_fn over, void *userdata, struct pair **ret_pair) {
    struct pair *p = pair_alloc(shared, id, over, userdata);
    int r;

    if (!p) {
        close(client_fd);
        return -ENOMEM;
    }
    r = pair_start(p, client_fd, connect_path, program);
    if (r < 0) {
        pair_free(p);
        return r;
    }
    *ret_pair = p;
    return 0;
}

int pair_redirect(struct pair *p, const char *connect_path) {
    char *path;

    if (conn_is_open(&p->conns[SIDE_SERVER]))
        return 0; /* where it was is what reports tell of it */
    path = strdup(connect_path);
    if (!path)
        return -ENOMEM;
    free(p->connect_path);
    p->connect_path = path;
    return 0;
}

/* ---- going on for an earlier process ---- */

static int pair_resume_session(struct pair *p, const struct keep_left *left) {
    int r;

    p->connect_path = strdup(left->connect_path);
    if (!p->connect_path)
        return -ENOMEM;
    r = pair_new_session(p, left->program, &left->limits);
    if (r < 0)
        return r;
    p->is_resuming = true;
    r = keep_resume(p->keep, left->server_fd >= 0, p->session);
    p->is_resuming = false;
    session_lend(p->session, p->shared->room); /* from now on it is settled after every input */
    return r;                                  /* what is recorded joins it later */
}

static void pair_resume_conn(struct pair *p, enum side side, int fd, conn_ready_fn ready) {
    struct conn *c = &p->conns[side];

    conn_open_take(c, p->shared->poller, fd, side == SIDE_CLIENT, ready);
    c->witness = keep_witness(p->keep, side);
    p->n_conns++;
}

/* Return: 0 or negative (out of fds) */
static int pair_resume_conns(struct pair *p, const struct keep_left *left) {
    if (left->server_fd < 0) {
        int r = upstream_open(&p->server_fd);

        if (r < 0)
            return r;
    }
    p->n_conns = 0;
    pair_set_alarm(p, uv_now(p->shared->loop)); /* it goes on from there */
    pair_resume_conn(p, SIDE_CLIENT, left->client_fd, pair_on_client);
    if (left->server_fd >= 0)
        pair_resume_conn(p, SIDE_SERVER, left->server_fd, pair_on_server);
    return 0;
}

static void close_left(const struct keep_left *left) {
    if (left->client_fd >= 0)
        close(left->client_fd);
    if (left->server_fd >= 0)
        close(left->server_fd);
}

int pair_resume(const struct pair_shared *shared, struct keep_left *left, pair_over_fn over,
                void *userdata, struct pair **ret_pair) {
    struct pair *p = pair_alloc(shared, left->id, over, userdata);
    int r = -ENOMEM;

    if (p) {
        p->keep = left->keep;
        r = pair_resume_session(p, left);
        if (r == 0)
            r = pair_resume_conns(p, left);
    } else {
        keep_end(left->keep);
    }
    if (r) {
        close_left(left);
        if (p)
            pair_free(p);
        return r;
    }
    *ret_pair = p;
    return 0;
}

static void pair_conn_closed(struct pair *p) {
    if (--p->n_conns > 0)
        return;
    p->closed(p);
    pair_free(p);
}

static void pair_on_client_closed(struct conn *c) {
    pair_conn_closed(container_of(c, struct pair, conns[SIDE_CLIENT]));
}

static void pair_on_server_closed(struct conn *c) {
    pair_conn_closed(container_of(c, struct pair, conns[SIDE_SERVER]));
}

static void pair_finish(struct pair *p, pair_closed_fn closed,
                        void (*finish)(struct conn *c, conn_closed_fn closed)) {
    p->is_over = true;
    p->closed = closed;
    pair_set_alarm(p, UINT64_MAX);
    finish(&p->conns[SIDE_CLIENT], pair_on_client_closed);
    if (conn_is_open(&p->conns[SIDE_SERVER]))
        finish(&p->conns[SIDE_SERVER], pair_on_server_closed);
}

void pair_close(struct pair *p, pair_closed_fn closed) {
    if (p->keep)
        p->keep = keep_end(p->keep);
    p->conns[SIDE_CLIENT].witness = p->conns[SIDE_SERVER].witness = NULL;
    pair_finish(p, closed, conn_close);
}

void pair_leave(struct pair *p, pair_closed_fn closed) {
    if (!p->keep) {
        pair_close(p, closed);
        return;
    }
    p->keep = keep_leave(p->keep);
    p->conns[SIDE_CLIENT].witness = p->conns[SIDE_SERVER].witness = NULL;
    pair_finish(p, closed, conn_leave);
}
