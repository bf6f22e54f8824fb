#pragma once

/*
 * What reading and playing case files share: a line of a dialogue.  Private
 * to case_*.c.
 */

#include "base/fdlook.h"
#include "proxy/case.h"
#include "proxy/session.h"

enum case_step_kind {
    CASE_SEND,
    CASE_RECEIVE,
    CASE_RECEIVE_EXACTLY,
    CASE_WAIT,
    CASE_CLOSE,
    CASE_SEE_END
};

struct case_step {
    struct case_step *next;
    enum case_step_kind kind;
    enum side side;
    size_t at, n_at;          /* the line */
    const struct json *value; /* a message; NULL: bytes */
    const char *text;         /* bytes */
    size_t n_text;
    size_t n_fds;
    struct fdlook fd; /* what the first of them is */
    uint64_t ms;
};
