/* JSON text, in the form QEMU gives it. */

#include "json/writer.h"

#include <stdint.h>

#include "json/utf8.h"

/* Return: the letter that stands for @point behind a backslash; 0 when it has none */
static char escape_letter(uint32_t point) {
    switch (point) {
    case '"':
    case '\\':
        return (char)point;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void write_point(struct buffer *b, uint32_t point) {
    char letter = escape_letter(point);

    if (letter)
        buffer_printf(b, "\\%c", letter);
    else if (point > 0xFFFF)
        buffer_printf(b, "\\u%04X\\u%04X", (unsigned)(0xD800 + ((point - 0x10000) >> 10)),
                      (unsigned)(0xDC00 + (point & 0x3FF)));
    else
        buffer_printf(b, "\\u%04X", (unsigned)point);
}

static inline bool is_plain(char c) {
    return (signed char)c >= ' ' && c != '"' && c != '\\' && c != 0x7F;
}

void json_write_string(struct buffer *b, const char *string, size_t n) {
    size_t i = 0;

    buffer_append(b, "\"", 1);
    while (i < n) {
        size_t start = i, length;
        uint32_t point;

        while (i < n && is_plain(string[i]))
            i++;
        buffer_append(b, string + start, i - start);
        if (i == n)
            break;
        length = utf8_read(string + i, n - i, &point);
        write_point(b, length ? point : 0xFFFD);
        i += length ? length : 1;
    }
    buffer_append(b, "\"", 1);
}

void json_write(struct buffer *b, const struct json *value) {
    bool is_object = value->type == JSON_OBJECT;

    if (value->is_neat || (!is_object && value->type != JSON_ARRAY)) {
        buffer_append(b, value->text, value->n_text);
        return;
    }
    buffer_append(b, is_object ? "{" : "[", 1);
    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *item = &value->items[i];

        if (i > 0)
            buffer_append(b, ", ", 2);
        if (is_object) {
            buffer_append(b, item->key_text, item->n_key_text);
            buffer_append(b, ": ", 2);
        }
        json_write(b, item);
    }
    buffer_append(b, is_object ? "}" : "]", 1);
}
