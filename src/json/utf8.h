#pragma once

/*
 * Code points and their bytes.  Surrogates are read and written like any
 * other code point, as their three bytes; who must not have them asks
 * utf8_is_surrogate().  Overlong forms and anything beyond U+10FFFF are not
 * UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool utf8_is_surrogate(uint32_t point) {
    return point >= 0xD800 && point <= 0xDFFF;
}

static inline bool utf8_is_high_surrogate(uint32_t point) {
    return point >= 0xD800 && point <= 0xDBFF;
}

static inline bool utf8_is_low_surrogate(uint32_t point) {
    return point >= 0xDC00 && point <= 0xDFFF;
}

/* Return: how many of the @n bytes the first code point has; 0 when they do not begin with one */
static inline size_t utf8_read(const char *text, size_t n, uint32_t *ret_point) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = n > 0 ? (unsigned char)text[0] : 0x80;
    size_t length = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    uint32_t point = length > 1 ? c & (0x7Fu >> length) : c;

    if (length == 0 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | ((unsigned char)text[i] & 0x3F);
    }
    if (length > 1 && (point < least[length] || point > 0x10FFFF))
        return 0;
    *ret_point = point;
    return length;
}

/* Return: how many bytes of @text (it has room for 4) @point took */
static inline size_t utf8_write(char *text, uint32_t point) {
    if (point < 0x80) {
        text[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        text[0] = (char)(0xC0 | point >> 6);
        text[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        text[0] = (char)(0xE0 | point >> 12);
        text[1] = (char)(0x80 | (point >> 6 & 0x3F));
        text[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    text[0] = (char)(0xF0 | point >> 18);
    text[1] = (char)(0x80 | (point >> 12 & 0x3F));
    text[2] = (char)(0x80 | (point >> 6 & 0x3F));
    text[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}
