#include "io/server.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/list.h"
#include "base/util.h"
#include "io/listener.h"
#include "io/pair.h"
#include "io/tracelog.h"

enum {
    SERVER_READ_BYTES = 256 << 10
}; /* more than a socket holds by default, so that one read is one wake-up */

/* a place where clients come in */
struct door {
    struct list in_server;
    struct server *server;
    struct listener listener;
    char *connect_path;
};

struct server {
    uv_loop_t loop;
    uv_signal_t sigterm, sigint;
    const struct log *log;
    struct program *program;
    struct pair_shared shared;
    struct list doors, pairs;
    uint64_t n_pairs; /* so far; the last one's id */
    bool is_stopping;
};

/* ---- pairs ---- */

static void server_log_end(const struct server *s, const struct pair *p,
                           const struct pair_end *end) {
    enum log_level level = end->error       ? LOG_LEVEL_ERROR
                           : end->is_normal ? LOG_LEVEL_INFO
                                            : LOG_LEVEL_WARNING;
    const struct session_stats *n = session_stats(p->session);

    log_write(s->log, level, "session closed", LOG_NUMBER("session", p->id),
              LOG_WORD("side", tracelog_side(end->side)), LOG_STRING("reason", end->reason),
              LOG_NUMBER("client_messages", n->n_messages[SIDE_CLIENT]),
              LOG_NUMBER("server_messages", n->n_messages[SIDE_SERVER]),
              LOG_NUMBER("client_bytes", n->n_bytes[SIDE_CLIENT]),
              LOG_NUMBER("server_bytes", n->n_bytes[SIDE_SERVER]),
              LOG_NUMBER("rewritten", n->n_rewritten), LOG_NUMBER("dropped", n->n_dropped),
              LOG_NUMBER("answered", n->n_answered), LOG_NUMBER("asked", n->n_asked),
              LOG_NUMBER("held", n->n_held), LOG_NUMBER("failed", n->n_failed),
              LOG_NUMBER("timed_out", n->n_timed_out));
}

static void server_on_pair_closed(struct pair *p) {
    list_remove(&p->in_server);
}

static void server_drop(struct pair *p, const struct pair_end *end) {
    struct server *s = p->userdata;

    server_log_end(s, p, end);
    pair_close(p, server_on_pair_closed);
}

static void server_on_accepted(struct listener *l, int fd) {
    struct door *d = container_of(l, struct door, listener);
    struct server *s = d->server;
    struct pair *p;
    int r;

    r = pair_new(&s->shared, ++s->n_pairs, fd, d->connect_path, s->program, server_drop, s, &p);
    if (r < 0) {
        log_write(s->log, LOG_LEVEL_ERROR, "client turned away", LOG_NUMBER("session", s->n_pairs),
                  LOG_STRING("reason", strerror(-r)));
        return;
    }
    list_append(&s->pairs, &p->in_server);
    log_write(s->log, LOG_LEVEL_DEBUG, "session opened", LOG_NUMBER("session", p->id),
              LOG_STRING("path", l->path));
}

/* ---- doors ---- */

static void door_free(struct door *d) {
    list_remove(&d->in_server);
    free(d->connect_path);
    free(d);
}

static void door_on_closed(struct listener *l) {
    door_free(container_of(l, struct door, listener));
}

int server_listen(struct server *s, const char *listen_path, const char *connect_path,
                  int *reterr_errno) {
    struct door *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->server = s;
    list_append(&s->doors, &d->in_server);
    d->connect_path = strdup(connect_path);
    r = d->connect_path ? listener_bind(&d->listener, listen_path, reterr_errno) : -ENOMEM;
    if (r) {
        door_free(d);
        return r;
    }
    r = listener_start(&d->listener, &s->loop, s->log, server_on_accepted);
    if (r < 0) {
        listener_close(&d->listener, door_on_closed);
        return r;
    }
    log_write(s->log, LOG_LEVEL_INFO, "listening", LOG_STRING("path", listen_path),
              LOG_STRING("connect", connect_path));
    return 0;
}

/* ---- signals and the end ---- */

static void server_release(uv_signal_t *handle) {
    if (handle->data && !uv_is_closing((uv_handle_t *)handle))
        uv_close((uv_handle_t *)handle, NULL);
}

static void server_stop_pair(struct pair *p) {
    if (!p->is_over)
        server_drop(p, &(struct pair_end){.side = -1, .is_normal = true, .reason = "stopping"});
}

void server_stop(struct server *s) {
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    server_release(&s->sigterm);
    server_release(&s->sigint);
    list_for_each_safe(i, &s->doors)
        listener_close(&list_entry(i, struct door, in_server)->listener, door_on_closed);
    list_for_each(i, &s->pairs)
        server_stop_pair(list_entry(i, struct pair, in_server));
}

static void server_on_signal(uv_signal_t *handle, int number) {
    struct server *s = handle->data;

    log_write(s->log, LOG_LEVEL_INFO, "stopping", LOG_STRING("signal", strsignal(number)));
    server_stop(s);
}

static int server_catch(struct server *s, uv_signal_t *handle, int number) {
    int r;

    r = uv_signal_init(&s->loop, handle);
    if (r < 0)
        return r;
    handle->data = s;
    return uv_signal_start(handle, server_on_signal, number);
}

/* ---- the whole ---- */

int server_new(const struct log *log, const struct limits *limits, struct server **ret_server) {
    struct server *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    r = uv_loop_init(&s->loop);
    if (r < 0) {
        free(s);
        return r;
    }
    s->log = log;
    list_init(&s->doors);
    list_init(&s->pairs);
    s->shared = (struct pair_shared){
        .loop = &s->loop,
        .log = log,
        .limits = *limits,
        .text = malloc(SERVER_READ_BYTES),
        .n_text = SERVER_READ_BYTES,
    };
    r = s->shared.text ? server_catch(s, &s->sigterm, SIGTERM) : -ENOMEM;
    if (r == 0)
        r = server_catch(s, &s->sigint, SIGINT);
    if (r < 0) {
        server_free(s);
        return r;
    }
    *ret_server = s;
    return 0;
}

struct server *server_free(struct server *s) {
    int r;

    if (!s)
        return NULL;
    server_stop(s);
    uv_run(&s->loop, UV_RUN_DEFAULT); /* what is closing must finish closing */
    r = uv_loop_close(&s->loop);
    assert(r == 0); /* server_stop() closes every handle there is */
    program_unref(s->program);
    free(s->shared.text);
    free(s);
    return NULL;
}

void server_run(struct server *s) {
    uv_run(&s->loop, UV_RUN_DEFAULT);
}

void server_set_program(struct server *s, struct program *program) {
    struct program *old = s->program;

    s->program = program ? program_ref(program) : NULL;
    program_unref(old);
}
