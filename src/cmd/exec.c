/*
 * qmp-shim exec: becomes a QEMU whose monitors are behind shims.
 *
 * QEMU gets this process, with its pid and every inherited fd at its number.
 * Each monitor has a `qmp-shim run` of its own, under a `qmp-shim keep` that
 * belongs to nobody.  They end when QEMU does: QEMU holds the other end of the
 * lifeline (io/lifeline.h).
 */

#include "cmd/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/qemu_args.h"
#include "cmd/settings.h"
#include "io/address.h"
#include "io/listener.h"
#include "io/takeover.h"

#define EXEC_CONFIG "/etc/qmp-shim/exec.conf"
#define EXEC_NAME "-shim"   /* what the name of a link ends with */
#define EXEC_LOG_OPTION 256 /* the only one that is not run's */

enum {
    EXEC_MAX_WORDS = 64,     /* of a relay's command line */
    EXEC_MAX_OWN = 7,        /* likewise, of what no other has */
    EXEC_START_MS = 10000,   /* for a relay to be ready */
    EXEC_FIRST_FREE_FD = 16, /* fds are put there before they get their numbers */
};

/* what stands between one monitor and its clients */
struct relay {
    int front;               /* clients connect to this */
    char *back;              /* QEMU listens there */
    int lifeline;            /* our end, to be QEMU's */
    char *made;              /* a path that we put there and that must go when we fail */
    char *own[EXEC_MAX_OWN]; /* more of its command line; NULL ends it */
};

struct exec {
    const char *words[EXEC_MAX_WORDS]; /* for each relay: its options */
    size_t n_words;
    struct conf conf; /* what they come to */
    const char *log;
    char **argv; /* QEMU's */
    struct arena arena;
    struct qemu_args args;
    struct relay relays[QEMU_ARGS_MAX_MONITORS];
    size_t n_relays;
};

static const struct command_option exec_options[] = {
    {EXEC_LOG_OPTION, "log", "FILE", "where the shims log to (default: nowhere)"},
    {257, "client", "old|new", "as of \"run\", and the following, too"},
    {258, "client-version", "X", "the QEMU version that the clients were written for"},
    {259, "rules", "FILE|NAME", "a rule file, or an installed one by its name"},
    {260, "no-rules", NULL, "let everything pass unchanged"},
    {261, "no-probe", NULL, "do not ask QEMU which commands it has"},
    {262, "log-level", "LEVEL", "error, warning, info or debug"},
    {263, SETTINGS_CONFIG, "FILE", "a file that may say all this"},
    {264, "compact", NULL, "send commands in short"},
    {265, "drain-timeout", "SECONDS", "how long sessions may go on after a signal to end"},
    {266, "control", "PATH", "a socket for \"qmp-shim status\" and \"trace\""},
    {267, "metrics", "PATH", "a file of metrics"},
    {268, "trace", "FILE", "record all traffic there"},
    {269, "trace-size", "MIB", "at this size FILE becomes FILE.1"},
    {270, "redact", "FILE", "which members of commands are secret"},
    {271, "no-redact", NULL, "record secrets, too"},
    {272, "fd-store", "N",
     "how many fds are kept for a shim that goes on when one\nis killed; 0: none goes on (default: 1024)"},
    {.name = NULL},
};

static int exec_fail(const char *what, const char *why) {
    fprintf(stderr, "qmp-shim exec: %s: %s\n", what, why);
    return COMMAND_FAILED;
}

static int exec_fail_errno(const char *what) {
    return exec_fail(what, strerror(errno));
}

/* ---- the two sockets of a monitor ---- */

/* Return: where QEMU listens instead of @path; NULL: impossible (said why) */
static char *exec_back_path(const char *path) {
    char *back = takeover_back_path(path);

    if (!back)
        exec_fail(path, errno == ENAMETOOLONG ? "there is no room in this path for another name"
                                              : strerror(ENOMEM));
    return back;
}

/* Return: an exit status; @ret_fd listens at @path */
static int exec_listen(const char *path, int *ret_fd) {
    struct listener l;
    int r, error = 0;

    r = listener_bind(&l, path, &error);
    if (r)
        return exec_fail(path, listener_explain(r, r < 0 ? -r : error));
    *ret_fd = l.fd;
    free(l.path);
    return 0;
}

/* QEMU would make it with this mode */
static void exec_widen(const char *path) {
    mode_t mask = umask(0);

    umask(mask);
    chmod(path, 0777 & ~mask);
}

/* QEMU listens elsewhere, we where it would have listened */
static int exec_move_path(struct exec *e, const struct qemu_monitor *m, struct relay *relay) {
    char **argument = &e->argv[m->index + 1];
    char *moved;
    int status;

    relay->back = exec_back_path(m->path);
    if (!relay->back)
        return COMMAND_FAILED;
    moved = qemu_args_move(m, *argument, relay->back);
    if (!moved)
        return exec_fail(m->path, strerror(ENOMEM));
    *argument = moved; /* QEMU's command line now: it stays */
    status = exec_listen(m->path, &relay->front);
    if (status == 0) {
        exec_widen(m->path);
        relay->made = strdup(m->path);
    }
    return status;
}

/* Return: is @fd a unix socket that listens at a path? */
static bool exec_has_path(int fd, struct sockaddr_un *ret_address) {
    socklen_t n = sizeof(*ret_address);
    int value;
    socklen_t n_value = sizeof(value);

    *ret_address = (struct sockaddr_un){0};
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &n_value) == 0 && value == 1 &&
           getsockname(fd, (struct sockaddr *)ret_address, &n) == 0 &&
           ret_address->sun_family == AF_UNIX && ret_address->sun_path[0] != '\0';
}

/* QEMU gets another socket under the same number, we get the one it had, with who waits there */
static int exec_move_fd(const struct qemu_monitor *m, struct relay *relay) {
    struct sockaddr_un address;
    char path[sizeof(address.sun_path) + 1] = "";
    int back, status;

    exec_has_path(m->fd, &address);
    memcpy(path, address.sun_path, sizeof(address.sun_path)); /* 108 bytes need no NUL */
    relay->back = exec_back_path(path);
    if (!relay->back)
        return COMMAND_FAILED;
    status = exec_listen(relay->back, &back);
    if (status)
        return status;
    relay->made = strdup(relay->back);
    relay->front = fcntl(m->fd, F_DUPFD_CLOEXEC, EXEC_FIRST_FREE_FD);
    fcntl(back, F_SETFL, fcntl(back, F_GETFL) & ~O_NONBLOCK);
    if (relay->front < 0 || dup2(back, m->fd) < 0)
        status = exec_fail_errno("cannot exchange a socket");
    close(back);
    return status;
}

/* ---- the relay's process ---- */

/* what is open there and not @fds, at 3 and up, is QEMU's and none of its business */
static int relay_set_fds(int *fds, int n_fds, int log) {
    int null = open("/dev/null", O_RDWR);
    int at[] = {null, null, log, fds[0], fds[1]};

    if (null < 0 || n_fds != 2)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(at); i++)
        at[i] = fcntl(at[i], F_DUPFD, EXEC_FIRST_FREE_FD);
    for (size_t i = 0; i < ARRAY_SIZE(at); i++)
        if (at[i] < 0 || dup2(at[i], (int)i) < 0)
            return -1;
    return close_range(ARRAY_SIZE(at), ~0U, 0);
}

static void relay_set_environment(void) {
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_FDNAMES", "client:lifeline", 1);
    unsetenv("NOTIFY_SOCKET"); /* that is QEMU's */
    unsetenv("FDSTORE");
    unsetenv("WATCHDOG_USEC");
}

/*
 * What one process alone can write or listen on, the @n-th has with .N behind
 * it.  Return: 0 or -ENOMEM
 */
static int relay_own_paths(const struct exec *e, struct relay *relay, size_t n) {
    const struct {
        const char *option, *path;
    } paths[] = {
        {"--control", e->conf.control}, {"--metrics", e->conf.metrics}, {"--trace", e->conf.trace}};
    size_t n_own = 0;

    if (n == 1)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (!paths[i].path)
            continue;
        relay->own[n_own] = strdup(paths[i].option);
        if (!relay->own[n_own++] || asprintf(&relay->own[n_own++], "%s.%zu", paths[i].path, n) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* never returns */
static void relay_become(const struct exec *e, const struct relay *relay, int lifeline, int log) {
    const char *words[EXEC_MAX_WORDS + EXEC_MAX_OWN + 8] = {"qmp-shim", "keep", "run", "--connect",
                                                            relay->back};
    /* the keeper starts another one when it is killed */
    const char **own = e->conf.fd_store == 0 ? words + 1 : words;
    sigset_t none;

    own[0] = words[0];
    memcpy(words + 5, e->words, e->n_words * sizeof(words[0]));
    memcpy(words + 5 + e->n_words, relay->own, sizeof(relay->own));
    if (relay_set_fds((int[]){relay->front, lifeline}, 2, log) == 0) {
        relay_set_environment();
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv("/proc/self/exe", (char **)own);
    }
    fprintf(stderr, "cannot start: %s\n", strerror(errno));
    _exit(COMMAND_FAILED);
}

/* a child of nobody's, so that QEMU never finds one it does not know */
static int relay_fork(const struct exec *e, const struct relay *relay, int lifeline, int log) {
    pid_t pid = fork();

    if (pid < 0)
        return exec_fail_errno("cannot fork");
    if (pid > 0)
        return waitpid(pid, NULL, 0) < 0 ? exec_fail_errno("cannot wait") : 0;
    setsid();
    pid = fork();
    if (pid == 0)
        relay_become(e, relay, lifeline, log);
    _exit(0);
}

/* ---- until it is ready ---- */

static bool relay_read_log(int log, struct buffer *said) {
    char text[1024];
    ssize_t n = read(log, text, sizeof(text));

    if (n > 0)
        buffer_append(said, text, (size_t)n);
    return n > 0;
}

/* Return: is it ready? */
static bool relay_wait(const struct relay *relay, int log, struct buffer *said) {
    struct pollfd fds[] = {{.fd = relay->lifeline, .events = POLLIN},
                           {.fd = log, .events = POLLIN}};
    char byte;

    for (;;) {
        if (poll(fds, ARRAY_SIZE(fds), EXEC_START_MS) <= 0)
            return false;
        if (fds[1].revents && !relay_read_log(log, said))
            fds[1].fd = -1;
        if (fds[0].revents && recv(relay->lifeline, &byte, 1, MSG_DONTWAIT) == 1)
            return true;
        if (fds[0].revents)
            break;
    }
    while (fds[1].fd >= 0 && relay_read_log(log, said))
        continue;
    return false;
}

static int relay_await(const struct relay *relay, int log) {
    struct buffer said = BUFFER_INIT;
    bool is_ready = relay_wait(relay, log, &said);

    if (!is_ready) {
        fwrite(said.data, 1, said.n, stderr);
        exec_fail(relay->back, "the shim before this socket did not start");
    }
    buffer_deinit(&said);
    return is_ready ? 0 : COMMAND_FAILED;
}

/* Return: what the relay writes to as its log; -1 (said why) */
static int exec_open_log(const struct exec *e, int pipe_end) {
    int fd = e->log ? open(e->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
                    : fcntl(pipe_end, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        exec_fail_errno(e->log ? e->log : "cannot start");
    return fd;
}

/* with neither file nor reader, its log goes into a pipe that has lost its end */
static int relay_start(const struct exec *e, struct relay *relay) {
    int lifeline[2], said[2], log, status;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lifeline) < 0)
        return exec_fail_errno("cannot start");
    relay->lifeline = fcntl(lifeline[0], F_DUPFD_CLOEXEC, EXEC_FIRST_FREE_FD);
    close(lifeline[0]);
    if (relay->lifeline < 0 || pipe2(said, O_CLOEXEC) < 0) {
        close(lifeline[1]);
        return exec_fail_errno("cannot start");
    }
    log = exec_open_log(e, said[1]);
    close(said[1]);
    status = log < 0 ? COMMAND_FAILED : relay_fork(e, relay, lifeline[1], log);
    close(lifeline[1]);
    if (log >= 0)
        close(log);
    if (status == 0)
        status = relay_await(relay, said[0]);
    close(said[0]);
    return status;
}

/* ---- the whole ---- */

/* Return: is this a monitor that a shim can stand before? */
static bool exec_is_possible(const struct qemu_monitor *m) {
    struct sockaddr_un address;

    return m->path || exec_has_path(m->fd, &address);
}

static int exec_interpose(struct exec *e) {
    int status = 0;

    for (size_t i = 0; status == 0 && i < e->args.n; i++) {
        const struct qemu_monitor *m = &e->args.monitors[i];
        struct relay *relay = &e->relays[e->n_relays];

        if (!exec_is_possible(m))
            continue;
        *relay = (struct relay){.front = -1, .lifeline = -1};
        e->n_relays++;
        status = m->path ? exec_move_path(e, m, relay) : exec_move_fd(m, relay);
        if (status == 0 && relay_own_paths(e, relay, e->n_relays) < 0)
            status = exec_fail(e->argv[0], strerror(ENOMEM));
        if (status == 0)
            status = relay_start(e, relay);
    }
    return status;
}

/* the shims see that QEMU has gone, and go */
static void exec_undo(struct exec *e) {
    for (size_t i = 0; i < e->n_relays; i++) {
        struct relay *relay = &e->relays[i];

        if (relay->made)
            unlink(relay->made);
        if (relay->front >= 0)
            close(relay->front);
        if (relay->lifeline >= 0)
            close(relay->lifeline);
        free(relay->made);
        free(relay->back);
        for (size_t j = 0; j < ARRAY_SIZE(relay->own); j++)
            free(relay->own[j]);
    }
}

static int exec_become(struct exec *e) {
    for (size_t i = 0; i < e->n_relays; i++)
        fcntl(e->relays[i].lifeline, F_SETFD, 0); /* from now on it is QEMU's */
    execvp(e->argv[0], e->argv);
    return exec_fail_errno(e->argv[0]);
}

static int exec_start(struct exec *e, int argc) {
    int status;

    switch (qemu_args_find(&e->arena, argc - 1, e->argv + 1, &e->args)) {
    case 0:
        break;
    case QEMU_ARGS_E_TOO_MANY:
        return exec_fail(e->argv[0], "there are more than 16 monitors");
    default:
        return exec_fail(e->argv[0], strerror(ENOMEM));
    }
    status = exec_interpose(e);
    return status ? status : exec_become(e);
}

/* ---- the command line ---- */

static const char *const exec_words[] = {
    "--client",        "--client-version", "--rules",     "--no-rules",
    "--no-probe",      "--log-level",      "--config",    "--compact",
    "--drain-timeout", "--control",        "--metrics",   "--trace",
    "--trace-size",    "--redact",         "--no-redact", "--fd-store",
};

/* Return: OPTIONS_…; OPTIONS_WRONG was said */
static int exec_parse(struct exec *e, const struct command *c, int argc, char **argv) {
    int option;

    optind = 0;
    while ((option = options_next(c, argc, argv)) >= 0) {
        if (option == EXEC_LOG_OPTION) {
            e->log = optarg;
            continue;
        }
        if (e->n_words + 2 >= EXEC_MAX_WORDS) {
            fputs("qmp-shim exec: too many options\n", stderr);
            return OPTIONS_WRONG;
        }
        e->words[e->n_words++] = exec_words[option - EXEC_LOG_OPTION - 1];
        if (optarg)
            e->words[e->n_words++] = optarg;
    }
    if (option == OPTIONS_END && (optind == argc || strcmp(argv[optind - 1], "--") != 0)) {
        fputs(
            "qmp-shim exec: \"--\" and QEMU's command line are missing; see \"qmp-shim help exec\"\n",
            stderr);
        return OPTIONS_WRONG;
    }
    return option;
}

/* what "run" will make of it; it is the one to say what is wrong.  Return: 0 or an exit status */
static int exec_read_settings(struct exec *e) {
    static const struct command settings = {
        .name = "exec", .options = exec_options + 1}; /* without --log, which is ours */
    char *argv[EXEC_MAX_WORDS + 2] = {(char *)"exec"};

    memcpy(argv + 1, e->words, e->n_words * sizeof(argv[0]));
    switch (settings_read(&settings, (int)e->n_words + 1, argv, &e->conf)) {
    case 0:
        return 0;
    case SETTINGS_E_USAGE:
        return COMMAND_USAGE;
    default:
        return COMMAND_FAILED;
    }
}

static int exec_run(const struct command *c, int argc, char **argv) {
    struct exec e = {.log = NULL};
    int status;

    switch (exec_parse(&e, c, argc, argv)) {
    case OPTIONS_END:
        break;
    case OPTIONS_HELP:
        return 0;
    default:
        return COMMAND_USAGE;
    }
    e.argv = argv + optind;
    argc -= optind;
    status = exec_read_settings(&e);
    if (status)
        return status;
    status = exec_start(&e, argc);
    exec_undo(&e);
    conf_deinit(&e.conf);
    arena_deinit(&e.arena);
    return status;
}

const struct command command_exec = {
    .name = "exec",
    .summary = "become a QEMU whose monitors are behind shims",
    .synopsis = "[OPTION]… -- QEMU [ARGUMENT]…",
    .text = "Finds the QMP monitors in QEMU's command line, puts a shim before each, and\n"
            "becomes QEMU: with this process id and all open files.  The shims end when\n"
            "QEMU does.\n",
    .options = exec_options,
    .run = exec_run,
};

/* ---- under another name ---- */

static const char *exec_base_name(const char *name) {
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

bool exec_is_emulator(const char *name) {
    const char *base = exec_base_name(name);
    size_t n = strlen(base);

    return strncmp(base, "qemu", strlen("qemu")) == 0 && n > strlen(EXEC_NAME) &&
           strcmp(base + n - strlen(EXEC_NAME), EXEC_NAME) == 0;
}

int exec_as_emulator(int argc, char **argv) {
    const char *config = getenv("QMP_SHIM_EXEC_CONFIG");
    char **all = calloc((size_t)argc + 8, sizeof(*all));
    char *program = strndup(argv[0], strlen(argv[0]) - strlen(EXEC_NAME));
    int n = 0, status;

    if (!all || !program) {
        free(all);
        free(program);
        return exec_fail(argv[0], strerror(ENOMEM));
    }
    if (!config && access(EXEC_CONFIG, F_OK) == 0)
        config = EXEC_CONFIG;
    all[n++] = (char *)"exec";
    if (config) {
        all[n++] = (char *)"--config";
        all[n++] = (char *)config;
    }
    all[n++] = (char *)"--";
    all[n++] = program;
    memcpy(all + n, argv + 1, (size_t)(argc - 1) * sizeof(*all));
    status = exec_run(&command_exec, n + argc - 1, all);
    free(program);
    free(all);
    return status;
}
