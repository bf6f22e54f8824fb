#pragma once

/*
 * Listener: a unix socket in the file system that clients connect to.  It
 * puts the socket there and takes it away again; what becomes of an accepted
 * connection is its owner's business.
 */

#include <stdbool.h>
#include <sys/stat.h>
#include <uv.h>
#include "io/log.h"

enum {
    LISTENER_RETRY_MS = 100,   /* between attempts while this process may not have more fds */
    LISTENER_MAX_ACCEPTS = 16, /* one after the other, before others have their turn */
};

enum {
    _LISTENER_E_SUCCESS,
    LISTENER_E_EMPTY_PATH,
    LISTENER_E_LONG_PATH, /* more bytes than a unix socket address has */
    LISTENER_E_IN_USE,    /* a socket that is still in use stands there */
    LISTENER_E_NO_SOCKET, /* something else stands there (a symbolic link, too): it is never removed */
    LISTENER_E_IMPOSSIBLE, /* the file system says no: errno */
};

struct listener;

/*
 * A client came; @fd is the callee's: connected, non-blocking, close-on-exec.
 * One more fd can be opened at once, for the other end of what is relayed.
 */
typedef void (*listener_accepted_fn)(struct listener *l, int fd);
typedef void (*listener_closed_fn)(struct listener *l);

struct listener {
    uv_poll_t poll;
    uv_timer_t retry;
    const struct log *log;
    int fd;     /* -1: not open */
    char *path; /* that we made and must remove; NULL: none */
    dev_t device;
    ino_t inode;
    bool is_starved;     /* out of fds, and that was logged */
    bool is_paused;      /* listener_pause() */
    unsigned int n_open; /* handles */
    listener_accepted_fn accepted;
    listener_closed_fn closed;
};

#define LISTENER_INIT                                                                              \
    { .fd = -1 }

/*
 * listener_bind() - make the socket and listen, without an event loop
 * @path:         only its owner may connect (mode 0600).  A socket that stands
 *                there and that no process holds any more is replaced
 * @reterr_errno: on LISTENER_E_IMPOSSIBLE
 *
 * Return: 0, -ENOMEM, LISTENER_E_….
 */
int listener_bind(struct listener *l, const char *path, int *reterr_errno);

/*
 * listener_adopt_take() - a socket that somebody else made and that listens already
 * @fd: consumed.  What stands in the file system stays there at the end
 */
void listener_adopt_take(struct listener *l, int fd);

/*
 * listener_own() - an adopted socket's path is ours after all, to be removed at the end
 * Return: 0 or -ENOMEM; does nothing when it has none.
 */
int listener_own(struct listener *l);

/* who may connect, beside the owner */
struct listener_permit {
    mode_t mode;
    uid_t uid; /* (uid_t)-1: as it is */
    gid_t gid; /* (gid_t)-1: as it is */
};

/*
 * listener_set_permit() - widen the mode that listener_bind() has given it
 * Return: 0, LISTENER_E_IMPOSSIBLE.
 */
int listener_set_permit(struct listener *l, const struct listener_permit *permit,
                        int *reterr_errno);

/*
 * listener_start() - accept clients from now on
 *
 * While the process may not have more fds it waits, and says so once.
 * Return: 0 or negative (out of memory).
 */
int listener_start(struct listener *l, uv_loop_t *loop, const struct log *log,
                   listener_accepted_fn accepted);

/* let clients wait in the kernel's queue, until listener_resume() */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);

/* what stands where the socket was put */
enum listener_place {
    LISTENER_AT_HOME,  /* it does, or it never had a place */
    LISTENER_GONE,     /* nothing */
    LISTENER_REPLACED, /* something else */
};

enum listener_place listener_look(const struct listener *l);

/*
 * listener_restore() - make the socket anew in its place, for others have removed it
 * @permit: as for listener_set_permit(); NULL: the owner alone
 *
 * It was started.  Clients who wait in the old socket are accepted before it goes.
 * Return: 0, -ENOMEM, LISTENER_E_…: all is as it was.
 */
int listener_restore(struct listener *l, const struct listener_permit *permit, int *reterr_errno);

/* accept who waits, now */
void listener_accept_all(struct listener *l);

/* it was renamed; @path is copied.  Return: 0 or -ENOMEM */
int listener_move(struct listener *l, const char *path);

/*
 * listener_is_held() - does a process hold the socket at @path?
 * It is asked in a way that makes no client.  A symbolic link is none.
 */
bool listener_is_held(const char *path);

/* stop listening; removes the socket from the file system if it is still ours.  @closed may be NULL */
void listener_close(struct listener *l, listener_closed_fn closed);

/* why listener_bind() failed: what is wrong and the way out */
const char *listener_explain(int outcome, int error);
