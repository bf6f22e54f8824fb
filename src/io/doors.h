#pragma once

/*
 * Doors: all the places of one server where clients come in.  There are
 * single ones, those of a folder of guests (folder.h), and one in the place of
 * a socket that a server has made (takeover.h).  Sockets that were put there
 * and that others remove are put back.
 */

#include <stdbool.h>
#include <stddef.h>
#include "io/door.h"
#include "io/folder.h"
#include "io/takeover.h"
#include "io/watch.h"

enum {
    DOORS_PERIOD_MS = 5000, /* between looks at the file system that nothing gave rise to */
    DOORS_TAKEN_PERIOD_MS =
        1000,           /* likewise, at a server that was taken over: is it there still? */
    DOORS_SOON_MS = 20, /* for a server that has removed its socket to close it, too */
};

struct doors;

/* @d is closed next: nothing may refer to it any more */
typedef void (*doors_left_fn)(struct doors *doors, struct door *d);

/*
 * the socket that was taken over is nobody's any more (@server_path NULL), or
 * somebody has put it back already, to @server_path.  The door is closed.
 */
typedef void (*doors_over_fn)(struct doors *doors, const char *server_path);

struct doors {
    uv_loop_t *loop;
    const struct log *log;
    struct list all;
    struct watch front, back;
    struct folder folder;
    struct listener_permit permit; /* of the folder's */
    size_t max_open;               /* sessions of each door; 0: any number */
    struct door *taken;            /* NULL: none, or it was given back */
    bool is_taking;                /* there was one */
    door_came_fn came;             /* its userdata is the doors' */
    doors_left_fn left;
    doors_over_fn over;
    void *userdata;
};

/* the functions are for its owner to set, then */
void doors_init(struct doors *doors, uv_loop_t *loop, const struct log *log);

/*
 * doors_listen() - one more
 * @permit:       NULL: the owner alone
 * @reterr_errno: of the outcome, for listener_explain()
 *
 * Return: 0, negative (out of memory), LISTENER_E_….
 */
int doors_listen(struct doors *doors, const char *listen_path, const char *connect_path,
                 const struct listener_permit *permit, int *reterr_errno);

/*
 * doors_adopt_take() - one that somebody else has made
 * @fd:     consumed
 * @is_own: its socket must go at the end
 *
 * Return: 0 or negative
 */
int doors_adopt_take(struct doors *doors, int fd, const char *connect_path, bool is_own);

/*
 * doors_serve() - one for each guest in a folder, once
 * Return: 0, negative, LISTENER_E_IMPOSSIBLE: a folder cannot be read (@reterr_errno).
 */
int doors_serve(struct doors *doors, const char *front, const char *back,
                const struct listener_permit *permit, size_t max_guests, int *reterr_errno);

/*
 * doors_take_over() - one in the place of a server's socket, once
 * @is_resumed: by takeover_look()
 * @ret_listener: LISTENER_E_… on TAKEOVER_E_IMPOSSIBLE, if that was why; else 0
 *
 * Return: 0, negative, TAKEOVER_E_….
 */
int doors_take_over(struct doors *doors, const char *front, const char *back,
                    const struct listener_permit *permit, bool is_resumed, bool may_gap,
                    int *ret_listener, int *reterr_errno);

/*
 * doors_give_back() - the server's socket gets its place again
 * The door stays open for those who are on their way; they are for the server there.
 * Return: its path, borrowed; NULL: nothing is taken over, or it was impossible (logged).
 */
const char *doors_give_back(struct doors *doors);

/* close them all; may be called again.  @doors must stay until the loop has closed its handles */
void doors_close(struct doors *doors);
