#pragma once

/*
 * Request: what a control socket can be asked for, as one JSON object on a
 * line, and what is answered.  Connections are control.h's business.
 *
 *   {"do": "status"}                                  what an empty line asks, too
 *   {"do": "trace-start", "file": PATH, "mib": 100}   both may be left out
 *   {"do": "trace-stop"}
 *   {"do": "trace-follow"}                            records follow until the end
 *
 * The answer is {"file": PATH} or {"error": TEXT}.
 */

#include <stddef.h>
#include "base/buffer.h"
#include "io/recording.h"

enum { REQUEST_MAX_BYTES = 8192 };

enum {
    _REQUEST_E_SUCCESS,
    REQUEST_E_STATUS, /* the caller is to tell how the server is */
    REQUEST_E_FOLLOW, /* the caller is to send the records, as they come */
};

/*
 * request_do()
 * @fd:         of the connection: only root and this process's user may ask for traces
 * @ret_answer: appended to, unless the outcome says what is to be done
 *
 * Return: 0, REQUEST_E_….
 */
int request_do(struct recording *recording, int fd, const char *text, size_t n,
               struct buffer *ret_answer);

/* an answer that something is wrong; for the caller's own failures, too */
void request_refuse(struct buffer *answer, const char *why);
