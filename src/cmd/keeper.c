#include "cmd/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/util.h"

enum {
    KEEPER_MAX_TEXT_BYTES = 4096, /* of one datagram */
    KEEPER_PAUSE_MS = 100,        /* before it is started again */
    KEEPER_FREE_FD = 1000,        /* fds are put there before they get their numbers */
};

struct kept {
    struct list in_keeper;
    char *name;
    int fd;
};

struct keeper {
    const struct keeper_relay *relay;
    int notify;
    char address[32]; /* of it, as NOTIFY_SOCKET has it */
    pid_t pid;        /* the relay's */
    bool was_ready;   /* once */
    struct list kept;
    size_t n_kept;
};

/* ---- what it is told ---- */

/* Return: the value of @name in @text, to be freed; NULL: there is none */
static char *value_of(const char *text, const char *name) {
    size_t n = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0 && line[n] == '=')
            return strndup(line + n + 1, strcspn(line + n + 1, "\n"));
    }
    return NULL;
}

static bool says(const char *text, const char *name) {
    _cleanup_(freep) char *value = value_of(text, name);

    return value && strcmp(value, "1") == 0;
}

static void drop(struct keeper *k, struct kept *kept) {
    list_remove(&kept->in_keeper);
    k->n_kept--;
    close(kept->fd);
    free(kept->name);
    free(kept);
}

static void keep(struct keeper *k, char *name, int fd) {
    struct kept *kept = k->n_kept < k->relay->room ? calloc(1, sizeof(*kept)) : NULL;

    if (!kept || !name || strchr(name, ':')) {
        close(fd);
        free(name);
        free(kept);
        return;
    }
    kept->name = name;
    kept->fd = fd;
    list_append(&k->kept, &kept->in_keeper);
    k->n_kept++;
}

static void forget(struct keeper *k, const char *name) {
    list_for_each_safe(i, &k->kept) {
        struct kept *kept = list_entry(i, struct kept, in_keeper);

        if (strcmp(kept->name, name) == 0)
            drop(k, kept);
    }
}

static void hear(struct keeper *k, const char *text, int fd) {
    k->was_ready = k->was_ready || says(text, "READY");
    if (says(text, "FDSTORE") && fd >= 0) {
        keep(k, value_of(text, "FDNAME"), fd);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (says(text, "FDSTOREREMOVE")) {
        _cleanup_(freep) char *name = value_of(text, "FDNAME");

        if (name)
            forget(k, name);
    }
}

/* what came with a datagram */
struct attached {
    int fd; /* -1: none */
    pid_t pid;
};

static struct attached attached_from(struct msghdr *m) {
    struct attached a = {.fd = -1};

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        struct ucred peer;

        if (h->cmsg_level != SOL_SOCKET)
            continue;
        if (h->cmsg_type == SCM_RIGHTS)
            memcpy(&a.fd, CMSG_DATA(h), sizeof(a.fd));
        if (h->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&peer, CMSG_DATA(h), sizeof(peer));
            a.pid = peer.pid;
        }
    }
    return a;
}

/* Return: false when there is nothing more */
static bool hear_one(struct keeper *k) {
    union {
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    char text[KEEPER_MAX_TEXT_BYTES];
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct attached a;
    ssize_t n = recvmsg(k->notify, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return errno == EINTR;
    text[n] = '\0';
    a = attached_from(&m);
    if (a.pid == k->pid)
        hear(k, text, a.fd);
    else if (a.fd >= 0)
        close(a.fd); /* the name is everybody's to send to */
    return true;
}

/* ---- the relay ---- */

static bool set_environment(const struct keeper *k) {
    _cleanup_(buffer_deinit) struct buffer names = BUFFER_INIT;
    char number[24];

    buffer_append_string(&names, k->relay->fd_names);
    list_for_each(i, &k->kept) {
        buffer_append_string(&names, ":");
        buffer_append_string(&names, list_entry(i, struct kept, in_keeper)->name);
    }
    buffer_append(&names, "", 1);
    if (buffer_status(&names) < 0)
        return false;
    snprintf(number, sizeof(number), "%d", (int)getpid());
    setenv("LISTEN_PID", number, 1);
    snprintf(number, sizeof(number), "%zu", k->relay->n_fds + k->n_kept);
    setenv("LISTEN_FDS", number, 1);
    setenv("LISTEN_FDNAMES", names.data, 1);
    snprintf(number, sizeof(number), "%zu", k->relay->room);
    setenv("FDSTORE", number, 1);
    setenv("NOTIFY_SOCKET", k->address, 1);
    return true;
}

/* what is kept comes behind what is its own; above, nothing stays open */
static bool set_fds(const struct keeper *k) {
    int next = KEEPER_FIRST_FD + (int)k->relay->n_fds;

    list_for_each(i, &k->kept) {
        struct kept *kept = list_entry(i, struct kept, in_keeper);

        kept->fd = fcntl(kept->fd, F_DUPFD, KEEPER_FREE_FD); /* in this process only */
        if (kept->fd < 0)
            return false;
    }
    list_for_each(i, &k->kept)
        if (dup2(list_entry(i, struct kept, in_keeper)->fd, next++) < 0)
            return false;
    return close_range((unsigned int)next, ~0U, 0) == 0;
}

/* never returns */
static void become_relay(const struct keeper *k) {
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (set_fds(k) && set_environment(k))
        execv("/proc/self/exe", (char **)k->relay->words);
    fprintf(stderr, "cannot start: %s\n", strerror(errno));
    _exit(1);
}

/* Return: the relay's status once it has ended */
static int wait_for_relay(struct keeper *k) {
    int pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0), status = 0;
    struct pollfd fds[] = {{.fd = k->notify, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

    while (pidfd >= 0 && (poll(fds, ARRAY_SIZE(fds), -1) >= 0 || errno == EINTR)) {
        while (hear_one(k))
            continue;
        if (fds[1].revents)
            break;
    }
    waitpid(k->pid, &status, 0);
    while (hear_one(k)) /* its last words */
        continue;
    if (pidfd >= 0)
        close(pidfd);
    return status;
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* a name that the kernel chooses, in no file system */
static bool open_notify(struct keeper *k) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t n = sizeof(address);
    int on = 1;

    k->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (k->notify < 0 ||
        bind(k->notify, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
        getsockname(k->notify, (struct sockaddr *)&address, &n) < 0)
        return false;
    snprintf(k->address, sizeof(k->address), "@%.*s",
             (int)(n - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
    return setsockopt(k->notify, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0;
}

void keeper_run(const struct keeper_relay *r) {
    struct keeper k = {.relay = r};
    int status;

    list_init(&k.kept);
    prctl(PR_SET_NAME, "qmp-shim-keeper");
    if (!open_notify(&k)) {
        fprintf(stderr, "cannot keep sessions: %s\n", strerror(errno));
        _exit(1);
    }
    for (;;) {
        k.pid = fork();
        if (k.pid == 0)
            become_relay(&k);
        status = k.pid > 0 ? wait_for_relay(&k) : 1;
        if (!k.was_ready || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
        pause_ms(KEEPER_PAUSE_MS);
    }
}
