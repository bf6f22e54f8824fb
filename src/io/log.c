#include "io/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

struct line {
    char text[LOG_MAX_LINE_BYTES];
    size_t n;
};

enum {
    ESCAPED_MAX_BYTES = 4, /* \x1b */
    FIELD_MAX_BYTES =
        64 + LOG_MAX_TEXT_BYTES * ESCAPED_MAX_BYTES, /* with its key, quotes and dots */
};

bool log_level_find(const char *name, enum log_level *ret_level) {
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
        if (strcmp(level_names[i], name) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

struct log_field log_field_string(const char *key, const char *string) {
    return LOG_TEXT(key, string, string ? strlen(string) : 0);
}

static void line_append(struct line *l, const char *text, size_t n) {
    memcpy(l->text + l->n, text, n);
    l->n += n;
}

static void line_append_string(struct line *l, const char *text) {
    line_append(l, text, strlen(text));
}

/*
 * Everything outside printable ASCII is escaped: a terminal obeys not only ESC
 * but in some encodings bytes above 0x80 as well, and QMP is ASCII anyway.
 */
static void line_append_escaped(struct line *l, unsigned char c) {
    char escaped[ESCAPED_MAX_BYTES + 1];

    if (c == '"' || c == '\\')
        snprintf(escaped, sizeof(escaped), "\\%c", c);
    else if (c == '\n' || c == '\r' || c == '\t')
        snprintf(escaped, sizeof(escaped), "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c < ' ' || c > '~')
        snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned int)c);
    else
        snprintf(escaped, sizeof(escaped), "%c", c);
    line_append_string(l, escaped);
}

static void line_append_quoted(struct line *l, const char *text, size_t n) {
    line_append(l, "\"", 1);
    for (size_t i = 0; i < size_min(n, LOG_MAX_TEXT_BYTES); i++)
        line_append_escaped(l, (unsigned char)text[i]);
    line_append_string(l, n > LOG_MAX_TEXT_BYTES ? "...\"" : "\"");
}

static void line_append_field(struct line *l, const struct log_field *f) {
    char number[32];

    line_append(l, " ", 1);
    line_append_string(l, f->key);
    line_append(l, "=", 1);
    switch (f->type) {
    case LOG_FIELD_NUMBER:
        snprintf(number, sizeof(number), "%ju", (uintmax_t)f->number);
        line_append_string(l, number);
        break;
    case LOG_FIELD_WORD:
        line_append_string(l, f->text);
        break;
    case LOG_FIELD_TEXT:
        line_append_quoted(l, f->text, f->n_text);
        break;
    }
}

static bool field_is_there(const struct log_field *f) {
    return f->type == LOG_FIELD_NUMBER || f->text;
}

/* Return: false: it is lost.  A log without a memory of that never loses anything */
static bool write_line(const struct log *log, const char *text, size_t n) {
    size_t n_all = n;

    while (n > 0) {
        ssize_t n_written = write(log->fd, text, n);

        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written <= 0)
            break;
        text += n_written;
        n -= (size_t)n_written;
    }
    if (!log->loss)
        return true;
    if (n > 0)
        log->loss->is_torn = log->loss->is_torn || n < n_all;
    return n == 0;
}

/* Return: is there nothing to tell any more? */
static bool tell_loss(const struct log *log) {
    char text[128];
    int n;

    if (!log->loss || log->loss->n_lines == 0)
        return true;
    n = snprintf(text, sizeof(text),
                 "%slevel=warning msg=\"lines of this log were lost\" lines=%ju\n",
                 log->loss->is_torn ? "\n" : "", (uintmax_t)log->loss->n_lines);
    if (!write_line(log, text, (size_t)n))
        return false;
    *log->loss = (struct log_loss){0};
    return true;
}

void log_write_fields(const struct log *log, enum log_level level, const char *message,
                      const struct log_field *fields) {
    struct line l = {.n = 0};

    if (!log_is_on(log, level))
        return;
    line_append_string(&l, "level=");
    line_append_string(&l, level_names[level]);
    line_append_string(&l, " msg=");
    line_append_quoted(&l, message, strlen(message));
    for (const struct log_field *f = fields; f->key; f++) {
        assert(strlen(f->key) < 32); /* keys are constants of this program */
        /* a field is there as a whole or not at all; room is kept for the line end */
        if (l.n + FIELD_MAX_BYTES >= sizeof(l.text))
            break;
        if (field_is_there(f))
            line_append_field(&l, f);
    }
    line_append(&l, "\n", 1);
    if (!tell_loss(log) || !write_line(log, l.text, l.n))
        log->loss->n_lines++;
}
