/*
 * How a pair begins, anew or where an earlier process stopped, how it is
 * recorded, and how it ends.  What it does in between is pair.c's business.
 */
#include "io/pair_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdlook.h"
#include "base/util.h"
#include "io/tracelog.h"
#include "io/upstream.h"

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

int pair_join_record(struct pair *p) {
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
