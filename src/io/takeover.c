#include "io/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "io/address.h"
#include "io/listener.h"

char *takeover_back_path(const char *path) {
    const char *name = strrchr(path, '/');
    size_t n_folder = name ? (size_t)(name + 1 - path) : 0;
    size_t n = size_min(strlen(path), ADDRESS_MAX_PATH_BYTES - strlen(TAKEOVER_SUFFIX));
    char *back;

    if (n <= n_folder) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return asprintf(&back, "%.*s" TAKEOVER_SUFFIX, (int)n, path) < 0 ? NULL : back;
}

static int takeover_fail(int *reterr_errno) {
    *reterr_errno = errno;
    return TAKEOVER_E_IMPOSSIBLE;
}

int takeover_look(const char *front, const char *back, bool *ret_is_resumed, int *reterr_errno) {
    bool is_held = listener_is_held(front);
    struct stat st;

    *ret_is_resumed = !is_held;
    if (lstat(back, &st) < 0) {
        if (errno != ENOENT)
            return takeover_fail(reterr_errno);
        return is_held ? 0 : TAKEOVER_E_NO_SERVER;
    }
    if (!S_ISSOCK(st.st_mode))
        return TAKEOVER_E_IN_THE_WAY;
    if (listener_is_held(back))
        return is_held ? TAKEOVER_E_IN_USE : 0;
    if (!is_held)
        return TAKEOVER_E_NO_SERVER;
    return unlink(back) < 0 && errno != ENOENT ? takeover_fail(reterr_errno) : 0;
}

/* by a third name: a socket of ours goes from @back to @front */
static int takeover_rename(const char *front, const char *back, int *reterr_errno) {
    char third[ADDRESS_MAX_PATH_BYTES + 32];
    int r = 0;

    snprintf(third, sizeof(third), "%s.%d", back, (int)getpid());
    if (rename(back, third) < 0)
        return takeover_fail(reterr_errno);
    if (rename(front, back) < 0) {
        r = takeover_fail(reterr_errno);
        rename(third, back);
    } else if (rename(third, front) < 0) {
        r = takeover_fail(reterr_errno);
        rename(back, front);
        rename(third, back);
    }
    return r;
}

int takeover_exchange(const char *front, const char *back, bool may_gap, int *reterr_errno) {
    if (renameat2(AT_FDCWD, back, AT_FDCWD, front, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return takeover_fail(reterr_errno);
    return may_gap ? takeover_rename(front, back, reterr_errno) : TAKEOVER_E_NO_EXCHANGE;
}

int takeover_return(const char *front, const char *back, int *reterr_errno) {
    if (!listener_is_held(back))
        return TAKEOVER_E_NOT_TAKEN;
    return rename(back, front) < 0 ? takeover_fail(reterr_errno) : 0;
}

const char *takeover_explain(int outcome, int error) {
    switch (outcome) {
    case TAKEOVER_E_NO_SERVER:
        return "nobody listens there; start the guest first";
    case TAKEOVER_E_IN_USE:
        return "it is taken over already (somebody listens there and at the same path with " TAKEOVER_SUFFIX
               "); see --undo";
    case TAKEOVER_E_IN_THE_WAY:
        return "at the same path with " TAKEOVER_SUFFIX
               " is something that is no socket; move it away";
    case TAKEOVER_E_NOT_TAKEN:
        return "it is not taken over: nobody listens at the same path with " TAKEOVER_SUFFIX;
    case TAKEOVER_E_NO_EXCHANGE:
        return "the file system cannot exchange two names at once; with --with-gap, clients that connect in between are refused";
    default:
        return strerror(error);
    }
}
