#include "world.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proxy/playfd.h"

/* --- fds ------------------------------------------------------------------------------------------------ */

static void open_fds(struct world *w, struct fds *fds) {
    static const struct fdlook kinds[] = {{.kind = "device"},
                                          {.kind = "pipe"},
                                          {.kind = "file", .has_offset = true, .offset = 4096},
                                          {.kind = "file"}};

    for (; w->n_next_fds > 0; w->n_next_fds--) {
        int fd;

        FUZZ_CHECK(playfd_open(&kinds[w->next_kind % ARRAY_SIZE(kinds)], &fd) == 0);
        FUZZ_CHECK(fds_push_take(fds, fd) == 0);
    }
}

int world_next_fd(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

/* FUZZ_TRACE=1 shows the dialogue, to understand what was found */
static void tell(const char *what, enum side side, const char *text, size_t n) {
    if (!getenv("FUZZ_TRACE"))
        return;
    fprintf(stderr, "%s %s ", side == SIDE_CLIENT ? "client" : "server", what);
    fwrite(text, 1, n, stderr);
    fputc('\n', stderr);
}

/* --- bytes in and out -------------------------------------------------------------------------------------- */

static void add_mark(struct stream *s, size_t n_fds) {
    if (n_fds > 0 && s->n_marks < WORLD_MAX_MARKS)
        s->mark[s->n_marks++] = (struct mark){s->text.n, n_fds};
}

void world_drain(struct world *w, enum side to, size_t max) {
    struct out *out = session_out(w->session, to);

    while (!out_is_empty(out) && max > 0) {
        const struct fds *fds;
        struct iovec iov;
        size_t n;

        out_peek(out, &iov, 1, &fds);
        n = iov.iov_len < max ? iov.iov_len : max;
        add_mark(&w->out[to], fds ? fds->n : 0);
        buffer_append(&w->out[to].text, iov.iov_base, n);
        tell("<", to, iov.iov_base, n);
        w->n_sent_bytes[to] += n;
        w->ways->sent(w, to, n);
        out = session_out(w->session, to); /* another one may go on */
        max -= n;
    }
    FUZZ_CHECK(out_settle(out) == 0);
}

/* what holds between any two inputs */
static void check_limits(const struct world *w) {
    const struct session *s = w->session;

    /* more only behind a message that passes in pieces; then the client is not read */
    FUZZ_CHECK(s->n_queue <= s->limits.max_held ||
               (s->is_streaming && !session_wants(s, SIDE_CLIENT)));
    FUZZ_CHECK(s->n_queue_bytes <= s->limits.max_held_bytes ||
               (s->is_streaming && !session_wants(s, SIDE_CLIENT)));
    FUZZ_CHECK(s->n_filling == 0);
    FUZZ_CHECK(list_is_empty(&s->queue) == (s->n_queue == 0));
    FUZZ_CHECK(list_is_empty(&s->deferred) == (s->n_deferred_bytes == 0));
    FUZZ_CHECK(session_deadline_ms(s) > w->time.now_ms || session_deadline_ms(s) == UINT64_MAX);
}

void world_after_input(struct world *w, int r) {
    FUZZ_CHECK(r == 0);
    for (int side = 0; side < 2; side++)
        world_drain(w, (enum side)side, w->is_slow[side] ? 0 : SIZE_MAX);
    w->ways->settled(w);
    w->look(w);
}

void world_feed(struct world *w, enum side from, const void *text, size_t n) {
    struct fds fds = FDS_INIT;
    struct buffer room;
    char *copy;
    int r;

    if (n == 0 || w->has_ended[from] || !session_wants(w->session, from))
        return;
    copy = malloc(n + WORLD_ROOM_BYTES);
    FUZZ_CHECK(copy);
    memcpy(copy, text, n);
    room = buffer_in(copy + n, WORLD_ROOM_BYTES);
    session_lend(w->session, &room);
    add_mark(&w->in[from], w->n_next_fds);
    open_fds(w, &fds);
    buffer_append(&w->in[from].text, text, n);
    tell(">", from, text, n);
    r = w->ways->feed(w, from, copy, n, &fds);
    FUZZ_CHECK(fds_is_empty(&fds));
    world_after_input(w, r);
    session_lend(w->session, NULL);
    check_limits(w);
    free(copy);
}

void world_feed_string(struct world *w, enum side from, const char *text) {
    world_feed(w, from, text, strlen(text));
}

int world_plainly_feed(struct world *w, enum side from, const char *text, size_t n,
                       struct fds *fds) {
    return session_feed(w->session, from, text, n, fds, w->time);
}

int world_plainly_end(struct world *w, enum side from) {
    return session_end(w->session, from, w->time);
}

int world_plainly_tick(struct world *w) {
    return session_tick(w->session, w->time);
}

void world_plainly_sent(struct world *w, enum side to, size_t n) {
    out_sent(session_out(w->session, to), n);
}

void world_end(struct world *w, enum side from) {
    if (w->has_ended[from])
        return;
    w->has_ended[from] = true;
    world_after_input(w, w->ways->end(w, from));
}

void world_wait_ms(struct world *w, uint64_t ms) {
    uint64_t until_ms = w->time.now_ms + ms;
    size_t n_ticks = 0;

    while (session_deadline_ms(w->session) <= until_ms) {
        FUZZ_CHECK(n_ticks++ < WORLD_MAX_TICKS);
        w->time.now_ms = session_deadline_ms(w->session);
        world_after_input(w, w->ways->tick(w));
    }
    w->time.now_ms = until_ms;
    tell("waits", SIDE_CLIENT, "", 0);
    check_limits(w);
}
