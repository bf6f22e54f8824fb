#pragma once

/*
 * The world of the session targets: one session, the bytes that went in and
 * came out, and the clock.  How the session is told of it, and what becomes of
 * it meanwhile, is up to each target (struct ways).
 */

#include <stdbool.h>

#include "fuzz.h"
#include "proxy/flow.h"
#include "qmp/frame.h"
#include "session-rules.h"

enum { WORLD_MAX_COMMANDS = 400, WORLD_MAX_MARKS = 4096, WORLD_MAX_TICKS = 100000 };
enum { WORLD_ROOM_BYTES = 700 }; /* lent to a session: for one message, mostly */

enum world_play { WORLD_BARE, WORLD_WILD, WORLD_GOOD, _WORLD_PLAY_N };

/* fds that went with a byte */
struct mark {
    size_t at, n_fds;
};

struct stream {
    struct buffer text;
    struct mark mark[WORLD_MAX_MARKS];
    size_t n_marks;
};

/* one that the client sent, in a good play */
struct sent {
    char id[32];
    char text[120];
    size_t n_fds;
    bool is_plain, is_oob, is_replied, has_arrived;
};

/* one that the server heard */
struct heard {
    char name[40];
    char id[120];
    bool is_oob, is_answered;
};

struct world;

/* how a session is told what happens.  Each returns as the session does, but for @sent */
struct ways {
    int (*feed)(struct world *w, enum side from, const char *text, size_t n, struct fds *fds);
    int (*end)(struct world *w, enum side from);
    int (*tick)(struct world *w);
    void (*sent)(struct world *w, enum side to, size_t n); /* as out_sent() */
    void (*settled)(struct world *w);                      /* all that could be sent was sent */
};

struct world {
    const struct ways *ways;
    void *userdata;                /* theirs */
    void (*look)(struct world *w); /* at what came out */
    enum world_play play;
    const struct session_rules *rules;
    struct session *session;
    struct limits limits;
    struct session_time time;
    struct stream in[2], out[2];
    bool is_slow[2], has_ended[2];
    size_t n_next_fds;
    uint8_t next_kind;
    uint64_t n_sent_bytes[2]; /* by whom it is for */

    struct sent sent[WORLD_MAX_COMMANDS];
    size_t n_sent;
    struct heard heard[WORLD_MAX_COMMANDS * 8];
    size_t n_heard;
    struct frame_reader at_server, at_client;
    struct buffer half[2]; /* by whom it is for: of what came, not a whole object yet */
    size_t n_seen[2];      /* how much of out[] was looked at */
    size_t n_events, n_events_seen;
    bool is_oob, has_old_errors;
};

/* Return: the number that the next fd would get; the same as before when none was lost */
int world_next_fd(void);

/* at most @max bytes for @to are sent */
void world_drain(struct world *w, enum side to, size_t max);

/* all that a session does once it was told something; @r is what it returned */
void world_after_input(struct world *w, int r);

/* from memory that goes at once: what is borrowed for too long is seen */
void world_feed(struct world *w, enum side from, const void *text, size_t n);
void world_feed_string(struct world *w, enum side from, const char *text);

void world_end(struct world *w, enum side from);

/* each deadline at its time */
void world_wait_ms(struct world *w, uint64_t ms);

/* ways without anything in between */
int world_plainly_feed(struct world *w, enum side from, const char *text, size_t n,
                       struct fds *fds);
int world_plainly_end(struct world *w, enum side from);
int world_plainly_tick(struct world *w);
void world_plainly_sent(struct world *w, enum side to, size_t n);
