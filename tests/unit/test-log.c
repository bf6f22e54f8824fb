/* Log: what a line looks like, and that nobody can make it look like two. */

#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"

static char text[4 * LOG_MAX_LINE_BYTES];

static const char *said(int fd) {
    ssize_t n = read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* a log that is read by said() */
static struct log open_log(enum log_level level, int *ret_fd) {
    int ends[2];

    cr_assert(eq(int, pipe2(ends, O_NONBLOCK), 0));
    *ret_fd = ends[0];
    return (struct log){.fd = ends[1], .level = level};
}

static void close_log(const struct log *log, int fd) {
    close(log->fd);
    close(fd);
}

TEST(log, event_is_one_line_of_keys_and_values) {
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);

    log_write(&log, LOG_LEVEL_WARNING, "session closed", LOG_NUMBER("session", 7),
              LOG_WORD("side", "client"), LOG_STRING("reason", "too many commands"));
    cr_assert(eq(str, (char *)said(fd),
                 "level=warning msg=\"session closed\" session=7 side=client "
                 "reason=\"too many commands\"\n"));
    close_log(&log, fd);
}

TEST(log, event_needs_no_fields) {
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);

    log_write(&log, LOG_LEVEL_ERROR, "stopped");
    cr_assert(eq(str, (char *)said(fd), "level=error msg=\"stopped\"\n"));
    close_log(&log, fd);
}

TEST(log, line_above_the_level_is_not_written) {
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);

    log_write(&log, LOG_LEVEL_DEBUG, "no");
    cr_assert(eq(str, (char *)said(fd), ""));
    log_write(&log, LOG_LEVEL_INFO, "yes");
    cr_assert(eq(str, (char *)said(fd), "level=info msg=\"yes\"\n"));
    close_log(&log, fd);
}

TEST(log, field_without_text_is_left_out) {
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);

    log_write(&log, LOG_LEVEL_INFO, "m", LOG_STRING("rule", NULL), LOG_TEXT("text", NULL, 0),
              LOG_NUMBER("n", 0), LOG_STRING("empty", ""));
    cr_assert(eq(str, (char *)said(fd), "level=info msg=\"m\" n=0 empty=\"\"\n"));
    close_log(&log, fd);
}

TEST(log, text_cannot_end_its_quotes_or_its_line) {
    static const char forged[] = "a\" level=error\nlevel=error msg=\"b\"\\\r\t\x1b[2J\x9b\0z";
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);

    log_write(&log, LOG_LEVEL_INFO, "m", LOG_TEXT("text", forged, sizeof(forged) - 1));
    cr_assert(
        eq(str, (char *)said(fd),
           "level=info msg=\"m\" text=\"a\\\" level=error\\nlevel=error msg=\\\"b\\\"\\\\\\r\\t"
           "\\x1b[2J\\x9b\\x00z\"\n"));
    close_log(&log, fd);
}

TEST(log, text_is_cut_after_200_bytes) {
    char long_text[LOG_MAX_TEXT_BYTES + 1], want[LOG_MAX_LINE_BYTES];
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);

    memset(long_text, 'x', sizeof(long_text));
    log_write(&log, LOG_LEVEL_INFO, "m", LOG_TEXT("t", long_text, LOG_MAX_TEXT_BYTES));
    snprintf(want, sizeof(want), "level=info msg=\"m\" t=\"%.*s\"\n", LOG_MAX_TEXT_BYTES,
             long_text);
    cr_assert(eq(str, (char *)said(fd), want));
    log_write(&log, LOG_LEVEL_INFO, "m", LOG_TEXT("t", long_text, LOG_MAX_TEXT_BYTES + 1));
    snprintf(want, sizeof(want), "level=info msg=\"m\" t=\"%.*s...\"\n", LOG_MAX_TEXT_BYTES,
             long_text);
    cr_assert(eq(str, (char *)said(fd), want));
    close_log(&log, fd);
}

TEST(log, line_is_never_longer_than_one_write_keeps_together) {
    char long_text[LOG_MAX_TEXT_BYTES + 1];
    int fd;
    struct log log = open_log(LOG_LEVEL_INFO, &fd);
    struct log_field t;
    const char *line;

    memset(long_text, '\x01', sizeof(long_text));
    t = LOG_TEXT("text", long_text, sizeof(long_text));
    log_write(&log, LOG_LEVEL_INFO, "m", t, t, t, t, t, t, t, t);
    line = said(fd);
    cr_assert(le(sz, strlen(line), LOG_MAX_LINE_BYTES));
    cr_assert(zero(int, strcmp(line + strlen(line) - 5, "...\"\n")),
              "a field is whole or not there");
    close_log(&log, fd);
}

TEST(log, nobody_to_read_it_is_no_failure) {
    struct log log = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC), .level = LOG_LEVEL_INFO};

    log_write(&log, LOG_LEVEL_INFO, "m");
    close(log.fd);
}

TEST(log, level_is_found_by_its_name) {
    enum log_level level = LOG_LEVEL_INFO;

    cr_assert(log_level_find("debug", &level));
    cr_assert(eq(int, level, LOG_LEVEL_DEBUG));
    cr_assert(not(log_level_find("loud", &level)));
    cr_assert(eq(int, level, LOG_LEVEL_DEBUG));
}
