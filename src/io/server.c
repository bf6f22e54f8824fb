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
#include "io/doors.h"
#include "io/fdstore.h"
#include "io/lifeline.h"
#include "io/listener.h"
#include "io/metrics.h"
#include "io/notify.h"
#include "io/pair.h"
#include "io/poller.h"
#include "io/report.h"
#include "io/tally.h"
#include "io/tracelog.h"

enum {
    SERVER_READ_BYTES =
        256 << 10, /* more than a socket holds by default, so that one read is one wake-up */
    SERVER_ROOM_BYTES = 16 << 10, /* for what is made of one read, mostly */
    SERVER_PATIENCE_MS =
        30000,             /* for a QEMU that was started together with us to make its socket */
    SERVER_LAST_MS = 5000, /* for clients to read the last words of a QEMU that has gone */
    SERVER_LEAVE_MS =
        200, /* for those who have found our socket to connect to it, when it has lost its name */
};

enum { SERVER_SIGNALS = 3 };

struct server {
    uv_loop_t loop;
    struct poller poller;
    uv_signal_t signals[SERVER_SIGNALS];
    uv_timer_t drain;
    const struct log *log;
    struct program *program;
    struct access access;
    struct pair_shared shared;
    struct buffer room;
    struct doors doors;
    struct list pairs;
    uint64_t n_pairs; /* so far; the last one's id */
    uint64_t drain_ms, start_ms;
    bool is_draining, is_stopping;
    bool is_leaving;      /* the first moments of draining, after a server got its place back */
    bool is_handing_over; /* by a signal: another process is to go on */

    server_reload_fn reload;
    void *reload_userdata;
    bool is_reload_failed; /* the last one */

    /* the view from outside */
    struct tally tally;
    struct notify notify;
    struct fdstore store;
    struct lifeline lifeline;
    struct recording recording;
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
    if (p->door)
        door_leave(p->door);
    if (s->is_draining && !s->is_leaving && list_is_empty(&s->pairs))
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

static void server_on_client(struct door *d, int fd) {
    const struct listener *l = &d->listener;
    struct server *s = d->userdata;
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
    p->door = d;
    door_enter(d);
    s->tally.n_sessions++;
    list_append(&s->pairs, &p->in_server);
    log_write(s->log, LOG_LEVEL_DEBUG, "session opened", LOG_NUMBER("session", p->id),
              LOG_STRING("path", l->path), LOG_NUMBER("pid", (uint64_t)peer.pid),
              LOG_NUMBER("uid", peer.uid));
}

/* ---- sessions of an earlier process ---- */

void server_set_store(struct server *s, size_t room) {
    s->store.room = room;
}

static void server_resume_pair(struct server *s, struct keep_left *left) {
    struct pair *p;
    int fd = left->client_fd, r;

    if (left->id > s->n_pairs)
        s->n_pairs = left->id;
    r = pair_resume(&s->shared, left, server_drop, s, &p);
    if (r) {
        if (r < 0)
            log_write(s->log, LOG_LEVEL_ERROR, "session of an earlier process cannot go on",
                      LOG_NUMBER("session", left->id), LOG_STRING("reason", strerror(-r)));
        return;
    }
    access_check(&(struct access)ACCESS_INIT, fd, &p->peer); /* it was admitted then */
    s->tally.n_sessions++;
    list_append(&s->pairs, &p->in_server);
    log_write(s->log, LOG_LEVEL_INFO, "session goes on", LOG_NUMBER("session", p->id),
              LOG_STRING("connect", p->connect_path),
              LOG_NUMBER("to_client", session_out(p->session, SIDE_CLIENT)->n_bytes),
              LOG_NUMBER("to_server", session_out(p->session, SIDE_SERVER)->n_bytes));
}

void server_resume(struct server *s, struct activation *a) {
    struct keep_left left;
    int r;

    fdstore_adopt_programs(&s->store, a);
    while ((r = keep_adopt(&s->store, a, &left)) != KEEP_E_NONE)
        if (r == 0)
            server_resume_pair(s, &left);
    keep_tidy(&s->store, a);
}

/* ---- doors ---- */

static void server_on_door_left(struct doors *doors, struct door *d) {
    struct server *s = doors->userdata;

    list_for_each(i, &s->pairs) {
        struct pair *p = list_entry(i, struct pair, in_server);

        if (p->door == d)
            p->door = NULL;
    }
}

int server_listen(struct server *s, const char *listen_path, const char *connect_path,
                  const struct listener_permit *permit, int *reterr_errno) {
    return doors_listen(&s->doors, listen_path, connect_path, permit, reterr_errno);
}

int server_adopt_take(struct server *s, int fd, const char *connect_path) {
    /* QEMU, whom we stand for, takes its socket away when it ends, inherited or not */
    return doors_adopt_take(&s->doors, fd, connect_path, s->lifeline.is_open);
}

struct doors *server_doors(struct server *s) {
    return &s->doors;
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
        .recording = &s->recording,
        .folder = s->doors.folder.back ? &s->doors.folder : NULL,
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

static void server_on_recording(void *userdata, bool is_on) {
    struct server *s = userdata;

    log_write(s->log, LOG_LEVEL_INFO, is_on ? "recording begins" : "recording ends");
    if (is_on)
        return;
    list_for_each(i, &s->pairs)
        pair_end_record(list_entry(i, struct pair, in_server));
}

static bool server_has_sessions(void *userdata) {
    const struct server *s = userdata;

    return !list_is_empty(&s->pairs);
}

static int server_start_control(struct server *s) {
    return control_start(&s->control, &s->loop, s->log, &s->recording, server_describe_json, s);
}

int server_control(struct server *s, const char *path, int *reterr_errno) {
    int r;

    r = listener_bind(&s->control.listener, path, reterr_errno);
    return r ? r : server_start_control(s);
}

int server_control_take(struct server *s, int fd) {
    listener_adopt_take(&s->control.listener, fd);
    return server_start_control(s);
}

int server_write_metrics(struct server *s, const char *path) {
    return metrics_start(&s->metrics, &s->loop, s->log, path, server_describe_metrics, s);
}

/* ---- signals and the end ---- */

static void server_release(uv_handle_t *handle) {
    if (handle->data && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void server_hand_over(struct server *s, struct pair *p) {
    log_write(s->log, LOG_LEVEL_INFO, "session is left to the next process",
              LOG_NUMBER("session", p->id));
    tally_add(&s->tally.ended, session_stats(p->session));
    pair_leave(p, server_on_pair_closed);
}

static void server_stop_pair(struct server *s, struct pair *p) {
    if (p->is_over)
        return;
    if (s->is_handing_over && p->keep)
        server_hand_over(s, p);
    else
        server_drop(p, &(struct pair_end){.side = -1, .is_normal = true, .reason = "stopping"});
}

void server_stop(struct server *s) {
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    for (size_t i = 0; i < SERVER_SIGNALS; i++)
        server_release((uv_handle_t *)&s->signals[i]);
    server_release((uv_handle_t *)&s->drain);
    doors_close(&s->doors);
    list_for_each(i, &s->pairs)
        server_stop_pair(s, list_entry(i, struct pair, in_server));
    control_close(&s->control);
    recording_close(&s->recording);
    metrics_close(&s->metrics);
    notify_close(&s->notify);
    lifeline_close(&s->lifeline);
}

static void server_on_drained(uv_timer_t *timer) {
    struct server *s = timer->data;

    log_write(s->log, LOG_LEVEL_WARNING, "sessions go on, but the time to drain is over");
    server_stop(s);
}

/* no more clients; those who are inside have their time */
static void server_drain(struct server *s) {
    s->is_leaving = false;
    if (s->drain_ms == 0 || list_is_empty(&s->pairs)) {
        server_stop(s);
        return;
    }
    log_write(s->log, LOG_LEVEL_INFO, "draining", LOG_NUMBER("timeout_ms", s->drain_ms));
    doors_close(&s->doors);
    uv_timer_start(&s->drain, server_on_drained, s->drain_ms, 0);
}

static void server_on_left(uv_timer_t *timer) {
    server_drain(timer->data);
}

/* the server is there now, for those who have not reached it yet, too */
static void server_leave(struct server *s, const char *server_path) {
    list_for_each(i, &s->pairs)
        pair_redirect(list_entry(i, struct pair, in_server), server_path);
    s->is_leaving = true;
    uv_timer_start(&s->drain, server_on_left, SERVER_LEAVE_MS, 0);
}

static void server_end(struct server *s) {
    bool is_second = s->is_draining;
    const char *server_path;

    s->is_draining = true;
    notify_stopping(&s->notify);
    if (is_second) {
        server_stop(s);
        return;
    }
    server_path = doors_give_back(&s->doors);
    if (server_path)
        server_leave(s, server_path);
    else
        server_drain(s);
}

static void server_on_cut(void *userdata) {
    struct server *s = userdata;

    log_write(s->log, LOG_LEVEL_INFO, "the server has ended");
    s->shared.patience_ms = 0;
    if (s->drain_ms < SERVER_LAST_MS || s->doors.is_taking)
        s->drain_ms = SERVER_LAST_MS;
    if (!s->is_draining)
        server_end(s);
}

static void server_on_taken_over(struct doors *doors, const char *server_path) {
    struct server *s = doors->userdata;

    if (!server_path) {
        server_on_cut(s);
        return;
    }
    log_write(s->log, LOG_LEVEL_INFO, "somebody put the server's socket back");
    s->is_draining = true;
    notify_stopping(&s->notify);
    server_leave(s, server_path);
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
    s->is_handing_over = true;
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

static void server_init_doors(struct server *s) {
    doors_init(&s->doors, &s->loop, s->log);
    s->doors.came = server_on_client;
    s->doors.left = server_on_door_left;
    s->doors.over = server_on_taken_over;
    s->doors.userdata = s;
}

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
    r = poller_init(&s->poller, &s->loop);
    if (r < 0) {
        uv_loop_close(&s->loop);
        free(s);
        return r;
    }
    s->log = log;
    list_init(&s->pairs);
    server_init_doors(s);
    control_init(&s->control);
    recording_init(&s->recording, &s->loop, log);
    s->recording.switched = server_on_recording;
    s->recording.is_continued = server_has_sessions;
    s->recording.userdata = s;
    notify_open(&s->notify);
    fdstore_init(&s->store, &s->notify, log);
    s->start_ms = uv_now(&s->loop);
    uv_timer_init(&s->loop, &s->drain);
    s->drain.data = s;
    s->shared = (struct pair_shared){
        .loop = &s->loop,
        .poller = &s->poller,
        .log = log,
        .tally = &s->tally,
        .store = &s->store,
        .recording = &s->recording,
        .limits = *limits,
        .text = malloc(SERVER_READ_BYTES + SERVER_ROOM_BYTES),
        .n_text = SERVER_READ_BYTES,
        .room = &s->room,
    };
    if (s->shared.text)
        s->room = buffer_in(s->shared.text + SERVER_READ_BYTES, SERVER_ROOM_BYTES);
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
    poller_run(&s->poller); /* what is closing must finish closing */
    poller_deinit(&s->poller);
    r = uv_loop_close(&s->loop);
    assert(r == 0); /* server_stop() closes every handle there is */
    fdstore_deinit(&s->store);
    program_unref(s->program);
    access_deinit(&s->access);
    tally_deinit(&s->tally);
    recording_deinit(&s->recording);
    free(s->shared.text);
    free(s);
    return NULL;
}

void server_run(struct server *s) {
    notify_start(&s->notify, &s->loop, server_describe_line, s);
    notify_ready(&s->notify);
    lifeline_tell_ready(&s->lifeline);
    poller_run(&s->poller);
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

struct recording *server_recording(struct server *s) {
    return &s->recording;
}

void server_set_drain(struct server *s, uint64_t drain_ms) {
    s->drain_ms = drain_ms;
}

void server_set_reload(struct server *s, server_reload_fn reload, void *userdata) {
    s->reload = reload;
    s->reload_userdata = userdata;
}
