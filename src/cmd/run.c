/*
 * qmp-shim run: relays, until it is told to stop.
 */

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/rules.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/server.h"
#include "json/diag.h"

struct run {
    const char *listen_path, *connect_path;
    struct program_options program;
    struct rules_choice rules;
    bool no_rules;
    struct log log;
};

enum {
    RUN_LISTEN = 256,
    RUN_CONNECT,
    RUN_CLIENT,
    RUN_CLIENT_VERSION,
    RUN_RULES,
    RUN_NO_RULES,
    RUN_NO_PROBE,
    RUN_LOG_LEVEL
};

static const struct command_option run_options[] = {
    {RUN_LISTEN, "listen", "PATH",
     "the socket that clients connect to; it is made,\nand removed at the end"},
    {RUN_CONNECT, "connect", "PATH", "the socket of the QMP server"},
    {RUN_CLIENT, "client", "old|new", "which side of the rules the clients are on\n(default: old)"},
    {RUN_CLIENT_VERSION, "client-version", "X",
     "the QEMU version that the clients were written for,\nas 2.6: decides rule by rule whether it is needed"},
    {RUN_RULES, "rules", "FILE|NAME",
     "a rule file, or an installed one by its name; may be\ngiven several times.  Default: all installed ones if\n--client-version is given, else none"},
    {RUN_NO_RULES, "no-rules", NULL, "let everything pass unchanged"},
    {RUN_NO_PROBE, "no-probe", NULL, "do not ask the server which commands it has"},
    {RUN_LOG_LEVEL, "log-level", "LEVEL", "error, warning, info or debug (default: info)"},
    {.name = NULL},
};

static int run_wrong_value(const char *option, const char *value, const char *const *values) {
    const char *near = diag_suggest(value, strlen(value), values);

    fprintf(stderr, "qmp-shim run: --%s cannot be \"%s\"", option, value);
    if (near) {
        fprintf(stderr, "; did you mean \"%s\"?\n", near);
        return COMMAND_USAGE;
    }
    for (size_t i = 0; values[i]; i++)
        fprintf(stderr, "%s \"%s\"", i == 0 ? "; it is one of" : ",", values[i]);
    fputc('\n', stderr);
    return COMMAND_USAGE;
}

static int run_set_client(struct run *run, const char *value) {
    static const char *const values[] = {[DIALECT_OLD] = "old", [DIALECT_NEW] = "new", NULL};

    for (size_t i = 0; values[i]; i++) {
        if (strcmp(values[i], value) == 0) {
            run->program.client = (enum dialect)i;
            return 0;
        }
    }
    return run_wrong_value("client", value, values);
}

static int run_set_log_level(struct run *run, const char *value) {
    static const char *const values[] = {"error", "warning", "info", "debug", NULL};

    return log_level_find(value, &run->log.level) ? 0 : run_wrong_value("log-level", value, values);
}

static int run_set(struct run *run, int option, const char *value) {
    switch (option) {
    case RUN_LISTEN:
        run->listen_path = value;
        return 0;
    case RUN_CONNECT:
        run->connect_path = value;
        return 0;
    case RUN_CLIENT:
        return run_set_client(run, value);
    case RUN_CLIENT_VERSION:
        run->program.client_version = value;
        return 0;
    case RUN_RULES:
        run->rules.names[run->rules.n_names++] = value;
        return 0;
    case RUN_NO_RULES:
        run->no_rules = true;
        return 0;
    case RUN_NO_PROBE:
        run->program.no_probe = true;
        return 0;
    default:
        return run_set_log_level(run, value);
    }
}

static int run_usage(const char *message) {
    fprintf(stderr, "qmp-shim run: %s; see \"qmp-shim help run\"\n", message);
    return COMMAND_USAGE;
}

/* Do the options make sense together? */
static int run_check(const struct run *run) {
    const char *version = run->program.client_version;

    if (!run->listen_path)
        return run_usage("--listen PATH is missing");
    if (!run->connect_path)
        return run_usage("--connect PATH is missing");
    if (strcmp(run->listen_path, run->connect_path) == 0)
        return run_usage("--listen and --connect are the same path");
    if (run->no_rules && run->rules.n_names > 0)
        return run_usage("--rules and --no-rules exclude each other");
    if (version && (version[0] < '0' || version[0] > '9'))
        return run_usage("--client-version must begin with a number, as 2.6");
    return 0;
}

/*
 * run_parse() - the command line
 * Return: 0, OPTIONS_HELP, or COMMAND_USAGE (said why).
 */
static int run_parse(struct run *run, const struct command *c, int argc, char **argv) {
    int option, r;

    while ((option = options_next(c, argc, argv)) >= 0) {
        r = run_set(run, option, optarg);
        if (r)
            return r;
    }
    if (option == OPTIONS_HELP)
        return OPTIONS_HELP;
    if (option == OPTIONS_WRONG || options_no_arguments(c, argc, argv))
        return COMMAND_USAGE;
    return run_check(run);
}

static int run_out_of_memory(void) {
    fputs("qmp-shim run: out of memory\n", stderr);
    return COMMAND_FAILED;
}

static int run_load(struct run *run, struct program **ret_program) {
    size_t n_files;
    int r;

    run->rules.is_all = !run->no_rules && run->rules.n_names == 0 && run->program.client_version;
    run->program.no_deny = run->rules.is_all;
    r = rules_load(&run->rules, &run->program, ret_program, &n_files);
    switch (r) {
    case 0:
        break;
    case RULES_E_FAILED:
        return COMMAND_FAILED;
    default:
        return run_out_of_memory();
    }
    if (*ret_program)
        log_write(&run->log, LOG_LEVEL_INFO, "rules loaded", LOG_NUMBER("files", n_files),
                  LOG_NUMBER("rules", program_n_rules(*ret_program)));
    else
        log_write(&run->log, LOG_LEVEL_INFO, "no rules, everything passes unchanged");
    return 0;
}

static int run_listen(struct run *run, struct server *server) {
    int r, error = 0;

    r = server_listen(server, run->listen_path, run->connect_path, &error);
    if (r == 0)
        return 0;
    fprintf(stderr, "qmp-shim run: cannot listen on %s: %s\n", run->listen_path,
            listener_explain(r, r < 0 ? -r : error));
    return COMMAND_FAILED;
}

static int run_serve(struct run *run, struct program *program) {
    struct limits limits = LIMITS_DEFAULT;
    struct server *server;
    int status;

    if (server_new(&run->log, &limits, &server) < 0)
        return run_out_of_memory();
    server_set_program(server, program);
    status = run_listen(run, server);
    if (status == 0)
        server_run(server);
    server_free(server);
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

static int run_with(struct run *run, const struct command *c, int argc, char **argv) {
    struct program *program = NULL;
    int status;

    status = run_parse(run, c, argc, argv);
    if (status)
        return status == OPTIONS_HELP ? 0 : status;
    status = run_load(run, &program);
    if (status)
        return status;
    signal(SIGPIPE, SIG_IGN); /* a log that nobody reads must not end the relay */
    run_raise_limit();
    status = run_serve(run, program);
    program_unref(program);
    return status;
}

static int run_run(const struct command *c, int argc, char **argv) {
    struct run run = {
        .program = {.client = DIALECT_OLD},
        .rules = {.names = calloc((size_t)argc, sizeof(*run.rules.names))},
        .log = {.fd = STDERR_FILENO, .level = LOG_LEVEL_INFO},
    };
    int status;

    if (!run.rules.names)
        return run_out_of_memory();
    status = run_with(&run, c, argc, argv);
    free(run.rules.names);
    return status;
}

const struct command command_run = {
    .name = "run",
    .summary = "relay between clients and a server",
    .synopsis = "--listen PATH --connect PATH [OPTION]…",
    .text = "Listens on a socket.  For each client that comes, connects to the server and\n"
            "relays both ways, with what the rules change.  Logs to stderr.  SIGTERM and\n"
            "SIGINT end it.\n",
    .options = run_options,
    .run = run_run,
};
