/*
 * Decoding of JSON strings, and of the single-quoted ones of QEMU.  It is
 * done here and not by yajl, because yajl turns a lone surrogate into '?',
 * and accepts surrogates and overlong forms in UTF-8.
 */

#include "json/quoted.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "json/reader.h"
#include "json/utf8.h"

/* what the letter behind a backslash stands for, in the same order */
static const char escape_letters[] = "\"\\/bfnrt";
static const char escape_meanings[] = "\"\\/\b\f\n\r\t";

/* Return: the value of a hexadecimal digit; -1 when @c is none */
static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t quoted_escape_length(const char *text, size_t n) {
    if (n < 2)
        return 0;
    if (text[1] != 'u')
        return text[1] && strchr(escape_letters, text[1]) ? 2 : 0;
    if (n < 6)
        return 0;
    for (size_t i = 2; i < 6; i++)
        if (hex_value(text[i]) < 0)
            return 0;
    return 6;
}

/* Return: the length of what is at @text and is not plain; 0 when it is not valid */
static size_t piece_length(const char *text, size_t n) {
    uint32_t point;
    size_t length;

    if (*text == '\\')
        return quoted_escape_length(text, n);
    length = utf8_read(text, n, &point);
    return length > 1 && !utf8_is_surrogate(point) ? length : 0;
}

static inline bool is_plain(char c) {
    return (signed char)c >= ' ' && c != '"' && c != '\\';
}

/*
 * Return: not 0 when a byte of @word is less than @limit.  A borrow may
 *         accuse a byte above one that is; then the word is not plain anyway.
 */
static inline uint64_t bytes_below(uint64_t word, uint64_t limit) {
    return (word - limit * 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

/* Return: whether is_plain() holds for all 8 bytes at @text */
static inline bool is_plain_word(const char *text) {
    uint64_t word;

    memcpy(&word, text, sizeof(word));
    return !((word & 0x8080808080808080u) | bytes_below(word, ' ') |
             bytes_below(word ^ '"' * 0x0101010101010101u, 1) |
             bytes_below(word ^ '\\' * 0x0101010101010101u, 1));
}

/* the whole of @text is checked here, so that decoding need not look twice */
static int quoted_check(const char *text, size_t n, bool *ret_has_escape, size_t *reterr_at) {
    bool has_escape = false;

    for (size_t i = 0, length; i < n; i += length) {
        length = n - i >= 8 && is_plain_word(text + i) ? 8 : 1;
        if (length == 8 || is_plain(text[i]))
            continue;
        length = piece_length(text + i, n - i);
        if (length == 0) {
            *reterr_at = i;
            return QUOTED_E_INVALID;
        }
        has_escape |= text[i] == '\\';
    }
    *ret_has_escape = has_escape;
    return 0;
}

bool quoted_is_valid(const char *text, size_t n) {
    bool has_escape;
    size_t at;

    return quoted_check(text, n, &has_escape, &at) == 0;
}

static uint32_t hex_point(const char *text) {
    uint32_t point = 0;

    for (size_t i = 0; i < 4; i++)
        point = point << 4 | (uint32_t)hex_value(text[i]);
    return point;
}

/* Return: the length of the checked escape at @text, both halves of a surrogate pair included */
static size_t escape_read(const char *text, size_t n, uint32_t *ret_point) {
    uint32_t low;

    if (text[1] != 'u') {
        *ret_point =
            (unsigned char)escape_meanings[strchr(escape_letters, text[1]) - escape_letters];
        return 2;
    }
    *ret_point = hex_point(text + 2);
    if (!utf8_is_high_surrogate(*ret_point) || n < 12 || text[6] != '\\' || text[7] != 'u')
        return 6;
    low = hex_point(text + 8);
    if (!utf8_is_low_surrogate(low))
        return 6;
    *ret_point = 0x10000 + ((*ret_point - 0xD800) << 10) + (low - 0xDC00);
    return 12;
}

int quoted_decode(struct arena *arena, const char *text, size_t n, const char **ret_string,
                  size_t *ret_n_string, size_t *reterr_at) {
    size_t n_string = 0;
    bool has_escape;
    char *string;
    int r;

    r = quoted_check(text, n, &has_escape, reterr_at);
    if (r)
        return r;
    if (!has_escape) {
        *ret_string = text;
        *ret_n_string = n;
        return 0;
    }
    string = arena_alloc(arena, n); /* no escape is shorter than what it stands for */
    if (!string)
        return -ENOMEM;
    for (size_t i = 0; i < n;) {
        uint32_t point;

        if (text[i] != '\\') {
            string[n_string++] = text[i++];
            continue;
        }
        i += escape_read(text + i, n - i, &point);
        n_string += utf8_write(string + n_string, point);
    }
    *ret_string = string;
    *ret_n_string = n_string;
    return 0;
}

int json_decode(struct arena *arena, const char *text, size_t n, const char **ret_string,
                size_t *ret_n_string) {
    size_t at;
    int r;

    r = quoted_decode(arena, text, n, ret_string, ret_n_string, &at);
    switch (r) {
    case QUOTED_E_INVALID:
        return JSON_E_INVALID;
    default:
        return error_fold(r);
    }
}

/* Return: the length of the string whose quote @text is; @n when it has no end */
static size_t unquote_string(const char *text, size_t n, struct buffer *ret_text) {
    char quote = text[0];
    size_t i = 1;

    buffer_append(ret_text, "\"", 1);
    while (i < n && text[i] != quote) {
        size_t length = text[i] == '\\' && i + 1 < n ? 2 : 1;

        if (length == 2 && text[i + 1] == '\'')
            buffer_append(ret_text, "'", 1);
        else if (text[i] == '"')
            buffer_append(ret_text, "\\\"", 2);
        else
            buffer_append(ret_text, text + i, length);
        i += length;
    }
    if (i == n)
        return n;
    buffer_append(ret_text, "\"", 1);
    return i + 1;
}

int json_unquote(const char *text, size_t n, struct buffer *ret_text) {
    size_t i = 0;

    while (i < n) {
        size_t start = i;

        while (i < n && text[i] != '"' && text[i] != '\'')
            i++;
        buffer_append(ret_text, text + start, i - start);
        if (i < n)
            i += unquote_string(text + i, n - i, ret_text);
    }
    return buffer_status(ret_text);
}
