#pragma once

/*
 * Folder: the guests of a host.  For every socket in one folder it wants a
 * door in another, by the same name, and none when it has gone.  How a door
 * is made is its owner's business.
 *
 * Not served, each with its reason, which is logged when it is new: names
 * that begin with a dot (silently), symbolic links, files that are no
 * sockets, sockets that nobody holds, names too long for an address, what
 * cannot have its front socket, and guests beyond the limit: these wait until
 * others have gone, in the order of their names.
 */

#include <stddef.h>
#include "io/door.h"
#include "io/log.h"

enum {
    FOLDER_MAX_NAMES = 65536, /* read at once; what is beyond is not seen */
    FOLDER_REASON_BYTES = 128,
};

struct folder_guest {
    char *name;
    bool is_wanted;    /* of the last scan: it can be served */
    struct door *door; /* NULL: it is not served, because of: */
    char reason[FOLDER_REASON_BYTES];
};

/*
 * make a door for a guest
 * Return: 0, negative (out of memory), or an outcome and errno for listener_explain()
 */
typedef int (*folder_open_fn)(void *userdata, const char *name, const char *front_path,
                              const char *back_path, struct door **ret_door, int *reterr_errno);
typedef void (*folder_close_fn)(void *userdata, struct door *door);

struct folder {
    const struct log *log;
    char *front, *back; /* NULL: not in use */
    size_t max_guests;
    struct folder_guest *guests; /* by name */
    size_t n_guests, n_served;
    bool is_unreadable; /* and that was logged */
    folder_open_fn open;
    folder_close_fn close;
    void *userdata;
};

/* @f: zeroed; paths are copied.  Return: 0 or -ENOMEM; folder_deinit() is due either way */
int folder_init(struct folder *f, const struct log *log, const char *front, const char *back,
                size_t max_guests);

/* read it, close the doors of who has gone, open those of who has come */
void folder_scan(struct folder *f);

/* remove the sockets in front that nobody holds: an earlier run was killed before it could */
void folder_sweep(const struct folder *f);

/* its doors are their owner's */
void folder_deinit(struct folder *f);
