/*
 * qmp-shim trace: lets a shim that runs record, or shows what it would.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/asking.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "json/reader.h"
#include "json/writer.h"
#include "proxy/record.h"

enum trace_option { TRACE_FILE = 256, TRACE_SIZE };

struct trace {
    const char *file; /* NULL: where the shim wants it */
    const char *size; /* NULL: as the shim was told */
};

static const struct command_option trace_options[] = {
    {TRACE_FILE, "file", "FILE",
     "where start records to (default: as run --trace says,\nor beside the control socket)"},
    {TRACE_SIZE, "trace-size", "MIB",
     "at this size FILE becomes FILE.1 and begins anew;\n0: never (default: as run --trace-size says)"},
    {.name = NULL},
};

/* ---- start and stop ---- */

/* @path as seen from here, whole: the shim is elsewhere.  Return: 0 or -ENOMEM */
static int put_path(struct buffer *b, const char *path) {
    _cleanup_(freep) char *here = *path == '/' ? strdup("") : getcwd(NULL, 0);
    _cleanup_(freep) char *whole = NULL;

    if (!here || asprintf(&whole, "%s%s%s", here, *path == '/' ? "" : "/", path) < 0)
        return -ENOMEM;
    json_write_string(b, whole, strlen(whole));
    return 0;
}

static int put_start(const struct trace *t, struct buffer *b) {
    int r = 0;

    buffer_append_string(b, "{\"do\": \"trace-start\"");
    if (t->size)
        buffer_printf(b, ", \"mib\": %s", t->size);
    if (t->file) {
        buffer_append_string(b, ", \"file\": ");
        r = put_path(b, t->file);
    }
    buffer_append(b, "}\n", sizeof("}\n")); /* a string's end, too */
    return r < 0 ? r : buffer_status(b);
}

static int tell_answer(struct asking *a, const char *word) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *error, *file;
    struct json *root;

    if (json_read(&arena, a->answer.data, a->answer.n, false, &root, NULL))
        return asking_cannot(a, "its answer makes no sense; is it a control socket?");
    error = json_member(root, "error");
    file = json_member(root, "file");
    if (file && file->type == JSON_STRING) {
        printf("%s %.*s\n", word, (int)file->n_string, file->string);
        return 0;
    }
    if (!error || error->type != JSON_STRING)
        return asking_cannot(a, "it cannot do that; is it older?");
    fprintf(stderr, "qmp-shim trace: %.*s\n", (int)error->n_string, error->string);
    return COMMAND_FAILED;
}

static int do_once(const char *request, const char *argument, const char *word) {
    struct asking a;
    int status;

    status = asking_open(&a, &command_trace, argument, request);
    if (status == 0)
        status = asking_read(&a);
    if (status == 0)
        status = tell_answer(&a, word);
    asking_close(&a);
    return status;
}

static int trace_start(const struct trace *t, const char *argument) {
    _cleanup_(buffer_deinit) struct buffer request = BUFFER_INIT;

    if (put_start(t, &request) < 0) {
        fputs("qmp-shim trace: out of memory\n", stderr);
        return COMMAND_FAILED;
    }
    return do_once(request.data, argument, "recording to");
}

static int trace_stop(const struct trace *t, const char *argument) {
    (void)t;
    return do_once("{\"do\": \"trace-stop\"}\n", argument, "recorded to");
}

/* ---- follow ---- */

/* Return: 0, an exit status (said why) when this line is not one to pass on, or the last */
static int check_line(const char *line, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *error;
    struct json *root;
    struct record r;

    if (record_read(&arena, line, n, &r) == 0) {
        if (r.kind != RECORD_LOST)
            return 0;
        fprintf(stderr, "qmp-shim trace: %s\n", r.note ? r.note : "the rest is missing");
        return COMMAND_FAILED;
    }
    if (json_read(&arena, line, n, false, &root, NULL) == 0) {
        error = json_member(root, "error");
        if (error && error->type == JSON_STRING) {
            fprintf(stderr, "qmp-shim trace: %.*s\n", (int)error->n_string, error->string);
            return COMMAND_FAILED;
        }
    }
    fputs("qmp-shim trace: that is no record; is it a control socket?\n", stderr);
    return COMMAND_FAILED;
}

static int follow_lines(FILE *stream) {
    _cleanup_(freep) char *line = NULL;
    size_t n_max = 0;
    ssize_t n;
    int status = 0;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* it is read as it comes */
    while (status == 0 && (n = getline(&line, &n_max, stream)) > 0) {
        status = check_line(line, (size_t)n);
        if (status == 0)
            fwrite(line, 1, (size_t)n, stdout);
        if (ferror(stdout)) {
            fprintf(stderr, "qmp-shim trace: cannot write: %s\n", strerror(errno));
            return COMMAND_FAILED;
        }
    }
    return status;
}

static int trace_follow(const struct trace *t, const char *argument) {
    const struct timeval never = {0};
    FILE *stream = NULL;
    struct asking a;
    int status;

    (void)t;
    status = asking_open(&a, &command_trace, argument, "{\"do\": \"trace-follow\"}\n");
    if (status == 0) {
        setsockopt(a.fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
        stream = fdopen(a.fd, "r");
        if (!stream)
            status = asking_cannot(&a, strerror(errno));
    }
    if (stream) {
        a.fd = -1;
        status = follow_lines(stream);
        fclose(stream);
    }
    asking_close(&a);
    return status;
}

/* ---- the command ---- */

#define TRACE_ACTION(name)                                                                         \
    { #name, trace_##name }

static const struct {
    const char *name;
    int (*run)(const struct trace *t, const char *argument);
} trace_actions[] = {TRACE_ACTION(start), TRACE_ACTION(stop), TRACE_ACTION(follow)};

static int trace_act(const struct trace *t, const char *action, const char *argument) {
    for (size_t i = 0; i < ARRAY_SIZE(trace_actions); i++)
        if (strcmp(trace_actions[i].name, action) == 0)
            return trace_actions[i].run(t, argument);
    fprintf(stderr, "qmp-shim trace: \"%s\" is none of start, stop and follow\n", action);
    return COMMAND_USAGE;
}

static bool is_number(const char *text) {
    return *text && strlen(text) < 10 && text[strspn(text, "0123456789")] == '\0';
}

static int trace_run(const struct command *c, int argc, char **argv) {
    struct trace t = {0};
    const char *action;
    int option;

    while ((option = options_next(c, argc, argv)) >= 0)
        *(option == TRACE_FILE ? &t.file : &t.size) = optarg;
    if (option == OPTIONS_HELP)
        return 0;
    if (option == OPTIONS_WRONG)
        return COMMAND_USAGE;
    if (t.size && !is_number(t.size)) {
        fprintf(stderr, "qmp-shim trace: --trace-size cannot be \"%s\"; it is a number of MiB\n",
                t.size);
        return COMMAND_USAGE;
    }
    if (optind >= argc) {
        fputs("qmp-shim trace: start, stop or follow?  See \"qmp-shim help trace\"\n", stderr);
        return COMMAND_USAGE;
    }
    action = argv[optind++];
    if (optind + 1 < argc) {
        optind++;
        return options_no_arguments(c, argc, argv);
    }
    return trace_act(&t, action, optind < argc ? argv[optind] : NULL);
}

const struct command command_trace = {
    .name = "trace",
    .summary = "let a shim that runs record what passes",
    .synopsis = "start|stop|follow [OPTION]… [SOCKET]",
    .text = "Asks by the control socket (run --control); SOCKET is as for status, and may be\n"
            "left out when there is one instance of the service only.  start records as run\n"
            "--trace does, sessions that are under way, too; stop ends that.  follow prints\n"
            "the records as they come, until it is interrupted.\n",
    .options = trace_options,
    .run = trace_run,
};
