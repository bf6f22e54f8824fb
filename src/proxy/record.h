#pragma once

/*
 * Record: one thing that happened in a session, as a trace file has it on a
 * line.  qmp-shim-trace(5) tells of the format.  This is the text of a line,
 * both ways; who makes records is recorder.h's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "proxy/trace.h"

enum { RECORD_VERSION = 2, RECORD_OLDEST_VERSION = 1 };

/* some thousand years: with times of a record one can reckon */
#define RECORD_MAX_MS (UINT64_C(1) << 47)
#define RECORD_MAX_US (INT64_C(1) << 57)

enum record_kind {
    RECORD_OPENED, /* a session begins */
    RECORD_CLOSED, /* it is over */
    RECORD_HEADER, /* the first line of a file */
    RECORD_LOST,   /* records are missing from here on: why is in note */
    _RECORD_TRACE,
    RECORD_CAME = _RECORD_TRACE + TRACE_CAME, /* and so on: what the session's observer was told */
};

#define RECORD_OF(trace) (_RECORD_TRACE + (trace))

struct record {
    int kind;         /* enum record_kind, RECORD_OF(…) */
    uint64_t ms;      /* monotonic */
    int64_t us;       /* wall clock, since 1970 */
    uint64_t session; /* 0: none */
    int side;         /* enum side: whom it came from, who gets it; -1: neither */
    const char *text; /* NULL: none */
    size_t n_text;
    const char *to_text; /* what it became; NULL: none */
    size_t n_to_text;
    const char *rule, *note; /* NULL: none */
    const char *fds;         /* kinds of the fds, separated by blanks; NULL: none */
    bool is_part;            /* the message goes on in the next record of that side and kind */
    bool is_blanked;         /* secrets were taken out of text */

    /* RECORD_HEADER */
    bool is_continued; /* sessions may have begun in an older file */
};

/* what most lines have, as the ones before had it; zeroed at first */
struct record_head {
    uint64_t ms;
    int64_t s; /* of us */
    size_t n;
    char text[64];         /* both times, but for the last six digits */
    struct record_middle { /* what stands between them and the texts */
        uint64_t session;
        int kind;
        size_t n; /* 0: nothing yet */
        char text[96];
    } middle[3]; /* by side + 1 */
};

/* append @r as a line.  Return: 0 or -ENOMEM */
int record_write(const struct record *r, struct record_head *head, struct buffer *b);

enum {
    _RECORD_E_SUCCESS,
    RECORD_E_INVALID, /* this is no line of a trace */
    RECORD_E_VERSION, /* it is the header of a version that is not known here */
};

/*
 * record_read() - the other way
 * @line: without its end
 * @ret:  its texts live in @arena
 *
 * Return: 0, -ENOMEM, RECORD_E_….
 */
int record_read(struct arena *arena, const char *line, size_t n, struct record *ret);

/*
 * record_split() - a message that came and went on as it is, as the two records that it stands for
 * @r: RECORD_OF(TRACE_PASSED) becomes RECORD_CAME, and @ret_sent is the other one
 *
 * Return: was it so?
 */
bool record_split(struct record *r, struct record *ret_sent);
