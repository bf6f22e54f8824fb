#pragma once

/*
 * Player: two peers that say and hear what they are told to, over a real
 * session and on a clock that moves when it is told to.  It sends and
 * collects; what ought to arrive is its user's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/fdlook.h"
#include "proxy/session.h"
#include "qmp/frame.h"

/* what one side has been sent and has not taken note of yet */
struct player_inbox {
    struct buffer text;
    struct buffer n_fds; /* a byte for each one of text: how many fds came with it */
    struct fdlook fd;    /* what the last first one of them is */
};

struct player {
    struct session *session;
    struct session_time time;
    bool
        is_bytewise; /* everything is sent in pieces of one byte, and whenever all is at rest another session goes on */
    struct player_inbox inbox[2];
    bool has_closed[2];
};

/*
 * player_init() - a session between two silent peers
 * @program, @limits, @trace, @userdata: see session_new()
 *
 * Return: 0 or -ENOMEM; player_deinit() is due either way.
 */
int player_init(struct player *p, struct program *program, const struct limits *limits,
                bool is_bytewise, trace_fn trace, void *userdata);
void player_deinit(struct player *p);

/*
 * player_send() - one side sends, and everything that comes of it arrives
 * @n_fds: that go with the first byte
 * @fd:    what they are (playfd.h); NULL: /dev/null
 *
 * Return: 0 or negative: the session cannot go on.
 */
int player_send(struct player *p, enum side from, const char *text, size_t n, size_t n_fds,
                const struct fdlook *fd);

enum {
    _PLAYER_E_SUCCESS,
    PLAYER_E_STUCK,      /* a deadline is due and goes on being due */
    PLAYER_E_UNEXPECTED, /* something else came, or nothing; it is still there */
};

/* time passes, each deadline at its time.  Return: 0, negative, PLAYER_E_STUCK */
int player_wait(struct player *p, uint64_t ms);

/* @side sends no more.  Return: 0 or negative */
int player_close(struct player *p, enum side side);

/* what arrived first and was not taken yet */
struct player_item {
    bool is_message; /* an object; otherwise bytes of whatever kind */
    struct frame frame;
    const char
        *text; /* blanks in front are skipped; in the inbox, until something is sent or taken */
    size_t n;
    size_t n_fds;
    size_t end; /* where it ends in the inbox, the blanks behind it included */
};

/* Return: is there anything but blanks without fds? */
bool player_peek(const struct player *p, enum side side, struct player_item *ret);

/* how many fds came with the first @n bytes */
size_t player_count_fds(const struct player *p, enum side side, size_t n);

/* drop the first @n bytes of the inbox */
void player_take(struct player *p, enum side side, size_t n);

/* the server sends @text with the id @id (NULL: without one), in place of its own.  Return: as player_send() */
int player_send_reply(struct player *p, const char *text, size_t n, const char *id, size_t n_id);

struct player_handshake {
    const char *greeting; /* of the server, without line end */
    bool is_oob;          /* the client enables it */
    const char
        *commands; /* the server's "return" to query-commands; NULL: it refuses all questions */
};

/*
 * player_shake_hands() - greeting, qmp_capabilities, and what the shim asks then
 * Return: 0, negative, PLAYER_E_UNEXPECTED.
 */
int player_shake_hands(struct player *p, const struct player_handshake *how);
