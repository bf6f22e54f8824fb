#include "proxy/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "json/escape.h"
#include "json/reader.h"
#include "json/value.h"
#include "proxy/session.h"

struct word {
    const char *text;
    size_t n;
};

#define WORD(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static const struct word kind_names[] = {
    [RECORD_OPENED] = WORD("opened"),
    [RECORD_CLOSED] = WORD("closed"),
    [RECORD_HEADER] = WORD("header"),
    [RECORD_LOST] = WORD("lost"),
    [RECORD_OF(TRACE_PASSED)] = WORD("passed"),
    [RECORD_OF(TRACE_REWRITTEN)] = WORD("rewritten"),
    [RECORD_OF(TRACE_DROPPED)] = WORD("dropped"),
    [RECORD_OF(TRACE_ANSWERED)] = WORD("answered"),
    [RECORD_OF(TRACE_ASKED)] = WORD("asked"),
    [RECORD_OF(TRACE_SWALLOWED)] = WORD("swallowed"),
    [RECORD_OF(TRACE_EMITTED)] = WORD("emitted"),
    [RECORD_OF(TRACE_HELD)] = WORD("held"),
    [RECORD_OF(TRACE_RELEASED)] = WORD("released"),
    [RECORD_OF(TRACE_FAILED)] = WORD("failed"),
    [RECORD_OF(TRACE_TIMED_OUT)] = WORD("timed-out"),
    [RECORD_OF(TRACE_ACTIVE)] = WORD("active"),
    [RECORD_OF(TRACE_CAME)] = WORD("came"),
    [RECORD_OF(TRACE_SENT)] = WORD("sent"),
    [RECORD_OF(TRACE_ENDED)] = WORD("ended"),
};

static const struct word side_names[] = {WORD("client"), WORD("server")}; /* by enum side */

/* --- writing --------------------------------------------------------------------------------------- */

enum {
    MAX_NUMBER_BYTES = 20,
    MAX_MEMBER_BYTES = 64, /* what stands around a value, or is a number */
    MAX_START_BYTES = 6 * MAX_MEMBER_BYTES,
    PIECE_BYTES = 4096, /* of a text; room is made for one after the other */
};

static char *put(char *at, const char *text, size_t n) {
    memcpy(at, text, n);
    return at + n;
}

static char *put_word(char *at, const struct word *w) {
    return put(at, w->text, w->n);
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

/* two digits at a time; the first of an odd number of them is alone */
static char *put_number(char *at, uint64_t number) {
    char digits[MAX_NUMBER_BYTES], *first = digits + sizeof(digits);

    for (; number >= 10; number /= 100) {
        unsigned two = (unsigned)(number % 100);

        *--first = (char)('0' + two % 10);
        *--first = (char)('0' + two / 10);
    }
    if (number > 0 || first == digits + sizeof(digits))
        *--first = (char)('0' + number);
    return put(at, first, (size_t)(digits + sizeof(digits) - first));
}

/* so many that zeros stand before it */
static char *put_six_digits(char *at, uint32_t number) {
    for (size_t i = 6; i > 0; i -= 2) {
        uint32_t two = number % 100;

        at[i - 1] = (char)('0' + two % 10);
        at[i - 2] = (char)('0' + two / 10);
        number /= 100;
    }
    return at + 6;
}

static void written(struct buffer *b, const char *at) {
    b->n = (size_t)(at - b->data);
}

static inline bool has_room(struct buffer *b, size_t n) {
    if (b->cap - b->n >= n && !b->failed) /* which it mostly has */
        return true;
    if (!b->failed && buffer_reserve(b, n) < 0)
        b->failed = true;
    return !b->failed;
}

/* @key: with all that stands between it and the text before, and behind it */
static inline void write_bytes(struct buffer *b, const char *key, size_t n_key, const char *text,
                               size_t n) {
    size_t n_piece = size_min(n, PIECE_BYTES);
    char *at;

    if (!has_room(b, MAX_MEMBER_BYTES + ESCAPE_ROOM(n_piece)))
        return;
    at = put(b->data + b->n, key, n_key);
    while (n > 0) {
        written(b, escape_put(at, text, n_piece));
        text += n_piece;
        n -= n_piece;
        n_piece = size_min(n, PIECE_BYTES);
        if (!has_room(b, MAX_MEMBER_BYTES + ESCAPE_ROOM(n_piece)))
            return;
        at = b->data + b->n;
    }
    written(b, PUT(at, "\""));
}

#define WRITE_BYTES(b, key, text, n)                                                               \
    write_bytes((b), ",\"" key "\":\"", sizeof(key) + 4, (text), (n))

/* both times, but for the last six digits of us: most lines have the same */
static void head_update(struct record_head *head, uint64_t ms, int64_t s) {
    char *at = head->text;

    if (head->n > 0 && head->ms == ms && head->s == s)
        return;
    at = PUT(at, "\"ms\":");
    at = put_number(at, ms);
    at = PUT(at, ",\"us\":");
    at = put_number(at, (uint64_t)s);
    head->ms = ms;
    head->s = s;
    head->n = (size_t)(at - head->text);
}

static char *put_times(char *at, const struct record *r, struct record_head *head) {
    int64_t s = r->us / 1000000;

    if (s <= 0) { /* as no clock says it */
        at = PUT(at, "\"ms\":");
        at = put_number(at, r->ms);
        at = PUT(at, ",\"us\":");
        return put_number(at, (uint64_t)r->us);
    }
    head_update(head, r->ms, s);
    memcpy(at, head->text, sizeof(head->text)); /* all of it, which is sooner done than a part */
    return put_six_digits(at + head->n, (uint32_t)(r->us - s * 1000000));
}

static void middle_update(struct record_middle *m, const struct record *r) {
    char *at = m->text;

    if (r->session) {
        at = PUT(at, ",\"session\":");
        at = put_number(at, r->session);
    }
    at = PUT(at, ",\"what\":\"");
    at = put_word(at, &kind_names[r->kind]);
    if (r->side >= 0) {
        at = PUT(at, "\",\"side\":\"");
        at = put_word(at, &side_names[r->side]);
    }
    at = PUT(at, "\"");
    m->session = r->session;
    m->kind = r->kind;
    m->n = (size_t)(at - m->text);
}

static char *put_middle(char *at, const struct record *r, struct record_middle *m) {
    if (m->n == 0 || m->session != r->session || m->kind != r->kind)
        middle_update(m, r);
    memcpy(at, m->text, sizeof(m->text));
    return at + m->n;
}

/* what most lines have, in one piece */
static void write_start(const struct record *r, struct record_head *head, struct buffer *b) {
    char *at;

    if (!has_room(b, MAX_START_BYTES))
        return;
    at = PUT(b->data + b->n, "{");
    if (r->kind == RECORD_HEADER) {
        at = PUT(at, "\"qmp-shim-trace\":");
        at = put_number(at, RECORD_VERSION);
        at = PUT(at, ",");
    }
    at = put_times(at, r, head);
    written(b, put_middle(at, r, &head->middle[r->side + 1]));
}

int record_write(const struct record *r, struct record_head *head, struct buffer *b) {
    write_start(r, head, b);
    if (r->rule)
        WRITE_BYTES(b, "rule", r->rule, strlen(r->rule));
    if (r->note)
        WRITE_BYTES(b, "note", r->note, strlen(r->note));
    if (r->fds)
        WRITE_BYTES(b, "fds", r->fds, strlen(r->fds));
    if (r->is_part)
        buffer_append_string(b, ",\"part\":true");
    if (r->is_blanked)
        buffer_append_string(b, ",\"blanked\":true");
    if (r->is_continued)
        buffer_append_string(b, ",\"continued\":true");
    if (r->text)
        WRITE_BYTES(b, "text", r->text, r->n_text);
    if (r->to_text)
        WRITE_BYTES(b, "to", r->to_text, r->n_to_text);
    buffer_append(b, "}\n", 2);
    return buffer_status(b);
}

/* --- reading ------------------------------------------------------------------------------------------ */

static uint64_t read_number(const struct json *root, const char *key) {
    const struct json *v = json_member(root, key);
    uint64_t number = 0;

    if (!v || v->type != JSON_NUMBER)
        return 0;
    for (size_t i = 0; i < v->n_text && v->text[i] >= '0' && v->text[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(v->text[i] - '0');
    return number;
}

static bool read_flag(const struct json *root, const char *key) {
    const struct json *v = json_member(root, key);

    return v && v->type == JSON_BOOL && v->boolean;
}

/* Return: -1 when it is none of them */
static int read_word(const struct json *root, const char *key, const struct word *words,
                     size_t n_words) {
    const struct json *v = json_member(root, key);

    for (size_t i = 0; v && i < n_words; i++)
        if (words[i].text && json_is_string(v, words[i].text))
            return (int)i;
    return -1;
}

/* characters above 0xFF do not occur; of those that do somehow the low byte is taken */
static int read_bytes(struct arena *arena, const struct json *root, const char *key,
                      const char **ret_text, size_t *ret_n) {
    const struct json *v = json_member(root, key);
    size_t n = 0;
    char *text;

    *ret_text = NULL;
    *ret_n = 0;
    if (!v || v->type != JSON_STRING)
        return 0;
    text = arena_copy(arena, v->string, v->n_string);
    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < v->n_string; i++) {
        unsigned char c = (unsigned char)v->string[i];

        if ((c & 0xE0) == 0xC0 && i + 1 < v->n_string)
            c = (unsigned char)(c << 6 | ((unsigned char)v->string[++i] & 0x3F));
        text[n++] = (char)c;
    }
    text[n] = '\0';
    *ret_text = text;
    *ret_n = n;
    return 0;
}

static int read_texts(struct arena *arena, const struct json *root, struct record *r) {
    const struct {
        const char *key, **text;
        size_t *n;
    } texts[] = {
        {"text", &r->text, &r->n_text},   {"to", &r->to_text, &r->n_to_text},
        {"rule", &r->rule, &(size_t){0}}, {"note", &r->note, &(size_t){0}},
        {"fds", &r->fds, &(size_t){0}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (read_bytes(arena, root, texts[i].key, texts[i].text, texts[i].n) < 0)
            return -ENOMEM;
    return 0;
}

/* readers count on it */
static bool is_complete(const struct record *r) {
    if (r->ms > RECORD_MAX_MS || r->us < 0 || r->us > RECORD_MAX_US)
        return false;
    switch (r->kind) {
    case RECORD_CAME:
    case RECORD_OF(TRACE_PASSED):
    case RECORD_OF(TRACE_SENT):
        return r->side >= 0 && r->text;
    case RECORD_OF(TRACE_ENDED):
        return r->side >= 0;
    default:
        return true;
    }
}

static bool is_known_version(uint64_t version) {
    return version >= RECORD_OLDEST_VERSION && version <= RECORD_VERSION;
}

int record_read(struct arena *arena, const char *line, size_t n, struct record *ret) {
    struct json *root;
    int r;

    r = json_read(arena, line, n, false, &root, NULL);
    if (r)
        return r < 0 ? r : RECORD_E_INVALID;
    *ret = (struct record){
        .kind = read_word(root, "what", kind_names, ARRAY_SIZE(kind_names)),
        .ms = read_number(root, "ms"),
        .us = (int64_t)read_number(root, "us"),
        .session = read_number(root, "session"),
        .side = read_word(root, "side", side_names, ARRAY_SIZE(side_names)),
        .is_part = read_flag(root, "part"),
        .is_blanked = read_flag(root, "blanked"),
        .is_continued = read_flag(root, "continued"),
    };
    if (ret->kind < 0)
        return RECORD_E_INVALID;
    if (ret->kind == RECORD_HEADER && !is_known_version(read_number(root, "qmp-shim-trace")))
        return RECORD_E_VERSION;
    r = read_texts(arena, root, ret);
    return r < 0 || is_complete(ret) ? r : RECORD_E_INVALID;
}

bool record_split(struct record *r, struct record *ret_sent) {
    if (r->kind != RECORD_OF(TRACE_PASSED))
        return false;
    r->kind = RECORD_CAME;
    *ret_sent = *r;
    ret_sent->kind = RECORD_OF(TRACE_SENT);
    ret_sent->side = (int)side_other((enum side)r->side);
    return true;
}
