/*
 * qmp-shim status: asks a shim that runs how it is, by its control socket.
 */

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/util.h"
#include "cmd/asking.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "json/reader.h"

enum {
    STATUS_JSON = 256,
};

static const struct command_option status_options[] = {
    {STATUS_JSON, "json", NULL, "print all there is, as one JSON object"},
    {.name = NULL},
};

/* ---- for people ---- */

static const struct json *status_at(const struct json *object, const char *a, const char *b) {
    const struct json *value = json_member(object, a);

    return b ? json_member(value, b) : value;
}

/* a string without its quotes, other scalars as they stand there; what is missing is a question mark */
static void status_value(const char *before, const struct json *value, const char *after) {
    const char *text = !value ? "?" : value->type == JSON_STRING ? value->string : value->text;
    size_t n = !value ? 1 : value->type == JSON_STRING ? value->n_string : value->n_text;

    printf("%s%.*s%s", before, (int)n, text, after);
}

static void status_counts(const struct json *object) {
    static const char *const names[] = {"rewritten", "dropped", "answered", "asked",
                                        "held",      "failed",  "timed_out"};

    status_value("", status_at(object, "messages", "client"), "");
    status_value(" + ", status_at(object, "messages", "server"), " messages");
    status_value(", ", status_at(object, "bytes", "client"), "");
    status_value(" + ", status_at(object, "bytes", "server"), " bytes (client + server)");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct json *n = json_member(object, names[i]);

        if (n && strncmp(n->text, "0", 1) != 0)
            printf(", %.*s %s", (int)n->n_text, n->text, names[i]);
    }
    putchar('\n');
}

static size_t status_n(const struct json *list) {
    return list ? list->n_items : 0;
}

static void status_session(const struct json *session) {
    const struct json *resting = json_member(session, "resting");

    const struct json *guest = json_member(session, "guest");

    status_value("\nsession ", json_member(session, "id"), ":");
    if (guest)
        status_value(" guest ", guest, ",");
    status_value(" client pid ", json_member(session, "pid"), "");
    status_value(", uid ", json_member(session, "uid"), "\n  ");
    status_counts(session);
    printf("  rules: %zu active, %zu resting\n", status_n(json_member(session, "active")),
           status_n(resting));
    for (size_t i = 0; i < status_n(resting); i++) {
        status_value("    ", json_member(&resting->items[i], "rule"), "");
        status_value(" rests: ", json_member(&resting->items[i], "reason"), "\n");
    }
}

static void status_failures(const struct json *failures) {
    for (size_t i = 0; i < status_n(failures); i++)
        printf("  rule %.*s failed %.*s times\n", (int)failures->items[i].n_key_text,
               failures->items[i].key_text, (int)failures->items[i].n_text,
               failures->items[i].text);
}

static void status_guest(const struct json *guest) {
    const struct json *reason = json_member(guest, "reason");

    status_value("guest ", json_member(guest, "name"), "");
    if (reason) {
        status_value(" is not served: ", reason, "\n");
        return;
    }
    status_value(": ", json_member(guest, "open"), " open");
    status_value(", ", json_member(guest, "sessions"), " in all\n");
}

static void status_guests(const struct json *guests) {
    size_t n_served = 0;

    if (!guests)
        return;
    for (size_t i = 0; i < guests->n_items; i++)
        n_served += json_member(&guests->items[i], "listen") != NULL;
    printf("guests: %zu served, %zu passed over\n", n_served, guests->n_items - n_served);
    for (size_t i = 0; i < guests->n_items; i++)
        status_guest(&guests->items[i]);
}

static void status_trace(const struct json *trace) {
    const struct json *file = json_member(trace, "file"), *error = json_member(trace, "error");
    const struct json *followers = json_member(trace, "followers");

    if (file) {
        status_value("trace: ", file, "");
        status_value(", ", json_member(trace, "bytes"), " bytes");
        if (error)
            status_value(", ended: ", error, "");
        putchar('\n');
    }
    if (followers && strncmp(followers->text, "0", 1) != 0)
        status_value("trace: followed by ", followers, "\n");
}

static void status_print(const struct json *root) {
    const struct json *sessions = json_member(root, "sessions");
    const struct json *stale = status_at(root, "rules", "is_stale");
    const struct json *draining = json_member(root, "draining");

    status_value("qmp-shim ", json_member(root, "version"), "");
    status_value(", pid ", json_member(root, "pid"), "");
    status_value(", up ", json_member(root, "uptime_ms"), " ms");
    printf("%s\n", draining && draining->boolean ? ", draining" : "");
    status_value("rules: ", status_at(root, "rules", "rules"), "");
    status_value(" in ", status_at(root, "rules", "files"), " files");
    printf("%s\n",
           stale && stale->boolean ? "; the last reload failed, they are the old ones" : "");
    printf("sessions: %zu open", status_n(sessions));
    status_value(", ", status_at(root, "totals", "sessions"), " in all");
    status_value(", ", status_at(root, "totals", "refused"), " clients refused\n");
    printf("in all: ");
    status_counts(json_member(root, "totals"));
    status_failures(json_member(root, "failed_rules"));
    status_trace(json_member(root, "trace"));
    status_guests(json_member(root, "guests"));
    for (size_t i = 0; i < status_n(sessions); i++)
        status_session(&sessions->items[i]);
}

/* ---- the whole ---- */

static int status_show(const struct asking *a, bool is_json) {
    const struct buffer *b = &a->answer;
    struct arena arena = ARENA_INIT;
    struct json *root;
    int status = 0;

    if (json_read(&arena, b->data, b->n, false, &root, NULL) || !json_member(root, "uptime_ms"))
        status = asking_cannot(a, "its answer makes no sense; is it a control socket?");
    else if (is_json)
        fwrite(b->data, 1, b->n, stdout);
    else
        status_print(root);
    arena_deinit(&arena);
    return status;
}

static int status_of(const char *argument, bool is_json) {
    struct asking a;
    int status;

    status = asking_open(&a, &command_status, argument, "{\"do\": \"status\"}\n");
    if (status == 0)
        status = asking_read(&a);
    if (status == 0)
        status = status_show(&a, is_json);
    asking_close(&a);
    return status;
}

static int status_run(const struct command *c, int argc, char **argv) {
    const char *socket_name;
    bool is_json = false;
    int option;

    while ((option = options_next(c, argc, argv)) >= 0)
        is_json = true;
    if (option == OPTIONS_HELP)
        return 0;
    if (option == OPTIONS_WRONG)
        return COMMAND_USAGE;
    if (optind >= argc) {
        fputs("qmp-shim status: SOCKET is missing; see \"qmp-shim help status\"\n", stderr);
        return COMMAND_USAGE;
    }
    socket_name = argv[optind++];
    if (options_no_arguments(c, argc, argv))
        return COMMAND_USAGE;
    return status_of(socket_name, is_json);
}

const struct command command_status = {
    .name = "status",
    .summary = "say how a shim that runs is doing",
    .synopsis = "[--json] SOCKET",
    .text = "Asks by the control socket (run --control).  SOCKET is its path; or the path\n"
            "that clients connect to, if the other is the same with .ctl behind it; or the\n"
            "name of an instance of the service qmp-shim@.\n",
    .options = status_options,
    .run = status_run,
};
