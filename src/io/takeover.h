#pragma once

/*
 * Takeover: the names of a server's socket and of a shim's in front of it,
 * exchanged and given back while clients connect.  It knows file names; who
 * serves them is doors.h's business.
 *
 *   PATH         clients connect to it: first the server's socket, then the shim's
 *   PATH.qemu    meanwhile, the server's
 */

#include <stdbool.h>

#define TAKEOVER_SUFFIX ".qemu"
#define TAKEOVER_CONTROL                                                                           \
    ".ctl" /* of the socket where the shim says how it is, as "status" looks for it */

enum {
    _TAKEOVER_E_SUCCESS,
    TAKEOVER_E_NO_SERVER,   /* nobody holds a socket at PATH */
    TAKEOVER_E_IN_USE,      /* PATH and PATH.qemu are both held by somebody */
    TAKEOVER_E_IN_THE_WAY,  /* something that is no socket is at PATH.qemu */
    TAKEOVER_E_NOT_TAKEN,   /* there is no server at PATH.qemu */
    TAKEOVER_E_NO_EXCHANGE, /* the file system cannot exchange two names at once */
    TAKEOVER_E_IMPOSSIBLE,  /* the file system says no: errno */
};

/*
 * takeover_back_path() - PATH.qemu, with PATH shortened so far that it is an address still
 * Return: for the caller to free; NULL: out of memory, or no room for the suffix (errno ENAMETOOLONG)
 */
char *takeover_back_path(const char *path);

/*
 * takeover_look() - can it be done?
 * @ret_is_resumed: it was done, and its shim has died: only the front is missing
 *
 * A dead socket at @back is removed.
 * Return: 0, TAKEOVER_E_NO_SERVER, TAKEOVER_E_IN_USE, TAKEOVER_E_IN_THE_WAY, TAKEOVER_E_IMPOSSIBLE.
 */
int takeover_look(const char *front, const char *back, bool *ret_is_resumed, int *reterr_errno);

/*
 * takeover_exchange() - what is at @front is at @back then, and the other way round
 * @may_gap: if it cannot be done at once, one after the other; nothing is at @front in between
 *
 * Return: 0, TAKEOVER_E_NO_EXCHANGE, TAKEOVER_E_IMPOSSIBLE.
 */
int takeover_exchange(const char *front, const char *back, bool may_gap, int *reterr_errno);

/*
 * takeover_return() - the server's socket gets its name again, at once, in place of what has it
 * Return: 0, TAKEOVER_E_NOT_TAKEN, TAKEOVER_E_IMPOSSIBLE.
 */
int takeover_return(const char *front, const char *back, int *reterr_errno);

/* what is wrong and the way out */
const char *takeover_explain(int outcome, int error);
