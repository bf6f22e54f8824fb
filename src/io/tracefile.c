#include "io/tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static void end(struct tracefile *t) {
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    buffer_deinit(&t->waiting);
    t->waiting = (struct buffer)BUFFER_INIT;
}

static void fail(struct tracefile *t, int error) {
    log_write(t->log, LOG_LEVEL_ERROR, "the trace ends here, it cannot be written",
              LOG_STRING("path", t->path), LOG_STRING("reason", strerror(error)));
    t->error = error;
    end(t);
}

/* what has the name makes room; a device keeps its name, whatever it is */
static int make_room(const char *path) {
    struct stat st;
    char *old;
    int r;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode))
        return -EEXIST;
    if (asprintf(&old, "%s.1", path) < 0)
        return -ENOMEM;
    r = rename(path, old) < 0 && errno != ENOENT ? -errno : 0;
    free(old);
    return r;
}

/* Return: 0 or negative */
static int begin(struct tracefile *t, const struct buffer *head) {
    int r = make_room(t->path);

    if (r < 0)
        return r;
    t->fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (t->fd < 0)
        return -errno;
    t->n_bytes = head->n;
    return write_all(t->fd, head->data, head->n);
}

int tracefile_open(struct tracefile *t, const struct log *log, const char *path, uint64_t max_bytes,
                   const struct buffer *head) {
    *t = (struct tracefile){.log = log, .path = strdup(path), .fd = -1, .max_bytes = max_bytes};
    return t->path ? begin(t, head) : -ENOMEM;
}

void tracefile_close(struct tracefile *t) {
    tracefile_flush(t);
    end(t);
    free(steal(t->path));
    t->error = 0;
}

void tracefile_flush(struct tracefile *t) {
    int r;

    if (t->fd < 0 || t->waiting.n == 0)
        return;
    r = write_all(t->fd, t->waiting.data, t->waiting.n);
    if (r < 0)
        fail(t, -r);
    else
        buffer_clear(&t->waiting);
}

bool tracefile_added(struct tracefile *t, size_t n) {
    t->n_bytes += n;
    if (t->waiting.n >= TRACEFILE_MAX_WAITING_BYTES)
        tracefile_flush(t);
    return t->max_bytes > 0 && t->n_bytes >= t->max_bytes;
}

void tracefile_turn(struct tracefile *t, const struct buffer *head) {
    int r;

    tracefile_flush(t);
    if (t->fd < 0)
        return;
    end(t);
    r = begin(t, head);
    if (r < 0)
        fail(t, -r);
}
