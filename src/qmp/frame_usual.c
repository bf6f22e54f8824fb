/*
 * Shapes: each piece of text that is always the same is compared at once, and
 * only what stands between is read.
 */
#include "qmp/frame_usual.h"

#include <string.h>

#include "base/util.h"
#include "qmp/frame_parts.h"
#include "qmp/scan.h"

/*
 * A reply that is longer than this, and a part of it mostly, is for
 * frame_server.c: what was read here would be read twice.
 */
enum { USUAL_MAX_REPLY_BYTES = 1024 };

/* @at is behind the bracket that opens it.  Return: behind the one that closes it; NULL: that is not before @end */
static inline const char *usual_nested(const char *at, const char *end) {
    struct scan s = {.depth = 1};
    size_t n = 0;

    if (end - at < SCAN_BLOCK) /* for which scan_nested() has to do more */
        n = scan_flat(at, (size_t)(end - at));
    if (n > 0)
        return at + n;
    n = scan_nested(&s, at, (size_t)(end - at));
    return s.depth == 0 ? at + n : NULL;
}

/* are all bytes of it digits? */
static inline bool is_of_digits(uint64_t x) {
    /* from 0x30 to 0x3f, and still so with 6 more, which carries nothing into the next byte */
    return (x & 0xf0f0f0f0f0f0f0f0) == 0x3030303030303030 &&
           ((x + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) == 0x3030303030303030;
}

static inline bool are_eight_digits(const char *text) {
    uint64_t x;

    memcpy(&x, text, sizeof(x));
    return is_of_digits(x);
}

/* by four and four of them: a processor would wait for what it has just put together in memory */
static inline bool are_six_digits(const char *text) {
    uint32_t first, last;

    memcpy(&first, text, sizeof(first));
    memcpy(&last, text + 2, sizeof(last));
    return is_of_digits((uint64_t)first << 32 | last);
}

/* Return: behind the digits that begin at @at */
static inline const char *usual_digits(const char *at, const char *end) {
    while (end - at >= 8 && are_eight_digits(at))
        at += 8;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* ---- replies: {"return": {…}, "id": …}, with or without the id ---- */

enum { REPLY_VALUE_AT = 11, REPLY_LEAST_BYTES = 14 };

/* @at is behind what is returned.  Return: the closing brace, or NULL */
static inline const char *reply_id(const char *at, const char *end, const char *text,
                                   struct frame_slice *ret_id) {
    const char *id;

    *ret_id = (struct frame_slice){0};
    if (end - at < 10 || memcmp(at, ", \"id\": ", 8) != 0)
        return at;
    id = at + 8;
    at = *id == '"' ? frame_plain_string(id + 1, end) : usual_digits(id, end);
    if (!at || at == id)
        return NULL;
    at += *id == '"';
    *ret_id = (struct frame_slice){(size_t)(id - text), (size_t)(at - id)};
    return at;
}

static inline size_t usual_reply(const char *text, size_t n, struct frame *ret_frame) {
    const char *end = text + size_min(n, USUAL_MAX_REPLY_BYTES), *at;
    struct frame_slice id;

    if (n < REPLY_LEAST_BYTES || memcmp(text, "{\"return\": ", REPLY_VALUE_AT) != 0 ||
        (text[REPLY_VALUE_AT] != '{' && text[REPLY_VALUE_AT] != '['))
        return 0;
    at = usual_nested(text + REPLY_VALUE_AT + 1, end);
    at = at ? reply_id(at, end, text, &id) : NULL;
    if (!at || at == end || *at != '}')
        return 0;
    n = (size_t)(at + 1 - text);
    *ret_frame = (struct frame){.kind = FRAME_RETURN, .id = id, .has_id = id.n > 0, .n_bytes = n};
    return n;
}

/* ---- events: {"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "…", "data": {…}} ---- */

enum { EVENT_NAME_AT = 73, EVENT_LEAST_BYTES = 80 };

/*
 * Does @text begin with a timestamp of the usual numbers of digits, and then a name?
 * In pieces that a compiler compares in place.
 */
static inline bool event_has_head(const char *text) {
    return memcmp(text, "{\"timestamp\": {\"", 16) == 0 &&
           memcmp(text + 16, "seconds\": ", 10) == 0 && are_eight_digits(text + 26) &&
           are_eight_digits(text + 28) && memcmp(text + 36, ", \"microseconds\"", 16) == 0 &&
           memcmp(text + 52, ": ", 2) == 0 && are_six_digits(text + 54) &&
           memcmp(text + 60, "}, \"event\": \"", 13) == 0;
}

static inline size_t usual_event(const char *text, size_t n, struct frame *ret_frame) {
    static const char head[] = {'"', ',', ' ', '"', 'd', 'a', 't', 'a', '"', ':', ' ', '{'};
    const char *end = text + n, *name = text + EVENT_NAME_AT, *name_end, *at;

    if (n < EVENT_LEAST_BYTES || !event_has_head(text))
        return 0;
    name_end = frame_plain_string(name, end);
    if (!name_end)
        return 0;
    at = name_end + 1;
    if ((size_t)(end - name_end) > sizeof(head) && memcmp(name_end, head, sizeof(head)) == 0)
        at = usual_nested(name_end + sizeof(head), end);
    if (!at || at == end || *at != '}')
        return 0;
    n = (size_t)(at + 1 - text);
    *ret_frame = (struct frame){.kind = FRAME_EVENT,
                                .name = {EVENT_NAME_AT, (size_t)(name_end - name)},
                                .has_name = true,
                                .n_bytes = n};
    return n;
}

size_t frame_usual(const char *text, size_t n, struct frame *ret_frame) {
    if (n < 3)
        return 0;
    switch (text[2]) {
    case 'r':
        return usual_reply(text, n, ret_frame);
    case 't':
        return usual_event(text, n, ret_frame);
    default:
        return 0;
    }
}
