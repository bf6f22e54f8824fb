#pragma once

/*
 * Lifeline: a connection whose other end the server's process holds, from
 * before it starts until it and all its children have gone.  Nothing is read
 * from it; one byte is written, once we are ready.
 */

#include <stdbool.h>
#include <uv.h>

/* the other end was closed; called once at most */
typedef void (*lifeline_cut_fn)(void *userdata);

struct lifeline {
    uv_poll_t poll;
    int fd;
    bool is_open;
    lifeline_cut_fn cut;
    void *userdata;
};

/*
 * lifeline_start_take() - watch it
 * @l:  zeroed
 * @fd: consumed
 *
 * Return: 0 or negative (out of memory).
 */
int lifeline_start_take(struct lifeline *l, uv_loop_t *loop, int fd, lifeline_cut_fn cut,
                        void *userdata);

/* tell whoever started us that clients are served from now on; does nothing when there is none */
void lifeline_tell_ready(struct lifeline *l);

/* @l must stay until the loop has closed its handle */
void lifeline_close(struct lifeline *l);
