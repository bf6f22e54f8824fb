#pragma once

/*
 * Metrics: a file that is always whole: written beside its place and moved
 * there, every few seconds and at the end.  What stands in it is its
 * caller's business.
 */

#include <stdbool.h>
#include <uv.h>
#include "base/buffer.h"
#include "io/log.h"

enum { METRICS_PERIOD_MS = 5000 };

/* append the text */
typedef void (*metrics_describe_fn)(void *userdata, struct buffer *b);

struct metrics {
    uv_timer_t timer;
    char *path, *new_path; /* NULL: not started */
    const struct log *log;
    bool is_failing; /* and that was logged */
    metrics_describe_fn describe;
    void *userdata;
};

#define METRICS_INIT                                                                               \
    { 0 }

/*
 * metrics_start() - write the file now, and again and again
 * A file that cannot be written is logged once, and tried again.
 * Return: 0 or -ENOMEM.
 */
int metrics_start(struct metrics *m, uv_loop_t *loop, const struct log *log, const char *path,
                  metrics_describe_fn describe, void *userdata);

/* write it a last time; @m must stay until the loop has closed its handle */
void metrics_close(struct metrics *m);
