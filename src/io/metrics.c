#include "io/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* Return: 0 or an errno */
static int metrics_write_fd(int fd, const struct buffer *b) {
    for (size_t at = 0; at < b->n;) {
        ssize_t n = write(fd, b->data + at, b->n - at);

        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            at += (size_t)n;
    }
    return 0;
}

/* Return: 0 or an errno */
static int metrics_replace(const struct metrics *m, const struct buffer *b) {
    /* what an earlier run left is removed, not followed: it may be a link */
    int fd, error;

    unlink(m->new_path);
    fd = open(m->new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    error = metrics_write_fd(fd, b);
    if (close(fd) < 0 && !error)
        error = errno;
    if (!error && rename(m->new_path, m->path) < 0)
        error = errno;
    if (error)
        unlink(m->new_path);
    return error;
}

static void metrics_write(struct metrics *m) {
    struct buffer b = BUFFER_INIT;
    int error;

    m->describe(m->userdata, &b);
    error = buffer_status(&b) < 0 ? ENOMEM : metrics_replace(m, &b);
    buffer_deinit(&b);
    if (error && !m->is_failing)
        log_write(m->log, LOG_LEVEL_WARNING, "cannot write metrics", LOG_STRING("path", m->path),
                  LOG_STRING("reason", strerror(error)));
    m->is_failing = error != 0;
}

static void metrics_on_timer(uv_timer_t *timer) {
    metrics_write(timer->data);
}

int metrics_start(struct metrics *m, uv_loop_t *loop, const struct log *log, const char *path,
                  metrics_describe_fn describe, void *userdata) {
    char *own_path = strdup(path), *new_path = NULL;

    if (!own_path || asprintf(&new_path, "%s.new", path) < 0) {
        free(own_path);
        return -ENOMEM;
    }
    *m = (struct metrics){
        .path = own_path,
        .new_path = new_path,
        .log = log,
        .describe = describe,
        .userdata = userdata,
    };
    uv_timer_init(loop, &m->timer);
    m->timer.data = m;
    uv_timer_start(&m->timer, metrics_on_timer, METRICS_PERIOD_MS, METRICS_PERIOD_MS);
    metrics_write(m);
    return 0;
}

void metrics_close(struct metrics *m) {
    if (!m->path)
        return;
    metrics_write(m);
    free(steal(m->path));
    free(steal(m->new_path));
    uv_close((uv_handle_t *)&m->timer, NULL);
}
