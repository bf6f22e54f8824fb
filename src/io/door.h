#pragma once

/*
 * Door: a place where clients come in, and where the server for them is.  It
 * counts who is inside, so that one door's clients do not take what all doors
 * share, and puts its socket back when others remove it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"
#include "io/listener.h"

struct door;
typedef void (*door_came_fn)(struct door *d, int fd);

struct door {
    struct list in_server;
    struct listener listener;
    char *connect_path;
    char *name;                    /* the guest's, of one in a folder; else NULL */
    struct listener_permit permit; /* used if has_permit */
    bool has_permit;
    bool is_guarded;         /* its socket is put back */
    bool is_upset;           /* it cannot be, and that was logged */
    size_t n_open, max_open; /* sessions at once; 0: any number */
    uint64_t n_sessions;     /* so far */
    door_came_fn came;
    void *userdata; /* the owner's */
};

/* Return: a door without a listener, for door_close(); NULL: out of memory.  Texts are copied */
struct door *door_new(const char *connect_path, const char *name);

/* @d->listener is bound: let clients in.  Return: 0 or negative (out of memory) */
int door_open(struct door *d, uv_loop_t *loop, const struct log *log, door_came_fn came,
              void *userdata);

/* one more is inside.  At max_open the others wait outside, in the kernel's queue */
void door_enter(struct door *d);
void door_leave(struct door *d);

/* put the socket back if it is gone.  What cannot be mended is logged once, and tried again by the next call */
void door_guard(struct door *d, const struct log *log);

/* the server has moved.  Return: 0 or -ENOMEM */
int door_redirect(struct door *d, const char *connect_path);

/* no more clients; the socket goes out of the file system; @d is freed, from the loop if it was open */
void door_close(struct door *d);
