#include "io/control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

struct control_client {
    struct list in_control;
    struct control *control;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    struct buffer answer;
    unsigned int n_handles; /* not closed yet */
};

static void client_on_closed(uv_handle_t *handle) {
    struct control_client *k = handle->data;

    if (--k->n_handles > 0)
        return;
    buffer_deinit(&k->answer);
    free(k);
}

static void client_close(struct control_client *k) {
    if (uv_is_closing((uv_handle_t *)&k->pipe))
        return;
    list_remove(&k->in_control);
    k->control->n_clients--;
    uv_close((uv_handle_t *)&k->pipe, client_on_closed);
    uv_close((uv_handle_t *)&k->timer, client_on_closed);
}

static void client_on_written(uv_write_t *write, int status) {
    (void)status; /* it went, or it did not want to know */
    client_close(write->data);
}

static void client_on_timer(uv_timer_t *timer) {
    client_close(timer->data);
}

/* Return: 0 or negative */
static int client_answer(struct control_client *k) {
    uv_buf_t text;
    int r;

    k->control->describe(k->control->userdata, &k->answer);
    r = buffer_status(&k->answer);
    if (r < 0)
        return r;
    text = uv_buf_init(k->answer.data, (unsigned int)k->answer.n);
    r = uv_write(&k->write, (uv_stream_t *)&k->pipe, &text, 1, client_on_written);
    if (r < 0)
        return r;
    return uv_timer_start(&k->timer, client_on_timer, CONTROL_TIMEOUT_MS, 0);
}

static int client_new(struct control *c, int fd) {
    struct control_client *k = calloc(1, sizeof(*k));
    int r;

    if (!k) {
        close(fd);
        return -ENOMEM;
    }
    k->control = c;
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
        r = client_answer(k);
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
                  control_describe_fn describe, void *userdata) {
    assert(!c->is_open); /* its owner has one, and starts it once */
    c->loop = loop;
    c->log = log;
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
