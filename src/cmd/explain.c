/*
 * qmp-shim explain: what becomes of messages, and by which rule, told by the
 * session that run has.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/ruleset.h"
#include "json/reader.h"
#include "proxy/compare.h"
#include "proxy/player.h"

enum { EXPLAIN_MAX_WAITS = 100 };

enum explain_option {
    EXPLAIN_SERVER_VERSION = 256,
    EXPLAIN_FROM,
};

/* what came or what the session told of it, until the message has gone on */
struct explain_note {
    struct list in_explain;
    bool is_input; /* a message as it came; otherwise what the session told */
    enum trace_kind kind;
    char *text;    /* as it came */
    char *to_text; /* what goes out; of an input the same */
    const struct rule *rule;
};

/* a command on its way to the server, and not answered yet */
struct explain_command {
    struct list in_explain;
    char *id;        /* as sent; empty: none */
    char *client_id; /* as the client wrote it; empty: none, or no command of the client's */
};

struct explain {
    struct ruleset ruleset;
    const char *server_version;
    enum side from;
    struct program *program;
    struct player player;
    bool is_quiet; /* the handshake that is played first */
    bool is_out_of_memory;
    struct list notes, commands;
};

static const struct command_option explain_options[] = {
    RULESET_OPTIONS,
    {EXPLAIN_SERVER_VERSION, "server-version", "X", "the version that the server's greeting says"},
    {EXPLAIN_FROM, "from", "client|server",
     "who sent what has neither C: nor S: before it\n(default: client)"},
    {.name = NULL},
};

/* --- notes -------------------------------------------------------------------------------------------- */

static void explain_note_free(struct explain_note *n) {
    list_remove(&n->in_explain);
    free(n->text);
    free(n->to_text);
    free(n);
}

static void explain_note_add(struct explain *e, const struct explain_note *from, const char *text,
                             size_t n, const char *to_text, size_t n_to_text) {
    struct explain_note *note = malloc(sizeof(*note));

    if (!note) {
        e->is_out_of_memory = true;
        return;
    }
    *note = *from;
    note->text = strndup(text ? text : "", n);
    note->to_text = strndup(to_text ? to_text : "", n_to_text);
    list_append(&e->notes, &note->in_explain);
    e->is_out_of_memory = e->is_out_of_memory || !note->text || !note->to_text;
}

/* the rule of a trace is told by its name, which is the very one in the program */
static const struct rule *explain_rule(const struct explain *e, const char *name) {
    for (size_t i = 0; name && e->program && i < program_n_rules(e->program); i++)
        if (program_rule(e->program, i)->name == name)
            return program_rule(e->program, i);
    return NULL;
}

static void explain_print_rule(const struct rule *rule) {
    if (rule)
        printf("   rule %s/%s", rule->file->name, rule->name);
}

/* what leads to nothing that goes out is told at once */
static const char *explain_remark(enum trace_kind kind) {
    switch (kind) {
    case TRACE_DROPPED:
        return "dropped";
    case TRACE_SWALLOWED:
        return "the answer to the shim's own command goes no further";
    case TRACE_HELD:
        return "waits";
    case TRACE_FAILED:
        return "a rule could not finish, it passes unchanged";
    case TRACE_TIMED_OUT:
        return "waited too long";
    default:
        return NULL;
    }
}

static void explain_trace(void *userdata, const struct trace_item *item) {
    struct explain *e = userdata;
    const char *remark = explain_remark(item->kind);
    struct explain_note note = {.kind = item->kind};

    if (e->is_quiet)
        return;
    note.rule = explain_rule(e, item->kind == TRACE_EMITTED ? item->note : item->rule);
    if (item->to_text) {
        explain_note_add(e, &note, item->text, item->n_text, item->to_text, item->n_to_text);
    } else if (remark) {
        bool has_note = item->note && !(note.rule && strcmp(item->note, note.rule->name) == 0);

        printf("  (%s%s%s)", remark, has_note ? ": " : "", has_note ? item->note : "");
        explain_print_rule(note.rule);
        putchar('\n');
    }
}

/* --- what goes out --------------------------------------------------------------------------------------- */

/* are these the same message, but for the id? */
static bool explain_is_same(struct explain *e, const char *a, const char *b, size_t n_b) {
    static const char *const ignored[] = {"id", NULL};
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *va, *vb;
    struct compare c;
    bool is_same;
    int r;

    r = json_read(&arena, a, strlen(a), false, &va, NULL);
    if (r == 0)
        r = json_read(&arena, b, n_b, false, &vb, NULL);
    e->is_out_of_memory = e->is_out_of_memory || r < 0;
    if (r)
        return strlen(a) == n_b && memcmp(a, b, n_b) == 0;
    compare_init(&c);
    is_same = va->type == JSON_OBJECT && vb->type == JSON_OBJECT &&
              compare_members(&c, va, vb, ignored) == 0;
    compare_deinit(&c);
    return is_same;
}

/* Return: what is known of a message that goes out; NULL: nothing */
static struct explain_note *explain_note_find(struct explain *e, const char *text, size_t n,
                                              bool is_input) {
    list_for_each(i, &e->notes) {
        struct explain_note *note = list_entry(i, struct explain_note, in_explain);

        if (note->is_input == is_input && explain_is_same(e, note->to_text, text, n))
            return note;
    }
    return NULL;
}

static void explain_print_line(const char *who, const char *text, size_t n) {
    printf("%s  %.*s", who, (int)n, text);
}

static void explain_print_why(const struct explain_note *note) {
    if (!note || note->is_input) {
        fputs("   unchanged\n", stdout);
        return;
    }
    if (note->kind == TRACE_ASKED)
        fputs("   the shim's own", stdout);
    if (note->kind == TRACE_ANSWERED)
        fputs("   answered by the shim", stdout);
    explain_print_rule(note->rule);
    putchar('\n');
}

static char *explain_id(const char *text, size_t n, enum frame_source source) {
    struct frame_reader reader;
    size_t n_scanned;

    frame_reader_init(&reader, source);
    if (n == 0 || frame_scan(&reader, text, n, &n_scanned) != FRAME_OBJECT)
        return strdup("");
    return strndup(text + frame_reader_frame(&reader)->id.at, frame_reader_frame(&reader)->id.n);
}

static void explain_command_free(struct explain_command *c) {
    list_remove(&c->in_explain);
    free(c->id);
    free(c->client_id);
    free(c);
}

static void explain_command_add(struct explain *e, const struct player_item *item,
                                const struct explain_note *note) {
    struct explain_command *c = calloc(1, sizeof(*c));

    if (!c) {
        e->is_out_of_memory = true;
        return;
    }
    c->id = explain_id(item->text, item->n, FRAME_CLIENT);
    c->client_id = note ? explain_id(note->text, strlen(note->text), FRAME_CLIENT) : strdup("");
    e->is_out_of_memory = e->is_out_of_memory || !c->id || !c->client_id;
    list_append(&e->commands, &c->in_explain);
}

static void explain_print_outbox(struct explain *e) {
    static const char *const arrows[] = {
        [SIDE_CLIENT] = "  shim → client", [SIDE_SERVER] = "  shim → server"};

    for (size_t side = 0; side < 2; side++) {
        struct player_item item;

        while (player_peek(&e->player, (enum side)side, &item)) {
            struct explain_note *note = explain_note_find(e, item.text, item.n, false);

            if (!note)
                note = explain_note_find(e, item.text, item.n, true);
            explain_print_line(arrows[side], item.text, item.n);
            explain_print_why(note);
            if (side == SIDE_SERVER)
                explain_command_add(e, &item, note);
            if (note)
                explain_note_free(note);
            player_take(&e->player, (enum side)side, item.end);
        }
    }
}

/* --- what comes in ----------------------------------------------------------------------------------------- */

/* the command that a reply, as people write it down, is for: by the id the client gave, or the oldest one */
static struct explain_command *explain_command_find(struct explain *e, const char *id) {
    list_for_each(i, &e->commands) {
        struct explain_command *c = list_entry(i, struct explain_command, in_explain);

        if (!id[0] || strcmp(c->client_id, id) == 0 || strcmp(c->id, id) == 0)
            return c;
    }
    return NULL;
}

static int explain_send_reply(struct explain *e, const char *text, size_t n) {
    _cleanup_(freep) char *id = explain_id(text, n, FRAME_SERVER);
    struct explain_command *c = id ? explain_command_find(e, id) : NULL;
    int r;

    if (!id)
        return -ENOMEM;
    if (!c)
        return player_send_reply(&e->player, text, n, id[0] ? id : NULL, strlen(id));
    r = player_send_reply(&e->player, text, n, c->id[0] ? c->id : NULL, strlen(c->id));
    explain_command_free(c);
    return r;
}

static int explain_message(struct explain *e, enum side from, const char *text, size_t n,
                           enum frame_kind kind) {
    static const char *const arrows[] = {
        [SIDE_CLIENT] = "client → shim  ", [SIDE_SERVER] = "server → shim  "};
    struct explain_note note = {.is_input = true};
    _cleanup_(buffer_deinit) struct buffer line = BUFFER_INIT;
    int r;

    explain_print_line(arrows[from], text, n);
    putchar('\n');
    explain_note_add(e, &note, text, n, text, n);
    buffer_append(&line, text, n);
    buffer_append_string(&line, "\r\n");
    if (line.failed)
        return -ENOMEM;
    if (from == SIDE_SERVER && (kind == FRAME_RETURN || kind == FRAME_ERROR))
        r = explain_send_reply(e, text, n);
    else
        r = player_send(&e->player, from, line.data, line.n, 0, NULL);
    explain_print_outbox(e);
    return e->is_out_of_memory ? -ENOMEM : r;
}

struct explain_input {
    const char *text;
    size_t n, at;
    enum side from; /* of the message at @at */
    enum frame_kind kind;
};

/* blanks, lines that begin with '#', and who sent what follows */
static void explain_skip(struct explain_input *in, enum side from) {
    in->from = from;
    while (in->at < in->n) {
        const char *c = in->text + in->at;

        if (strchr(" \t\r\n", *c)) {
            in->at++;
        } else if (*c == '#') {
            while (in->at < in->n && in->text[in->at] != '\n')
                in->at++;
        } else if (in->n - in->at > 1 && c[1] == ':' && (*c == 'C' || *c == 'S')) {
            in->from = *c == 'C' ? SIDE_CLIENT : SIDE_SERVER;
            in->at += 2;
        } else {
            return;
        }
    }
}

/* Return: the length of the message at in->at; what is none goes to the end of its line */
static size_t explain_scan(struct explain_input *in) {
    const char *text = in->text + in->at;
    const char *newline = memchr(text, '\n', in->n - in->at);
    struct frame_reader reader;
    size_t n;

    frame_reader_init(&reader, in->from == SIDE_CLIENT ? FRAME_CLIENT : FRAME_SERVER);
    in->kind = FRAME_UNKNOWN;
    if (frame_scan(&reader, text, in->n - in->at, &n) == FRAME_OBJECT) {
        in->kind = frame_reader_frame(&reader)->kind;
        return n;
    }
    return newline ? (size_t)(newline - text) : in->n - in->at;
}

static bool explain_begins_with_greeting(struct explain_input in, enum side from) {
    explain_skip(&in, from);
    if (in.at == in.n)
        return false;
    explain_scan(&in);
    return in.from == SIDE_SERVER && in.kind == FRAME_GREETING;
}

/* what still waits when nothing more comes */
static int explain_let_time_pass(struct explain *e) {
    for (size_t i = 0; i < EXPLAIN_MAX_WAITS; i++) {
        uint64_t due_ms = session_deadline_ms(e->player.session), ms;
        int r;

        if (due_ms == UINT64_MAX)
            break;
        ms = due_ms - e->player.time.now_ms;
        printf("nothing more comes; %g s later\n", (double)ms / 1000);
        r = player_wait(&e->player, ms);
        if (r)
            return r;
        explain_print_outbox(e);
    }
    return 0;
}

static int explain_all(struct explain *e, const struct buffer *text) {
    struct explain_input in = {.text = text->data, .n = text->n};
    int r = 0;

    for (;;) {
        size_t n;

        explain_skip(&in, e->from);
        if (in.at >= in.n)
            break;
        n = explain_scan(&in);
        r = explain_message(e, in.from, in.text + in.at, n, in.kind);
        if (r)
            return r;
        in.at += n;
    }
    return explain_let_time_pass(e);
}

/* --- the command --------------------------------------------------------------------------------------------- */

static int explain_shake_hands(struct explain *e, const struct buffer *text) {
    struct explain_input in = {.text = text->data, .n = text->n};
    struct player_handshake how = {.is_oob = true};
    struct version v;
    char greeting[200];
    int r;

    if (explain_begins_with_greeting(in, e->from))
        return 0;
    if (e->server_version && version_read(e->server_version, strlen(e->server_version), &v) == 0)
        snprintf(
            greeting, sizeof(greeting),
            "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": %u, \"minor\": %u, \"major\": %u}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}",
            v.micro, v.minor, v.major);
    else
        snprintf(greeting, sizeof(greeting),
                 "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}");
    how.greeting = greeting;
    e->is_quiet = true;
    r = player_shake_hands(&e->player, &how);
    e->is_quiet = false;
    return r;
}

static int explain_text(struct explain *e, const struct buffer *text) {
    struct limits limits = LIMITS_DEFAULT;
    int r;

    r = player_init(&e->player, e->program, &limits, false, explain_trace, e);
    if (r == 0)
        r = explain_shake_hands(e, text);
    if (r == 0)
        r = explain_all(e, text);
    player_deinit(&e->player);
    while (!list_is_empty(&e->notes))
        explain_note_free(list_entry(e->notes.next, struct explain_note, in_explain));
    while (!list_is_empty(&e->commands))
        explain_command_free(list_entry(e->commands.next, struct explain_command, in_explain));
    return r;
}

static int explain_file(struct explain *e, const char *path) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    int r;

    r = ruleset_load(&e->ruleset, &e->program);
    if (r == 0)
        r = rules_read_file(path ? path : "/dev/stdin", &text);
    if (r == 0)
        r = explain_text(e, &text);
    program_unref(e->program);
    if (r < 0)
        fprintf(stderr, "qmp-shim explain: %s\n", strerror(-r));
    return r ? COMMAND_FAILED : 0;
}

static int explain_set(void *userdata, const struct command *c, int option, const char *value) {
    struct explain *e = userdata;

    switch (option) {
    case EXPLAIN_SERVER_VERSION:
        e->server_version = value;
        return options_version(c, "server-version", value);
    case EXPLAIN_FROM:
        e->from = strcmp(value, "server") == 0 ? SIDE_SERVER : SIDE_CLIENT;
        return strcmp(value, "server") == 0 || strcmp(value, "client") == 0
                   ? 0
                   : options_wrong_value(c, "from", value, "\"client\" or \"server\"");
    default:
        return ruleset_set(&e->ruleset, c, option, value);
    }
}

static int explain_parse(struct explain *e, const struct command *c, int argc, char **argv) {
    const char *path = NULL;
    int status;

    status = options_read(c, argc, argv, explain_set, e);
    if (status)
        return status == OPTIONS_HELP ? 0 : status;
    if (optind < argc)
        path = argv[optind++];
    return options_no_arguments(c, argc, argv) ? COMMAND_USAGE : explain_file(e, path);
}

static int explain_run(const struct command *c, int argc, char **argv) {
    struct explain e = {0};
    int status = COMMAND_FAILED;

    list_init(&e.notes);
    list_init(&e.commands);
    if (ruleset_init(&e.ruleset, argc) == 0)
        status = explain_parse(&e, c, argc, argv);
    ruleset_deinit(&e.ruleset);
    return status;
}

const struct command command_explain = {
    .name = "explain",
    .summary = "say what becomes of messages, and by which rule",
    .synopsis = "[OPTION]… [FILE]",
    .text = "Reads messages from FILE or standard input: C: before one of the client's, S:\n"
            "before one of the server's.  Prints where each goes, what it is then, and which\n"
            "rule did it.  A reply without id is for the oldest command.\n",
    .options = explain_options,
    .run = explain_run,
};
