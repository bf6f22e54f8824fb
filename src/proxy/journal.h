#pragma once

/*
 * Journal: all that another process needs to go on with a session at any
 * moment.  It stands in memory that outlives this process: a checkpoint of
 * the session when it last was at rest (checkpoint.h), and what it was told
 * since.  A session does the same again when it is told the same again, so
 * it need not be able to save itself in the midst of things.
 *
 * The process may end between any two instructions, but it never does so
 * within a system call that does not wait.  So every change is complete by
 * one store, and before a call that takes bytes from a socket or puts some
 * into it, it is noted what for; the kernel itself writes into this memory
 * how many there were (io/conn.h).
 *
 * It makes no memory and calls no system.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "proxy/checkpoint.h"
#include "proxy/limits.h"
#include "proxy/session.h"

enum {
    JOURNAL_FORMAT = 1, /* of the memory; a process reads its own only */
    JOURNAL_HEAD_BYTES = 4096,
    JOURNAL_LARGE_BYTES = 4 << 20, /* of a checkpoint's large part */
    JOURNAL_MIN_LOG_BYTES = 4096,
    JOURNAL_MIN_FEED_BYTES = 1024, /* room that a read must have */
    JOURNAL_MAX_FDS = 253,         /* that come in one read: the kernel's SCM_MAX_FD */
    JOURNAL_PATH_BYTES = 256,
    JOURNAL_WITNESS_BYTES = 192,
    JOURNAL_LIMITS_ROOM = 16,
};

/* what does not change while the session lasts */
struct journal_info {
    uint64_t session;                     /* its id */
    uint64_t program;                     /* which rules it has; 0: none */
    uint64_t limits[JOURNAL_LIMITS_ROOM]; /* journal_put_limits() */
    char connect_path[JOURNAL_PATH_BYTES];
};

void journal_put_limits(struct journal_info *info, const struct limits *limits);
struct limits journal_limits(const struct journal_info *info);

/* private */
struct journal_bank {
    uint64_t n_log;       /* bytes of the log that count */
    uint64_t n_before[2]; /* bytes sent to each side before */
    uint64_t n_large;
    uint32_t large;     /* which of both places the large part is in */
    uint32_t is_lapsed; /* not all is recorded: there was no room */
    struct checkpoint checkpoint;
};

/* private: the beginning of the memory */
struct journal_head {
    char magic[8];
    uint32_t format, n_info;
    char version[32]; /* of the program that made it */
    uint64_t n_log_room;
    uint32_t bank; /* the one that counts */
    uint32_t is_feeding;
    uint64_t feeding_at;
    uint64_t n_rides; /* fds that came, so far */
    struct journal_info info;
    struct journal_bank banks[2];
    _Alignas(64) unsigned char witness[2][JOURNAL_WITNESS_BYTES]; /* by enum side; the caller's */
};

_Static_assert(sizeof(struct journal_head) <= JOURNAL_HEAD_BYTES, "the head fits into its place");

struct journal {
    struct journal_head *head;
    char *log;
    char *large[2];
    uint64_t large_version; /* of what stands in the bank that counts */
    size_t last_at;         /* where the last entry of the log is */
};

enum journal_kind { JOURNAL_FEED, JOURNAL_END, JOURNAL_TICK };

enum {
    _JOURNAL_E_SUCCESS,
    JOURNAL_E_INVALID, /* this is no journal, or of another format */
    JOURNAL_E_LAPSED,  /* it had no room, and the session was not at rest since */
    JOURNAL_E_DIFFERS, /* the session does not do what it did before */
};

/* Return: bytes of memory for a log of @n_log bytes */
size_t journal_n_bytes(size_t n_log);

/*
 * journal_init() - begin one
 * @memory: zeroed, aligned to a page, journal_n_bytes(@n_log)
 * @s:      new
 *
 * Return: 0 or -ENOMEM.
 */
int journal_init(struct journal *j, void *memory, size_t n_log, const struct journal_info *info,
                 const struct session *s);

/* one that another process has left.  Return: 0, JOURNAL_E_INVALID, JOURNAL_E_LAPSED */
int journal_open(struct journal *j, void *memory, size_t n_memory);

/*
 * journal_begin_feed() - bytes of @from are about to be read
 * @ret_text, @ret_n: where to
 *
 * Return: false when there is no room; nothing more is recorded until the session is at rest.
 */
bool journal_begin_feed(struct journal *j, enum side from, struct session_time time,
                        char **ret_text, size_t *ret_n);

/*
 * journal_end_feed() - @n bytes were read
 * @n:      0: none; then nothing was begun; no more than there was room for
 * @n_fds:  came with the byte at @fds_at; they are the next rides; no more than JOURNAL_MAX_FDS
 */
void journal_end_feed(struct journal *j, size_t n, size_t n_fds, size_t fds_at);

/* Return: the number of the next fd that comes */
uint64_t journal_next_ride(const struct journal *j);

/* Return: was a read of *ret_from begun and not ended?  Whoever knows what became of it calls journal_end_feed() */
bool journal_is_feeding(const struct journal *j, enum side *ret_from);

/* Return: how many bytes the read that was begun had room for */
size_t journal_feed_room(const struct journal *j);

/* session_end() or session_tick() is about to be called.  Return: as journal_begin_feed() */
bool journal_add(struct journal *j, enum journal_kind kind, enum side side,
                 struct session_time time);

/*
 * journal_done() - the session was told what was recorded last
 * @n_sent: bytes sent to each side since the session began
 */
void journal_done(struct journal *j, const struct session *s, const uint64_t *n_sent);

/*
 * journal_rest() - forget what a session that is at rest was told
 * Return: true if so: nothing that came before is needed any more.
 */
bool journal_rest(struct journal *j, const struct session *s, const uint64_t *n_sent);

/* Return: does it not know all, since it had no room? */
bool journal_is_lapsed(const struct journal *j);

/* Return: bytes that stand in the log */
size_t journal_n_log(const struct journal *j);

/* fds that came and were kept: @ride is the number of the first.  @ret may stay empty.  Return: 0 or -ENOMEM */
typedef int (*journal_fds_fn)(void *userdata, uint64_t ride, size_t n, struct fds *ret);

/*
 * journal_resume() - make a new session what the one of the journal was
 * @s:      new, with the rules and limits of the info
 * @n_sent: bytes sent to each side since that session began
 *
 * Its outs have what was not sent yet.
 * Return: 0, -ENOMEM, JOURNAL_E_INVALID, JOURNAL_E_DIFFERS; after that, @s is good for nothing.
 */
int journal_resume(struct journal *j, struct session *s, const uint64_t *n_sent,
                   journal_fds_fn get_fds, void *userdata);
