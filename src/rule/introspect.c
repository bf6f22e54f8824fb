#include "rule/introspect.h"

#include <errno.h>
#include <string.h>

#include "json/writer.h"

static const struct {
    const char *name;
    enum introspect_kind kind;
} commands[] = {
    {"query-commands", INTROSPECT_COMMANDS},
    {"query-events", INTROSPECT_EVENTS},
    {"query-qmp-schema", INTROSPECT_SCHEMA},
};

enum introspect_kind introspect_find(const char *name, size_t n_name) {
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (n_name == strlen(commands[i].name) && memcmp(name, commands[i].name, n_name) == 0)
            return commands[i].kind;
    return INTROSPECT_NONE;
}

struct doctor {
    enum introspect_kind kind;
    const struct json *list;
    struct buffer added;
    size_t n_added;
};

static bool is_named(const struct json *entry, const char *name, size_t n_name) {
    const struct json *value = json_member(entry, "name");

    return value && value->type == JSON_STRING && value->n_string == n_name &&
           memcmp(value->string, name, n_name) == 0;
}

static bool is_meta(const struct json *entry, enum picture_kind kind) {
    return json_is_string(json_member(entry, "meta-type"),
                          kind == PICTURE_COMMAND ? "command" : "event");
}

static const struct json *find_entry(const struct doctor *d, enum picture_kind kind,
                                     const char *name, size_t n_name) {
    for (size_t i = 0; i < d->list->n_items; i++) {
        const struct json *entry = &d->list->items[i];

        if (is_named(entry, name, n_name) && (d->kind != INTROSPECT_SCHEMA || is_meta(entry, kind)))
            return entry;
    }
    return NULL;
}

/* the same name may be added by several rules */
static bool is_added(const struct doctor *d, const char *name, size_t n_name) {
    _cleanup_(buffer_deinit) struct buffer entry = BUFFER_INIT;

    buffer_append_string(&entry, "{\"name\": ");
    json_write_string(&entry, name, n_name);
    return !entry.failed && d->added.n > 0 &&
           memmem(d->added.data, d->added.n, entry.data, entry.n) != NULL;
}

/* the rest of a schema entry is that of the other form */
static void add_types(struct doctor *d, const struct json *other) {
    for (size_t i = 0; i < other->n_items; i++) {
        const struct json *m = &other->items[i];

        if (json_key_is(m, "name"))
            continue;
        buffer_append_string(&d->added, ", ");
        buffer_append(&d->added, m->key_text, m->n_key_text);
        buffer_append_string(&d->added, ": ");
        json_write(&d->added, m);
    }
}

static void add(struct doctor *d, const struct picture *client, const struct picture *server) {
    const struct json *other = NULL;

    if (find_entry(d, client->kind, client->name, client->n_name) ||
        is_added(d, client->name, client->n_name))
        return;
    if (d->kind == INTROSPECT_SCHEMA) {
        other = server ? find_entry(d, server->kind, server->name, server->n_name) : NULL;
        if (!other)
            return; /* nothing is known of its types */
    }
    if (d->n_added++ > 0 || d->list->n_items > 0)
        buffer_append_string(&d->added, ", ");
    buffer_append_string(&d->added, "{\"name\": ");
    json_write_string(&d->added, client->name, client->n_name);
    if (other)
        add_types(d, other);
    buffer_append_string(&d->added, "}");
}

static bool is_of_kind(const struct doctor *d, enum picture_kind kind) {
    switch (d->kind) {
    case INTROSPECT_COMMANDS:
        return kind == PICTURE_COMMAND;
    case INTROSPECT_EVENTS:
        return kind == PICTURE_EVENT;
    default:
        return kind == PICTURE_COMMAND || kind == PICTURE_EVENT;
    }
}

static void add_rule(struct doctor *d, const struct selection *s, const struct rule *rule) {
    enum vars_side side = selection_client_side(s, rule);
    const struct picture_list *client = &rule->side[side],
                              *server = &rule->side[side == VARS_OLD ? VARS_NEW : VARS_OLD];

    if (!is_of_kind(d, rule->kind) || client->n == 0)
        return;
    add(d, &client->picture[0], server->n > 0 ? &server->picture[0] : NULL);
}

int introspect_doctor(const struct selection *selection, enum introspect_kind kind,
                      const struct message *reply, struct buffer *text) {
    _cleanup_(buffer_deinit) struct buffer none = BUFFER_INIT;
    struct doctor d = {.kind = kind, .list = json_member(reply->root, "return")};
    size_t end;

    if (!d.list || d.list->type != JSON_ARRAY)
        return INTROSPECT_E_NOTHING;
    for (size_t i = 0; i < program_n_rules(selection->program); i++)
        if (selection_is_working(selection, program_rule(selection->program, i)))
            add_rule(&d, selection, program_rule(selection->program, i));
    none = d.added; /* freed at the end */
    if (d.n_added == 0)
        return buffer_status(&d.added) < 0 ? -ENOMEM : INTROSPECT_E_NOTHING;
    end = (size_t)(d.list->text - reply->text) + d.list->n_text - 1;
    buffer_append(text, reply->text, end);
    buffer_append(text, d.added.data, d.added.n);
    buffer_append(text, reply->text + end, reply->n_text - end);
    return d.added.failed ? -ENOMEM : buffer_status(text);
}
