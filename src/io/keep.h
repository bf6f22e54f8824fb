#pragma once

/*
 * Keep: what a session needs to outlive this process, in the fd store: both
 * of its connections, its journal (proxy/journal.h) in a file in memory, and
 * fds that came with a message which is still under way.
 *
 *   client-N  server-N  journal-N  ride-N-K     of session N
 *
 * When to read, send and end is the pair's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/conn.h"
#include "io/fdstore.h"
#include "proxy/journal.h"
#include "proxy/session.h"

enum {
    KEEP_LOG_BYTES =
        16 << 20, /* of a journal.  Behind it the session is not kept until it is at rest */
    KEEP_IDLE_BYTES = 256 << 10, /* of memory that its log may have for good; */
    KEEP_PATIENCE = 64, /* what is more goes once the session came to rest so often without it */
};

struct keep;

/*
 * keep_new() - a session that has just begun
 * @client_fd, @program: stay the caller's
 *
 * Return: 0 or negative (out of memory, fds or room).
 */
int keep_new(struct fdstore *store, uint64_t id, const char *connect_path,
             const struct limits *limits, int client_fd, struct program *program,
             const struct session *s, struct keep **ret_keep);

/* the session is over: nothing of it stays in the store.  Return: NULL */
struct keep *keep_end(struct keep *k);

/* leave it to the process that comes next.  Return: NULL */
struct keep *keep_leave(struct keep *k);

/* for conn->witness */
struct conn_witness *keep_witness(struct keep *k, enum side side);

/* the server has taken the connection */
void keep_connected(struct keep *k, int server_fd);

/* where the next read goes to.  Return: false: it cannot be kept, any place will do */
bool keep_expect(struct keep *k, enum side from, struct session_time time, char **ret_text,
                 size_t *ret_n);

/* what came of it; @chunk is NULL: nothing */
void keep_received(struct keep *k, const struct conn_chunk *chunk);

/* session_end() or session_tick() is about to be called */
void keep_event(struct keep *k, enum journal_kind kind, enum side side, struct session_time time);

/* the session was told */
void keep_told(struct keep *k, const struct session *s);

/* what could be sent was sent */
void keep_rest(struct keep *k, const struct session *s);

/* ---- what an earlier process has left ---- */

struct keep_left {
    struct keep *keep;
    int client_fd, server_fd; /* the caller's; server_fd: -1 if there was none yet */
    struct program *program;  /* borrowed */
    const char *connect_path; /* borrowed from @keep */
    struct limits limits;
    uint64_t id;
};

enum {
    _KEEP_E_SUCCESS,
    KEEP_E_NONE, /* there is none any more */
    KEEP_E_LOST, /* one cannot be gone on with; that was logged, and its connections end */
};

/* the next session that stands in @a.  Return: 0, KEEP_E_NONE, KEEP_E_LOST */
int keep_adopt(struct fdstore *store, struct activation *a, struct keep_left *ret_left);

/*
 * keep_resume() - make a new session what that one was
 * @has_server: the connection to the server is there; another one does only if nothing was said
 *
 * Return: 0, negative, KEEP_E_LOST (logged).
 */
int keep_resume(struct keep *k, bool has_server, struct session *s);

/* close and remove what belongs to no session */
void keep_tidy(struct fdstore *store, struct activation *a);
