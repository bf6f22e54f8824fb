#include "io/recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

void recording_init(struct recording *r, uv_loop_t *loop, const struct log *log) {
    *r = (struct recording){.loop = loop, .log = log, .file = TRACEFILE_INIT};
    list_init(&r->followers);
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
}

uint64_t recording_clock(struct recording *r, uint64_t loop_ms, int64_t wall_us) {
    uint64_t since_ms;

    if (loop_ms != r->loop_ms) {
        r->loop_ms = loop_ms;
        r->loop_us = wall_us;
    }
    since_ms = wall_us > r->loop_us ? (uint64_t)(wall_us - r->loop_us) / 1000 : 0;
    loop_ms += since_ms < RECORDING_TICK_MS ? since_ms : RECORDING_TICK_MS;
    if (loop_ms > r->now_ms)
        r->now_ms = loop_ms;
    return r->now_ms;
}

/* ---- lines ---- */

static void set_time(struct record *record) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    record->us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    clock_gettime(CLOCK_MONOTONIC, &now);
    record->ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* into r->line.  Return: 0 or -ENOMEM */
static int write_header(struct recording *r, bool is_continued) {
    struct record header = {.kind = RECORD_HEADER,
                            .side = -1,
                            .note = "qmp-shim " PACKAGE_VERSION,
                            .is_blanked = r->redact != NULL,
                            .is_continued = is_continued};

    set_time(&header);
    buffer_clear(&r->line);
    return record_write(&header, &r->head, &r->line);
}

static bool has_begun(const struct recording *r) {
    return r->is_continued && r->is_continued(r->userdata);
}

static void set_on(struct recording *r) {
    bool is_on = r->file.fd >= 0 || r->n_followers > 0;

    if (is_on == r->is_on || r->is_writing)
        return;
    r->is_on = is_on;
    if (r->switched)
        r->switched(r->userdata, is_on);
}

/* ---- those who follow ---- */

static int write_loss(struct recording *r) {
    struct record lost = {.kind = RECORD_LOST,
                          .side = -1,
                          .note = "who follows was too slow; what comes next is missing"};

    set_time(&lost);
    buffer_clear(&r->line);
    return record_write(&lost, &r->head, &r->line);
}

static void drop(struct recording *r, struct follower *f) {
    log_write(r->log, LOG_LEVEL_WARNING, "one who follows the trace was too slow, and was dropped");
    if (write_loss(r) == 0)
        f->send(f, r->line.data, r->line.n);
    recording_leave(r, f);
    f->drop(f);
}

static void flush_followers(struct recording *r) {
    if (r->waiting.n == 0)
        return;
    list_for_each_safe(i, &r->followers) {
        struct follower *f = list_entry(i, struct follower, in_recording);

        if (f->send(f, r->waiting.data, r->waiting.n) > RECORDING_MAX_BEHIND_BYTES)
            drop(r, f);
    }
    buffer_clear(&r->waiting);
}

int recording_follow(struct recording *r, struct follower *f) {
    if (!r->is_allowed)
        return RECORDING_E_ALLOWED;
    if (write_header(r, has_begun(r)) < 0)
        return -ENOMEM;
    flush_followers(r); /* the others get what was before, and this one does not */
    f->send(f, r->line.data, r->line.n);
    list_append(&r->followers, &f->in_recording);
    r->n_followers++;
    set_on(r);
    return 0;
}

void recording_leave(struct recording *r, struct follower *f) {
    if (list_is_empty(&f->in_recording))
        return;
    list_remove(&f->in_recording);
    r->n_followers--;
    set_on(r);
}

/* ---- records ---- */

static void on_timer(uv_timer_t *timer) {
    struct recording *r = timer->data;

    r->is_timing = false;
    tracefile_flush(&r->file);
    flush_followers(r);
    set_on(r); /* the file may have failed */
}

static void flush_later(struct recording *r) {
    if (uv_is_closing((uv_handle_t *)&r->timer))
        return;
    r->is_timing = uv_timer_start(&r->timer, on_timer, RECORDING_FLUSH_MS, 0) == 0;
}

static void send_line(struct recording *r, const char *line, size_t n) {
    buffer_append(&r->waiting, line, n);
    if (buffer_status(&r->waiting) < 0) { /* nobody gets half of it */
        buffer_clear(&r->waiting);
        list_for_each_safe(i, &r->followers)
            drop(r, list_entry(i, struct follower, in_recording));
    } else if (r->waiting.n >= TRACEFILE_MAX_WAITING_BYTES) {
        flush_followers(r);
    }
}

void recording_write(struct recording *r, const struct record *record) {
    bool is_filed = r->file.fd >= 0;
    struct buffer *b = is_filed ? &r->file.waiting : &r->line;
    size_t at;

    if (!r->is_on)
        return;
    if (!is_filed)
        buffer_clear(b);
    at = b->n;
    if (record_write(record, &r->head, b) < 0) {
        b->n = at; /* half a line */
        b->failed = false;
        log_write(r->log, LOG_LEVEL_ERROR, "out of memory, a record is missing in the trace");
        return;
    }
    r->is_writing = true;
    if (r->n_followers > 0)
        send_line(r, b->data + at, b->n - at);
    if (is_filed && tracefile_added(&r->file, b->n - at) && write_header(r, true) == 0)
        tracefile_turn(&r->file, &r->line);
    r->is_writing = false;
    if (!r->is_timing)
        flush_later(r);
}

/* ---- the trace file ---- */

int recording_start(struct recording *r, const char *path, uint64_t max_bytes) {
    int x;

    if (!r->is_allowed)
        return RECORDING_E_ALLOWED;
    if (r->file.fd >= 0)
        return RECORDING_E_ON;
    if (write_header(r, has_begun(r)) < 0)
        return -ENOMEM;
    tracefile_close(&r->file); /* one that has failed */
    x = tracefile_open(&r->file, r->log, path, max_bytes, &r->line);
    if (x < 0) {
        tracefile_close(&r->file);
        return x;
    }
    set_on(r);
    return 0;
}

int recording_stop(struct recording *r) {
    if (r->file.fd < 0)
        return RECORDING_E_OFF;
    tracefile_close(&r->file);
    set_on(r);
    return 0;
}

/* ---- the end ---- */

void recording_close(struct recording *r) {
    tracefile_flush(&r->file);
    flush_followers(r);
    if (!uv_is_closing((uv_handle_t *)&r->timer))
        uv_close((uv_handle_t *)&r->timer, NULL);
}

void recording_deinit(struct recording *r) {
    tracefile_close(&r->file);
    buffer_deinit(&r->line);
    buffer_deinit(&r->waiting);
    free(r->default_path);
}
