/*
 * qmp-shim show: draws what a trace has recorded, a line a message.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/tracereader.h"
#include "json/reader.h"
#include "proxy/exchanges.h"
#include "proxy/session.h"

enum show_option {
    SHOW_SESSION = 256,
    SHOW_COMMAND,
    SHOW_EVENT,
    SHOW_RULE,
    SHOW_CHANGED,
    SHOW_FAILED,
    SHOW_FULL
};

enum {
    SHOW_MAX_TEXT = 70,    /* of a message, unless --full */
    SHOW_MAX_CHANGES = 12, /* of one message, likewise */
    SHOW_MAX_CALLS = 1000, /* commands of a session whose replies are waited for */
};

/* a command whose reply has not come */
struct show_call {
    struct list in_session;
    char *id, *name, *new_name; /* the last: behind the rules */
};

struct show_session {
    struct list in_show;
    struct show *show;
    uint64_t id, start_ms;
    struct exchanges exchanges;
    struct list calls;
    size_t n_calls;
};

struct show {
    uint64_t session; /* 0: all */
    const char *command, *event, *rule;
    bool is_changed, is_failed, is_full, is_colour;
    struct list sessions;
    size_t n_changes; /* shown of this message */
    bool is_out_of_memory;
};

static const struct command_option show_options[] = {
    {SHOW_SESSION, "session", "N", "only that session"},
    {SHOW_COMMAND, "command", "NAME",
     "only commands of that name, before or behind the\nrules, and their replies"},
    {SHOW_EVENT, "event", "NAME", "only events of that name"},
    {SHOW_RULE, "rule", "NAME", "only what that rule had to do with"},
    {SHOW_CHANGED, "changed", NULL, "only what did not pass unchanged"},
    {SHOW_FAILED, "failed", NULL, "only errors, rules that failed and waits that ended"},
    {SHOW_FULL, "full", NULL, "whole messages, and all of their changes"},
    {.name = NULL},
};

/* --- text ----------------------------------------------------------------------------------------------- */

/* a terminal obeys bytes that it should not get from here */
static void show_text(const char *text, size_t n, size_t max) {
    for (size_t i = 0; i < n && i < max; i++)
        putchar(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    if (n > max)
        fputs("...", stdout);
}

static void show_value(const struct show *s, const struct json *v) {
    show_text(v->text, v->n_text, s->is_full ? SIZE_MAX : SHOW_MAX_TEXT);
}

static void show_colour(const struct show *s, const char *code) {
    if (s->is_colour)
        printf("\033[%sm", code);
}

/* --- changes --------------------------------------------------------------------------------------------- */

struct show_path {
    const struct show_path *up;
    const char *key; /* NULL: the index */
    size_t n_key, index;
};

static void show_path(const struct show_path *p) {
    if (!p->up)
        return;
    show_path(p->up);
    if (p->up->up)
        putchar('.');
    if (p->key)
        show_text(p->key, p->n_key, SHOW_MAX_TEXT);
    else
        printf("%zu", p->index);
}

static void show_change(struct show *s, const struct show_path *path, const struct json *a,
                        const struct json *b) {
    s->n_changes++;
    if (!s->is_full && s->n_changes > SHOW_MAX_CHANGES)
        return;
    printf("%*s", 36, "");
    show_colour(s, a && b ? "33" : a ? "31" : "32");
    printf("%c ", a && b ? '~' : a ? '-' : '+');
    show_path(path);
    fputs(": ", stdout);
    if (a)
        show_value(s, a);
    if (a && b)
        fputs(" -> ", stdout);
    if (b)
        show_value(s, b);
    show_colour(s, "0");
    putchar('\n');
}

static void show_differences(struct show *s, const struct show_path *up, const struct json *a,
                             const struct json *b);

static void show_object_differences(struct show *s, const struct show_path *up,
                                    const struct json *a, const struct json *b) {
    for (size_t i = 0; i < a->n_items; i++) {
        const struct json *m = &a->items[i], *other = json_member_n(b, m->key, m->n_key);
        struct show_path path = {up, m->key, m->n_key, 0};

        if (other)
            show_differences(s, &path, m, other);
        else
            show_change(s, &path, m, NULL);
    }
    for (size_t i = 0; i < b->n_items; i++) {
        const struct json *m = &b->items[i];
        struct show_path path = {up, m->key, m->n_key, 0};

        if (!json_member_n(a, m->key, m->n_key))
            show_change(s, &path, NULL, m);
    }
}

static void show_differences(struct show *s, const struct show_path *up, const struct json *a,
                             const struct json *b) {
    if (!up->up || a->type != b->type || (a->type != JSON_OBJECT && a->type != JSON_ARRAY)) {
        if (up->up && !json_equal(a, b))
            show_change(s, up, a, b);
        if (up->up || a->type != JSON_OBJECT || b->type != JSON_OBJECT)
            return;
    }
    if (a->type == JSON_OBJECT) {
        show_object_differences(s, up, a, b);
        return;
    }
    for (size_t i = 0; i < size_max(a->n_items, b->n_items); i++) {
        struct show_path path = {up, NULL, 0, i};

        if (i < a->n_items && i < b->n_items)
            show_differences(s, &path, &a->items[i], &b->items[i]);
        else
            show_change(s, &path, i < a->n_items ? &a->items[i] : NULL,
                        i < b->n_items ? &b->items[i] : NULL);
    }
}

/* ids are the shim's own business */
static struct json *show_without_id(struct json *root) {
    for (size_t i = 0; i < root->n_items; i++)
        if (root->type == JSON_OBJECT && json_key_is(&root->items[i], "id")) {
            memmove(&root->items[i], &root->items[i + 1],
                    (root->n_items - i - 1) * sizeof(*root->items));
            root->n_items--;
        }
    return root;
}

static void show_changes(struct show *s, const struct exchanged *x) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct show_path root = {0};
    struct json *a, *b;

    if (x->kind != EXCHANGE_REWRITTEN || !x->text || !x->to_text)
        return;
    if (json_read(&arena, x->text, strlen(x->text), false, &a, NULL) ||
        json_read(&arena, x->to_text, strlen(x->to_text), false, &b, NULL))
        return;
    s->n_changes = 0;
    show_differences(s, &root, show_without_id(a), show_without_id(b));
    if (!s->is_full && s->n_changes > SHOW_MAX_CHANGES)
        printf("%*s... %zu more (--full)\n", 36, "", s->n_changes - SHOW_MAX_CHANGES);
}

/* --- a line ------------------------------------------------------------------------------------------------ */

static const char *show_lanes(const struct exchanged *x) {
    bool is_client = x->from == SIDE_CLIENT;

    switch (x->kind) {
    case EXCHANGE_PASSED:
        return is_client ? "|--------+------->|" : "|<-------+--------|";
    case EXCHANGE_REWRITTEN:
        return is_client ? "|------->*------->|" : "|<-------*<-------|";
    case EXCHANGE_ASKED:
        return "|        *------->|";
    case EXCHANGE_EMITTED:
    case EXCHANGE_ANSWERED:
        return "|<-------*        |";
    case EXCHANGE_NOTE:
        return "|        .        |";
    default:
        return is_client ? "|------->*        |" : "|        *<-------|";
    }
}

static const char *show_word(const struct exchanged *x) {
    switch (x->kind) {
    case EXCHANGE_DROPPED:
        return "dropped ";
    case EXCHANGE_ANSWERED:
        return "answered by the shim: ";
    case EXCHANGE_ASKED:
        return "asked by the shim: ";
    case EXCHANGE_SWALLOWED:
        return "its answer: ";
    case EXCHANGE_EMITTED:
        return "the shim's own: ";
    default:
        return "";
    }
}

/* the inside of a message: arguments, what is returned, … */
static const char *const show_members[] = {
    [FRAME_COMMAND] = "arguments", [FRAME_COMMAND_OOB] = "arguments",
    [FRAME_RETURN] = "return",     [FRAME_ERROR] = "error",
    [FRAME_EVENT] = "data",        [FRAME_GREETING] = "QMP",
};

static void show_message(const struct show *s, const char *text, int from, const char *call) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct exchange_label label = exchange_label(text, from);
    const struct json *inside = NULL;
    struct json *root;

    if (label.kind == FRAME_UNKNOWN) {
        show_text(text, strlen(text), s->is_full ? SIZE_MAX : SHOW_MAX_TEXT);
        return;
    }
    if (label.n > 0)
        show_text(label.text, (size_t)label.n, SHOW_MAX_TEXT);
    else
        fputs(label.kind == FRAME_RETURN  ? "return"
              : label.kind == FRAME_ERROR ? "error"
                                          : "greeting",
              stdout);
    if (call)
        printf(" (%s)", call);
    if (json_read(&arena, text, strlen(text), false, &root, NULL) == 0)
        inside = json_member(root, show_members[label.kind]);
    if (inside) {
        putchar(' ');
        show_value(s, inside);
    }
}

static void show_remarks(const struct show *s, const struct exchanged *x) {
    if (x->fds)
        printf("  [fds: %s]", x->fds);
    if (x->is_blanked)
        fputs("  [secret]", stdout);
    if (x->kind == EXCHANGE_OPEN)
        fputs("  [goes no further]", stdout);
    if (x->is_held || x->sent_ms > x->ms)
        printf("  [waited %.3f s]", (double)(x->sent_ms - x->ms) / 1000);
    if (x->is_failed) {
        show_colour(s, "31");
        printf("  [failed: %s]", x->note ? x->note : "a wait");
        show_colour(s, "0");
    }
    if (x->rule) {
        show_colour(s, "36");
        printf("  <%s>", x->rule);
        show_colour(s, "0");
    }
}

static void show_line(struct show_session *session, const struct exchanged *x, const char *call) {
    struct show *s = session->show;
    const char *text = x->text ? x->text : x->to_text;
    int from = x->from >= 0 ? x->from : x->kind == EXCHANGE_ASKED ? SIDE_CLIENT : SIDE_SERVER;
    struct exchange_label label = exchange_label(text, from);
    struct exchange_label to =
        x->kind == EXCHANGE_REWRITTEN ? exchange_label(x->to_text, from) : label;

    printf("%-3llu %9.3f  %s  %s", (unsigned long long)x->session,
           (double)(x->ms - session->start_ms) / 1000, show_lanes(x), show_word(x));
    if (x->kind == EXCHANGE_NOTE) {
        printf("%s%s%s",
               x->from == SIDE_CLIENT   ? "the client "
               : x->from == SIDE_SERVER ? "the server "
                                        : "",
               x->to_text, x->note ? ": " : "");
        if (x->note)
            show_text(x->note, strlen(x->note), s->is_full ? SIZE_MAX : SHOW_MAX_TEXT);
    } else {
        show_message(s, text ? text : "", from, call);
    }
    if (to.n > 0 && (to.n != label.n || memcmp(to.text, label.text, (size_t)to.n) != 0)) {
        fputs(" -> ", stdout);
        show_text(to.text, (size_t)to.n, SHOW_MAX_TEXT);
    }
    show_remarks(s, x);
    putchar('\n');
    show_changes(s, x);
}

/* --- which reply is to which command -------------------------------------------------------------------------- */

static char *show_id(const char *text, int from) {
    struct frame_reader reader;
    size_t n;

    frame_reader_init(&reader, from == SIDE_CLIENT ? FRAME_CLIENT : FRAME_SERVER);
    if (!text || !*text || frame_scan(&reader, text, strlen(text), &n) != FRAME_OBJECT)
        return strdup("");
    return strndup(text + frame_reader_frame(&reader)->id.at, frame_reader_frame(&reader)->id.n);
}

static void show_call_free(struct show_session *session, struct show_call *c) {
    list_remove(&c->in_session);
    session->n_calls--;
    free(c->id);
    free(c->name);
    free(c->new_name);
    free(c);
}

static void show_call_add(struct show_session *session, const struct exchanged *x,
                          struct exchange_label label) {
    struct exchange_label to = exchange_label(x->to_text, x->from);
    struct show_call *c;

    if (session->n_calls == SHOW_MAX_CALLS)
        show_call_free(session, list_entry(session->calls.next, struct show_call, in_session));
    c = calloc(1, sizeof(*c));
    if (!c) {
        session->show->is_out_of_memory = true;
        return;
    }
    c->id = show_id(x->text, SIDE_CLIENT);
    c->name = strndup(label.text, (size_t)label.n);
    c->new_name = strndup(to.text, (size_t)to.n);
    list_append(&session->calls, &c->in_session);
    session->n_calls++;
    if (!c->id || !c->name || !c->new_name)
        session->show->is_out_of_memory = true;
}

/* Return: the command that is answered; NULL: not known */
static struct show_call *show_call_find(struct show_session *session, const char *text) {
    _cleanup_(freep) char *id = show_id(text, SIDE_SERVER);

    list_for_each(i, &session->calls) {
        struct show_call *c = list_entry(i, struct show_call, in_session);

        if (id && c->id && strcmp(c->id, id) == 0)
            return c;
    }
    return NULL;
}

/* --- what is wanted -------------------------------------------------------------------------------------------- */

static bool show_is_named(const char *text, int from, const char *name, bool is_event) {
    struct exchange_label label = exchange_label(text, from);

    return (label.kind == FRAME_EVENT) == is_event && (size_t)label.n == strlen(name) &&
           memcmp(label.text, name, (size_t)label.n) == 0;
}

static bool show_wants(const struct show *s, const struct exchanged *x,
                       const struct show_call *call) {
    bool is_error = x->to_text && exchange_label(x->to_text, SIDE_SERVER).kind == FRAME_ERROR;

    if (s->command && !show_is_named(x->text, x->from, s->command, false) &&
        !show_is_named(x->to_text, x->from, s->command, false) &&
        !(call && (strcmp(call->name, s->command) == 0 || strcmp(call->new_name, s->command) == 0)))
        return false;
    if (s->event && !show_is_named(x->text, SIDE_SERVER, s->event, true) &&
        !show_is_named(x->to_text, SIDE_SERVER, s->event, true))
        return false;
    if (s->rule && !(x->rule && strcmp(x->rule, s->rule) == 0))
        return false;
    if (s->is_changed && (x->kind == EXCHANGE_PASSED || x->kind == EXCHANGE_NOTE))
        return false;
    return !s->is_failed || x->is_failed || is_error;
}

static void show_tell(void *userdata, const struct exchanged *x) {
    struct show_session *session = userdata;
    struct exchange_label label = exchange_label(x->text, x->from);
    struct show_call *call = NULL;

    if (x->from == SIDE_CLIENT && label.n > 0)
        show_call_add(session, x, label);
    if (x->to == SIDE_CLIENT &&
        (label.kind == FRAME_RETURN || label.kind == FRAME_ERROR || x->kind == EXCHANGE_ANSWERED))
        call = show_call_find(session, x->to_text);
    if (show_wants(session->show, x, call))
        show_line(session, x, call ? call->name : NULL);
    if (call)
        show_call_free(session, call);
}

/* --- the command ------------------------------------------------------------------------------------------------- */

static struct show_session *show_session_get(struct show *s, const struct record *r) {
    struct show_session *session;

    list_for_each(i, &s->sessions) {
        session = list_entry(i, struct show_session, in_show);
        if (session->id == r->session)
            return session;
    }
    session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->show = s;
    session->id = r->session;
    session->start_ms = r->ms;
    list_init(&session->calls);
    exchanges_init(&session->exchanges, show_tell, session);
    list_append(&s->sessions, &session->in_show);
    return session;
}

static void show_session_free(struct show_session *session) {
    exchanges_deinit(&session->exchanges);
    while (!list_is_empty(&session->calls))
        show_call_free(session, list_entry(session->calls.next, struct show_call, in_session));
    list_remove(&session->in_show);
    free(session);
}

/* Return: 0 or -ENOMEM */
static int show_record(struct show *s, const struct record *r) {
    struct show_session *session;
    int x;

    if (r->session == 0 || (s->session && s->session != r->session))
        return 0;
    session = show_session_get(s, r);
    if (!session)
        return -ENOMEM;
    if (r->kind == RECORD_CLOSED) /* what is still open is told before */
        exchanges_deinit(&session->exchanges);
    x = exchanges_add(&session->exchanges, r);
    if (r->kind == RECORD_CLOSED)
        show_session_free(session);
    return s->is_out_of_memory ? -ENOMEM : x;
}

static int show_file(struct show *s, const char *path) {
    struct tracereader reader = TRACEREADER_INIT;
    struct record record;
    int r;

    s->is_colour = isatty(STDOUT_FILENO);
    list_init(&s->sessions);
    r = tracereader_open(&reader, path);
    if (r == 0)
        printf("           time  client  shim  server\n");
    while (r == 0) {
        r = tracereader_next(&reader, &record);
        if (r == 0)
            r = show_record(s, &record);
    }
    while (!list_is_empty(&s->sessions))
        show_session_free(list_entry(s->sessions.next, struct show_session, in_show));
    tracereader_close(&reader);
    if (r < 0)
        fprintf(stderr, "qmp-shim show: %s\n", strerror(-r));
    return r == TRACEREADER_E_END ? 0 : COMMAND_FAILED;
}

/* Return: 0 or an exit status */
static int show_set(struct show *s, const struct command *c, int option, const char *value) {
    switch (option) {
    case SHOW_SESSION:
        return options_session(c, value, &s->session);
    case SHOW_COMMAND:
        s->command = value;
        return 0;
    case SHOW_EVENT:
        s->event = value;
        return 0;
    case SHOW_RULE:
        s->rule = value;
        return 0;
    case SHOW_CHANGED:
        s->is_changed = true;
        return 0;
    case SHOW_FAILED:
        s->is_failed = true;
        return 0;
    default:
        s->is_full = true;
        return 0;
    }
}

static int show_run(const struct command *c, int argc, char **argv) {
    struct show show = {0};
    const char *path;
    int option, status;

    while ((option = options_next(c, argc, argv)) >= 0) {
        status = show_set(&show, c, option, optarg);
        if (status)
            return status;
    }
    if (option == OPTIONS_HELP)
        return 0;
    if (option == OPTIONS_WRONG)
        return COMMAND_USAGE;
    status = options_argument(c, argc, argv, "TRACE", &path);
    return status ? status : show_file(&show, path);
}

const struct command command_show = {
    .name = "show",
    .summary = "draw what was recorded by run --trace",
    .synopsis = "[OPTION]… TRACE",
    .text = "Draws the dialogue that a trace has recorded, between client, shim and server: a\n"
            "line for each message, and under one that was rewritten what is gone (-), new (+)\n"
            "and different (~).  The time is that since the session began, in seconds.\n",
    .options = show_options,
    .run = show_run,
};
