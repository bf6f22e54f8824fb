#pragma once

/*
 * Pair: a client's connection, the connection to the server made for it, and
 * the session between them.  It moves bytes and fds, tells the session the
 * time, and finds out when there is nothing left to do.
 *
 *   client gone       what it sent still goes to the server, then that is told
 *   server gone       what it sent still goes to the client, then that is told
 *   one half closed   the other is told so once all that came was relayed
 *
 * It does not log its own end and does not know of other pairs: server.h.
 */

#include <stdint.h>
#include <uv.h>
#include "base/list.h"
#include "io/access.h"
#include "io/conn.h"
#include "io/fdstore.h"
#include "io/keep.h"
#include "io/log.h"
#include "io/tally.h"
#include "io/recording.h"
#include "proxy/limits.h"
#include "proxy/recorder.h"
#include "proxy/session.h"
#include "rule/program.h"

enum {
    PAIR_CONNECT_RETRY_MS = 20, /* between attempts while the server's queue of clients is full */
    PAIR_LINGER_MS = 2000,      /* for the server to read what a client that is gone has sent */
};

/* what all pairs of a server share; it outlives them */
struct pair_shared {
    uv_loop_t *loop;
    struct poller *poller; /* of the loop */
    const struct log *log;
    struct tally *tally;
    struct recording *recording;
    struct fdstore *store;
    struct limits limits;
    bool is_compact;      /* send commands in short (proxy/compact.h) */
    uint64_t patience_ms; /* for a server that is not there yet */
    char *text;           /* everything is read into this; nothing refers to it between two reads */
    size_t n_text;
    struct buffer *room; /* what sessions make of that; likewise */
};

/* why a pair is over */
struct pair_end {
    int side;           /* enum side: who was the first to end it; -1: the shim itself */
    int error;          /* negative: a fault of ours; else 0 */
    bool is_normal;     /* the peer closed its socket, nothing went wrong */
    const char *reason; /* borrowed for the call */
};

struct pair;

/* it has nothing left to do: close it.  Called once at most, always from the loop */
typedef void (*pair_over_fn)(struct pair *p, const struct pair_end *end);
typedef void (*pair_closed_fn)(struct pair *p);

struct pair {
    struct list in_server;   /* the owner's */
    void *userdata;          /* the owner's */
    struct access_peer peer; /* the owner's: who the client is */
    int server_fd; /* until the connection is open; one that waits for an fd could wait for ever */
    struct door *door; /* the owner's: where it came in; NULL: that is closed */
    uint64_t id;

    const struct pair_shared *shared;
    char *connect_path;
    struct conn conns[2]; /* by enum side; the server's is opened when it takes us */
    struct session *session;
    struct keep *keep;         /* NULL: it ends with this process */
    struct recorder *recorder; /* NULL: nothing is recorded */
    struct poller_alarm
        alarm; /* the next attempt to connect; later, a deadline of the session's or ours */
    uint64_t patient_until_ms;
    uint64_t linger_ms; /* when waiting for the server ends; UINT64_MAX: not lingering */

    struct session_time time; /* of what the session does now */
    enum side ended_by;       /* the first, once */
    bool has_ended;           /* one side has */
    bool is_over;
    bool is_loss_told;
    bool is_resuming;  /* what the session tells was told before */
    bool is_repeating; /* what is told now was logged before */
    uint8_t n_conns;   /* not closed yet */
    pair_over_fn over;
    pair_closed_fn closed;
};

/*
 * pair_new() - start relaying for a client
 * @client_fd:    consumed, on failure too
 * @connect_path: where the server is; copied
 * @program:      a reference is taken; NULL: no rules
 *
 * The client is not read before the server has taken the connection.
 * Return: 0 or negative (out of memory or fds).
 */
int pair_new(const struct pair_shared *shared, uint64_t id, int client_fd, const char *connect_path,
             struct program *program, pair_over_fn over, void *userdata, struct pair **ret_pair);

/* the server is at @connect_path now; no matter once it is connected.  Return: 0 or -ENOMEM */
int pair_redirect(struct pair *p, const char *connect_path);
/*
 * pair_resume() - go on where an earlier process stopped
 * @left: its fds and its keep are consumed, on failure too
 *
 * Return: 0, negative (out of memory or fds), KEEP_E_LOST (logged): the connections end.
 */
int pair_resume(const struct pair_shared *shared, struct keep_left *left, pair_over_fn over,
                void *userdata, struct pair **ret_pair);

/* leave both connections to the process that comes next; only if it has a keep.  Else as pair_close() */
void pair_leave(struct pair *p, pair_closed_fn closed);

/* recording is over; that it is on, a pair sees by itself */
void pair_end_record(struct pair *p);

/* end both connections; @p is freed from the loop, after @closed */
void pair_close(struct pair *p, pair_closed_fn closed);
