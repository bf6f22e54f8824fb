#include "io/access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

enum { ACCESS_MAX_GROUPS = 65536 }; /* of one user: the kernel's NGROUPS_MAX */

/* Return: is @text a number, of a user or a group? */
static bool access_number(const char *text, uint32_t *ret) {
    unsigned long long number;

    if (!*text || text[strspn(text, "0123456789")])
        return false;
    errno = 0;
    number = strtoull(text, NULL, 10);
    if (errno || number >= UINT32_MAX) /* (uid_t)-1 means nobody at all */
        return false;
    *ret = (uint32_t)number;
    return true;
}

int access_find_uid(const char *name, uid_t *ret) {
    const struct passwd *user;

    if (access_number(name, ret))
        return 0;
    user = getpwnam(name);
    if (!user)
        return ACCESS_E_UNKNOWN;
    *ret = user->pw_uid;
    return 0;
}

int access_find_gid(const char *name, gid_t *ret) {
    const struct group *group;

    if (access_number(name, ret))
        return 0;
    group = getgrnam(name);
    if (!group)
        return ACCESS_E_UNKNOWN;
    *ret = group->gr_gid;
    return 0;
}

int access_add_uid(struct access *a, const char *name) {
    uid_t *more = reallocarray(a->uids, a->n_uids + 1, sizeof(*more));
    int r;

    if (!more)
        return -ENOMEM;
    a->uids = more;
    r = access_find_uid(name, &a->uids[a->n_uids]);
    if (r == 0)
        a->n_uids++;
    return r;
}

int access_add_gid(struct access *a, const char *name) {
    gid_t *more = reallocarray(a->gids, a->n_gids + 1, sizeof(*more));
    int r;

    if (!more)
        return -ENOMEM;
    a->gids = more;
    r = access_find_gid(name, &a->gids[a->n_gids]);
    if (r == 0)
        a->n_gids++;
    return r;
}

void access_deinit(struct access *a) {
    free(a->uids);
    free(a->gids);
    *a = (struct access)ACCESS_INIT;
}

static bool access_has_gid(const struct access *a, gid_t gid) {
    for (size_t i = 0; i < a->n_gids; i++)
        if (a->gids[i] == gid)
            return true;
    return false;
}

static bool access_has_uid(const struct access *a, uid_t uid) {
    for (size_t i = 0; i < a->n_uids; i++)
        if (a->uids[i] == uid)
            return true;
    return false;
}

static bool access_has_group_of(const struct access *a, int fd) {
    socklen_t n_bytes = 0;
    bool is_in = false;
    gid_t *groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n_bytes) == 0 || errno != ERANGE ||
        n_bytes > ACCESS_MAX_GROUPS * sizeof(*groups))
        return false;
    groups = malloc(n_bytes);
    if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n_bytes) == 0)
        for (size_t i = 0; i < n_bytes / sizeof(*groups); i++)
            is_in = is_in || access_has_gid(a, groups[i]);
    free(groups);
    return is_in;
}

bool access_check(const struct access *a, int fd, struct access_peer *ret_peer) {
    struct ucred peer;
    socklen_t n = sizeof(peer);

    *ret_peer = (struct access_peer){.uid = (uid_t)-1, .gid = (gid_t)-1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return a->n_uids + a->n_gids == 0;
    *ret_peer = (struct access_peer){.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
    if (a->n_uids + a->n_gids == 0)
        return true;
    return access_has_uid(a, peer.uid) || access_has_gid(a, peer.gid) || access_has_group_of(a, fd);
}
