#include "io/control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "io/request.h"

struct control_client {
    struct list in_control;
    struct control *control;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    int fd; /* the pipe's */
    char request[REQUEST_MAX_BYTES];
    size_t n_request;
    bool is_asked; /* the request was understood, or there was none */
    bool is_last;  /* nothing comes behind what is being sent */
    struct follower follower;
    struct buffer sending; /* the kernel has not got all of it yet */
    struct buffer waiting; /* behind that */
    bool is_sending;
    unsigned int n_handles; /* not closed yet */
};

static void client_on_closed(uv_handle_t *handle) {
    struct control_client *k = handle->data;

    if (--k->n_handles > 0)
        return;
    buffer_deinit(&k->sending);
    buffer_deinit(&k->waiting);
    free(k);
}

static void client_close(struct control_client *k) {
    if (uv_is_closing((uv_handle_t *)&k->pipe))
        return;
    recording_leave(k->control->recording, &k->follower);
    list_remove(&k->in_control);
    k->control->n_clients--;
    uv_close((uv_handle_t *)&k->pipe, client_on_closed);
    uv_close((uv_handle_t *)&k->timer, client_on_closed);
}

static void client_on_timer(uv_timer_t *timer) {
    client_close(timer->data);
}

/* ---- what is sent ---- */

static void client_send_on(struct control_client *k);

static void client_on_written(uv_write_t *write, int status) {
    struct control_client *k = write->data;

    k->is_sending = false;
    buffer_clear(&k->sending);
    if (status < 0) /* it does not want to know */
        client_close(k);
    else
        client_send_on(k);
}

/* what waits is sent; the end, when it is the last */
static void client_send_on(struct control_client *k) {
    struct buffer empty = k->sending;
    uv_buf_t text;

    if (k->is_sending || uv_is_closing((uv_handle_t *)&k->pipe))
        return;
    if (k->waiting.n == 0 || k->waiting.failed) {
        if (k->is_last || k->waiting.failed)
            client_close(k);
        return;
    }
    k->sending = k->waiting;
    k->waiting = empty;
    text = uv_buf_init(k->sending.data, (unsigned int)k->sending.n);
    if (uv_write(&k->write, (uv_stream_t *)&k->pipe, &text, 1, client_on_written) < 0)
        client_close(k);
    else
        k->is_sending = true;
}

/* nothing comes behind it, and it is to be read soon */
static void client_end(struct control_client *k) {
    if (uv_is_closing((uv_handle_t *)&k->pipe))
        return;
    k->is_last = true;
    uv_timer_start(&k->timer, client_on_timer, CONTROL_TIMEOUT_MS, 0);
    client_send_on(k);
}

/* ---- following ---- */

static size_t client_follow_send(struct follower *f, const char *text, size_t n) {
    struct control_client *k = container_of(f, struct control_client, follower);

    buffer_append(&k->waiting, text, n);
    client_send_on(k);
    return k->sending.n + k->waiting.n;
}

static void client_follow_drop(struct follower *f) {
    client_end(container_of(f, struct control_client, follower));
}

static void client_follow(struct control_client *k) {
    int r;

    k->follower.send = client_follow_send;
    k->follower.drop = client_follow_drop;
    r = recording_follow(k->control->recording, &k->follower);
    if (r == 0)
        return;
    request_refuse(&k->waiting, r < 0 ? "out of memory" : "it is not known what is secret");
    client_end(k);
}

/* ---- what is asked ---- */

static void client_act(struct control_client *k) {
    struct control *c = k->control;

    k->is_asked = true;
    uv_timer_stop(&k->timer);
    switch (request_do(c->recording, k->fd, k->request, k->n_request, &k->waiting)) {
    case REQUEST_E_FOLLOW:
        client_follow(k);
        return;
    case REQUEST_E_STATUS:
        c->describe(c->userdata, &k->waiting);
        break;
    default:
        break;
    }
    client_end(k);
}

static void client_on_patience(uv_timer_t *timer) {
    client_act(timer->data);
}

static void client_on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room) {
    struct control_client *k = handle->data;

    (void)suggested;
    if (k->is_asked) /* what it says now is read for the end that comes behind */
        k->n_request = 0;
    *ret_room =
        uv_buf_init(k->request + k->n_request, (unsigned int)(sizeof(k->request) - k->n_request));
}

static void client_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room) {
    struct control_client *k = stream->data;

    (void)room;
    if (n == UV_EOF && !k->is_asked) {
        client_act(k);
    } else if (n == UV_EOF) {
        uv_read_stop(stream); /* half a close; one that follows has gone */
        if (!list_is_empty(&k->follower.in_recording))
            client_close(k);
    } else if (n < 0) {
        client_close(k);
    } else if (!k->is_asked) {
        k->n_request += (size_t)n;
        if (memchr(k->request, '\n', k->n_request) || k->n_request == sizeof(k->request))
            client_act(k);
    }
}

/* Return: 0 or negative */
static int client_listen(struct control_client *k) {
    int r = uv_timer_start(&k->timer, client_on_patience, CONTROL_PATIENCE_MS, 0);

    return r < 0 ? r : uv_read_start((uv_stream_t *)&k->pipe, client_on_room, client_on_read);
}

static int client_new(struct control *c, int fd) {
    struct control_client *k = calloc(1, sizeof(*k));
    int r;

    if (!k) {
        close(fd);
        return -ENOMEM;
    }
    k->control = c;
    k->fd = fd;
    list_init(&k->follower.in_recording);
    uv_pipe_init(c->loop, &k->pipe, 0);
    uv_timer_init(c->loop, &k->timer);
    k->n_handles = 2;
    k->pipe.data = k->timer.data = k->write.data = k;
    list_append(&c->clients, &k->in_control);
    c->n_clients++;
    r = uv_pipe_open(&k->pipe, fd);
    if (r < 0)
        close(fd);
    else
        r = client_listen(k);
    if (r < 0)
        client_close(k);
    return r;
}

static void control_on_accepted(struct listener *l, int fd) {
    struct control *c = container_of(l, struct control, listener);
    int r;

    if (c->n_clients >= CONTROL_MAX_CLIENTS) {
        close(fd);
        return;
    }
    r = client_new(c, fd);
    if (r < 0)
        log_write(c->log, LOG_LEVEL_ERROR, "status not told", LOG_STRING("reason", strerror(-r)));
}

void control_init(struct control *c) {
    *c = (struct control){.listener = LISTENER_INIT};
    list_init(&c->clients);
}

int control_start(struct control *c, uv_loop_t *loop, const struct log *log,
                  struct recording *recording, control_describe_fn describe, void *userdata) {
    assert(!c->is_open); /* its owner has one, and starts it once */
    c->loop = loop;
    c->log = log;
    c->recording = recording;
    c->describe = describe;
    c->userdata = userdata;
    c->is_open = true;
    return listener_start(&c->listener, loop, log, control_on_accepted);
}

void control_close(struct control *c) {
    if (!c->is_open)
        return;
    c->is_open = false;
    listener_close(&c->listener, NULL);
    list_for_each_safe(i, &c->clients)
        client_close(list_entry(i, struct control_client, in_control));
}
