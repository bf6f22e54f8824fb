#include "io/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

static void watch_on_timer(uv_timer_t *timer);

void watch_hurry(struct watch *w, uint64_t ms) {
    if (w->path && uv_timer_get_due_in(&w->timer) > ms)
        uv_timer_start(&w->timer, watch_on_timer, ms, w->period_ms);
}

static void watch_on_event(uv_fs_event_t *event, const char *name, int kinds, int status) {
    (void)name, (void)kinds, (void)status;
    watch_hurry(container_of(event, struct watch, event), WATCH_SETTLE_MS);
}

static void watch_be_blind(struct watch *w, int error) {
    w->inode = 0;
    if (!w->is_blind)
        log_write(w->log, LOG_LEVEL_WARNING, "cannot watch, so it is looked at now and then",
                  LOG_STRING("path", w->path), LOG_STRING("reason", strerror(error)),
                  LOG_NUMBER("every_ms", w->period_ms));
    w->is_blind = true;
}

/* on what has this name now.  Return: is that new? */
static bool watch_look(struct watch *w) {
    struct stat st;
    int r;

    r = stat(w->path, &st) < 0 ? -errno : 0;
    if (r == 0 && st.st_dev == w->device && st.st_ino == w->inode)
        return false;
    uv_fs_event_stop(&w->event);
    if (r == 0)
        r = uv_fs_event_start(&w->event, watch_on_event, w->path, 0);
    if (r < 0) {
        watch_be_blind(w, -r);
        return false;
    }
    w->device = st.st_dev;
    w->inode = st.st_ino;
    w->is_blind = false;
    return true;
}

static void watch_on_timer(uv_timer_t *timer) {
    struct watch *w = container_of(timer, struct watch, timer);

    uv_timer_start(&w->timer, watch_on_timer, w->period_ms, w->period_ms);
    w->changed(w);
    if (w->path && watch_look(w)) /* there may have been more since */
        watch_hurry(w, WATCH_SETTLE_MS);
}

int watch_start(struct watch *w, uv_loop_t *loop, const struct log *log, const char *path,
                uint64_t period_ms, watch_changed_fn changed, void *userdata) {
    *w = (struct watch){
        .log = log,
        .path = strdup(path),
        .period_ms = period_ms,
        .changed = changed,
        .userdata = userdata,
    };
    if (!w->path)
        return -ENOMEM;
    uv_timer_init(loop, &w->timer);
    uv_fs_event_init(loop, &w->event);
    uv_timer_start(&w->timer, watch_on_timer, period_ms, period_ms);
    watch_look(w);
    return 0;
}

void watch_close(struct watch *w) {
    if (!w->path)
        return;
    free(steal(w->path));
    uv_close((uv_handle_t *)&w->event, NULL);
    uv_close((uv_handle_t *)&w->timer, NULL);
}
