#pragma once

/*
 * Log: one line an event, constant text and then key=value.
 *
 *   level=warning msg="session closed" session=7 side=client reason="too many commands in flight"
 *
 * A line that cannot be written is lost, and nothing waits for it; how many
 * there were is the first thing that is written when that goes again.
 *
 * A peer cannot forge a line or a key: what it sent is quoted, escaped and
 * cut.  It goes to a file descriptor and nowhere else; what is worth a line
 * is its callers' business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum {
    LOG_MAX_TEXT_BYTES = 200, /* of one text; the rest is cut and "..." put instead */
    LOG_MAX_LINE_BYTES =
        4096, /* PIPE_BUF: one write() of it is never mixed with another's; later fields are left out */
};

/* what could not be written, because a disk was full, a reader was gone, … */
struct log_loss {
    uint64_t n_lines;
    bool is_torn; /* the last one is there in part */
};

struct log {
    int fd;
    struct log_loss *loss; /* told once it can be written again; NULL: never told */
    enum log_level level;  /* lines of a higher level are dropped */
};

enum log_field_type { LOG_FIELD_NUMBER, LOG_FIELD_WORD, LOG_FIELD_TEXT };

struct log_field {
    const char *key; /* NULL: the end of the list */
    enum log_field_type type;
    uint64_t number;
    const char *text; /* NULL: the field is left out */
    size_t n_text;
};

/* a number; a word of our own, that needs no quotes; text of any origin, quoted and escaped */
#define LOG_NUMBER(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_NUMBER, .number = (v)})
#define LOG_WORD(k, s) ((struct log_field){.key = (k), .type = LOG_FIELD_WORD, .text = (s)})
#define LOG_TEXT(k, s, n)                                                                          \
    ((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .text = (s), .n_text = (n)})
#define LOG_STRING(k, s) log_field_string((k), (s))

/*
 * log_write() - one event
 * @log:     where to and how much
 * @message: constant text
 * @...:     struct log_field, by the makers above
 */
#define log_write(log, level, message, ...)                                                        \
    log_write_fields((log), (level), (message),                                                    \
                     (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})

void log_write_fields(const struct log *log, enum log_level level, const char *message,
                      const struct log_field *fields);

struct log_field log_field_string(const char *key, const char *string);

/* would a line of this level be written? */
static inline bool log_is_on(const struct log *log, enum log_level level) {
    return level <= log->level;
}

/* Return: is @name one of "error", "warning", "info", "debug"?  Then it stands in @ret_level */
bool log_level_find(const char *name, enum log_level *ret_level);
