/* Connection: bytes and fds through a socket, each fd with its message, and every way of ending. */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "io/conn.h"

/* a connection and the other end of its socket */
struct stage {
    uv_loop_t loop;
    struct poller poller;
    struct conn conn;
    int peer;
};

static struct {
    int n;
    bool is_readable;
} ready;

static char text[1 << 20];

static void on_ready(struct conn *c, bool is_readable) {
    ready.n++;
    ready.is_readable = is_readable;
    if (c->is_deaf)
        conn_wait(c, false, false);
}

static void on_closed(struct conn *c) {
    (void)c;
}

static void open_stage(struct stage *s, bool is_exact) {
    int ends[2];

    uv_loop_init(&s->loop);
    cr_assert(eq(int, poller_init(&s->poller, &s->loop), 0));
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0));
    s->peer = ends[1];
    conn_open_take(&s->conn, &s->poller, ends[0], is_exact, on_ready);
}

static void close_conn(struct stage *s) {
    conn_close(&s->conn, on_closed);
    poller_run(&s->poller);
}

static void close_stage(struct stage *s) {
    if (conn_is_open(&s->conn))
        close_conn(s);
    if (s->peer >= 0)
        close(s->peer);
    poller_deinit(&s->poller);
    cr_assert(eq(int, uv_loop_close(&s->loop), 0));
    uv_library_shutdown();
}

static void peer_hang_up(struct stage *s) {
    close(s->peer);
    s->peer = -1;
}

/* the peer sends @message and @n_fds copies of @fd with it */
static void peer_send(struct stage *s, const char *message, int fd, size_t n_fds) {
    union {
        char bytes[CMSG_SPACE(CONN_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)message, .iov_len = strlen(message)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *h;

    if (n_fds > 0) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (size_t i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(h) + i * sizeof(int), &fd, sizeof(int));
    }
    cr_assert(eq(sz, (size_t)sendmsg(s->peer, &m, MSG_NOSIGNAL), strlen(message)));
}

/* Return: what one conn_receive() brings, as a string; its fds are counted and closed */
static const char *receive(struct stage *s, size_t *ret_n_fds) {
    struct conn_chunk chunk;

    cr_assert(eq(int, conn_receive(&s->conn, text, sizeof(text) - 1, &chunk), 0));
    cr_assert(not(chunk.is_cut));
    *ret_n_fds = chunk.fds.n;
    for (size_t i = 0; i < chunk.fds.n; i++)
        cr_assert(ne(int, fcntl(chunk.fds.fd[i], F_GETFD) & FD_CLOEXEC, 0));
    fds_deinit(&chunk.fds);
    text[chunk.n] = '\0';
    return text;
}

static void expect(struct stage *s, const char *want, size_t want_n_fds) {
    size_t n_fds;

    cr_assert(eq(str, (char *)receive(s, &n_fds), (char *)want));
    cr_assert(eq(sz, n_fds, want_n_fds));
}

static int receive_outcome(struct stage *s) {
    struct conn_chunk chunk;

    return conn_receive(&s->conn, text, sizeof(text), &chunk);
}

/* ---- receiving ---- */

TEST(conn, bytes_sent_apart_are_read_together) {
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{}\r\n", -1, 0);
    peer_send(&s, "{}\r\n", -1, 0);
    expect(&s, "{}\r\n{}\r\n", 0);
    cr_assert(eq(int, receive_outcome(&s), CONN_E_AGAIN));
    close_stage(&s);
}

TEST(conn, fds_come_with_the_first_byte_of_their_message) {
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{1}\n", -1, 0);
    peer_send(&s, "{2}", 0, 2);
    peer_send(&s, "{3}", 0, 1);
    peer_send(&s, "{4}", -1, 0);
    expect(&s, "{1}", 0);
    expect(&s, "\n", 0);
    expect(&s, "{2}", 2);
    expect(&s, "{3}", 1);
    expect(&s, "{4}", 0);
    close_stage(&s);
}

TEST(conn, fds_on_a_blank_before_the_message_come_with_the_blank) {
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{1}", -1, 0);
    peer_send(&s, " ", 0, 1);
    peer_send(&s, "{2}", -1, 0);
    expect(&s, "{1}", 0);
    expect(&s, " ", 1);
    expect(&s, "{2}", 0);
    close_stage(&s);
}

TEST(conn, fds_behind_more_than_the_reader_has_room_for_stay_with_their_message) {
    struct conn_chunk chunk;
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "0123456789", -1, 0);
    peer_send(&s, "{}", 0, 1);
    for (int i = 0; i < 5; i++) {
        cr_assert(eq(int, conn_receive(&s.conn, text, 2, &chunk), 0));
        cr_assert(eq(sz, chunk.n, 2));
        cr_assert(fds_is_empty(&chunk.fds));
    }
    expect(&s, "{}", 1);
    close_stage(&s);
}

TEST(conn, message_may_carry_253_fds) {
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{}", 0, CONN_MAX_FDS);
    expect(&s, "{}", CONN_MAX_FDS);
    close_stage(&s);
}

TEST(conn, fds_of_a_peer_that_never_sent_any_come_too_and_exactly_from_then_on) {
    struct stage s;

    open_stage(&s, false);
    peer_send(&s, "{1}", 0, 1);
    expect(&s, "{1}", 1);
    peer_send(&s, "{2}", -1, 0);
    peer_send(&s, "{3}", 0, 1);
    expect(&s, "{2}", 0);
    expect(&s, "{3}", 1);
    close_stage(&s);
}

/* from now on it is read without a look, unless that goes wrong */
static void gain_trust(struct stage *s) {
    for (size_t i = 0; i <= CONN_TRUST; i++) {
        peer_send(s, "{\"a\": {}}\r\n", -1, 0);
        expect(s, "{\"a\": {}}\r\n", 0);
    }
}

static void expect_fds_at(struct stage *s, const char *want, size_t want_at) {
    struct conn_chunk chunk;

    cr_assert(eq(int, conn_receive(&s->conn, text, sizeof(text), &chunk), 0));
    cr_assert(eq(sz, chunk.n, strlen(want)));
    cr_assert(zero(int, memcmp(text, want, chunk.n)));
    cr_assert(eq(sz, chunk.fds.n, 1));
    cr_expect(eq(sz, chunk.fds_at, want_at), "%s", want);
    fds_deinit(&chunk.fds);
}

TEST(conn, fds_of_a_peer_that_sent_one_message_at_a_time_come_with_what_was_sent_last) {
    static const struct {
        const char *before, *with_fds;
    } cases[] = {
        {"", "{1}\r\n"},
        {"{1}\r\n", "{2}\r\n"},
        {"{1}{\"a\": [{}]}", "{\"b\": {}}"},
        {"{1} ", "{2"},
        {"{\"}{\\\"}{\": 1}\n", "{\"a}{\": \"}\n"},
        {"{1}\r\n", " "},
        {"{1}\n", "\r\n"},
        {"{1}\n{2}\n", "{3}"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char want[100];
        struct stage s;

        snprintf(want, sizeof(want), "%s%s", cases[i].before, cases[i].with_fds);
        open_stage(&s, true);
        gain_trust(&s);
        if (*cases[i].before)
            peer_send(&s, cases[i].before, -1, 0);
        peer_send(&s, cases[i].with_fds, 0, 1);
        peer_send(&s, "{4}", -1, 0);
        expect_fds_at(&s, want, strlen(cases[i].before));
        expect(&s, "{4}", 0);
        close_stage(&s);
    }
}

TEST(conn, peer_that_sent_fds_or_two_messages_at_once_is_not_trusted) {
    for (int has_fds = 0; has_fds < 2; has_fds++) {
        struct stage s;

        open_stage(&s, true);
        gain_trust(&s);
        peer_send(&s, has_fds ? "{1}" : "{1}{1}", 0, (size_t)has_fds);
        expect(&s, has_fds ? "{1}" : "{1}{1}", (size_t)has_fds);
        peer_send(&s, "{2}", -1, 0);
        peer_send(&s, "{3}", 0, 1);
        expect(&s, "{2}", 0);
        expect(&s, "{3}", 1);
        close_stage(&s);
    }
}

TEST(conn, fds_beyond_what_the_process_may_have_are_told_and_the_bytes_come) {
    struct rlimit before, now;
    struct conn_chunk chunk;
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{}", 0, 20);
    getrlimit(RLIMIT_NOFILE, &before);
    now = (struct rlimit){.rlim_cur = (rlim_t)s.peer + 6, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
    cr_assert(eq(int, conn_receive(&s.conn, text, sizeof(text), &chunk), 0));
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert(chunk.is_cut);
    cr_assert(eq(sz, chunk.n, 2));
    cr_assert(lt(sz, chunk.fds.n, 20));
    fds_deinit(&chunk.fds);
    close_stage(&s);
}

TEST(conn, urgent_byte_is_read_past) {
    struct stage s;

    open_stage(&s, true);
    if (send(s.peer, "!", 1, MSG_OOB) == 1) {
        struct pollfd p = {.fd = s.conn.fd, .events = POLLIN};

        cr_assert(eq(int, receive_outcome(&s), CONN_E_AGAIN));
        cr_assert(eq(int, poll(&p, 1, 0), 0), "or the loop would spin");
    }
    peer_send(&s, "{}", -1, 0);
    expect(&s, "{}", 0);
    close_stage(&s);
}

/* ---- ends ---- */

TEST(conn, what_came_before_the_end_is_read_first_and_the_end_sticks) {
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{}", -1, 0);
    peer_hang_up(&s);
    expect(&s, "{}", 0);
    cr_assert(eq(int, receive_outcome(&s), CONN_E_END));
    cr_assert(eq(int, receive_outcome(&s), CONN_E_END));
    cr_assert(s.conn.is_deaf);
    cr_assert(eq(int, s.conn.error, 0));
    close_stage(&s);
}

TEST(conn, half_a_close_is_an_end_but_not_deafness) {
    struct out out;
    struct stage s;

    open_stage(&s, true);
    shutdown(s.peer, SHUT_WR);
    cr_assert(eq(int, receive_outcome(&s), CONN_E_END));
    cr_assert(not(s.conn.is_deaf));
    out_init(&out);
    out_copy(&out, "{}", 2);
    cr_assert(eq(int, conn_send(&s.conn, &out), 0));
    cr_assert(eq(int, (int)recv(s.peer, text, sizeof(text), 0), 2));
    out_deinit(&out);
    close_stage(&s);
}

TEST(conn, peer_that_closes_with_something_unread_is_a_reset) {
    struct out out;
    struct stage s;

    open_stage(&s, true);
    out_init(&out);
    out_copy(&out, "{}", 2);
    cr_assert(eq(int, conn_send(&s.conn, &out), 0));
    peer_hang_up(&s);
    cr_assert(eq(int, receive_outcome(&s), CONN_E_END));
    cr_assert(eq(int, s.conn.error, ECONNRESET));
    out_deinit(&out);
    close_stage(&s);
}

TEST(conn, peer_sees_an_end_and_no_error_though_not_all_it_sent_was_read) {
    struct stage s;

    open_stage(&s, true);
    peer_send(&s, "{}", 0, 3);
    close_conn(&s);
    cr_assert(eq(int, (int)recv(s.peer, text, sizeof(text), 0), 0));
    close_stage(&s);
}

TEST(conn, what_was_sent_arrives_after_the_close) {
    struct out out;
    struct stage s;

    open_stage(&s, true);
    out_init(&out);
    out_copy(&out, "{}", 2);
    cr_assert(eq(int, conn_send(&s.conn, &out), 0));
    close_conn(&s);
    cr_assert(eq(int, (int)recv(s.peer, text, sizeof(text), 0), 2));
    cr_assert(eq(int, (int)recv(s.peer, text, sizeof(text), 0), 0));
    out_deinit(&out);
    close_stage(&s);
}

/* ---- waiting ---- */

TEST(conn, hang_up_is_told_once_though_nothing_was_asked_for) {
    struct stage s;

    open_stage(&s, true);
    ready.n = 0;
    cr_assert(eq(int, conn_wait(&s.conn, false, false), 0));
    peer_send(&s, "{}", -1, 0);
    poller_turn(&s.poller, false);
    cr_assert(eq(int, ready.n, 0), "reading was not asked for");
    peer_hang_up(&s);
    poller_turn(&s.poller, true);
    cr_assert(eq(int, ready.n, 1));
    cr_assert(s.conn.is_deaf);
    cr_assert(not(ready.is_readable));
    poller_turn(&s.poller, false);
    cr_assert(eq(int, ready.n, 1));
    close_stage(&s);
}

TEST(conn, half_a_close_is_not_told_when_nothing_was_asked_for) {
    struct stage s;

    open_stage(&s, true);
    ready.n = 0;
    cr_assert(eq(int, conn_wait(&s.conn, false, false), 0));
    shutdown(s.peer, SHUT_WR);
    poller_turn(&s.poller, false);
    cr_assert(eq(int, ready.n, 0));
    close_stage(&s);
}

/* conn_wait() after each event, as the owner does.  Return: how often it was told */
static int count_told(struct stage *s, int n_turns) {
    ready.n = 0;
    for (int i = 0; i < n_turns; i++) {
        cr_assert(eq(int, conn_wait(&s->conn, true, false), 0));
        poller_turn(&s->poller, false);
    }
    return ready.n;
}

TEST(conn, readiness_is_told_once_when_all_was_read) {
    struct stage s;

    open_stage(&s, false);
    peer_send(&s, "{}", -1, 0);
    cr_assert(eq(int, count_told(&s, 3), 1));
    expect(&s, "{}", 0);
    cr_assert(eq(int, count_told(&s, 3), 0));
    peer_send(&s, "{}", -1, 0);
    cr_assert(eq(int, count_told(&s, 3), 1));
    cr_assert(ready.is_readable);
    close_stage(&s);
}

TEST(conn, readiness_is_told_again_while_something_is_left) {
    struct conn_chunk chunk;
    struct stage s;

    open_stage(&s, false);
    peer_send(&s, "{}{}", -1, 0);
    cr_assert(eq(int, count_told(&s, 1), 1));
    cr_assert(eq(int, conn_receive(&s.conn, text, 2, &chunk), 0));
    cr_assert(eq(int, count_told(&s, 1), 1));
    cr_assert(eq(int, conn_receive(&s.conn, text, 2, &chunk), 0)); /* that was all, but who knows */
    cr_assert(eq(int, conn_receive(&s.conn, text, 2, &chunk), CONN_E_AGAIN));
    cr_assert(eq(int, count_told(&s, 3), 0));
    close_stage(&s);
}

TEST(conn, readiness_is_told_again_behind_fds) {
    struct stage s;

    open_stage(&s, false);
    peer_send(&s, "{}", STDIN_FILENO, 1);
    peer_send(&s, "[]", STDIN_FILENO, 1);
    cr_assert(eq(int, count_told(&s, 1), 1));
    expect(&s, "{}", 1);
    cr_assert(eq(int, count_told(&s, 1), 1));
    expect(&s, "[]", 1);
    close_stage(&s);
}

TEST(conn, end_behind_last_words_is_told_though_it_was_there_before_they_were_read) {
    struct stage s;

    open_stage(&s, false);
    cr_assert(eq(int, count_told(&s, 1), 0));
    peer_send(&s, "{}", -1, 0);
    peer_hang_up(&s);
    cr_assert(eq(int, count_told(&s, 1), 1));
    expect(&s, "{}", 0);
    cr_assert(eq(int, count_told(&s, 1), 1));
    cr_assert(eq(int, receive_outcome(&s), CONN_E_END));
    close_stage(&s);
}

TEST(conn, half_a_close_behind_last_words_is_told_though_it_was_there_before_they_were_read) {
    struct stage s;

    open_stage(&s, false);
    peer_send(&s, "{}", -1, 0);
    cr_assert(eq(int, shutdown(s.peer, SHUT_WR), 0));
    cr_assert(eq(int, count_told(&s, 1), 1));
    expect(&s, "{}", 0);
    cr_assert(eq(int, count_told(&s, 1), 1));
    cr_assert(eq(int, receive_outcome(&s), CONN_E_END));
    close_stage(&s);
}

TEST(conn, what_came_while_nobody_would_read_is_told_when_somebody_would) {
    struct stage s;

    open_stage(&s, false);
    cr_assert(eq(int, count_told(&s, 1), 0));
    cr_assert(eq(int, conn_wait(&s.conn, false, true), 0));
    peer_send(&s, "{}", -1, 0);
    poller_turn(&s.poller, false);
    cr_assert(not(ready.is_readable));
    cr_assert(eq(int, count_told(&s, 1), 1));
    cr_assert(ready.is_readable);
    close_stage(&s);
}

/* ---- sending ---- */

static ino_t inode_of(int fd) {
    struct stat st;

    cr_assert(eq(int, fstat(fd, &st), 0));
    return st.st_ino;
}

static void on_removed(struct poller_watch *w) {
    (void)w;
}

/* another connection at the other end tells what arrived */
static void expect_at_peer(struct stage *s, const char *want, size_t want_n_fds) {
    struct stage other;

    uv_loop_init(&other.loop);
    cr_assert(eq(int, poller_init(&other.poller, &other.loop), 0));
    conn_open_take(&other.conn, &other.poller, dup(s->peer), true, on_ready);
    expect(&other, want, want_n_fds);
    /* no conn_close(), which shuts the socket down for the original too */
    poller_remove(&other.poller, &other.conn.watch, on_removed);
    poller_run(&other.poller);
    poller_deinit(&other.poller);
    uv_loop_close(&other.loop);
    close(other.conn.fd);
}

static void ride(struct out *out) {
    struct fds fds = FDS_INIT;

    cr_assert(eq(int, fds_push_take(&fds, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0));
    out_ride_take(out, &fds);
}

TEST(conn, fds_leave_with_the_first_byte_of_their_message) {
    struct out out;
    struct stage s;

    open_stage(&s, true);
    out_init(&out);
    out_copy(&out, "{1}", 3);
    ride(&out);
    out_copy(&out, "{2}", 3);
    cr_assert(eq(int, conn_send(&s.conn, &out), 0));
    cr_assert(out_is_empty(&out));
    expect_at_peer(&s, "{1}", 0);
    expect_at_peer(&s, "{2}", 1);
    out_deinit(&out);
    close_stage(&s);
}

TEST(conn, fd_that_arrives_is_the_one_that_was_sent) {
    int ends[2];
    struct conn_chunk chunk;
    struct stage s;

    open_stage(&s, true);
    cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
    peer_send(&s, "{}", ends[0], 1);
    cr_assert(eq(int, conn_receive(&s.conn, text, sizeof(text), &chunk), 0));
    cr_assert(eq(u64, inode_of(chunk.fds.fd[0]), inode_of(ends[0])));
    fds_deinit(&chunk.fds);
    close(ends[0]);
    close(ends[1]);
    close_stage(&s);
}

static size_t drain_peer(struct stage *s) {
    size_t n = 0;

    for (ssize_t m; (m = recv(s->peer, text, sizeof(text), 0)) > 0;)
        n += (size_t)m;
    return n;
}

TEST(conn, more_than_the_socket_takes_waits_and_arrives_whole) {
    size_t n = sizeof(text), n_arrived = 0;
    char *big = calloc(1, n);
    struct out out;
    struct stage s;
    int r;

    open_stage(&s, true);
    out_init(&out);
    ride(&out);
    out_borrow(&out, big, n);
    while ((r = conn_send(&s.conn, &out)) == CONN_E_AGAIN) {
        cr_assert(eq(int, conn_send(&s.conn, &out), CONN_E_AGAIN),
                  "it is full until the loop says otherwise");
        cr_assert(gt(sz, out.n_bytes, 0));
        n_arrived += drain_peer(&s);
        conn_wait(&s.conn, false, true);
        poller_turn(&s.poller, true);
    }
    cr_assert(eq(int, r, 0));
    n_arrived += drain_peer(&s);
    cr_assert(eq(sz, n_arrived, n));
    out_deinit(&out);
    free(big);
    close_stage(&s);
}

TEST(conn, what_is_sent_to_a_peer_that_is_gone_is_dropped) {
    struct out out;
    struct stage s;

    open_stage(&s, true);
    peer_hang_up(&s);
    out_init(&out);
    ride(&out);
    out_copy(&out, "{}", 2);
    cr_assert(eq(int, conn_send(&s.conn, &out), 0));
    cr_assert(out_is_empty(&out));
    cr_assert(s.conn.is_deaf);
    cr_assert(eq(int, s.conn.error, 0), "to go is no error");
    out_deinit(&out);
    close_stage(&s);
}

TEST(conn, shutdown_tells_the_peer_that_nothing_more_comes) {
    struct stage s;

    open_stage(&s, true);
    conn_shutdown(&s.conn);
    conn_shutdown(&s.conn);
    cr_assert(eq(int, (int)recv(s.peer, text, sizeof(text), 0), 0));
    peer_send(&s, "{}", -1, 0);
    expect(&s, "{}", 0);
    close_stage(&s);
}
