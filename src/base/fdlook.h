#pragma once

/*
 * What a file descriptor is: of what kind, what may be done with it, where in
 * its file it stands.  And a second one, for the same file.
 */

#include <stdbool.h>
#include <stdint.h>

enum fdlook_access { FDLOOK_ANY, FDLOOK_READ, FDLOOK_WRITE, FDLOOK_READ_WRITE };

struct fdlook {
    const char *kind; /* one of fdlook_kinds */
    enum fdlook_access access;
    bool has_offset; /* a pipe or a socket has none */
    int64_t offset;
};

/* "file", "pipe", "socket", …; NULL-terminated */
extern const char *const fdlook_kinds[];

/* "read", "write", "read-write", by enum fdlook_access; FDLOOK_ANY has no name */
const char *fdlook_access_name(enum fdlook_access access);

/* Return: one of fdlook_kinds */
const char *fdlook_kind(int fd);

void fdlook_at(int fd, struct fdlook *ret);

/* what is wanted of a copy */
struct fdlook_wish {
    enum fdlook_access access; /* FDLOOK_ANY: the same */
    bool has_offset; /* to stand here, which the first one then does too, if they share it */
    int64_t offset;
};

enum {
    _FDLOOK_E_SUCCESS,
    FDLOOK_E_REFUSED, /* more access than there is, the kernel would not, or too many open files */
};

/*
 * fdlook_copy() - a second descriptor for the same file
 *
 * With less access it is opened anew, and then has a position of its own,
 * at the beginning; else both share one.
 * Return: 0: @ret_fd is the caller's to close.  FDLOOK_E_REFUSED.
 */
int fdlook_copy(int fd, const struct fdlook_wish *wish, int *ret_fd);
