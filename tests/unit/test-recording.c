/* Recording: what gathers before it is written or sent, and how far who follows may be behind. */

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "io/recording.h"

static const struct log log_nowhere = {.fd = -1, .level = LOG_LEVEL_ERROR};
static char folder[64], path[128];

static void setup(void) {
    uv_loop_t first; /* libuv keeps a pipe for signals from the first loop on */

    cr_assert(eq(int, uv_loop_init(&first), 0));
    uv_loop_close(&first);
    snprintf(folder, sizeof(folder), "/tmp/test-recording-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/trace", folder);
}

static void cleanup(void) {
    unlink(path);
    rmdir(folder);
}

TestSuite(recording, .init = setup, .fini = cleanup);

/* one who follows, and reads nothing but what is taken out of n_behind */
struct lazy {
    struct follower follower;
    size_t n_behind, n_sent;
    unsigned int n_dropped;
};

static size_t lazy_send(struct follower *f, const char *text, size_t n) {
    struct lazy *l = container_of(f, struct lazy, follower);

    (void)text;
    l->n_sent += n;
    return l->n_behind;
}

static void lazy_drop(struct follower *f) {
    container_of(f, struct lazy, follower)->n_dropped++;
}

static struct lazy lazy(void) {
    struct lazy l = {.follower = {.send = lazy_send, .drop = lazy_drop}};

    return l;
}

static void begin(struct recording *r, uv_loop_t *loop) {
    cr_assert(eq(int, uv_loop_init(loop), 0));
    recording_init(r, loop, &log_nowhere);
    r->is_allowed = true;
}

static void end(struct recording *r, uv_loop_t *loop) {
    recording_close(r);
    uv_run(loop, UV_RUN_DEFAULT);
    recording_deinit(r);
    cr_assert(eq(int, uv_loop_close(loop), 0));
}

/* a record whose line has exactly @n bytes */
static void write_line(struct recording *r, size_t n) {
    struct record record = {.kind = RECORD_LOST, .side = -1};
    struct buffer shortest = BUFFER_INIT;
    char *text;

    record.note = "";
    cr_assert(eq(int, record_write(&record, &(struct record_head){0}, &shortest), 0));
    cr_assert(le(sz, shortest.n, n));
    text = calloc(1, n - shortest.n + 1);
    memset(text, 'x', n - shortest.n);
    record.note = text;
    recording_write(r, &record);
    free(text);
    buffer_deinit(&shortest);
}

static void flush(uv_loop_t *loop) {
    uv_run(loop, UV_RUN_DEFAULT); /* the timer is all there is */
}

TEST(recording, its_clock_goes_on_between_ticks_and_never_back) {
    struct recording r;
    uv_loop_t loop;

    begin(&r, &loop);
    cr_assert(eq(u64, recording_clock(&r, 1000, 5000000), 1000));
    cr_assert(eq(u64, recording_clock(&r, 1000, 5002999), 1002));
    cr_assert(eq(u64, recording_clock(&r, 1004, 5004000), 1004));
    cr_assert(eq(u64, recording_clock(&r, 1004, 5007000), 1007));
    cr_assert(eq(u64, recording_clock(&r, 1004, 4000000), 1007)); /* the wall clock was set back */
    cr_assert(eq(u64, recording_clock(&r, 1008, 4001000), 1008));
    cr_assert(eq(u64, recording_clock(&r, 1008, 4001000 + 1000 * RECORDING_TICK_MS),
                 1008 + RECORDING_TICK_MS));
    cr_assert(
        eq(u64, recording_clock(&r, 1008, 9999000000), 1008 + RECORDING_TICK_MS)); /* or forth */
    end(&r, &loop);
}

TEST(recording, who_is_behind_by_the_limit_stays_and_with_a_byte_more_is_dropped) {
    struct recording r;
    uv_loop_t loop;
    struct lazy l = lazy(), other = lazy();

    begin(&r, &loop);
    cr_assert(eq(int, recording_follow(&r, &l.follower), 0));
    cr_assert(eq(int, recording_follow(&r, &other.follower), 0));
    l.n_behind = RECORDING_MAX_BEHIND_BYTES;
    write_line(&r, 1000);
    flush(&loop);
    cr_assert(eq(uint, l.n_dropped, 0));
    l.n_behind = RECORDING_MAX_BEHIND_BYTES + 1;
    write_line(&r, 1000);
    flush(&loop);
    cr_assert(eq(uint, l.n_dropped, 1));
    cr_assert(eq(uint, other.n_dropped, 0));
    cr_assert(eq(sz, r.n_followers, 1));
    recording_leave(&r, &other.follower);
    end(&r, &loop);
}

TEST(recording, lines_for_who_follows_gather_below_the_limit_and_are_sent_at_it) {
    struct recording r;
    uv_loop_t loop;
    struct lazy l = lazy();
    size_t n_header;

    begin(&r, &loop);
    cr_assert(eq(int, recording_follow(&r, &l.follower), 0));
    n_header = l.n_sent;
    write_line(&r, TRACEFILE_MAX_WAITING_BYTES - 1);
    cr_assert(eq(sz, l.n_sent, n_header));
    flush(&loop);
    cr_assert(eq(sz, l.n_sent, n_header + TRACEFILE_MAX_WAITING_BYTES - 1));
    write_line(&r, TRACEFILE_MAX_WAITING_BYTES);
    cr_assert(eq(sz, l.n_sent, n_header + 2 * TRACEFILE_MAX_WAITING_BYTES - 1));
    recording_leave(&r, &l.follower);
    end(&r, &loop);
}

static size_t size_of_file(void) {
    struct stat st;

    cr_assert(eq(int, stat(path, &st), 0));
    return (size_t)st.st_size;
}

TEST(recording, lines_of_a_file_gather_below_the_limit_and_are_written_at_it) {
    struct recording r;
    uv_loop_t loop;
    size_t n_header;

    begin(&r, &loop);
    cr_assert(eq(int, recording_start(&r, path, 0), 0));
    n_header = size_of_file();
    write_line(&r, TRACEFILE_MAX_WAITING_BYTES - 1);
    cr_assert(eq(sz, size_of_file(), n_header));
    flush(&loop);
    cr_assert(eq(sz, size_of_file(), n_header + TRACEFILE_MAX_WAITING_BYTES - 1));
    write_line(&r, TRACEFILE_MAX_WAITING_BYTES);
    cr_assert(eq(sz, size_of_file(), n_header + 2 * TRACEFILE_MAX_WAITING_BYTES - 1));
    end(&r, &loop);
}
