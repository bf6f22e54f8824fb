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
 * QEMU's does: bytes are skipped until one of {}[]:, or a control byte (no
 * tab) or 0xFE/0xFF, and that byte is read from a fresh state.  After an
 * error of syntax everything is raw until the brackets balance.  Two answers
 * may be due while an object is still PART: that to a key twice (seeing it
 * takes memory, and some servers accept it; see is_ambiguous), and that to a
 * number or word right before the opening brace, which ends it.
 *
 * FRAME_SERVER trusts the server's JSON and looks at strings and brackets
 * only (a bare inf is possible there).
 *
 * Where the stream is split into calls makes no difference, but that a run
 * of FRAME_BLANK or FRAME_RAW, and an object, comes in as many parts.
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
    bool has_name : 1;         /* name is complete; it is never set when the value is no string */
    bool has_id : 1;           /* id is complete */
    bool is_escaped : 1;       /* a backslash in the name or a top-level key: a key may be missed */
    bool is_single_quoted : 1; /* has a string in single quotes somewhere */
    bool is_ambiguous : 1;     /* one of the keys twice, or two different kinds: servers differ in
                                  what they make of it; told here are the first ones */
    struct frame_slice name;   /* of a command or event: its characters between the quotes */
    struct frame_slice id;     /* the value of "id" */
    size_t n_bytes;            /* of the object, so far */
};

enum frame_scan {
    FRAME_BLANK,  /* white space between objects */
    FRAME_RAW,    /* bytes that belong to no object: pass them as they are */
    FRAME_OBJECT, /* the object is whole; frame_reader_frame() tells about it until the next scan */
    FRAME_PART,   /* an object that is not whole yet; every byte given was consumed */
    FRAME_BROKEN, /* the object that was begun can no longer be valid: these bytes and those of it before are raw */
};

/* QEMU's own limits of one message from a client; what is above breaks the object */
enum {
    FRAME_MAX_DEPTH = 1024,     /* brackets open at once (MAX_NESTING) */
    FRAME_MAX_TOKENS = 2 << 20, /* (MAX_TOKEN_COUNT) */
    /* of one token; those of a message together stay below (MAX_TOKEN_SIZE) */
    FRAME_MAX_TOKEN_BYTES = 64 << 20,
};

/* inside a character of a client's string; n_hex, n_more and high are 0 between two characters */
struct frame_string {
    uint32_t code;     /* of the character, so far */
    uint32_t min_code; /* its encoding is longer than need be when it stays below */
    uint8_t n_hex;     /* digits that \u still needs */
    uint8_t n_more;    /* bytes that UTF-8 still needs */
    uint16_t high;     /* surrogate that waits for its second half */
};

/* private but for its size; positions (…_at) count from the first byte of the stream */
struct frame_reader {
    struct frame frame;
    size_t at;          /* bytes consumed by earlier calls */
    size_t object_at;   /* where the object began, */
    size_t value_at;    /* the last value at its top level */
    size_t token_at;    /* and the last token of more than one byte */
    bool is_inside;     /* an object is being read */
    uint8_t use;        /* what the string being read is (enum use) */
    uint8_t lexer;      /* what is being read (enum lexer_state) */
    uint8_t expect;     /* what may come next in the object (enum expect) */
    uint8_t key;        /* what the value at the top level is for (enum key) */
    uint8_t n_key_text; /* length of that key; no more than one above what key_text has */
    char key_text[8];   /* as long as the longest key that matters */
    uint8_t source;     /* enum frame_source */

    union {
        size_t depth;     /* server: brackets open */
        const char *word; /* client: what is left of true, false or null */
    };

    /* client */
    struct frame_string string;
    int n_braces, n_brackets;       /* open, as QEMU counts them; also in what is no object */
    size_t n_tokens, n_token_bytes; /* of the message */
    /* a bit for each bracket open in the object: is it a list */
    uint64_t nesting[FRAME_MAX_DEPTH / 64];
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

/* is it, but for the count of bytes, as frame_reader_init() left it? */
bool frame_reader_is_fresh(const struct frame_reader *r);

/* Return: how many of the @n bytes that follow an object are a line end right behind it */
static inline size_t frame_line_end(const char *text, size_t n) {
    if (n >= 2 && text[0] == '\r' && text[1] == '\n')
        return 2;
    return n >= 1 && text[0] == '\n' ? 1 : 0;
}

/*
 * frame_skip_line_end() - the line end that mostly follows an object
 * Only right behind FRAME_OBJECT.  It is FRAME_BLANK, and found sooner than by frame_scan().
 * Return: how many of the @n bytes that follow those consumed it has; 0: there is none
 */
static inline size_t frame_skip_line_end(struct frame_reader *r, const char *text, size_t n) {
    size_t n_eol = frame_line_end(text, n);

    r->at += n_eol;
    return n_eol;
}

/* the object of the last FRAME_OBJECT, or the one that FRAME_PART left unfinished */
static inline const struct frame *frame_reader_frame(const struct frame_reader *r) {
    return &r->frame;
}
