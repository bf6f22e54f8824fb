#pragma once

/*
 * What the two scanners of frame.c share: the states of a reader, and what
 * there is to know of the top level.  For them only.
 */

#include <string.h>

#include "base/util.h"
#include "qmp/frame.h"
#include "qmp/scan.h"

/*
 * What a string is.  One member and not two flags: those would be written one
 * by one and read together, for which a processor must wait.
 */
enum use { USE_VALUE, USE_KEY, USE_NAME };

/* what the value at the top level is for */
enum key { KEY_OTHER, KEY_ID, KEY_NAME };

/* what may come next in an object */
enum expect {
    EXPECT_NOTHING, /* 0, see expect_table */
    EXPECT_OBJECT,
    EXPECT_FIRST_KEY,
    EXPECT_KEY,
    EXPECT_COLON,
    EXPECT_MEMBER,
    EXPECT_AFTER_MEMBER,
    EXPECT_FIRST_ELEMENT,
    EXPECT_ELEMENT,
    EXPECT_AFTER_ELEMENT,
    EXPECT_OUTER, /* a bracket was closed: whatever follows in the one around it */
    _EXPECT_N,
};

static inline bool frame_is_blank(unsigned char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline void frame_object_begin(struct frame_reader *r, size_t at) {
    r->frame = (struct frame){.kind = FRAME_UNKNOWN};
    r->is_inside = true;
    r->object_at = at;
    r->key = KEY_OTHER;
}

static inline void frame_object_end(struct frame_reader *r) {
    r->is_inside = false;
    r->use = USE_VALUE;
}

/* what a string at the top level is */
static inline enum use frame_string_use(const struct frame_reader *r, bool is_key) {
    if (is_key)
        return USE_KEY;
    return r->key == KEY_NAME ? USE_NAME : USE_VALUE;
}

static inline void frame_string_begin(struct frame_reader *r, enum use use, size_t at) {
    r->use = use;
    r->token_at = at;
    if (use == USE_KEY)
        r->n_key_text = 0;
}

/* more of the string being read: only of a key is it kept */
static inline void frame_string_append(struct frame_reader *r, const char *text, size_t n) {
    size_t at = size_min(r->n_key_text, sizeof(r->key_text));

    if (r->use != USE_KEY)
        return;
    memcpy(r->key_text + at, text, size_min(n, sizeof(r->key_text) - at));
    r->n_key_text = (uint8_t)size_min(r->n_key_text + n, sizeof(r->key_text) + 1);
}

/* there is a backslash in the string being read */
static inline void frame_string_is_escaped(struct frame_reader *r) {
    if (r->use != USE_VALUE)
        r->frame.is_escaped = true;
}

/* ---- what the top level says, noted in a frame ---- */

/* a key that tells the kind; of two kinds the first one counts.  Return: what its value is for */
static inline enum key frame_note_kind(struct frame *f, enum frame_kind kind, enum key key) {
    if (f->kind != FRAME_UNKNOWN) {
        f->is_ambiguous = true;
        return KEY_OTHER;
    }
    f->kind = kind;
    return key;
}

static inline enum key frame_note_id_key(struct frame *f) {
    if (f->has_id)
        f->is_ambiguous = true;
    return f->has_id ? KEY_OTHER : KEY_ID;
}

/* any key; it has no backslash.  By lengths, since it is done for every key of every message */
static inline enum key frame_note_key(struct frame *f, const char *text, size_t n) {
    switch (n) {
    case 2:
        return memcmp(text, "id", 2) == 0 ? frame_note_id_key(f) : KEY_OTHER;
    case 3:
        return memcmp(text, "QMP", 3) == 0 ? frame_note_kind(f, FRAME_GREETING, KEY_OTHER)
                                           : KEY_OTHER;
    case 5:
        if (memcmp(text, "event", 5) == 0)
            return frame_note_kind(f, FRAME_EVENT, KEY_NAME);
        return memcmp(text, "error", 5) == 0 ? frame_note_kind(f, FRAME_ERROR, KEY_OTHER)
                                             : KEY_OTHER;
    case 6:
        return memcmp(text, "return", 6) == 0 ? frame_note_kind(f, FRAME_RETURN, KEY_OTHER)
                                              : KEY_OTHER;
    case 7:
        return memcmp(text, "execute", 7) == 0 ? frame_note_kind(f, FRAME_COMMAND, KEY_NAME)
                                               : KEY_OTHER;
    case 8:
        return memcmp(text, "exec-oob", 8) == 0 ? frame_note_kind(f, FRAME_COMMAND_OOB, KEY_NAME)
                                                : KEY_OTHER;
    default:
        return KEY_OTHER;
    }
}

/* the value of such a key, @n bytes at @text, the object's @at-th byte; a name has no backslash */
static inline void frame_note_value(struct frame *f, enum key key, size_t at, const char *text,
                                    size_t n) {
    if (key == KEY_ID) {
        f->id = (struct frame_slice){at, n};
        f->has_id = true;
    } else if (key == KEY_NAME && *text == '"') {
        f->name = (struct frame_slice){at + 1, n - 2};
        f->has_name = true;
    }
}

/* ---- the same as it comes, byte by byte ---- */

/* a value at the top level ended just before @at */
static inline void frame_value_end(struct frame_reader *r, size_t at) {
    if (r->key != KEY_ID)
        return;
    r->frame.id = (struct frame_slice){r->value_at - r->object_at, at - r->value_at};
    r->frame.has_id = true;
}

static inline void frame_name_end(struct frame_reader *r, size_t at) {
    size_t begin = r->token_at + 1; /* behind the quote */

    r->frame.name = (struct frame_slice){begin - r->object_at, at - 1 - begin};
    r->frame.has_name = true;
}

/* the key in r->key_text is whole */
static inline void frame_key_end(struct frame_reader *r) {
    r->key = (uint8_t)frame_note_key(&r->frame, r->key_text, r->n_key_text);
}

/* a key or value at the top level that is a string ended just before @at */
static inline void frame_string_end(struct frame_reader *r, size_t at) {
    switch ((enum use)r->use) {
    case USE_KEY:
        frame_key_end(r);
        break;
    case USE_NAME:
        frame_name_end(r, at);
        break;
    default:
        frame_value_end(r, at);
        break;
    }
    r->use = USE_VALUE;
}

/* ---- strings that can be trusted ---- */

/* Return: where the string that begins at @at, behind its quote, has its other one; NULL: it has a backslash, or no end */
static inline const char *frame_plain_string(const char *at, const char *end) {
    size_t n = (size_t)(end - at);

    at += n >= SCAN_SHORT ? scan_short(at) : 0;
    if (at < end && *at != '"')
        at += scan_string(at, (size_t)(end - at));
    return at < end && *at == '"' ? at : NULL;
}

/* --- frame_client.c, frame_server.c: frame_scan() for each source --- */

enum frame_scan frame_client_scan(struct frame_reader *r, const char *text, size_t n,
                                  size_t *ret_n);
enum frame_scan frame_server_scan(struct frame_reader *r, const char *text, size_t n,
                                  size_t *ret_n);
