#pragma once

/*
 * Framing: cuts a byte stream into single JSON objects, and tells of each
 * what its top-level keys say.  One pass, no copy, no memory but for its own
 * state.  What an object's inside means is message.h's and rule/'s business;
 * whether it is legal QMP is the server's.
 *
 * Two sources, two measures:
 *
 * FRAME_CLIENT reads as QEMU's own parser does (qobject/json-lexer.c,
 * json-streamer.c), because a client may send anything and the server
 * answers each fault at once: a byte that makes the object invalid ends it
 * there and then (FRAME_BROKEN), so that nothing the server would already
 * have answered is held back.  After a lexical error reading goes on as
 * QEMU's does: bytes are skipped until one of {}[]:, or a control byte or
 * 0xFE/0xFF, and that byte is read from a fresh state.  After an error of
 * syntax everything is raw until the brackets balance.
 *
 * FRAME_SERVER trusts the server's JSON and looks at strings and brackets
 * only (a bare inf is possible there).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_source { FRAME_CLIENT, FRAME_SERVER };

enum frame_kind {
    FRAME_UNKNOWN,     /* none of the keys below (yet) */
    FRAME_COMMAND,     /* "execute" */
    FRAME_COMMAND_OOB, /* "exec-oob" */
    FRAME_RETURN,      /* "return" */
    FRAME_ERROR,       /* "error" */
    FRAME_EVENT,       /* "event" */
    FRAME_GREETING,    /* "QMP" */
    _FRAME_KIND_N,
};

/* bytes of the object, counted from its opening brace; n is 0 when there is none */
struct frame_slice {
    size_t at, n;
};

/* what is known of an object; of one that is not whole yet, so far */
struct frame {
    enum frame_kind kind;
    struct frame_slice name;  /* of a command or event: its characters between the quotes, as they stand */
    struct frame_slice id;    /* the value of "id", as it stands */
    size_t n_bytes;           /* of the object, so far */
    bool has_name : 1;        /* name is complete; it is never set when the value is no string */
    bool has_id : 1;          /* id is complete */
    bool is_escaped : 1;      /* the name or a key at the top level contains a backslash: slices may have missed a key */
    bool is_single_quoted : 1; /* has a string in single quotes somewhere */
    bool is_ambiguous : 1;    /* one of the keys above twice, or two different kinds: servers differ in what they make of it */
};

enum frame_scan {
    FRAME_BLANK,  /* white space between objects */
    FRAME_RAW,    /* bytes that belong to no object: pass them as they are */
    FRAME_OBJECT, /* the object is whole; frame_reader_frame() tells about it until the next scan */
    FRAME_PART,   /* an object that is not whole yet; every byte given was consumed */
    FRAME_BROKEN, /* the object that was begun can no longer be valid: these bytes and those of it before are raw */
};

enum {
    FRAME_MAX_DEPTH = 1024, /* brackets, QEMU's own limit (MAX_NESTING); one more breaks the object, from a client */
};

struct frame_reader {
    enum frame_source source;
    struct frame frame;
    uint8_t lexer;  /* state inside a token */
    uint8_t expect; /* what the grammar allows next */
    bool is_bad;    /* raw until the brackets balance */
    bool is_inside; /* an object (or a top-level value that is none) is being read */
    /* more of its own */
    uint8_t key;            /* which of the keys above the last one was */
    size_t token_at;        /* where the token began, in the object */
    size_t depth, n_braces, n_brackets;
    uint64_t nesting[FRAME_MAX_DEPTH / 64]; /* a bit a level: object or list */
};

void frame_reader_init(struct frame_reader *r, enum frame_source source);

/*
 * frame_scan() - read on
 * @text:  the bytes that follow those consumed before
 * @n:     their number; more than 0
 * @ret_n: how many of them the outcome is about, at least 1; an object that
 *         began in an earlier call counts only this call's bytes here
 *
 * Return: an enum frame_scan.  Always all of @text after FRAME_PART.
 */
enum frame_scan frame_scan(struct frame_reader *r, const char *text, size_t n, size_t *ret_n);

/* the object of the last FRAME_OBJECT, or the one that FRAME_PART left unfinished */
static inline const struct frame *frame_reader_frame(const struct frame_reader *r) {
    return &r->frame;
}
