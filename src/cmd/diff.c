/*
 * qmp-shim diff: what a client of one server misses on another, and which
 * rules help (rule/gap.h, rule/bridge.h).
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/origin.h"
#include "cmd/rules.h"
#include "cmd/tracereader.h"
#include "json/writer.h"
#include "proxy/session.h"
#include "rule/bridge.h"
#include "rule/skeleton.h"
#include "rule/uses.h"

enum diff_option {
    DIFF_TRACE = 256,
    DIFF_CLIENT,
    DIFF_RULES,
    DIFF_NO_RULES,
    DIFF_JSON,
    DIFF_SKELETON
};

/* a gap, and what is known of it */
struct diff_row {
    struct gap gap;
    size_t n_uses;
    const struct rule *bridge; /* NULL: none */
};

struct diff_way {
    const struct origin *client, *server;
    enum dialect dialect;
    struct program *program; /* NULL: no rules */
    struct diff_row *rows;
    size_t n_rows, n_open; /* n_open: what keeps a client from working, and no rule bridges */
};

struct diff {
    struct rules_choice rules;
    const char *trace_path;
    bool is_one_way, is_json, is_skeleton, no_rules;
    enum dialect client; /* is_one_way */
    struct arena arena;
    struct uses uses;
    struct origin origin[2]; /* by enum dialect */
    struct diff_way way[2];  /* likewise: whose client */
};

static const struct command_option diff_options[] = {
    {DIFF_TRACE, "trace", "FILE",
     "only what the client in this trace really uses, the\nmost used first; without --client new it is one of OLD"},
    {DIFF_CLIENT, "client", "old|new", "only what a client of that side misses on the other"},
    {DIFF_RULES, "rules", "FILE|NAME",
     "rules that may bridge it; may be given several times.\nDefault: all installed ones"},
    {DIFF_NO_RULES, "no-rules", NULL, "do not look for rules"},
    {DIFF_JSON, "json", NULL, "print an object for programs"},
    {DIFF_SKELETON, "skeleton", NULL,
     "print a rule file for what no rule bridges, with a TODO\nwhere something is left to be decided"},
    {.name = NULL},
};

static bool diff_has_way(const struct diff *d, enum dialect client) {
    return !d->is_one_way || d->client == client;
}

/* what a client can live with, or will only some day not be able to */
static bool diff_is_mild(enum gap_kind kind) {
    return kind == GAP_DEPRECATED || kind == GAP_WORD || kind == GAP_MAYBE;
}

/* --- what the client uses ------------------------------------------------------------------------------ */

/* commands as they came, events as they went out */
static int diff_count(struct diff *d, const struct record *r) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    size_t n_blanks = r->text ? strspn(r->text, " \t\r\n") : 0;
    bool is_command = r->kind == RECORD_CAME && r->side == SIDE_CLIENT;
    bool is_event = r->kind == RECORD_OF(TRACE_SENT) && r->side == SIDE_CLIENT;
    struct message m;
    int x;

    if ((!is_command && !is_event) || !r->text || r->is_part)
        return 0;
    x = message_read(&arena, r->text + n_blanks, r->n_text - n_blanks, &m);
    return x == 0 && (m.kind == FRAME_EVENT) == is_event ? uses_add(&d->uses, &m) : x < 0 ? x : 0;
}

/* Return: 0, negative, TRACEREADER_E_FAILED */
static int diff_read_trace(struct diff *d) {
    struct tracereader reader = TRACEREADER_INIT;
    struct record record;
    int r;

    r = tracereader_open(&reader, d->trace_path);
    while (r == 0) {
        r = tracereader_next(&reader, &record);
        if (r == 0)
            r = diff_count(d, &record);
    }
    tracereader_close(&reader);
    return r == TRACEREADER_E_END ? 0 : r;
}

/* --- comparing ------------------------------------------------------------------------------------------- */

static int diff_by_uses(const void *a, const void *b) {
    const struct diff_row *x = a, *y = b;

    if (x->n_uses != y->n_uses)
        return x->n_uses < y->n_uses ? 1 : -1;
    return x->gap.of != y->gap.of      ? strcmp(x->gap.of, y->gap.of)
           : x->gap.path < y->gap.path ? -1
                                       : 1;
}

/* @selection: NULL: no rules */
static int diff_fill_rows(struct diff *d, struct diff_way *w, const struct gap_list *gaps,
                          const struct selection *selection) {
    w->rows = arena_alloc(&d->arena, (gaps->n + 1) * sizeof(*w->rows));
    if (!w->rows)
        return -ENOMEM;
    for (size_t i = 0; i < gaps->n; i++) {
        struct diff_row row = {.gap = gaps->gap[i]};

        row.n_uses = d->trace_path ? uses_count(&d->uses, &row.gap) : 0;
        if (d->trace_path && row.n_uses == 0)
            continue;
        row.bridge = selection ? bridge_find(selection, &row.gap) : NULL;
        w->n_open += !row.bridge && !diff_is_mild(row.gap.kind);
        w->rows[w->n_rows++] = row;
    }
    if (d->trace_path)
        qsort(w->rows, w->n_rows, sizeof(*w->rows), diff_by_uses);
    return 0;
}

/* Return: 0, negative, RULES_E_FAILED */
static int diff_load_rules(struct diff *d, struct diff_way *w) {
    struct program_options options = {.client = w->dialect};
    struct version v = w->client->version;
    size_t n_files;
    char *text;

    text = arena_alloc(&d->arena, 40);
    if (!text)
        return -ENOMEM;
    snprintf(text, 40, "%u.%u.%u", v.major, v.minor, v.micro);
    d->rules.is_all = d->rules.n_names == 0;
    /* rules that are named are taken by their sides, as run does */
    if (d->rules.is_all && w->client->has_version && w->server->has_version)
        options.client_version = text;
    options.no_deny = d->rules.is_all;
    return rules_load(&d->rules, &options, &w->program, &n_files);
}

static int diff_select(const struct diff_way *w, struct selection **ret) {
    struct selection_commands commands = {.list = w->server->schema.entries};

    *ret = NULL;
    return w->program
               ? selection_new(w->program, w->server->has_version ? &w->server->version : NULL,
                               &commands, ret)
               : 0;
}

/* Return: 0, negative, RULES_E_FAILED */
static int diff_find(struct diff *d, enum dialect client) {
    struct diff_way *w = &d->way[client];
    struct selection *selection = NULL;
    struct gap_list gaps;
    int r;

    w->dialect = client;
    w->client = &d->origin[client];
    w->server = &d->origin[client == DIALECT_OLD ? DIALECT_NEW : DIALECT_OLD];
    r = gap_find(&d->arena, &w->client->schema, &w->server->schema, &gaps);
    if (r == 0 && !d->no_rules)
        r = diff_load_rules(d, w);
    if (r == 0)
        r = diff_select(w, &selection);
    if (r == 0)
        r = diff_fill_rows(d, w, &gaps, selection);
    selection_unref(selection);
    return r;
}

/* --- for people ------------------------------------------------------------------------------------------- */

static void diff_print_row(const struct diff *d, const struct diff_row *row) {
    const struct gap *g = &row->gap;

    if (d->trace_path)
        printf("%6zux", row->n_uses);
    printf("  %-13s  %s", gap_kind_name(g->kind), g->of);
    if (g->path[0])
        printf(" %s", g->path);
    if (g->word)
        printf(" \"%s\"", g->word);
    if (g->variant[0])
        printf(" (%s)", g->variant);
    if (g->was)
        printf(": %s -> %s", g->was, g->is);
    if (row->bridge)
        printf("  <%s/%s>", row->bridge->file->name, row->bridge->name);
    putchar('\n');
}

static void diff_print_way(const struct diff *d, const struct diff_way *w) {
    size_t n_bridged = 0;

    for (size_t i = 0; i < w->n_rows; i++)
        n_bridged += w->rows[i].bridge != NULL;
    printf("A client of %s on %s: %zu gap%s, %zu bridged by rules, %zu open\n", w->client->name,
           w->server->name, w->n_rows, w->n_rows == 1 ? "" : "s", n_bridged, w->n_open);
    for (size_t i = 0; i < w->n_rows; i++)
        diff_print_row(d, &w->rows[i]);
}

/* --- for programs ------------------------------------------------------------------------------------------ */

static void diff_put(struct buffer *b, const char *key, const char *value) {
    if (!value || !*value)
        return;
    buffer_printf(b, ", \"%s\": ", key);
    json_write_string(b, value, strlen(value));
}

static void diff_put_row(const struct diff *d, struct buffer *b, const struct diff_row *row) {
    const struct gap *g = &row->gap;

    buffer_printf(b, "{\"kind\": \"%s\"", gap_kind_name(g->kind));
    diff_put(b, g->is_event ? "event" : "command", g->of);
    diff_put(b, "path", g->path);
    diff_put(b, "variant", g->variant);
    diff_put(b, "value", g->word);
    diff_put(b, "was", g->was);
    diff_put(b, "is", g->is);
    if (d->trace_path)
        buffer_printf(b, ", \"uses\": %zu", row->n_uses);
    if (row->bridge) {
        buffer_append_string(b, ", \"bridge\": {\"file\": ");
        json_write_string(b, row->bridge->file->name, strlen(row->bridge->file->name));
        diff_put(b, "rule", row->bridge->name);
        buffer_append_string(b, "}");
    }
    buffer_append_string(b, "}");
}

static int diff_print_json(const struct diff *d) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, "{\"qmp-shim-diff\": 1");
    diff_put(&b, "old", d->origin[DIALECT_OLD].name);
    diff_put(&b, "new", d->origin[DIALECT_NEW].name);
    for (size_t c = 0; c < 2; c++) {
        const struct diff_way *w = &d->way[c];

        if (!diff_has_way(d, (enum dialect)c))
            continue;
        buffer_printf(&b, ",\n \"%s-client\": {\"open\": %zu, \"gaps\": [",
                      c == DIALECT_OLD ? "old" : "new", w->n_open);
        for (size_t i = 0; i < w->n_rows; i++) {
            buffer_append_string(&b, i > 0 ? ",\n  " : "\n  ");
            diff_put_row(d, &b, &w->rows[i]);
        }
        buffer_append_string(&b, "]}");
    }
    buffer_append_string(&b, "}\n");
    if (b.failed)
        return -ENOMEM;
    fwrite(b.data, 1, b.n, stdout);
    return 0;
}

/* --- to a rule file ---------------------------------------------------------------------------------------- */

static int diff_print_skeleton(struct diff *d) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const struct diff_way *w = &d->way[d->client];
    struct skeleton k = {.client_name = w->client->name,
                         .server_name = w->server->name,
                         .client = w->client->schema,
                         .server = w->server->schema,
                         .is_new_client = d->client == DIALECT_NEW};

    k.gaps = arena_alloc(&d->arena, (w->n_rows + 1) * sizeof(*k.gaps));
    if (!k.gaps)
        return -ENOMEM;
    for (size_t i = 0; i < w->n_rows; i++)
        if (!w->rows[i].bridge && !diff_is_mild(w->rows[i].gap.kind))
            k.gaps[k.n_gaps++] = &w->rows[i].gap;
    if (skeleton_write(&k, &b) < 0)
        return -ENOMEM;
    fwrite(b.data, 1, b.n, stdout);
    return 0;
}

/* --- the command --------------------------------------------------------------------------------------------- */

static int diff_print(struct diff *d) {
    if (d->is_skeleton)
        return diff_print_skeleton(d);
    if (d->is_json)
        return diff_print_json(d);
    for (size_t c = 0; c < 2; c++)
        if (diff_has_way(d, (enum dialect)c))
            diff_print_way(d, &d->way[c]);
    return 0;
}

/* Return: 0, negative, or more than 0: what is wrong was said */
static int diff_servers(struct diff *d, const char *old, const char *new) {
    int r;

    r = origin_read(&d->arena, old, &d->origin[DIALECT_OLD]);
    if (r == 0)
        r = origin_read(&d->arena, new, &d->origin[DIALECT_NEW]);
    if (r == 0 && d->trace_path)
        r = diff_read_trace(d);
    for (size_t c = 0; c < 2; c++)
        if (r == 0 && diff_has_way(d, (enum dialect)c))
            r = diff_find(d, (enum dialect)c);
    return r ? r : diff_print(d);
}

static int diff_run_with(struct diff *d, const char *old, const char *new) {
    int r;

    if ((d->trace_path || d->is_skeleton) && !d->is_one_way) {
        d->is_one_way = true;
        d->client = DIALECT_OLD;
    }
    uses_init(&d->uses);
    r = diff_servers(d, old, new);
    for (size_t c = 0; c < 2; c++)
        program_unref(d->way[c].program);
    uses_deinit(&d->uses);
    arena_deinit(&d->arena);
    if (r < 0)
        fprintf(stderr, "qmp-shim diff: %s\n", strerror(-r));
    if (r)
        return COMMAND_USAGE;
    if (d->is_skeleton)
        return 0;
    return d->way[DIALECT_OLD].n_open + d->way[DIALECT_NEW].n_open > 0 ? COMMAND_FAILED : 0;
}

static int diff_set(void *userdata, const struct command *c, int option, const char *value) {
    struct diff *d = userdata;

    switch (option) {
    case DIFF_TRACE:
        d->trace_path = value;
        return 0;
    case DIFF_CLIENT:
        d->is_one_way = true;
        return options_client(c, value, &d->client);
    case DIFF_RULES:
        d->rules.names[d->rules.n_names++] = value;
        return 0;
    case DIFF_NO_RULES:
        d->no_rules = true;
        return 0;
    case DIFF_SKELETON:
        d->is_skeleton = true;
        return 0;
    default:
        d->is_json = true;
        return 0;
    }
}

static int diff_parse(struct diff *d, const struct command *c, int argc, char **argv) {
    const char *old, *new;
    int status;

    status = options_read(c, argc, argv, diff_set, d);
    if (status)
        return status == OPTIONS_HELP ? 0 : status;
    if (argc - optind < 2) {
        fputs("qmp-shim diff: OLD and NEW are needed; see \"qmp-shim help diff\"\n", stderr);
        return COMMAND_USAGE;
    }
    old = argv[optind++];
    status = options_argument(c, argc, argv, "NEW", &new);
    return status ? status : diff_run_with(d, old, new);
}

static int diff_run(const struct command *c, int argc, char **argv) {
    struct diff diff = {.rules = {.names = calloc((size_t)argc, sizeof(*diff.rules.names))}};
    int status = COMMAND_USAGE;

    if (diff.rules.names)
        status = diff_parse(&diff, c, argc, argv);
    else
        fputs("qmp-shim diff: out of memory\n", stderr);
    free(diff.rules.names);
    return status;
}

const struct command command_diff = {
    .name = "diff",
    .summary = "say what a client of one server misses on another",
    .synopsis = "[OPTION]… OLD NEW",
    .text = "OLD and NEW are servers: the socket of one that is alive, what one said (a reply\n"
            "to query-qmp-schema or query-commands in a file, or both in a folder), or a\n"
            "version that is installed.  Prints what a client of OLD misses on NEW and the\n"
            "reverse, and in <> the rule that bridges it.\n"
            "Exit status 0: nothing is open; 1: something is missed that no rule bridges (what\n"
            "is deprecated, may be absent or has unknown values does not count); 2: they could\n"
            "not be compared.  With --skeleton it is 0 or 2, and one side is told: clients of\n"
            "OLD, unless --client new is given.\n",
    .options = diff_options,
    .run = diff_run,
};
