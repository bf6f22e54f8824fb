/*
 * The server's scanner knows strings, brackets and the top level.
 */
#include "qmp/frame_parts.h"

#include "qmp/frame_usual.h"
#include "qmp/lexer.h"
#include "qmp/scan.h"

/* Return: bytes up to the closing quote, with it; all of them when there is none */
static size_t server_skip_string(struct frame_reader *r, const char *text, size_t n) {
    size_t i = 0;

    if (r->lexer == LEXER_DOUBLE_ESCAPE) {
        r->lexer = LEXER_DOUBLE;
        i = 1;
    }
    while (i < n) {
        i += scan_string(text + i, n - i);
        if (i == n)
            break;
        if (text[i++] == '"') {
            r->lexer = LEXER_START;
            break;
        }
        frame_string_is_escaped(r);
        if (i == n) {
            r->lexer = LEXER_DOUBLE_ESCAPE;
            break;
        }
        i++;
    }
    return i;
}

/* Return: bytes up to where the depth is 1 again; all of them when it stays above */
static size_t server_skip_nested(struct frame_reader *r, const char *text, size_t n) {
    struct scan s = {
        .depth = r->depth - 1,
        .is_in_string = r->lexer != LEXER_START,
        .is_escaped = r->lexer == LEXER_DOUBLE_ESCAPE,
    };

    n = scan_nested(&s, text, n);
    r->depth = s.depth + 1;
    r->lexer = s.is_escaped ? LEXER_DOUBLE_ESCAPE : s.is_in_string ? LEXER_DOUBLE : LEXER_START;
    return n;
}

/* a string at the top level; Return: as server_skip_string() */
static size_t server_string(struct frame_reader *r, const char *text, size_t n, size_t at) {
    size_t n_string = server_skip_string(r, text, n);
    bool is_whole = r->lexer == LEXER_START;

    frame_string_append(r, text, n_string - is_whole);
    if (is_whole)
        frame_string_end(r, at + n_string);
    return n_string;
}

/* a number or word at the top level ends before @at, if there is one */
static void server_end_scalar(struct frame_reader *r, size_t at) {
    if (r->lexer != LEXER_WORD)
        return;
    frame_value_end(r, at);
    r->lexer = LEXER_START;
}

/* a byte that begins a value, or goes on with a number or word */
static void server_value_byte(struct frame_reader *r, char c, size_t at) {
    bool is_first = r->expect == EXPECT_MEMBER;

    if (is_first) {
        r->value_at = at;
        r->expect = EXPECT_AFTER_MEMBER;
    }
    if (c == '"') {
        frame_string_begin(r, frame_string_use(r, !is_first), at);
        r->lexer = LEXER_DOUBLE;
    } else if (c == '{' || c == '[') {
        r->depth++;
        if (!is_first) /* no JSON, and no value of the key */
            r->key = KEY_OTHER;
    } else if (is_first) {
        r->lexer = LEXER_WORD;
    }
}

/* a byte at the top level, outside of strings */
static void server_byte(struct frame_reader *r, char c, size_t at) {
    switch (c) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        server_end_scalar(r, at);
        break;
    case ':':
        r->expect = EXPECT_MEMBER;
        break;
    case ',':
        server_end_scalar(r, at);
        r->expect = EXPECT_KEY;
        break;
    case '}':
    case ']':
        server_end_scalar(r, at);
        r->depth--;
        break;
    default:
        server_value_byte(r, c, at);
        break;
    }
}

/* --- members at the top level that are whole and plain, as nearly all are --- */

/* Return: where the number or word at @at ends; NULL: it is none, or may go on */
static inline const char *plain_scalar(const char *at, const char *end) {
    const char *begin = at;

    while (at < end &&
           ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || *at == '-' || *at == '.'))
        at++;
    return at > begin && at < end && (*at == ',' || *at == '}') ? at : NULL;
}

/* a nested value that begins at @value.  Return: behind it; NULL: it goes on behind @end */
static inline const char *plain_nested(struct frame_reader *r, const char *value, const char *end) {
    size_t n = (size_t)(end - value) - 1;

    r->depth = 2;
    n = server_skip_nested(r, value + 1, n);
    return r->depth == 1 ? value + 1 + n : NULL;
}

/*
 * One member at @text.  The name of a command or event has no backslash here,
 * nor has a key; what is not as plain is left to those that look at each byte.
 * Return: behind it; NULL: none was read; @end, with r->depth above 1: its
 * value is nested and goes on
 */
static inline const char *server_member(struct frame_reader *r, const char *text, const char *end,
                                        size_t text_at) {
    const char *at = text + (*text == ' '), *key = at + 1, *value, *next;
    size_t n_key;

    if (end - text < 8 || *at != '"')
        return NULL;
    at = frame_plain_string(key, end);
    if (!at || end - at < 4 || at[1] != ':')
        return NULL;
    n_key = (size_t)(at - key);
    value = at + 2 + (at[2] == ' ');
    if (*value == '{' || *value == '[') {
        r->key = (uint8_t)frame_note_key(&r->frame, key, n_key);
        r->value_at = text_at + (size_t)(value - text);
        next = plain_nested(r, value, end);
        if (!next)
            return end;
    } else {
        next = *value == '"' ? frame_plain_string(value + 1, end) : plain_scalar(value, end);
        if (!next)
            return NULL;
        next += *value == '"';
        r->key = (uint8_t)frame_note_key(&r->frame, key, n_key);
        r->value_at = text_at + (size_t)(value - text);
    }
    if (r->key != KEY_OTHER)
        frame_note_value(&r->frame, r->key, r->value_at - r->object_at, value,
                         (size_t)(next - value));
    return next;
}

/* as many of them as there are.  Return: how many bytes they have, with the commas and the closing brace */
static size_t server_members(struct frame_reader *r, const char *text, size_t n, size_t at) {
    const char *end = text + n, *begin = text;

    while (text < end) {
        const char *next = server_member(r, text, end, at + (size_t)(text - begin));

        if (!next)
            break;
        text = next;
        if (text == end || *text != ',') {
            r->expect = EXPECT_AFTER_MEMBER;
            break;
        }
        text++;
    }
    if (text < end && *text == '}' && r->expect == EXPECT_AFTER_MEMBER) {
        r->depth = 0;
        text++;
    }
    return (size_t)(text - begin);
}

/* one step at the top level, between strings */
static size_t server_outer(struct frame_reader *r, const char *text, size_t n, size_t at) {
    size_t n_members = 0;

    if (r->expect == EXPECT_KEY)
        n_members = server_members(r, text, n, at);
    if (n_members > 0)
        return n_members;
    server_byte(r, *text, at);
    return 1;
}

static size_t server_inside(struct frame_reader *r, const char *text, size_t n) {
    size_t i = 0;

    while (i < n && r->depth > 0) {
        if (r->depth > 1) {
            i += server_skip_nested(r, text + i, n - i);
            if (r->depth == 1)
                frame_value_end(r, r->at + i);
        } else if (r->lexer == LEXER_DOUBLE || r->lexer == LEXER_DOUBLE_ESCAPE) {
            i += server_string(r, text + i, n - i, r->at + i);
        } else {
            i += server_outer(r, text + i, n - i, r->at + i);
        }
    }
    return i;
}

static enum frame_scan server_outside(struct frame_reader *r, const char *text, size_t n,
                                      size_t *ret_n) {
    bool is_first_blank = frame_is_blank((unsigned char)text[0]);
    size_t i = 1;

    while (i < n && text[i] != '{' && frame_is_blank((unsigned char)text[i]) == is_first_blank)
        i++;
    r->at += i;
    *ret_n = i;
    return is_first_blank ? FRAME_BLANK : FRAME_RAW;
}

/* what is written as usual need not be read member by member.  Return: its bytes, or 0 */
static inline size_t server_usual(struct frame_reader *r, const char *text, size_t n) {
    n = frame_usual(text, n, &r->frame);
    if (n > 0)
        r->object_at = r->at;
    r->at += n;
    return n;
}

enum frame_scan frame_server_scan(struct frame_reader *r, const char *text, size_t n,
                                  size_t *ret_n) {
    size_t i = 0;

    if (!r->is_inside) {
        if (text[0] != '{')
            return server_outside(r, text, n, ret_n);
        *ret_n = server_usual(r, text, n);
        if (*ret_n > 0)
            return FRAME_OBJECT;
        frame_object_begin(r, r->at);
        r->expect = EXPECT_KEY;
        r->lexer = LEXER_START;
        r->depth = 1;
        i = 1;
        r->at++;
    }
    n = server_inside(r, text + i, n - i);
    r->at += n;
    r->frame.n_bytes = r->at - r->object_at;
    *ret_n = i + n;
    if (r->depth > 0)
        return FRAME_PART;
    frame_object_end(r);
    return FRAME_OBJECT;
}
