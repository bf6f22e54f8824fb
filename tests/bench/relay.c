/*
 * relay: the least that a relay can do, to measure others by.  Copies bytes
 * between each client and a connection of its own to the server, on epoll,
 * by read() and write() on blocking sockets: no rules, no JSON, no fds, no
 * water marks.  Not for use.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct end {
    int fd;
    struct end *other;
};

static char text[256 << 10];

static int open_socket(const char *path, int (*act)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || act(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static void watch(int epoll, int fd, struct end *e) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static void take_client(int epoll, int listener, const char *server_path) {
    struct end *e = calloc(2, sizeof(*e));

    if (!e)
        exit(1);
    e[0] = (struct end){accept(listener, NULL, NULL), &e[1]};
    e[1] = (struct end){open_socket(server_path, connect), &e[0]};
    watch(epoll, e[0].fd, &e[0]);
    watch(epoll, e[1].fd, &e[1]);
}

static void write_all(int fd, size_t n) {
    for (size_t done = 0; done < n;) {
        ssize_t n_written = send(fd, text + done, n - done, MSG_NOSIGNAL);

        if (n_written <= 0)
            return;
        done += (size_t)n_written;
    }
}

static void relay(struct end *e) {
    ssize_t n = read(e->fd, text, sizeof(text));

    if (n > 0) {
        write_all(e->other->fd, (size_t)n);
        return;
    }
    close(e->fd);
    close(e->other->fd);
    free(e < e->other ? e : e->other);
}

int main(int argc, char **argv) {
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener;

    if (argc != 3) {
        fputs("usage: relay LISTEN CONNECT\n", stderr);
        return 2;
    }
    listener = open_socket(argv[1], bind);
    listen(listener, 1024);
    watch(epoll, listener, NULL);
    for (;;) {
        struct epoll_event event;

        /* one at a time: what is next may have been closed by what is now */
        if (epoll_wait(epoll, &event, 1, -1) < 1)
            continue;
        if (event.data.ptr)
            relay(event.data.ptr);
        else
            take_client(epoll, listener, argv[2]);
    }
}
