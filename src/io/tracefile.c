#include "io/tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

/* Return: 0 or negative */
static int write_all(int fd, const char *text, size_t n) {
    while (n > 0) {
        ssize_t n_written = write(fd, text, n);

        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written < 0)
            return -errno;
        text += n_written;
        n -= (size_t)n_written;
    }
    return 0;
}

static int write_line(struct tracefile *t, const struct record *r) {
    int x;

    buffer_clear(&t->line);
    x = record_write(r, &t->line);
    if (x == 0)
        x = write_all(t->fd, t->line.data, t->line.n);
    t->n_bytes += t->line.n;
    return x;
}

static int write_header(struct tracefile *t, bool is_continued) {
    struct record header = {.kind = RECORD_HEADER,
                            .side = -1,
                            .note = "qmp-shim " PACKAGE_VERSION,
                            .is_continued = is_continued};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    header.us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    clock_gettime(CLOCK_MONOTONIC, &now);
    header.ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    header.is_blanked = t->redact != NULL;
    return write_line(t, &header);
}

/* what has the name makes room */
static int make_room(const char *path) {
    char *old;
    int r;

    if (asprintf(&old, "%s.1", path) < 0)
        return -ENOMEM;
    r = rename(path, old) < 0 && errno != ENOENT ? -errno : 0;
    free(old);
    return r;
}

static int begin(struct tracefile *t, bool is_continued) {
    int r;

    r = make_room(t->path);
    if (r < 0)
        return r;
    t->n_bytes = 0;
    t->fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return t->fd < 0 ? -errno : write_header(t, is_continued);
}

static void end(struct tracefile *t) {
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
}

int tracefile_open(struct tracefile *t, const struct log *log, const char *path, uint64_t max_bytes,
                   const struct redact *redact) {
    *t = (struct tracefile){
        .log = log, .redact = redact, .path = strdup(path), .fd = -1, .max_bytes = max_bytes};
    return t->path ? begin(t, false) : -ENOMEM;
}

void tracefile_close(struct tracefile *t) {
    end(t);
    free(steal(t->path));
    buffer_deinit(&t->line);
}

void tracefile_write(struct tracefile *t, const struct record *r) {
    int x = 0;

    if (t->fd < 0)
        return;
    if (t->max_bytes > 0 && t->n_bytes >= t->max_bytes) {
        end(t);
        x = begin(t, true);
    }
    if (x == 0)
        x = write_line(t, r);
    if (x == 0)
        return;
    log_write(t->log, LOG_LEVEL_ERROR, "the trace ends here, it cannot be written",
              LOG_STRING("path", t->path), LOG_STRING("reason", strerror(-x)));
    end(t);
}
