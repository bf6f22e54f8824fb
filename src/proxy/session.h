#pragma once

/*
 * Session: one client and one server, and everything between them but the
 * sockets.  Bytes and fds go in by session_feed(), what is to be sent stands
 * in session_out(), time comes by argument.  It logs nothing; what happened
 * is told to an observer (trace.h).
 *
 * Order is sacred.  Nothing overtakes towards the client: what came after a
 * message that waits for an answer waits behind it; only replies to
 * out-of-band commands pass.  Towards the server, in-band commands wait
 * behind a running exchange and out-of-band ones pass.  Every wait has a
 * deadline and a limit; when it runs out, the message passes unchanged.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/fds.h"
#include "base/out.h"
#include "proxy/limits.h"
#include "proxy/trace.h"
#include "rule/program.h"
#include "rule/selection.h"

enum side { SIDE_CLIENT, SIDE_SERVER };

static inline enum side side_other(enum side s) {
    return s == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
}

struct session;

/* now, for everything a session does until it is told again */
struct session_time {
    uint64_t now_ms; /* monotonic */
    int64_t wall_us; /* since 1970; may be 0 unless session_needs_wall() */
};

/*
 * session_new()
 * @program: the rules; a reference is taken.  NULL: no rules
 * @limits:  copied
 * @trace:   told what happens; may be NULL.  @userdata goes to it
 *
 * Return: 0 or -ENOMEM.
 */
int session_new(struct program *program, const struct limits *limits, trace_fn trace,
                void *userdata, struct session **ret_session);

/* can rules make events, which have a timestamp?  It stays as it is */
bool session_needs_wall(const struct session *s);

/*
 * from now on the observer is told, or not, of messages that pass or only
 * become others (TRACE_PASSED, TRACE_REWRITTEN); it is from the beginning
 */
void session_tell_passed(struct session *s, bool is_wanted);

/* from now on the observer is told, or not, of every byte that comes and goes, too (TRACE_CAME, TRACE_SENT, TRACE_ENDED, TRACE_WENT, and TRACE_REWRITTEN) */
void session_tell_traffic(struct session *s, bool is_wanted);

/* does what comes next on both sides begin a message? */
bool session_is_between(const struct session *s);

/* tell the observer again which rules were chosen, if they have been.  Return: 0 or -ENOMEM */
int session_tell_active(struct session *s);

/* from now on, send commands without what the server does not need (compact.h) */
void session_compact(struct session *s);

/*
 * session_lend() - let it write what it makes of input into @room, and send it from there
 * @room: the caller's, of a fixed size (buffer_in()); many sessions may share
 *        it.  What is written there stays until the outs are empty or settled,
 *        as what passes does; then the caller clears it.  Without one, or when
 *        it is full, memory is taken for each message.
 */
void session_lend(struct session *s, struct buffer *room);

/* everything held is dropped and its fds are closed.  Return: NULL */
struct session *session_free(struct session *s);

/*
 * session_feed() - bytes that came from one side
 * @text, @n: what passes unchanged is borrowed from here: it must stay until
 *            both outs are empty or settled (out_settle())
 * @fds:      came with the first byte of @text; consumed.  May be NULL
 *
 * Return: 0, or negative: the session cannot go on (out of memory).
 */
int session_feed(struct session *s, enum side from, const char *text, size_t n, struct fds *fds,
                 struct session_time time);

/* @from sends no more: what is incomplete passes as it is, then session_is_finished() towards the other side */
int session_end(struct session *s, enum side from, struct session_time time);

/* let deadlines pass */
int session_tick(struct session *s, struct session_time time);

/* Return: when session_tick() is due, in ms of the monotonic clock; UINT64_MAX: never */
uint64_t session_deadline_ms(const struct session *s);

/* what waits to be sent to @to; the caller sends it (out_peek(), out_sent()) */
struct out *session_out(struct session *s, enum side to);

/* is more input from @from wanted now?  No while the other side is slow (limits.max_out_bytes) */
bool session_wants(const struct session *s, enum side from);

/*
 * is input wanted from both sides, and nothing to be sent?  So it is after most
 * messages, and this tells sooner.  Return: false: ask for each
 */
bool session_is_at_ease(const struct session *s);

/* is nothing to come towards @to but what stands in its out?  Then shut it down once that is sent */
bool session_is_finished(const struct session *s, enum side to);

/* counts since the session began */
struct session_stats {
    uint64_t n_messages[2]; /* objects that came from each side */
    uint64_t n_bytes[2];    /* bytes that came from each side */
    uint64_t n_rewritten, n_dropped, n_answered, n_asked, n_held, n_failed, n_timed_out;
};
const struct session_stats *session_stats(const struct session *s);

/* which rules work, and why the others rest; borrowed until the next call on @s.  NULL: there are no rules */
const struct selection *session_selection(const struct session *s);
