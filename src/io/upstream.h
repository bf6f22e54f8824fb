#pragma once

/*
 * Upstream: how to get a connection to the server.  When to try again is the
 * caller's business.
 */

enum {
    _UPSTREAM_E_SUCCESS,
    UPSTREAM_E_BUSY, /* its queue of waiting clients is full, or we are out of fds: try again in a while */
    UPSTREAM_E_FAILED, /* nobody listens there, or we may not connect */
};

/*
 * upstream_connect() - connect to a unix socket, without waiting
 * @path:         of at most ADDRESS_MAX_PATH_BYTES
 * @ret_fd:       non-blocking, close-on-exec
 * @reterr_errno: why, for the log; written on UPSTREAM_E_… only
 *
 * Return: 0, UPSTREAM_E_BUSY, UPSTREAM_E_FAILED.
 */
int upstream_connect(const char *path, int *ret_fd, int *reterr_errno);
