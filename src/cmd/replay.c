/*
 * qmp-shim replay: what a recorded dialogue would have been with other rules
 * (proxy/rerun.h), the same as a case file, or one side of it at a socket.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/perform.h"
#include "cmd/ruleset.h"
#include "cmd/tracereader.h"
#include "proxy/casewriter.h"
#include "proxy/rerun.h"
#include "proxy/session.h"

enum replay_option {
    REPLAY_SESSION = 256,
    REPLAY_TO_CASE,
    REPLAY_AS_SERVER,
    REPLAY_AS_CLIENT,
    REPLAY_SHAPE,
    REPLAY_TIMEOUT
};

enum { REPLAY_TIMEOUT_S = 30, REPLAY_MAX_TIMEOUT_S = 3600 };

struct replay {
    struct ruleset ruleset;
    struct program *program;
    uint64_t session; /* 0: all */
    bool is_to_case;
    struct perform_part part; /* its path: NULL: nobody is played */
};

static const struct command_option replay_options[] = {
    RULESET_OPTIONS,
    {REPLAY_SESSION, "session", "N", "only that session"},
    {REPLAY_TO_CASE, "to-case", NULL,
     "play nothing; print a case file for \"qmp-shim test\" of\nthe session (default: the first one)"},
    {REPLAY_AS_SERVER, "as-server", "SOCKET",
     "be the recorded server, for one client that connects\nto this socket, and say what that does otherwise"},
    {REPLAY_AS_CLIENT, "as-client", "SOCKET",
     "be the recorded client of the server at this socket,\nand say what that answers otherwise"},
    {REPLAY_SHAPE, "shape", NULL,
     "with --as-server or --as-client: compare members and\ntypes, not values"},
    {REPLAY_TIMEOUT, "timeout", "SECONDS",
     "how long to wait for each thing that the trace has;\n1 to 3600 (default: 30)"},
    {.name = NULL},
};

static int replay_no_session(void) {
    fputs("qmp-shim replay: there is no such session in the trace\n", stderr);
    return COMMAND_FAILED;
}

/* --- with other rules -------------------------------------------------------------------------------------- */

static void replay_differs(void *userdata, const struct rerun_difference *d) {
    (void)userdata;
    printf("session %llu, %.3f s, to the %s:\n", (unsigned long long)d->session,
           (double)d->ms / 1000, d->side == SIDE_CLIENT ? "client" : "server");
    if (d->then)
        perform_print("-", d->then);
    if (d->now)
        perform_print("+", d->now);
}

/* Return: 0, negative, TRACEREADER_E_FAILED */
static int replay_read(struct rerun *rerun, struct tracereader *reader) {
    struct record record;
    int r;

    do {
        r = tracereader_next(reader, &record);
        if (r == 0)
            r = rerun_add(rerun, &record);
    } while (r == 0);
    return r == TRACEREADER_E_END ? rerun_finish(rerun) : r;
}

/* Return: the exit status */
static int replay_sum_up(struct rerun_counts n) {
    if (n.n_skipped > 0)
        printf("%zu sessions began before this file does: not played\n", n.n_skipped);
    if (n.n_blanked > 0)
        printf("%zu messages were recorded without their text: not played\n", n.n_blanked);
    if (n.n_played == 0)
        return replay_no_session();
    printf("%zu session%s played, %zu difference%s\n", n.n_played, n.n_played == 1 ? "" : "s",
           n.n_differences, n.n_differences == 1 ? "" : "s");
    return n.n_differences > 0 ? COMMAND_FAILED : 0;
}

/* Return: an exit status or negative */
static int replay_with_rules(const struct replay *replay, struct tracereader *reader) {
    struct rerun *rerun;
    int r;

    r = rerun_new(replay->program, replay->session, replay_differs, NULL, &rerun);
    if (r < 0)
        return r;
    r = replay_read(rerun, reader);
    if (r == 0)
        r = replay_sum_up(rerun_counts(rerun));
    rerun_free(rerun);
    return r < 0 || r == 0 ? r : COMMAND_FAILED;
}

/* --- to a case file ---------------------------------------------------------------------------------------- */

static void replay_case_head(const struct replay *replay, uint64_t session) {
    const struct ruleset *set = &replay->ruleset;

    printf("# session %llu of a trace\n", (unsigned long long)session);
    if (set->rules.n_names > 0)
        fputs("rules:", stdout);
    for (size_t i = 0; i < set->rules.n_names; i++) {
        const char *name = set->rules.names[i];
        _cleanup_(freep) char *path =
            strchr(name, '/') || strstr(name, ".jsonc") ? realpath(name, NULL) : NULL;

        printf(" %s", path ? path : name);
    }
    printf("%sclient: %s\n", set->rules.n_names > 0 ? "\n" : "",
           set->options.client == DIALECT_NEW ? "new" : "old");
    if (set->options.client_version)
        printf("client-version: %s\n", set->options.client_version);
    puts("handshake: none\n");
}

static int replay_write_case(struct tracereader *reader, const struct record *first) {
    struct casewriter writer;
    struct record record = *first;
    uint64_t session = first->session;
    int r = 0;

    casewriter_init(&writer, first->ms);
    while (r == 0) {
        r = record.session == session ? casewriter_add(&writer, &record) : 0;
        if (writer.text.n > 0)
            fwrite(writer.text.data, 1, writer.text.n, stdout);
        buffer_clear(&writer.text);
        if (r == 0)
            r = tracereader_next(reader, &record);
    }
    casewriter_deinit(&writer);
    return r == TRACEREADER_E_END ? 0 : r;
}

/* Return: an exit status or negative */
static int replay_to_case(const struct replay *replay, struct tracereader *reader) {
    struct record first;
    int r;

    r = tracereader_find_session(reader, replay->session, &first);
    if (r == 0) {
        replay_case_head(replay, first.session);
        r = replay_write_case(reader, &first);
    }
    return r > 0 ? COMMAND_FAILED : r;
}

/* --- at a socket ------------------------------------------------------------------------------------------- */

/* Return: an exit status or negative */
static int replay_perform(struct replay *replay, struct tracereader *reader) {
    size_t n_differences, n_same;
    int r;

    replay->part.session = replay->session;
    r = perform_trace(&replay->part, reader, &n_differences, &n_same);
    if (r)
        return r < 0 ? r : COMMAND_FAILED;
    printf("%zu message%s as recorded, %zu difference%s\n", n_same, n_same == 1 ? "" : "s",
           n_differences, n_differences == 1 ? "" : "s");
    return n_differences > 0 ? COMMAND_FAILED : 0;
}

/* --- the command ------------------------------------------------------------------------------------------- */

/* Return: an exit status or negative */
static int replay_trace(struct replay *replay, const char *path) {
    struct tracereader reader = TRACEREADER_INIT;
    int r;

    r = tracereader_open(&reader, path);
    if (r)
        r = r < 0 ? r : COMMAND_FAILED;
    else
        r = replay->part.path    ? replay_perform(replay, &reader)
            : replay->is_to_case ? replay_to_case(replay, &reader)
                                 : replay_with_rules(replay, &reader);
    tracereader_close(&reader);
    return r;
}

static int replay_file(struct replay *replay, const char *path) {
    int r;

    r = ruleset_load(&replay->ruleset, &replay->program);
    if (r == 0)
        r = replay_trace(replay, path);
    program_unref(replay->program);
    if (r < 0)
        fprintf(stderr, "qmp-shim replay: %s\n", strerror(-r));
    return r ? COMMAND_FAILED : 0;
}

static int replay_set_part(struct replay *replay, const struct command *c, int side,
                           const char *path) {
    if (replay->part.path) {
        fprintf(stderr, "qmp-shim %s: --as-server and --as-client exclude each other\n", c->name);
        return COMMAND_USAGE;
    }
    replay->part.side = side;
    replay->part.path = path;
    return 0;
}

static int replay_set_timeout(struct replay *replay, const struct command *c, const char *value) {
    char *end;
    unsigned long s = strtoul(value, &end, 10);

    if (s < 1 || s > REPLAY_MAX_TIMEOUT_S || *end)
        return options_wrong_value(c, "timeout", value, "a number of seconds, 1 to 3600");
    replay->part.timeout_ms = (uint32_t)s * 1000;
    return 0;
}

/* Return: 0 or an exit status */
static int replay_set(void *userdata, const struct command *c, int option, const char *value) {
    struct replay *replay = userdata;

    switch (option) {
    case REPLAY_SESSION:
        return options_session(c, value, &replay->session);
    case REPLAY_TO_CASE:
        replay->is_to_case = true;
        return 0;
    case REPLAY_AS_SERVER:
        return replay_set_part(replay, c, SIDE_SERVER, value);
    case REPLAY_AS_CLIENT:
        return replay_set_part(replay, c, SIDE_CLIENT, value);
    case REPLAY_SHAPE:
        replay->part.is_shape = true;
        return 0;
    case REPLAY_TIMEOUT:
        return replay_set_timeout(replay, c, value);
    default:
        return ruleset_set(&replay->ruleset, c, option, value);
    }
}

static int replay_parse(struct replay *replay, const struct command *c, int argc, char **argv) {
    const char *path;
    int status;

    status = options_read(c, argc, argv, replay_set, replay);
    if (status)
        return status == OPTIONS_HELP ? 0 : status;
    status = options_argument(c, argc, argv, "TRACE", &path);
    return status ? status : replay_file(replay, path);
}

static int replay_run(const struct command *c, int argc, char **argv) {
    struct replay replay = {.part = {.timeout_ms = REPLAY_TIMEOUT_S * 1000}};
    int status = COMMAND_FAILED;

    if (ruleset_init(&replay.ruleset, argc) == 0)
        status = replay_parse(&replay, c, argc, argv);
    ruleset_deinit(&replay.ruleset);
    return status;
}

const struct command command_replay = {
    .name = "replay",
    .summary = "play a trace with other rules and say what differs",
    .synopsis = "[OPTION]… TRACE",
    .text = "Plays what client and server said in a trace, at the times they said it, with\n"
            "the rules given.  Prints each message that the shim would have sent otherwise: -\n"
            "is what it was, + what it would be now.  Exits with 1 if there is one.\n"
            "With --as-server or --as-client it plays one side to the other, alive, without\n"
            "rules: each line once all that stands before it in the trace has come.\n",
    .options = replay_options,
    .run = replay_run,
};
