#pragma once

/*
 * Upstream: how to get a connection to the server.  When to try again is the
 * caller's business.
 */

enum {
    _UPSTREAM_E_SUCCESS,
    UPSTREAM_E_BUSY,   /* its queue of waiting clients is full: try again in a while */
    UPSTREAM_E_FAILED, /* nobody listens there, or we may not connect */
};

/* @ret_fd: a socket, non-blocking and close-on-exec.  Return: 0 or negative (out of fds or memory) */
int upstream_open(int *ret_fd);

/*
 * upstream_connect() - connect, without waiting
 * @fd:           from upstream_open(); it may be tried again after UPSTREAM_E_BUSY
 * @path:         of at most ADDRESS_MAX_PATH_BYTES
 * @reterr_errno: why, for the log; written on UPSTREAM_E_FAILED only
 *
 * Return: 0, UPSTREAM_E_BUSY, UPSTREAM_E_FAILED.
 */
int upstream_connect(int fd, const char *path, int *reterr_errno);
