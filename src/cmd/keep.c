/*
 * qmp-shim keep: runs a shim and, should that die, the next one, with the
 * connections that the last one had.  It is the service manager for those who
 * have none, as far as a shim needs one: it keeps descriptors ($FDSTORE) and
 * hands them out ($LISTEN_FDS).  What is said over them it never reads.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "io/activation.h"

enum {
    KEEP_MAX_FDS = 4096,    /* of the sessions; what is beyond is not kept */
    KEEP_ROOM = 1024,       /* what a shim takes of them, if it is not told (--fd-store) */
    KEEP_NAME_BYTES = 64,   /* of one's name */
    KEEP_PAUSE_MS = 100,    /* before the next start */
    KEEP_MAX_FAILURES = 50, /* one after the other, without getting ready */
    KEEP_FIRST_FD = 3,      /* of $LISTEN_FDS */
};

struct keep_fd {
    int fd;
    char name[KEEP_NAME_BYTES];
};

struct keeper {
    char *const *words; /* of the shim's command line */
    struct keep_fd fds[KEEP_MAX_FDS];
    size_t n_fds, n_inherited; /* the first of them are never removed */
    int notify, signals;
    char address[32]; /* of notify, as in $NOTIFY_SOCKET */
    pid_t pid;        /* the shim's */
    bool is_ready, is_stopping;
    int stop_signal;         /* with which it was told to stop */
    unsigned int n_failures; /* in a row */
};

static int keep_fail(const char *what) {
    fprintf(stderr, "qmp-shim keep: %s: %s\n", what, strerror(errno));
    return COMMAND_FAILED;
}

/* ---- the store ---- */

/* @fd is consumed */
static void keep_put(struct keeper *k, int fd, const char *name, size_t n_name) {
    struct keep_fd *entry = &k->fds[k->n_fds];

    if (k->n_fds == KEEP_MAX_FDS || n_name >= KEEP_NAME_BYTES) {
        close(fd);
        return;
    }
    entry->fd = fd;
    memcpy(entry->name, name, n_name);
    entry->name[n_name] = '\0';
    k->n_fds++;
}

static void keep_remove(struct keeper *k, const char *name, size_t n_name) {
    size_t n = k->n_inherited;

    for (size_t i = k->n_inherited; i < k->n_fds; i++) {
        if (strlen(k->fds[i].name) == n_name && memcmp(k->fds[i].name, name, n_name) == 0)
            close(k->fds[i].fd);
        else
            k->fds[n++] = k->fds[i];
    }
    k->n_fds = n;
}

/* what was handed to us is the shim's, each time */
static void keep_inherit(struct keeper *k) {
    struct activation a;
    const char *name;
    int fd;

    activation_init(&a);
    while ((fd = activation_take_fd(&a, "", &name)) >= 0)
        keep_put(k, fd, name, strlen(name));
    activation_deinit(&a);
    k->n_inherited = k->n_fds;
}

/* ---- what the shim tells ---- */

/* Return: the value of @key in lines of KEY=VALUE; NULL: none */
static const char *keep_value(const char *text, const char *key, size_t *ret_n) {
    size_t n_key = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n_key) == 0 && line[n_key] == '=') {
            *ret_n = strcspn(line + n_key + 1, "\n");
            return line + n_key + 1;
        }
    }
    return NULL;
}

/* @fd: -1 or consumed */
static void keep_heed(struct keeper *k, const char *text, int fd) {
    size_t n, n_name = 0;
    const char *name = keep_value(text, "FDNAME", &n_name);

    if (keep_value(text, "READY", &n)) {
        k->is_ready = true;
        k->n_failures = 0;
    }
    if (name && keep_value(text, "FDSTOREREMOVE", &n))
        keep_remove(k, name, n_name);
    if (fd >= 0 && name && keep_value(text, "FDSTORE", &n))
        keep_put(k, fd, name, n_name);
    else if (fd >= 0)
        close(fd);
}

union keep_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

/* Return: was there a message? */
static bool keep_receive(struct keeper *k) {
    union keep_control control;
    char text[1024];
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(k->notify, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct ucred peer = {0};
    int fd = -1;

    if (n < 0)
        return errno == EINTR;
    text[n] = '\0';
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        else if (c->cmsg_type == SCM_CREDENTIALS)
            memcpy(&peer, CMSG_DATA(c), sizeof(peer));
    }
    if (peer.pid == k->pid) /* anybody can send to an abstract address */
        keep_heed(k, text, fd);
    else if (fd >= 0)
        close(fd);
    return true;
}

/* an abstract address that nobody can have taken before */
static int keep_open(struct keeper *k) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t number;
    int n;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return -1;
    n = snprintf(k->address, sizeof(k->address), "@qmp-shim-%016llx", (unsigned long long)number);
    memcpy(address.sun_path + 1, k->address + 1, (size_t)n - 1);
    k->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (k->notify < 0)
        return -1;
    setsockopt(k->notify, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    return bind(k->notify, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n));
}

/* ---- the shim ---- */

static void keep_set_number(const char *name, size_t number) {
    char text[24];

    snprintf(text, sizeof(text), "%zu", number);
    setenv(name, text, 1);
}

/* in the child.  Return: negative: impossible */
static int keep_hand_out(const struct keeper *k) {
    struct buffer names = BUFFER_INIT;
    int above = KEEP_FIRST_FD + (int)k->n_fds;
    int at[KEEP_MAX_FDS];

    for (size_t i = 0; i < k->n_fds; i++) {
        at[i] = fcntl(k->fds[i].fd, F_DUPFD_CLOEXEC, above);
        if (at[i] < 0)
            return -1;
        buffer_printf(&names, "%s%s", i == 0 ? "" : ":", k->fds[i].name);
    }
    for (size_t i = 0; i < k->n_fds; i++)
        if (dup2(at[i], KEEP_FIRST_FD + (int)i) < 0)
            return -1;
    buffer_append(&names, "", 1);
    if (buffer_status(&names) < 0)
        return -1;
    keep_set_number("LISTEN_PID", (size_t)getpid());
    keep_set_number("LISTEN_FDS", k->n_fds);
    setenv("LISTEN_FDNAMES", names.data, 1);
    buffer_deinit(&names);
    return 0;
}

/* never returns */
static void keep_become(const struct keeper *k) {
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (keep_hand_out(k) == 0) {
        close_range(KEEP_FIRST_FD + (unsigned int)k->n_fds, ~0U, 0);
        setenv("NOTIFY_SOCKET", k->address, 1);
        keep_set_number("FDSTORE", KEEP_ROOM);
        execv("/proc/self/exe", k->words);
    }
    _exit(keep_fail("cannot start the shim"));
}

static int keep_start(struct keeper *k) {
    k->is_ready = false;
    k->pid = fork();
    if (k->pid == 0)
        keep_become(k);
    return k->pid < 0 ? -1 : 0;
}

/* Return: does it go on? */
static bool keep_goes_on(struct keeper *k, int how) {
    bool was_ready = k->is_ready;

    if (k->is_stopping)
        return false;
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return k->n_fds > k->n_inherited; /* it has left sessions to the next one */
    if (!was_ready && ++k->n_failures >= KEEP_MAX_FAILURES)
        return false;
    return was_ready || k->n_failures > 1 || k->n_fds > k->n_inherited;
}

/* Return: the exit status, now that it does not go on */
static int keep_status(const struct keeper *k, int how) {
    if (WIFEXITED(how))
        return WEXITSTATUS(how);
    /* told to stop before it had come so far as to heed that */
    return k->is_stopping && WTERMSIG(how) == k->stop_signal ? 0 : COMMAND_FAILED;
}

/* Return: -1: go on; else the exit status */
static int keep_reap(struct keeper *k) {
    int how;

    if (waitpid(k->pid, &how, WNOHANG) != k->pid)
        return -1;
    while (keep_receive(k)) /* its last words */
        continue;
    if (!keep_goes_on(k, how))
        return keep_status(k, how);
    fprintf(stderr, "qmp-shim keep: the shim has ended, the next one goes on\n");
    poll(NULL, 0, KEEP_PAUSE_MS);
    return keep_start(k) < 0 ? keep_fail("cannot start the shim") : -1;
}

/* Return: as keep_reap() */
static int keep_signal(struct keeper *k) {
    struct signalfd_siginfo info;

    if (read(k->signals, &info, sizeof(info)) != sizeof(info))
        return -1;
    if (info.ssi_signo == SIGCHLD)
        return keep_reap(k);
    if (info.ssi_signo != SIGHUP) {
        k->is_stopping = true;
        k->stop_signal = (int)info.ssi_signo;
    }
    kill(k->pid, (int)info.ssi_signo);
    return -1;
}

static int keep_run_all(struct keeper *k) {
    struct pollfd fds[] = {{.fd = k->notify, .events = POLLIN},
                           {.fd = k->signals, .events = POLLIN}};
    int status = -1;

    if (keep_start(k) < 0)
        return keep_fail("cannot start the shim");
    while (status < 0) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
            continue; /* EINTR */
        if (fds[0].revents)
            keep_receive(k);
        if (fds[1].revents)
            status = keep_signal(k);
    }
    return status;
}

static int keep_catch(struct keeper *k) {
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaddset(&set, numbers[i]);
    signal(SIGPIPE, SIG_IGN); /* of a log that nobody reads */
    sigprocmask(SIG_BLOCK, &set, NULL);
    k->signals = signalfd(-1, &set, SFD_CLOEXEC);
    return k->signals;
}

static int keep_run(const struct command *c, int argc, char **argv) {
    struct keeper *k;
    int status;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "run") != 0 && strcmp(argv[1], "takeover") != 0)) {
        if (argc >= 2 && argv[1][0] == '-' && options_next(c, argc, argv) == OPTIONS_HELP)
            return 0;
        fputs("qmp-shim keep: \"run\" or \"takeover\" is missing; see \"qmp-shim help keep\"\n",
              stderr);
        return COMMAND_USAGE;
    }
    k = calloc(1, sizeof(*k));
    if (!k)
        return keep_fail("cannot start");
    argv[0] = (char *)"qmp-shim"; /* the shim's own words begin with that */
    k->words = argv;
    keep_inherit(k);
    status = keep_open(k) < 0 || keep_catch(k) < 0 ? keep_fail("cannot start") : keep_run_all(k);
    free(k);
    return status;
}

static const struct command_option keep_options[] = {{.name = NULL}};

const struct command command_keep = {
    .name = "keep",
    .summary = "run a shim, and the next one with its connections",
    .synopsis = "run|takeover [OPTION]…",
    .text = "Runs a shim, as \"qmp-shim run\" or \"qmp-shim takeover\" does.  If it is killed or\n"
            "crashes, another one goes on with its sessions.  For where systemd does not do\n"
            "that.  Signals to end and to reload are the shim's.\n",
    .options = keep_options,
    .run = keep_run,
};
