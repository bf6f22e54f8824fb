#pragma once

/*
 * Watch: says that something may have changed in a folder, or with a file.
 * What did, its owner looks up: the kernel may merge and lose news, and there
 * may be something else under the same name by now.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>
#include "io/log.h"

enum {
    WATCH_SETTLE_MS = 5, /* from the first news until they are told: often more follow */
};

struct watch;
typedef void (*watch_changed_fn)(struct watch *w);

struct watch {
    uv_fs_event_t event;
    uv_timer_t timer;
    const struct log *log;
    char *path; /* NULL: not started */
    uint64_t period_ms;
    dev_t device;  /* of what is watched */
    ino_t inode;   /* 0: nothing */
    bool is_blind; /* the kernel does not tell, and that was logged */
    watch_changed_fn changed;
    void *userdata;
};

/*
 * watch_start() - @changed is called a moment after each change, and every @period_ms
 * @w: zeroed
 *
 * What is not there, or what the kernel has no more watches for, is looked at
 * every @period_ms alone; that is logged once.
 * Return: 0 or -ENOMEM.
 */
int watch_start(struct watch *w, uv_loop_t *loop, const struct log *log, const char *path,
                uint64_t period_ms, watch_changed_fn changed, void *userdata);

/* call @changed in @ms at the latest */
void watch_hurry(struct watch *w, uint64_t ms);

/* does nothing if it was not started; @w must stay until the loop has closed its handles */
void watch_close(struct watch *w);
