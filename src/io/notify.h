#pragma once

/*
 * Notify: tells the service manager that started us how we are, by the
 * sd_notify protocol: a datagram of lines to $NOTIFY_SOCKET.  Without that
 * variable every call does nothing.  What there is to tell is its caller's
 * business.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>
#include <uv.h>
#include "base/buffer.h"

enum {
    NOTIFY_STATUS_MS = 1000, /* between two looks at whether the status has changed */
};

/* append the status, one line without a newline */
typedef void (*notify_describe_fn)(void *userdata, struct buffer *b);

struct notify {
    int fd; /* -1: nobody to tell */
    struct sockaddr_un address;
    socklen_t n_address;
    uint64_t watchdog_ms; /* between two signs of life; 0: nobody waits for them */
    uv_timer_t watchdog, status;
    bool is_started;
    struct buffer said; /* the last status */
    notify_describe_fn describe;
    void *userdata;
};

#define NOTIFY_INIT                                                                                \
    { .fd = -1 }

/* read the environment, and take it out of there: it is meant for this process alone */
void notify_open(struct notify *n);

/* from now on, give signs of life and tell the status when it changes */
void notify_start(struct notify *n, uv_loop_t *loop, notify_describe_fn describe, void *userdata);

/* clients can come */
void notify_ready(struct notify *n);

/* the rules are being read again; notify_ready() tells the end of it */
void notify_reloading(struct notify *n);

/* no more clients, and soon the end */
void notify_stopping(struct notify *n);

/* is there somebody to tell? */
static inline bool notify_is_open(const struct notify *n) {
    return n->fd >= 0;
}

/*
 * notify_tell() - anything else that the protocol has
 * @text: lines
 * @fd:   sent along, stays the caller's; -1: none
 *
 * Return: false when nobody was told.
 */
bool notify_tell(struct notify *n, const char *text, int fd);

/* @n must stay until the loop has closed its handles */
void notify_close(struct notify *n);
