/*
 * qmp-shim run: relays, until it is told to stop.
 */

#include "cmd/run.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/command.h"
#include "cmd/rules.h"
#include "cmd/settings.h"
#include "cmd/tracing.h"
#include "io/access.h"
#include "io/activation.h"
#include "io/address.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/server.h"
#include "io/takeover.h"

/* of inherited sockets, beside those for clients */
#define RUN_CONTROL_NAME "control"
#define RUN_LIFELINE_NAME "lifeline"

struct run {
    const struct command *command;
    const struct run_takeover *takeover; /* NULL: none */
    int argc;
    char **argv;
    struct conf conf;
    struct activation activation;
    struct log log;
    struct log_loss log_loss;
    struct tracing tracing;
};

static const struct command_option run_options[] = {
    {256, "listen", "PATH",
     "the socket that clients connect to; it is made,\nand removed at the end"},
    {257, "connect", "PATH", "the socket of the QMP server"},
    {280, "dir", "PATH", "a folder with a socket for each guest, instead of\n--listen"},
    {281, "upstream-dir", "PATH",
     "the folder that the guests' own sockets are in,\ninstead of --connect"},
    {282, "max-guests", "N", "of --dir, at most (default: 4096)"},
    {265, SETTINGS_INSTANCE, "NAME",
     "of a service: the file is /etc/qmp-shim/NAME.conf, if\nit is there, --listen /run/qmp-shim/NAME.sock, and\n--connect /run/qmp-shim/NAME.qemu"},
    RUN_OPTIONS,
    {.name = NULL},
};

static int run_out_of_memory(void) {
    fputs("qmp-shim run: out of memory\n", stderr);
    return COMMAND_FAILED;
}

/* of an outcome that was said, or of no memory */
static int run_status(int r) {
    return r < 0 ? run_out_of_memory() : r > 0 ? COMMAND_FAILED : 0;
}

/* ---- settings to what the server wants ---- */

static int run_load(const struct conf *conf, struct program **ret_program, size_t *ret_n_files) {
    struct program_options options = {
        .client = strcmp(conf->client, "new") == 0 ? DIALECT_NEW : DIALECT_OLD,
        .client_version = conf->client_version,
        .no_probe = conf->no_probe,
    };
    struct rules_choice choice = {
        .names = conf->rules.item,
        .n_names = conf->rules.n,
        .is_all = !conf->no_rules && conf->rules.n == 0 && conf->client_version,
        .is_guarded = true,
        .is_final = true,
    };

    options.no_deny = choice.is_all; /* a narrow monitor is asked for by its name */
    return rules_load(&choice, &options, ret_program, ret_n_files);
}

static int run_unknown_id(const char *option, const char *name) {
    fprintf(stderr, "qmp-shim run: --%s: this machine has no %s \"%s\"\n", option,
            strstr(option, "uid") || strstr(option, "owner") ? "user" : "group", name);
    return ACCESS_E_UNKNOWN;
}

/* Return: 0, -ENOMEM, ACCESS_E_UNKNOWN (said) */
static int run_access(const struct conf *conf, struct access *ret_access) {
    struct access a = ACCESS_INIT;
    int r = 0;

    for (size_t i = 0; r == 0 && i < conf->allow_uid.n; i++) {
        r = access_add_uid(&a, conf->allow_uid.item[i]);
        if (r > 0)
            run_unknown_id("allow-uid", conf->allow_uid.item[i]);
    }
    for (size_t i = 0; r == 0 && i < conf->allow_gid.n; i++) {
        r = access_add_gid(&a, conf->allow_gid.item[i]);
        if (r > 0)
            run_unknown_id("allow-gid", conf->allow_gid.item[i]);
    }
    if (r) {
        access_deinit(&a);
        return r;
    }
    *ret_access = a;
    return 0;
}

/* Return: 0, ACCESS_E_UNKNOWN (said) */
static int run_permit(const struct conf *conf, struct listener_permit *ret_permit) {
    struct listener_permit p = {
        .mode = (mode_t)conf->socket_mode,
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
    };

    if (conf->socket_owner && access_find_uid(conf->socket_owner, &p.uid))
        return run_unknown_id("socket-owner", conf->socket_owner);
    if (conf->socket_group && access_find_gid(conf->socket_group, &p.gid))
        return run_unknown_id("socket-group", conf->socket_group);
    *ret_permit = p;
    return 0;
}

static struct limits run_limits(const struct conf *conf) {
    struct limits limits = LIMITS_DEFAULT;
    size_t *const sizes[] = {
        [CONF_MAX_MESSAGE_BYTES] = &limits.max_message_bytes,
        [CONF_MAX_PENDING] = &limits.max_pending,
        [CONF_MAX_HELD] = &limits.max_held,
        [CONF_MAX_HELD_BYTES] = &limits.max_held_bytes,
        [CONF_MAX_FACTS] = &limits.max_facts,
        [CONF_MAX_FACTS_BYTES] = &limits.max_facts_bytes,
        [CONF_MAX_KEPT_FDS] = &limits.max_kept_fds,
        [CONF_MAX_OUT_BYTES] = &limits.max_out_bytes,
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        if (conf->limit[i])
            *sizes[i] = (size_t)conf->limit[i];
    if (conf->limit[CONF_ASK_TIMEOUT_MS])
        limits.ask_timeout_ms = (uint32_t)conf->limit[CONF_ASK_TIMEOUT_MS];
    if (conf->limit[CONF_FD_TIMEOUT_MS])
        limits.fd_timeout_ms = (uint32_t)conf->limit[CONF_FD_TIMEOUT_MS];
    return limits;
}

/* ---- what can change while it runs ---- */

static void run_log_rules(const struct run *run, const struct conf *conf,
                          const struct program *program, size_t n_files) {
    if (program)
        log_write(&run->log, LOG_LEVEL_INFO, "rules loaded", LOG_NUMBER("files", n_files),
                  LOG_NUMBER("rules", program_n_rules(program)));
    else if (conf->client_version && !conf->no_rules)
        log_write(&run->log, LOG_LEVEL_WARNING,
                  "no rules are installed, everything passes unchanged",
                  LOG_STRING("client-version", conf->client_version));
    else
        log_write(&run->log, LOG_LEVEL_INFO, "no rules, everything passes unchanged");
}

/*
 * All of it or nothing: @server is as it was when something is wrong.
 * Return: 0 or an exit status (said why).
 */
static int run_apply(struct run *run, const struct conf *conf, struct server *server) {
    struct program *program;
    struct access access;
    size_t n_files;
    int r;

    r = run_access(conf, &access);
    if (r)
        return run_status(r);
    r = run_load(conf, &program, &n_files);
    if (r) {
        access_deinit(&access);
        return run_status(r);
    }
    log_level_find(conf->log_level, &run->log.level);
    run_log_rules(run, conf, program, n_files);
    server_set_program(server, program);
    program_unref(program);
    server_set_access_take(server, &access);
    server_set_compact(server, conf->compact);
    server_set_drain(server, conf->drain_timeout * 1000);
    return 0;
}

static bool is_same(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* what was decided at the start stays until the end */
static void run_warn_changes(const struct run *run, const struct conf *conf) {
    const struct conf *old = &run->conf;
    bool is_changed =
        !is_same(old->listen, conf->listen) || !is_same(old->connect, conf->connect) ||
        !is_same(old->dir, conf->dir) || !is_same(old->upstream_dir, conf->upstream_dir) ||
        old->max_guests != conf->max_guests || old->max_sessions != conf->max_sessions ||
        !is_same(old->control, conf->control) || !is_same(old->metrics, conf->metrics) ||
        !is_same(old->trace, conf->trace) || !is_same(old->socket_owner, conf->socket_owner) ||
        !is_same(old->socket_group, conf->socket_group) || old->socket_mode != conf->socket_mode ||
        old->fd_store != conf->fd_store ||
        memcmp(old->limit, conf->limit, sizeof(conf->limit)) != 0;

    if (is_changed)
        log_write(&run->log, LOG_LEVEL_WARNING,
                  "paths, modes and limits were changed: they need a restart");
}

/* ---- what is otherwise in front of a server that runs ---- */

static int run_default_number(struct conf *conf, const char *key, bool is_octal,
                              unsigned int number) {
    char text[16];

    snprintf(text, sizeof(text), is_octal ? "%o" : "%u", number);
    return conf_default(conf, key, text);
}

/* who could connect before can connect now.  Only root can give a socket to others */
static int run_default_permit(struct conf *conf, const struct stat *st) {
    int r = run_default_number(conf, "socket-mode", true, st->st_mode & 0777);

    if (r == 0 && st->st_uid != geteuid())
        r = run_default_number(conf, "socket-owner", false, st->st_uid);
    if (r == 0 && st->st_gid != getegid())
        r = run_default_number(conf, "socket-group", false, st->st_gid);
    return r;
}

static int run_default_takeover(struct conf *conf, const struct run_takeover *t) {
    struct stat st;
    char *control;
    int r = 0;

    conf->listen = t->front;
    conf->connect = t->back;
    if (lstat(t->front, &st) == 0)
        r = run_default_permit(conf, &st);
    if (r == 0) /* for ever: the server has its socket back, and they know nothing of it */
        r = run_default_number(conf, "drain-timeout", false, INT32_MAX);
    if (r || strlen(t->front) + strlen(TAKEOVER_CONTROL) > ADDRESS_MAX_PATH_BYTES)
        return r;
    if (asprintf(&control, "%s" TAKEOVER_CONTROL, t->front) < 0)
        return -ENOMEM;
    r = conf_default(conf, "control", control);
    free(control);
    return r;
}

/* Return: 0, -ENOMEM, SETTINGS_E_… */
static int run_read(const struct run *run, struct conf *ret_conf) {
    int r = settings_read(run->command, run->argc, run->argv, ret_conf);

    if (r)
        return r;
    if (run->takeover && ret_conf->dir) {
        fputs("qmp-shim takeover: \"dir\" is for \"qmp-shim run\"\n", stderr);
        r = SETTINGS_E_USAGE;
    } else if (run->takeover) {
        r = run_default_takeover(ret_conf, run->takeover);
    } else if (ret_conf->dir) {
        r = conf_default(ret_conf, "max-sessions", "32");
    }
    if (r)
        conf_deinit(ret_conf);
    return r;
}

static bool run_reload(struct server *server, void *userdata) {
    struct run *run = userdata;
    struct conf conf;
    int r;

    r = run_read(run, &conf);
    if (r) {
        if (r < 0)
            run_out_of_memory();
        return false;
    }
    r = run_apply(run, &conf, server);
    if (r == 0)
        run_warn_changes(run, &conf);
    conf_deinit(&conf);
    return r == 0;
}

/* ---- the start ---- */

static int run_cannot(const char *what, const char *path, int outcome, int error) {
    fprintf(stderr, "qmp-shim run: cannot %s %s: %s\n", what, path,
            listener_explain(outcome, outcome < 0 ? -outcome : error));
    return COMMAND_FAILED;
}

/* Return: 0, negative (out of memory); @ret_n: how many sockets for clients there were */
static int run_adopt(struct run *run, struct server *server, size_t *ret_n) {
    int fd = activation_take(&run->activation, RUN_CONTROL_NAME);
    int r = fd >= 0 ? server_control_take(server, fd) : 0;

    fd = activation_take_stream(&run->activation, RUN_LIFELINE_NAME);
    if (r == 0 && fd >= 0)
        r = server_hang_on_take(server, fd);
    *ret_n = 0;
    /* there is one server for those who come in by such a socket, or it is closed */
    while (r == 0 && run->conf.connect && !run->takeover &&
           (fd = activation_take(&run->activation, NULL)) >= 0) {
        r = server_adopt_take(server, fd, run->conf.connect);
        ++*ret_n;
    }
    return r;
}

static int run_serve_folder(const struct conf *conf, struct doors *doors,
                            const struct listener_permit *permit) {
    int r, error = 0;

    r = doors_serve(doors, conf->dir, conf->upstream_dir, permit, (size_t)conf->max_guests, &error);
    if (r == 0)
        return 0;
    fprintf(stderr, "qmp-shim run: cannot serve %s in %s: %s\n", conf->upstream_dir, conf->dir,
            error == ELOOP ? "they are the same folder; choose another for the front sockets"
                           : strerror(r < 0 ? -r : error));
    return COMMAND_FAILED;
}

static int run_take_over(const struct run_takeover *t, struct doors *doors,
                         const struct listener_permit *permit) {
    int r, because = 0, error = 0;

    r = doors_take_over(doors, t->front, t->back, permit, t->is_resumed, t->may_gap, &because,
                        &error);
    if (r == 0)
        return 0;
    error = r < 0 ? -r : error;
    fprintf(stderr, "qmp-shim takeover: cannot take over %s: %s\n", t->front,
            because ? listener_explain(because, error) : takeover_explain(r, error));
    return COMMAND_FAILED;
}

static int run_listen(struct run *run, struct server *server) {
    struct listener_permit permit;
    int r, error = 0;

    if (run_permit(&run->conf, &permit))
        return COMMAND_FAILED;
    if (run->takeover)
        return run_take_over(run->takeover, server_doors(server), &permit);
    if (run->conf.dir)
        return run_serve_folder(&run->conf, server_doors(server), &permit);
    r = server_listen(server, run->conf.listen, run->conf.connect, &permit, &error);
    return r ? run_cannot("listen on", run->conf.listen, r, error) : 0;
}

/* for those who look from outside */
static int run_show(struct run *run, struct server *server) {
    int r = 0, error = 0;

    if (run->conf.control && !activation_has(&run->activation, RUN_CONTROL_NAME))
        r = server_control(server, run->conf.control, &error);
    if (r)
        return run_cannot("listen on", run->conf.control, r, error);
    if (run->conf.metrics && server_write_metrics(server, run->conf.metrics) < 0)
        return run_out_of_memory();
    return 0;
}

/* newer service managers say themselves how many they keep */
static size_t run_store_room(const struct conf *conf) {
    const char *text = getenv("FDSTORE");

    if (conf->fd_store != CONF_FD_STORE_AUTO)
        return conf->fd_store;
    return text ? strtoul(text, NULL, 10) : 0;
}

static int run_open(struct run *run, struct server *server) {
    size_t n_sockets;
    int status;

    server_set_store(server, run_store_room(&run->conf));
    server_resume(server, &run->activation);

    status = run_show(run, server);
    if (status)
        return status;
    if (run_adopt(run, server, &n_sockets) < 0)
        return run_out_of_memory();
    if (run->activation.n_twice > 0)
        log_write(&run->log, LOG_LEVEL_WARNING,
                  "a listening socket was inherited more than once: it is used once",
                  LOG_NUMBER("times", run->activation.n_twice));
    if (activation_deinit(&run->activation) > 0)
        log_write(&run->log, LOG_LEVEL_WARNING,
                  "inherited file descriptors were closed: they are no listening unix sockets");
    return n_sockets > 0 ? 0 : run_listen(run, server);
}

static int run_serve(struct run *run) {
    struct limits limits = run_limits(&run->conf);
    struct server *server;
    int status;

    if (server_new(&run->log, &limits, &server) < 0)
        return run_out_of_memory();
    server_set_reload(server, run_reload, run);
    server_doors(server)->max_open = (size_t)run->conf.max_sessions;
    status = run_apply(run, &run->conf, server);
    if (status == 0)
        status = run_status(tracing_begin(&run->tracing, &run->conf, server_recording(server)));
    if (status == 0)
        status = run_open(run, server);
    if (status == 0)
        server_run(server);
    server_free(server);
    tracing_deinit(&run->tracing);
    return status;
}

/* a session needs two fds, and more while some pass; the soft limit is for programs that use select() */
static void run_raise_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run_usage(const char *message) {
    fprintf(stderr, "qmp-shim run: %s; see \"qmp-shim help run\"\n", message);
    return COMMAND_USAGE;
}

/* Is what must be said said?  The rest is conf_check()'s. */
static int run_check(const struct run *run) {
    if (run->takeover || run->conf.dir)
        return 0;
    if (!run->conf.connect)
        return run_usage("--connect PATH is missing");
    if (!run->conf.listen && !activation_has(&run->activation, NULL))
        return run_usage("--listen PATH is missing");
    return 0;
}

static int run_start(struct run *run) {
    int status = run_check(run);

    if (status)
        return status;
    signal(SIGPIPE, SIG_IGN); /* a log that nobody reads must not end the relay */
    signal(SIGXFSZ, SIG_IGN); /* nor must a trace that is longer than it may be */
    run_raise_limit();
    return run_serve(run);
}

int run_with(const struct command *c, int argc, char **argv, const struct run_takeover *t) {
    struct run run = {
        .command = c,
        .takeover = t,
        .argc = argc,
        .argv = argv,
        .log = {.fd = STDERR_FILENO, .loss = &run.log_loss, .level = LOG_LEVEL_INFO},
    };
    int status;

    switch (run_read(&run, &run.conf)) {
    case 0:
        break;
    case SETTINGS_E_HELP:
        return 0;
    case SETTINGS_E_USAGE:
        return COMMAND_USAGE;
    case SETTINGS_E_FAILED:
        return COMMAND_FAILED;
    default:
        return run_out_of_memory();
    }
    activation_init(&run.activation);
    status = run_start(&run);
    activation_deinit(&run.activation);
    conf_deinit(&run.conf);
    return status;
}

static int run_run(const struct command *c, int argc, char **argv) {
    return run_with(c, argc, argv, NULL);
}

const struct command command_run = {
    .name = "run",
    .summary = "relay between clients and a server",
    .synopsis = "--listen PATH --connect PATH [OPTION]…\n"
                "       qmp-shim run --dir PATH --upstream-dir PATH [OPTION]…",
    .text = "Listens on a socket.  For each client that comes, connects to the server and\n"
            "relays both ways, with what the rules change.  Logs to stderr.  SIGTERM and\n"
            "SIGINT end it, SIGHUP makes it read its rules again.  With two folders it does\n"
            "that for every socket that is, or comes, in the second.\n",
    .options = run_options,
    .run = run_run,
};
