#include "io/server.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/list.h"
#include "base/util.h"
#include "io/control.h"
#include "io/lifeline.h"
#include "io/listener.h"
#include "io/metrics.h"
#include "io/notify.h"
#include "io/pair.h"
#include "io/report.h"
#include "io/tally.h"
#include "io/tracelog.h"

enum {
    SERVER_READ_BYTES =
        256 << 10, /* more than a socket holds by default, so that one read is one wake-up */
    SERVER_PATIENCE_MS =
        30000,             /* for a QEMU that was started together with us to make its socket */
    SERVER_LAST_MS = 5000, /* for clients to read the last words of a QEMU that has gone */
};

/* a place where clients come in */
struct door {
    struct list in_server;
    struct server *server;
    struct listener listener;
    char *connect_path;
};

enum { SERVER_SIGNALS = 3 };

struct server {
    uv_loop_t loop;
    uv_signal_t signals[SERVER_SIGNALS];
    uv_timer_t drain;
    const struct log *log;
    struct program *program;
    struct access access;
    struct pair_shared shared;
    struct list doors, pairs;
    uint64_t n_pairs; /* so far; the last one's id */
    uint64_t drain_ms, start_ms;
    bool is_draining, is_stopping;

    server_reload_fn reload;
    void *reload_userdata;
    bool is_reload_failed; /* the last one */

    /* the view from outside */
    struct tally tally;
    struct notify notify;
    struct lifeline lifeline;
    struct control control;
    struct metrics metrics;
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
    struct server *s = p->userdata;

    list_remove(&p->in_server);
    if (s->is_draining && list_is_empty(&s->pairs))
        server_stop(s);
}

static void server_drop(struct pair *p, const struct pair_end *end) {
    struct server *s = p->userdata;

    server_log_end(s, p, end);
    tally_add(&s->tally.ended, session_stats(p->session));
    pair_close(p, server_on_pair_closed);
}

/* Return: may this client connect?  If not, that was logged */
static bool server_admits(struct server *s, const struct listener *l, int fd,
                          struct access_peer *ret_peer) {
    if (access_check(&s->access, fd, ret_peer))
        return true;
    s->tally.n_refused++;
    log_write(s->log, LOG_LEVEL_WARNING, "client refused", LOG_STRING("path", l->path),
              LOG_NUMBER("pid", (uint64_t)ret_peer->pid), LOG_NUMBER("uid", ret_peer->uid),
              LOG_NUMBER("gid", ret_peer->gid));
    return false;
}

static void server_on_accepted(struct listener *l, int fd) {
    struct door *d = container_of(l, struct door, listener);
    struct server *s = d->server;
    struct access_peer peer;
    struct pair *p;
    int r;

    if (!server_admits(s, l, fd, &peer)) {
        close(fd);
        return;
    }
    r = pair_new(&s->shared, ++s->n_pairs, fd, d->connect_path, s->program, server_drop, s, &p);
    if (r < 0) {
        log_write(s->log, LOG_LEVEL_ERROR, "client turned away", LOG_NUMBER("session", s->n_pairs),
                  LOG_STRING("reason", strerror(-r)));
        return;
    }
    p->peer = peer;
    s->tally.n_sessions++;
    list_append(&s->pairs, &p->in_server);
    log_write(s->log, LOG_LEVEL_DEBUG, "session opened", LOG_NUMBER("session", p->id),
              LOG_STRING("path", l->path), LOG_NUMBER("pid", (uint64_t)peer.pid),
              LOG_NUMBER("uid", peer.uid));
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

static void door_close(struct door *d) {
    list_remove(&d->in_server);
    listener_close(&d->listener, door_on_closed);
}

static struct door *door_new(struct server *s, const char *connect_path) {
    struct door *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->server = s;
    d->listener = (struct listener)LISTENER_INIT;
    list_append(&s->doors, &d->in_server);
    d->connect_path = strdup(connect_path);
    if (d->connect_path)
        return d;
    door_free(d);
    return NULL;
}

/* @d is gone on failure */
static int door_open(struct door *d) {
    struct server *s = d->server;
    int r;

    r = listener_start(&d->listener, &s->loop, s->log, server_on_accepted);
    if (r < 0) {
        door_close(d);
        return r;
    }
    log_write(s->log, LOG_LEVEL_INFO, "listening", LOG_STRING("path", d->listener.path),
              LOG_STRING("connect", d->connect_path));
    return 0;
}

int server_listen(struct server *s, const char *listen_path, const char *connect_path,
                  const struct listener_permit *permit, int *reterr_errno) {
    struct door *d = door_new(s, connect_path);
    int r;

    if (!d)
        return -ENOMEM;
    r = listener_bind(&d->listener, listen_path, reterr_errno);
    if (r == 0 && permit)
        r = listener_set_permit(&d->listener, permit, reterr_errno);
    if (r) {
        door_close(d);
        return r;
    }
    return door_open(d);
}

int server_adopt_take(struct server *s, int fd, const char *connect_path) {
    struct door *d = door_new(s, connect_path);

    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    listener_adopt_take(&d->listener, fd);
    /* QEMU, whom we stand for, takes its socket away when it ends, inherited or not */
    if (s->lifeline.is_open && listener_own(&d->listener) < 0) {
        door_close(d);
        return -ENOMEM;
    }
    return door_open(d);
}

/* ---- the view from outside ---- */

static struct report server_report(const struct server *s) {
    return (struct report){
        .tally = &s->tally,
        .pairs = &s->pairs,
        .program = s->program,
        .uptime_ms = uv_now(&s->loop) - s->start_ms,
        .is_draining = s->is_draining,
        .is_reload_failed = s->is_reload_failed,
    };
}

static void server_describe_line(void *userdata, struct buffer *b) {
    struct report r = server_report(userdata);

    report_line(&r, b);
}

static void server_describe_json(void *userdata, struct buffer *b) {
    struct report r = server_report(userdata);

    report_json(&r, b);
}

static void server_describe_metrics(void *userdata, struct buffer *b) {
    struct report r = server_report(userdata);

    report_metrics(&r, b);
}

int server_control(struct server *s, const char *path, int *reterr_errno) {
    int r;

    r = listener_bind(&s->control.listener, path, reterr_errno);
    return r ? r : control_start(&s->control, &s->loop, s->log, server_describe_json, s);
}

int server_control_take(struct server *s, int fd) {
    listener_adopt_take(&s->control.listener, fd);
    return control_start(&s->control, &s->loop, s->log, server_describe_json, s);
}

int server_write_metrics(struct server *s, const char *path) {
    return metrics_start(&s->metrics, &s->loop, s->log, path, server_describe_metrics, s);
}

/* ---- signals and the end ---- */

static void server_release(uv_handle_t *handle) {
    if (handle->data && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void server_close_doors(struct server *s) {
    list_for_each_safe(i, &s->doors)
        door_close(list_entry(i, struct door, in_server));
}

static void server_stop_pair(struct pair *p) {
    if (!p->is_over)
        server_drop(p, &(struct pair_end){.side = -1, .is_normal = true, .reason = "stopping"});
}

void server_stop(struct server *s) {
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    for (size_t i = 0; i < SERVER_SIGNALS; i++)
        server_release((uv_handle_t *)&s->signals[i]);
    server_release((uv_handle_t *)&s->drain);
    server_close_doors(s);
    list_for_each(i, &s->pairs)
        server_stop_pair(list_entry(i, struct pair, in_server));
    control_close(&s->control);
    metrics_close(&s->metrics);
    notify_close(&s->notify);
    lifeline_close(&s->lifeline);
}

static void server_on_drained(uv_timer_t *timer) {
    struct server *s = timer->data;

    log_write(s->log, LOG_LEVEL_WARNING, "sessions go on, but the time to drain is over");
    server_stop(s);
}

static void server_end(struct server *s) {
    bool is_second = s->is_draining;

    s->is_draining = true;
    notify_stopping(&s->notify);
    if (is_second || s->drain_ms == 0 || list_is_empty(&s->pairs)) {
        server_stop(s);
        return;
    }
    log_write(s->log, LOG_LEVEL_INFO, "draining", LOG_NUMBER("timeout_ms", s->drain_ms));
    server_close_doors(s);
    uv_timer_start(&s->drain, server_on_drained, s->drain_ms, 0);
}

static void server_on_cut(void *userdata) {
    struct server *s = userdata;

    log_write(s->log, LOG_LEVEL_INFO, "the server has ended");
    s->shared.patience_ms = 0;
    if (s->drain_ms < SERVER_LAST_MS)
        s->drain_ms = SERVER_LAST_MS;
    if (!s->is_draining)
        server_end(s);
}

int server_hang_on_take(struct server *s, int fd) {
    s->shared.patience_ms = SERVER_PATIENCE_MS;
    return lifeline_start_take(&s->lifeline, &s->loop, fd, server_on_cut, s);
}

static void server_reload(struct server *s) {
    if (!s->reload || s->is_draining)
        return;
    notify_reloading(&s->notify);
    s->is_reload_failed = !s->reload(s, s->reload_userdata);
    if (s->is_reload_failed) {
        s->tally.n_failed_reloads++;
        log_write(s->log, LOG_LEVEL_ERROR, "reload failed, the rules stay as they were");
    } else {
        s->tally.n_reloads++;
        log_write(s->log, LOG_LEVEL_INFO, "reloaded, for the sessions to come");
    }
    notify_ready(&s->notify);
}

static void server_on_signal(uv_signal_t *handle, int number) {
    struct server *s = handle->data;

    if (number == SIGHUP) {
        server_reload(s);
        return;
    }
    log_write(s->log, LOG_LEVEL_INFO, "stopping", LOG_STRING("signal", strsignal(number)));
    server_end(s);
}

static int server_catch_signals(struct server *s) {
    static const int numbers[SERVER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < SERVER_SIGNALS; i++) {
        int r = uv_signal_init(&s->loop, &s->signals[i]);

        if (r < 0)
            return r;
        s->signals[i].data = s;
        r = uv_signal_start(&s->signals[i], server_on_signal, numbers[i]);
        if (r < 0)
            return r;
    }
    return 0;
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
    control_init(&s->control);
    notify_open(&s->notify);
    s->start_ms = uv_now(&s->loop);
    uv_timer_init(&s->loop, &s->drain);
    s->drain.data = s;
    s->shared = (struct pair_shared){
        .loop = &s->loop,
        .log = log,
        .tally = &s->tally,
        .limits = *limits,
        .text = malloc(SERVER_READ_BYTES),
        .n_text = SERVER_READ_BYTES,
    };
    r = s->shared.text ? server_catch_signals(s) : -ENOMEM;
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
    access_deinit(&s->access);
    tally_deinit(&s->tally);
    free(s->shared.text);
    free(s);
    return NULL;
}

void server_run(struct server *s) {
    notify_start(&s->notify, &s->loop, server_describe_line, s);
    notify_ready(&s->notify);
    lifeline_tell_ready(&s->lifeline);
    uv_run(&s->loop, UV_RUN_DEFAULT);
}

void server_set_program(struct server *s, struct program *program) {
    struct program *old = s->program;

    s->program = program ? program_ref(program) : NULL;
    program_unref(old);
}

void server_set_access_take(struct server *s, struct access *access) {
    access_deinit(&s->access);
    s->access = *access;
    *access = (struct access)ACCESS_INIT;
}

void server_set_compact(struct server *s, bool is_compact) {
    s->shared.is_compact = is_compact;
}

void server_set_trace(struct server *s, struct tracefile *trace) {
    s->shared.trace = trace;
}

void server_set_drain(struct server *s, uint64_t drain_ms) {
    s->drain_ms = drain_ms;
}

void server_set_reload(struct server *s, server_reload_fn reload, void *userdata) {
    s->reload = reload;
    s->reload_userdata = userdata;
}
