#pragma once

/*
 * Recording: where the records of all sessions go: a trace file, and those
 * who follow.  It begins and ends while sessions go on.  Nothing is recorded
 * when it is not known what is secret.  Who may ask for it is control.h's
 * business.
 *
 * Lines are gathered for RECORDING_FLUSH_MS.  One who follows and does not
 * read is dropped; the sessions wait for nobody.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "base/buffer.h"
#include "base/list.h"
#include "io/log.h"
#include "io/tracefile.h"
#include "proxy/record.h"
#include "proxy/redact.h"

enum {
    RECORDING_FLUSH_MS = 50,
    RECORDING_TICK_MS = 10,               /* of the loop's clock */
    RECORDING_MAX_BEHIND_BYTES = 8 << 20, /* that one who follows has not read yet */
};

struct follower;

/* @text is gone after the call.  Return: how much of it has not been read yet, with what was before */
typedef size_t (*follower_send_fn)(struct follower *f, const char *text, size_t n);
/* it is dropped: what was sent may still be read, then it is over */
typedef void (*follower_drop_fn)(struct follower *f);

/* one who follows; its owner has it */
struct follower {
    struct list in_recording;
    follower_send_fn send;
    follower_drop_fn drop;
};

/* it is on, or off, now */
typedef void (*recording_switched_fn)(void *userdata, bool is_on);

struct recording {
    uv_loop_t *loop;
    const struct log *log;
    const struct redact *redact; /* NULL: secrets are recorded, too */
    bool is_allowed;             /* it is known what is secret, or does not matter */
    char *default_path;          /* NULL: none */
    uint64_t default_max_bytes;
    struct tracefile file;
    struct list followers;
    size_t n_followers;
    struct record_head head;
    uint64_t loop_ms, now_ms; /* see recording_clock() */
    int64_t loop_us;
    struct buffer line;    /* this record */
    struct buffer waiting; /* for those who follow */
    uv_timer_t timer;      /* data is NULL: not open */
    bool is_on, is_timing;
    bool is_writing; /* a session is telling: it is not told to end its record now */
    recording_switched_fn switched;
    bool (*is_continued)(void *userdata); /* are there sessions that have begun already? */
    void *userdata;
};

void recording_init(struct recording *r, uv_loop_t *loop, const struct log *log);

/* what waits is written; @r must stay until the loop has closed its handles, then recording_deinit() */
void recording_close(struct recording *r);
void recording_deinit(struct recording *r);

enum {
    _RECORDING_E_SUCCESS,
    RECORDING_E_ALLOWED, /* it is not known what is secret */
    RECORDING_E_ON,      /* there is a trace file already */
    RECORDING_E_OFF,     /* there is none */
};

/*
 * recording_clock() - the monotonic time between two ticks of the loop's
 * @loop_ms: the loop's, which was right when it last changed (io/poller.h)
 * @wall_us: now
 *
 * A second exact clock would cost as much as a tenth of a message.
 * Return: in ms; it does not go back, whatever the wall clock does.
 */
uint64_t recording_clock(struct recording *r, uint64_t loop_ms, int64_t wall_us);

/*
 * recording_start() - a trace file, from now on
 * Return: 0, negative (it cannot be written), RECORDING_E_ALLOWED, RECORDING_E_ON
 */
int recording_start(struct recording *r, const char *path, uint64_t max_bytes);

/* Return: 0, RECORDING_E_OFF */
int recording_stop(struct recording *r);

/*
 * recording_follow() - send all records there, from now on, a header first
 * @f: its functions are set
 *
 * Return: 0, -ENOMEM, RECORDING_E_ALLOWED
 */
int recording_follow(struct recording *r, struct follower *f);

/* it is over; may be called again */
void recording_leave(struct recording *r, struct follower *f);

void recording_write(struct recording *r, const struct record *record);
