/* Listener: what it puts into the file system, what it leaves alone there, and accepting without fds. */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/address.h"
#include "io/listener.h"

static char folder[64];
static char path[128];

static void setup(void) {
    snprintf(folder, sizeof(folder), "/tmp/test-listener-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/socket", folder);
}

static void cleanup(void) {
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    cr_assert(eq(int, system(command), 0));
}

TestSuite(listener, .init = setup, .fini = cleanup);

static bool is_there(void) {
    struct stat st;

    return lstat(path, &st) == 0;
}

static int bind_to(const char *where, struct listener *l) {
    int error = 0;

    return listener_bind(l, where, &error);
}

/* a socket at @path that is bound, whether or not it listens */
static int hold_socket(int type) {
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    cr_assert(eq(int, address_from_path(path, &address), 0));
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&address, sizeof(address)), 0));
    return fd;
}

static int come_in(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    cr_assert(eq(int, address_from_path(path, &address), 0));
    cr_assert(eq(int, connect(fd, (struct sockaddr *)&address, sizeof(address)), 0));
    return fd;
}

TEST(listener, socket_is_made_for_its_owner_alone_and_removed_at_the_end) {
    struct listener l;
    struct stat st;

    umask(0);
    cr_assert(eq(int, bind_to(path, &l), 0));
    cr_assert(eq(int, lstat(path, &st), 0));
    cr_assert(eq(uint, st.st_mode, S_IFSOCK | 0600));
    cr_assert(eq(uint, umask(0), 0), "the mask is as it was");
    listener_close(&l, NULL);
    cr_assert(not(is_there()));
}

TEST(listener, dead_socket_is_replaced) {
    struct listener l;

    close(hold_socket(SOCK_STREAM));
    cr_assert(is_there());
    cr_assert(eq(int, bind_to(path, &l), 0));
    close(come_in());
    listener_close(&l, NULL);
}

TEST(listener, socket_in_use_is_left_alone) {
    struct listener l;
    int fd = hold_socket(SOCK_STREAM);

    cr_assert(eq(int, bind_to(path, &l), LISTENER_E_IN_USE),
              "bound, though it does not listen yet");
    listen(fd, 0);
    cr_assert(eq(int, bind_to(path, &l), LISTENER_E_IN_USE));
    cr_assert(is_there());
    close(fd);
}

TEST(listener, looking_whether_a_socket_is_in_use_is_no_client_to_it) {
    struct listener l;
    int fd = hold_socket(SOCK_STREAM | SOCK_NONBLOCK);

    listen(fd, 1);
    cr_assert(eq(int, bind_to(path, &l), LISTENER_E_IN_USE));
    cr_assert(eq(int, accept(fd, NULL, NULL), -1));
    cr_assert(eq(int, errno, EAGAIN));
    close(fd);
}

TEST(listener, datagram_socket_in_use_is_left_alone) {
    struct listener l;
    int fd = hold_socket(SOCK_DGRAM);

    cr_assert(eq(int, bind_to(path, &l), LISTENER_E_IN_USE));
    close(fd);
}

TEST(listener, file_is_left_alone) {
    struct listener l;

    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_assert(eq(int, bind_to(path, &l), LISTENER_E_NO_SOCKET));
    cr_assert(is_there());
}

TEST(listener, folder_is_left_alone) {
    struct listener l;

    cr_assert(eq(int, bind_to(folder, &l), LISTENER_E_NO_SOCKET));
}

TEST(listener, symbolic_link_is_left_alone_even_to_a_dead_socket) {
    struct listener l;
    char target[160];

    close(hold_socket(SOCK_STREAM));
    snprintf(target, sizeof(target), "%s.target", path);
    cr_assert(eq(int, rename(path, target), 0));
    cr_assert(eq(int, symlink(target, path), 0));
    cr_assert(eq(int, bind_to(path, &l), LISTENER_E_NO_SOCKET));
    cr_assert(is_there());
}

TEST(listener, path_of_107_bytes_is_the_longest) {
    struct listener l;
    char long_path[ADDRESS_MAX_PATH_BYTES + 2];

    snprintf(long_path, sizeof(long_path), "%s/%0*d", folder,
             (int)(sizeof(long_path) - 2 - strlen(folder)), 0);
    cr_assert(eq(sz, strlen(long_path), ADDRESS_MAX_PATH_BYTES + 1));
    cr_assert(eq(int, bind_to(long_path, &l), LISTENER_E_LONG_PATH));
    long_path[ADDRESS_MAX_PATH_BYTES] = '\0';
    cr_assert(eq(int, bind_to(long_path, &l), 0));
    listener_close(&l, NULL);
}

TEST(listener, empty_path_is_refused) {
    struct listener l;

    cr_assert(eq(int, bind_to("", &l), LISTENER_E_EMPTY_PATH));
}

TEST(listener, missing_folder_is_told_as_such) {
    struct listener l;
    int error = 0;

    strcat(path, "/x");
    cr_assert(eq(int, listener_bind(&l, path, &error), LISTENER_E_IMPOSSIBLE));
    cr_assert(eq(int, error, ENOENT));
}

TEST(listener, socket_of_another_that_took_the_path_is_not_removed) {
    struct listener l;
    char moved[160];
    int fd;

    cr_assert(eq(int, bind_to(path, &l), 0));
    snprintf(moved, sizeof(moved), "%s.moved", path);
    cr_assert(eq(int, rename(path, moved), 0));
    fd = hold_socket(SOCK_STREAM);
    listener_close(&l, NULL);
    cr_assert(is_there());
    close(fd);
}

TEST(listener, every_outcome_is_explained) {
    for (int r = LISTENER_E_EMPTY_PATH; r < LISTENER_E_IMPOSSIBLE; r++)
        cr_assert(ne(str, (char *)listener_explain(r, 0), strerror(0)));
    cr_assert(eq(str, (char *)listener_explain(LISTENER_E_IMPOSSIBLE, EACCES), strerror(EACCES)));
    cr_assert(eq(str, (char *)listener_explain(-ENOMEM, ENOMEM), strerror(ENOMEM)));
}

/* ---- accepting ---- */

static struct {
    int fds[8];
    size_t n;
} accepted;

static void on_accepted(struct listener *l, int fd) {
    (void)l;
    accepted.fds[accepted.n++] = fd;
}

static void run_until_accepted(uv_loop_t *loop, size_t n) {
    while (accepted.n < n)
        uv_run(loop, UV_RUN_ONCE);
}

static void close_accepted(void) {
    while (accepted.n > 0)
        close(accepted.fds[--accepted.n]);
}

TEST(listener, clients_are_accepted_as_the_loop_and_children_need_them) {
    struct log log = {.fd = STDERR_FILENO, .level = LOG_LEVEL_ERROR};
    struct listener l;
    uv_loop_t loop;
    int client;

    uv_loop_init(&loop);
    cr_assert(eq(int, bind_to(path, &l), 0));
    cr_assert(eq(int, listener_start(&l, &loop, &log, on_accepted), 0));
    client = come_in();
    run_until_accepted(&loop, 1);
    cr_assert(ne(int, fcntl(accepted.fds[0], F_GETFL) & O_NONBLOCK, 0));
    cr_assert(ne(int, fcntl(accepted.fds[0], F_GETFD) & FD_CLOEXEC, 0));
    close_accepted();
    close(client);
    listener_close(&l, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(eq(int, uv_loop_close(&loop), 0));
    uv_library_shutdown();
}

/* allow this process @n more fds than it has */
static struct rlimit limit_fds(rlim_t n) {
    struct rlimit before, now;
    int next = dup(0);

    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    now = (struct rlimit){.rlim_cur = (rlim_t)next + n, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
    return before;
}

static size_t n_lines(int fd) {
    char text[4096];
    ssize_t n = read(fd, text, sizeof(text));
    size_t n_lines = 0;

    for (ssize_t i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    return n_lines;
}

TEST(listener, out_of_fds_it_waits_says_so_once_and_goes_on) {
    struct listener l;
    struct rlimit before;
    uv_loop_t loop;
    int clients[3], ends[2];
    struct log log;

    uv_loop_init(&loop);
    cr_assert(eq(int, pipe2(ends, O_NONBLOCK), 0));
    log = (struct log){.fd = ends[1], .level = LOG_LEVEL_INFO};
    cr_assert(eq(int, bind_to(path, &l), 0));
    cr_assert(eq(int, listener_start(&l, &loop, &log, on_accepted), 0));
    for (size_t i = 0; i < 3; i++)
        clients[i] = come_in();
    before = limit_fds(2);
    run_until_accepted(&loop, 1);
    for (size_t i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_ONCE); /* the timer, and its futile attempts */
    cr_assert(eq(sz, accepted.n, 1));
    setrlimit(RLIMIT_NOFILE, &before);
    run_until_accepted(&loop, 3);
    cr_assert(eq(sz, n_lines(ends[0]), 1));
    close_accepted();
    for (size_t i = 0; i < 3; i++)
        close(clients[i]);
    listener_close(&l, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(eq(int, uv_loop_close(&loop), 0));
    uv_library_shutdown();
    close(ends[0]);
    close(ends[1]);
}

/* ---- when others touch its place ---- */

static uv_loop_t loop;
static struct listener listener;

static void start(void) {
    static const struct log log = {.fd = STDERR_FILENO, .level = LOG_LEVEL_ERROR};

    uv_loop_init(&loop);
    cr_assert(eq(int, bind_to(path, &listener), 0));
    cr_assert(eq(int, listener_start(&listener, &loop, &log, on_accepted), 0));
}

static void stop(void) {
    close_accepted();
    listener_close(&listener, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(eq(int, uv_loop_close(&loop), 0));
    uv_library_shutdown();
}

TEST(listener, what_became_of_its_place_is_seen) {
    char moved[160];

    start();
    snprintf(moved, sizeof(moved), "%s.moved", path);
    cr_assert(eq(int, listener_look(&listener), LISTENER_AT_HOME));
    cr_assert(eq(int, rename(path, moved), 0));
    cr_assert(eq(int, listener_look(&listener), LISTENER_GONE));
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_assert(eq(int, listener_look(&listener), LISTENER_REPLACED));
    cr_assert(eq(int, listener_move(&listener, moved), 0));
    cr_assert(eq(int, listener_look(&listener), LISTENER_AT_HOME));
    stop();
    cr_assert(is_there(), "what is not its own stays");
}

TEST(listener, removed_socket_is_restored_with_its_mode_and_those_who_waited_are_let_in) {
    const struct listener_permit permit = {.mode = 0640, .uid = (uid_t)-1, .gid = (gid_t)-1};
    int old, new, error = 0;
    struct stat st;

    start();
    old = come_in();
    unlink(path);
    cr_assert(eq(int, listener_restore(&listener, &permit, &error), 0));
    cr_assert(eq(sz, accepted.n, 1), "who waited in the old one");
    cr_assert(eq(int, lstat(path, &st), 0));
    cr_assert(eq(uint, st.st_mode, S_IFSOCK | 0640));
    new = come_in();
    run_until_accepted(&loop, 2);
    close(old);
    close(new);
    stop();
    cr_assert(not(is_there()));
}

TEST(listener, socket_that_cannot_be_restored_serves_on_where_it_is) {
    char moved[160];
    int fd, error = 0;

    start();
    snprintf(moved, sizeof(moved), "%s.moved", path);
    cr_assert(eq(int, rename(path, moved), 0));
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    cr_assert(eq(int, listener_restore(&listener, NULL, &error), LISTENER_E_NO_SOCKET));
    cr_assert(eq(int, rename(moved, path), 0));
    fd = come_in();
    run_until_accepted(&loop, 1);
    close(fd);
    stop();
}

TEST(listener, clients_wait_while_it_pauses) {
    int fd;

    start();
    listener_pause(&listener);
    fd = come_in();
    for (size_t i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert(eq(sz, accepted.n, 0));
    listener_resume(&listener);
    run_until_accepted(&loop, 1);
    close(fd);
    stop();
}

TEST(listener, held_is_what_a_process_has_open_and_nothing_else) {
    int fd = hold_socket(SOCK_STREAM);
    char link[160];

    snprintf(link, sizeof(link), "%s.link", path);
    cr_assert(eq(int, symlink(path, link), 0));
    cr_assert(listener_is_held(path));
    cr_assert(not(listener_is_held(link)));
    close(fd);
    cr_assert(not(listener_is_held(path)));
    cr_assert(not(listener_is_held(folder)));
    cr_assert(not(listener_is_held("")));
}
