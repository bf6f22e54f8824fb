#pragma once

/*
 * Access: who may connect.  The kernel tells who a peer was when it
 * connected (SO_PEERCRED, SO_PEERGROUPS); names of users and groups are
 * looked up once, when the list is made.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* who is at the other end; it said nothing of this itself */
struct access_peer {
    pid_t pid; /* 0: not known, as of one in another pid namespace */
    uid_t uid;
    gid_t gid;
};

/* without any ids everybody may, whom the file system lets in */
struct access {
    uid_t *uids;
    size_t n_uids;
    gid_t *gids; /* a peer's primary and other groups count */
    size_t n_gids;
};

#define ACCESS_INIT                                                                                \
    { 0 }

enum {
    _ACCESS_E_SUCCESS,
    ACCESS_E_UNKNOWN, /* no such user or group */
};

/* a number, or a name of this machine.  Return: 0, ACCESS_E_UNKNOWN */
int access_find_uid(const char *name, uid_t *ret);
int access_find_gid(const char *name, gid_t *ret);

/* Return: 0, -ENOMEM, ACCESS_E_UNKNOWN */
int access_add_uid(struct access *a, const char *name);
int access_add_gid(struct access *a, const char *name);

void access_deinit(struct access *a);

/*
 * access_check() - who is it, and may they?
 * @fd: a connection
 */
bool access_check(const struct access *a, int fd, struct access_peer *ret_peer);
