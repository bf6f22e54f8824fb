#pragma once

/*
 * Recorder: what a session's observer is told (trace.h), made into records
 * (record.h): bytes to whole messages, without secrets.  Where records go is
 * its user's business.
 */

#include "base/buffer.h"
#include "proxy/record.h"
#include "proxy/redact.h"
#include "proxy/session.h"
#include "proxy/trace.h"
#include "qmp/frame.h"

enum { RECORDER_MAX_BYTES = 1 << 20 }; /* of one record; a longer message is recorded in parts */

/* what goes one way, on one side of the session */
struct recorder_stream {
    struct frame_reader reader;
    struct buffer text; /* not recorded yet */
    struct buffer fds;  /* kinds of those that came with it */
    bool is_part;       /* parts of the message have been recorded */
};

typedef void (*recorder_fn)(void *userdata, const struct record *r);
typedef const char *(*recorder_fd_kind_fn)(int fd);

struct recorder {
    uint64_t session;
    const struct redact *redact; /* NULL: secrets stay */
    recorder_fn emit;
    recorder_fd_kind_fn fd_kind; /* NULL: all are "fd" */
    void *userdata;
    struct recorder_stream came[2], sent[2]; /* by enum side */
    struct buffer blanks[2];     /* that came from there, went on and are not recorded yet */
    struct buffer text, to_text; /* without secrets */
    bool has_failed;             /* out of memory: something is missing */
};

void recorder_init(struct recorder *r, uint64_t session, const struct redact *redact,
                   recorder_fn emit, void *userdata);

/* a session began, or is over: @kind is RECORD_OPENED or RECORD_CLOSED */
void recorder_note(struct recorder *r, int kind, const char *note, struct session_time time);

/* the observer's */
void recorder_tell(struct recorder *r, const struct trace_item *item, struct session_time time);

void recorder_deinit(struct recorder *r);
