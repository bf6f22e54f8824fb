/*
 * qmp-shim takeover: stands in front of the socket of a server that runs, and
 * gives it back.
 */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/run.h"
#include "io/address.h"
#include "io/listener.h"
#include "io/takeover.h"

enum {
    TAKEOVER_UNDO = 512,
    TAKEOVER_WITH_GAP,
    TAKEOVER_UNDO_MS = 10000, /* for the shim to give the socket back */
    TAKEOVER_LOOK_MS = 10,    /* between looks whether it has */
    TAKEOVER_MAX_WORDS = 128,
};

/* what run reads, under this command's name */
static const struct command_option takeover_settings_options[] = {RUN_OPTIONS, {.name = NULL}};

static const struct command_option takeover_options[] = {
    {TAKEOVER_UNDO, "undo", NULL, "let the shim at PATH give the socket back, and wait for\nthat"},
    {TAKEOVER_WITH_GAP, "with-gap", NULL,
     "where the file system cannot exchange names, rename one\nafter the other: clients in between are refused"},
    RUN_OPTIONS,
    {.name = NULL},
};

static const struct command takeover_settings = {
    .name = "takeover",
    .options = takeover_settings_options,
};

static int takeover_cannot(const char *what, const char *path, const char *why) {
    fprintf(stderr, "qmp-shim takeover: cannot %s %s: %s\n", what, path, why);
    return COMMAND_FAILED;
}

/* ---- undo ---- */

/* Return: who listens at @path; 0: nobody, or the kernel does not say */
static pid_t takeover_find_shim(const char *path) {
    struct sockaddr_un address;
    struct ucred peer = {0};
    socklen_t n = sizeof(peer);
    int fd;

    if (address_from_path(path, &address))
        return 0;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        peer.pid = 0;
    close(fd);
    return peer.pid;
}

/* Return: an exit status */
static int takeover_await(const char *front, const char *back) {
    for (int ms = 0; ms < TAKEOVER_UNDO_MS; ms += TAKEOVER_LOOK_MS) {
        if (access(back, F_OK) < 0)
            return 0;
        poll(NULL, 0, TAKEOVER_LOOK_MS);
    }
    return takeover_cannot("give back", front, "its shim does not do it; see its log");
}

/* no shim is left who could: the name is all there is to give back */
static int takeover_undo_dead(const char *front, const char *back) {
    int r, error = 0;

    r = takeover_return(front, back, &error);
    return r ? takeover_cannot("give back", front, takeover_explain(r, error)) : 0;
}

static int takeover_undo(const char *front, const char *back) {
    char control[ADDRESS_MAX_PATH_BYTES + 1];
    pid_t pid;
    int n;

    if (!listener_is_held(front))
        return takeover_undo_dead(front, back);
    if (!listener_is_held(back))
        return takeover_cannot("give back", front, takeover_explain(TAKEOVER_E_NOT_TAKEN, 0));
    n = snprintf(control, sizeof(control), "%s" TAKEOVER_CONTROL, front);
    pid = n < (int)sizeof(control) ? takeover_find_shim(control) : 0;
    if (pid == 0)
        return takeover_cannot("give back", front,
                               "no shim answers at the same path with " TAKEOVER_CONTROL
                               "; end the one that listens there by SIGTERM");
    if (kill(pid, SIGTERM) < 0)
        return takeover_cannot("end the shim of", front, strerror(errno));
    return takeover_await(front, back);
}

/* ---- the command line ---- */

struct takeover_words {
    char *word[TAKEOVER_MAX_WORDS + 1];
    char text[TAKEOVER_MAX_WORDS][32];
    int n;
    bool is_undo, may_gap;
};

static const char *takeover_option_name(int value) {
    const struct command_option *o = takeover_options;

    while (o->value != value)
        o++;
    return o->name;
}

/* Return: OPTIONS_… */
static int takeover_parse(const struct command *c, int argc, char **argv,
                          struct takeover_words *w) {
    int option;

    w->word[w->n++] = argv[0];
    optind = 0;
    while ((option = options_next(c, argc, argv)) >= 0) {
        if (option == TAKEOVER_UNDO)
            w->is_undo = true;
        else if (option == TAKEOVER_WITH_GAP)
            w->may_gap = true;
        else if (w->n + 2 > TAKEOVER_MAX_WORDS)
            return options_wrong_value(c, "rules", "…", "fewer");
        else {
            snprintf(w->text[w->n], sizeof(w->text[0]), "--%s", takeover_option_name(option));
            w->word[w->n] = w->text[w->n];
            w->n++;
            if (optarg)
                w->word[w->n++] = optarg;
        }
    }
    return option;
}

static int takeover_do(const struct takeover_words *w, const char *front, const char *back) {
    struct run_takeover t = {.front = front, .back = back, .may_gap = w->may_gap};
    int r, error = 0;

    if (w->is_undo)
        return takeover_undo(front, back);
    r = takeover_look(front, back, &t.is_resumed, &error);
    if (r)
        return takeover_cannot("take over", front, takeover_explain(r, error));
    return run_with(&takeover_settings, w->n, (char **)w->word, &t);
}

static int takeover_run(const struct command *c, int argc, char **argv) {
    struct takeover_words w = {.n = 0};
    const char *front;
    char *back;
    int status;

    switch (takeover_parse(c, argc, argv, &w)) {
    case OPTIONS_END:
        break;
    case OPTIONS_HELP:
        return 0;
    default:
        return COMMAND_USAGE;
    }
    status = options_argument(c, argc, argv, "PATH", &front);
    if (status)
        return status;
    if (strlen(front) > ADDRESS_MAX_PATH_BYTES)
        return takeover_cannot("take over", front, listener_explain(LISTENER_E_LONG_PATH, 0));
    back = takeover_back_path(front);
    if (!back)
        return takeover_cannot("take over", front, strerror(errno));
    status = takeover_do(&w, front, back);
    free(back);
    return status;
}

const struct command command_takeover = {
    .name = "takeover",
    .summary = "stand in front of the socket of a server that runs",
    .synopsis = "[OPTION]… PATH\n       qmp-shim takeover --undo PATH",
    .text = "Puts a shim in the place of the socket at PATH; the server's own is PATH.qemu\n"
            "from then on.  No client is refused meanwhile; those that are connected stay\n"
            "with the server.  SIGTERM, or --undo, gives the socket back.\n",
    .options = takeover_options,
    .run = takeover_run,
};
