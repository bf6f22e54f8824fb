#pragma once

/*
 * Control: a socket on which the server says how it is, and does what
 * request.h tells of: one request a connection.  Who says nothing, for a
 * moment or because he has closed his side, is told how the server is.
 */

#include <stdbool.h>
#include <uv.h>
#include "base/buffer.h"
#include "base/list.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/recording.h"

enum {
    CONTROL_MAX_CLIENTS = 16,  /* at once; one more is turned away */
    CONTROL_PATIENCE_MS = 200, /* for a client to say what it wants */
    CONTROL_TIMEOUT_MS = 5000, /* for a client to read its answer */
};

/* append the answer */
typedef void (*control_describe_fn)(void *userdata, struct buffer *b);

struct control {
    struct listener listener;
    uv_loop_t *loop;
    const struct log *log;
    struct recording *recording;
    struct list clients;
    unsigned int n_clients;
    bool is_open;
    control_describe_fn describe;
    void *userdata;
};

/* for control_close() before control_start() */
void control_init(struct control *c);

/*
 * control_start() - answer from now on
 * @c->listener: bound or adopted before
 * @recording:   must outlive @c
 *
 * Return: 0 or negative (out of memory).
 */
int control_start(struct control *c, uv_loop_t *loop, const struct log *log,
                  struct recording *recording, control_describe_fn describe, void *userdata);

/* @c must stay until the loop has closed its handles */
void control_close(struct control *c);
