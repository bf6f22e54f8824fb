#pragma once

/*
 * The observer of a session: what happened, told as it happens, to whoever
 * wants to log, explain or record it.  It cannot change anything.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
    TRACE_PASSED,    /* a whole message passed unchanged */
    TRACE_REWRITTEN, /* text is what came, to_text what goes out instead */
    TRACE_DROPPED,   /* a rule says that the other side has nothing like it */
    TRACE_ANSWERED,  /* a command answered here; to_text is the reply */
    TRACE_ASKED,     /* a command of the shim's own goes to the server: to_text */
    TRACE_SWALLOWED, /* its reply came: text */
    TRACE_EMITTED,   /* an event of the shim's own goes to the client: to_text */
    TRACE_HELD,      /* the message waits */
    TRACE_RELEASED,  /* it waits no longer */
    TRACE_FAILED,    /* a rule could not finish: why is in note; the message passes unchanged */
    TRACE_TIMED_OUT, /* a wait reached its deadline or limit */
    TRACE_ACTIVE,    /* the rules of this session are chosen: text names them, note says why so */

    /* what goes in and out, byte for byte; told only on request (session_tell_traffic()) */
    TRACE_CAME, /* text is a piece of what came: a message, part of one, or what stands between two; fds came with it */
    TRACE_SENT, /* text is what is to be sent next to from, fds with it */
    TRACE_ENDED, /* from sends no more */
    TRACE_WENT, /* TRACE_CAME and TRACE_SENT in one: text is an object, with its line end or without, or blanks, and goes on as it is */
};

struct fds;
struct frame;

struct trace_item {
    enum trace_kind kind;
    int from;         /* enum side the message came from; -1: the shim's own */
    const char *text; /* the message as it came; not NUL-terminated; NULL when there is none */
    size_t n_text;
    const char *to_text; /* what goes out instead */
    size_t n_to_text;
    const char *rule;      /* its name; NULL when no rule is concerned */
    const char *note;      /* why */
    const struct fds *fds; /* TRACE_CAME, TRACE_SENT: those of its first byte; NULL: none */
    const struct frame *
        frame; /* likewise: text is one object, the whole of it, and this is known; NULL: not so, or not known;
                  TRACE_WENT: NULL: text is blanks */
    bool is_repeated; /* TRACE_FAILED: this rule has failed in this session before */
};

typedef void (*trace_fn)(void *userdata, const struct trace_item *item);
