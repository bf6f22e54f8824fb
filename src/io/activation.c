#include "io/activation.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

enum { ACTIVATION_FIRST_FD = 3 };

static bool socket_has(int fd, int option, int wanted) {
    int value;
    socklen_t n = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &n) == 0 && value == wanted;
}

/* the names stand one behind the other, separated by colons.  Return: the rest of them */
static const char *activation_read_name(struct activation_socket *s, const char *names) {
    size_t n = strcspn(names, ":");

    snprintf(s->name, sizeof(s->name), "%.*s", (int)size_min(n, ACTIVATION_MAX_NAME_BYTES), names);
    return names + n + (names[n] == ':');
}

static uint64_t inode_of(int fd) {
    struct stat st;

    return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

/*
 * Is it a listening socket that came before?  It has one queue of clients,
 * whatever the number of its fds, and the kernel lets no more than 500 of one
 * file be watched the way it is done here.
 */
static bool has_come(const struct activation *a, const struct activation_socket *s) {
    for (size_t i = 0; s->is_listening && i < a->n; i++)
        if (a->sockets[i].is_listening && a->sockets[i].inode == s->inode)
            return true;
    return false;
}

static void activation_add(struct activation *a, int fd, const char **names) {
    struct activation_socket *s = &a->sockets[a->n];

    *names = activation_read_name(s, *names);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) /* it is not there at all */
        return;
    s->fd = fd;
    s->is_stream = socket_has(fd, SO_DOMAIN, AF_UNIX) && socket_has(fd, SO_TYPE, SOCK_STREAM);
    s->is_listening = s->is_stream && socket_has(fd, SO_ACCEPTCONN, 1);
    s->inode = inode_of(fd);
    if (has_come(a, s)) {
        close(fd);
        a->n_twice++;
        return;
    }
    a->n++;
}

void activation_init(struct activation *a) {
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    int n = count ? atoi(count) : 0;

    *a = (struct activation){.n = 0};
    if (!pid || strtol(pid, NULL, 10) != (long)getpid())
        n = 0;
    if (!names)
        names = "";
    if (n > 0)
        a->sockets = calloc(size_min((size_t)n, ACTIVATION_MAX_FDS), sizeof(*a->sockets));
    for (int i = 0; i < n; i++) {
        if (a->sockets && a->n < ACTIVATION_MAX_FDS)
            activation_add(a, ACTIVATION_FIRST_FD + i, &names);
        else if (close(ACTIVATION_FIRST_FD + i) < 0)
            break; /* the number was a lie */
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

static bool socket_is(const struct activation_socket *s, const char *name) {
    return s->fd >= 0 && s->is_listening && (!name || strcmp(name, s->name) == 0);
}

static int socket_take(struct activation_socket *s) {
    int fd = s->fd;

    s->fd = -1;
    return fd;
}

int activation_take(struct activation *a, const char *name) {
    for (size_t i = 0; i < a->n; i++)
        if (socket_is(&a->sockets[i], name))
            return socket_take(&a->sockets[i]);
    return -1;
}

int activation_take_stream(struct activation *a, const char *name) {
    for (size_t i = 0; i < a->n; i++) {
        struct activation_socket *s = &a->sockets[i];

        if (s->fd >= 0 && s->is_stream && !s->is_listening && strcmp(name, s->name) == 0)
            return socket_take(s);
    }
    return -1;
}

int activation_take_fd(struct activation *a, const char *prefix, const char **ret_name) {
    for (size_t i = 0; i < a->n; i++) {
        struct activation_socket *s = &a->sockets[i];

        if (s->fd >= 0 && strncmp(s->name, prefix, strlen(prefix)) == 0) {
            *ret_name = s->name;
            return socket_take(s);
        }
    }
    return -1;
}

int activation_take_named(struct activation *a, const char *name) {
    for (size_t i = 0; i < a->n; i++)
        if (a->sockets[i].fd >= 0 && strcmp(a->sockets[i].name, name) == 0)
            return socket_take(&a->sockets[i]);
    return -1;
}

bool activation_has(const struct activation *a, const char *name) {
    for (size_t i = 0; i < a->n; i++)
        if (socket_is(&a->sockets[i], name))
            return true;
    return false;
}

size_t activation_deinit(struct activation *a) {
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) {
        if (a->sockets[i].fd < 0)
            continue;
        close(a->sockets[i].fd);
        n++;
    }
    a->n = 0;
    free(a->sockets);
    a->sockets = NULL;
    return n;
}
