#pragma once

/*
 * Perform: a recorded server or client (proxy/rehearsal.h) at a socket.
 * Blocks, with a limit to each wait.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cmd/tracereader.h"

struct perform_part {
    int side;            /* enum side: who is played */
    bool is_shape;       /* compare members and types only */
    const char *path;    /* of the socket: listened at by the server, connected to by the client */
    uint64_t session;    /* 0: the first one */
    uint32_t timeout_ms; /* for each thing that is waited for */
};

enum {
    _PERFORM_E_SUCCESS,
    PERFORM_E_FAILED, /* why was said on stderr */
};

/*
 * perform_trace() - to the end of the session; prints what differs
 * @ret_n_differences, @ret_n_same: messages of the live peer
 *
 * Return: 0, negative, PERFORM_E_FAILED
 */
int perform_trace(const struct perform_part *part, struct tracereader *reader,
                  size_t *ret_n_differences, size_t *ret_n_same);

/* a message on a line of its own, behind a sign, as differences are printed */
void perform_print(const char *sign, const char *text);
