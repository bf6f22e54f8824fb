#include "rule/introspect.h"

#include <errno.h>
#include <string.h>

#include "json/writer.h"

/* by lengths, since it is asked of every command */
enum introspect_kind introspect_find(const char *name, size_t n_name) {
    switch (n_name) {
    case 12:
        return memcmp(name, "query-events", 12) == 0 ? INTROSPECT_EVENTS : INTROSPECT_NONE;
    case 14:
        return memcmp(name, "query-commands", 14) == 0 ? INTROSPECT_COMMANDS : INTROSPECT_NONE;
    case 16:
        return memcmp(name, "query-qmp-schema", 16) == 0 ? INTROSPECT_SCHEMA : INTROSPECT_NONE;
    default:
        return INTROSPECT_NONE;
    }
}

/* a name that the client finds in the list */
struct listed {
    const char *name; /* NULL: this slot is free */
    size_t n_name;
    const struct json *entry; /* NULL: it is one that was added */
};

struct doctor {
    enum introspect_kind kind;
    const struct json *list;
    struct listed *listed; /* hashed by name */
    size_t n_slots;        /* a power of two, at most half of them used */
    struct buffer added;
    size_t n_added;
};

static bool is_meta(const struct json *entry, enum picture_kind kind) {
    return json_is_string(json_member(entry, "meta-type"),
                          kind == PICTURE_COMMAND ? "command" : "event");
}

static size_t hash_name(const char *name, size_t n) {
    size_t h = 5381;

    for (size_t i = 0; i < n; i++)
        h = h * 33 ^ (unsigned char)name[i];
    return h;
}

static void list_name(struct doctor *d, const char *name, size_t n_name, const struct json *entry) {
    size_t k = hash_name(name, n_name);

    while (d->listed[k & (d->n_slots - 1)].name)
        k++;
    d->listed[k & (d->n_slots - 1)] = (struct listed){name, n_name, entry};
}

/* a reply has hundreds of entries, and each rule asks for two: so they are hashed, and not searched */
static int list_names(struct doctor *d, struct arena *arena, size_t n_rules) {
    for (d->n_slots = 16; d->n_slots < (d->list->n_items + n_rules) * 2;)
        d->n_slots *= 2;
    d->listed = arena_alloc(arena, d->n_slots * sizeof(*d->listed));
    if (!d->listed)
        return -ENOMEM;
    for (size_t i = 0; i < d->list->n_items; i++) {
        const struct json *name = json_member(&d->list->items[i], "name");

        if (name && name->type == JSON_STRING)
            list_name(d, name->string, name->n_string, &d->list->items[i]);
    }
    return 0;
}

/* the next of this name from slot @k on; NULL: there is none */
static const struct listed *find_name(const struct doctor *d, const char *name, size_t n_name,
                                      size_t *k) {
    for (;; ++*k) {
        const struct listed *l = &d->listed[*k & (d->n_slots - 1)];

        if (!l->name)
            return NULL;
        if (l->n_name == n_name && memcmp(l->name, name, n_name) == 0)
            return l;
    }
}

/* Return: the first entry of this name that came in the reply */
static const struct json *find_entry(const struct doctor *d, enum picture_kind kind,
                                     const char *name, size_t n_name) {
    size_t k = hash_name(name, n_name);

    for (const struct listed *l; (l = find_name(d, name, n_name, &k)); k++)
        if (l->entry && (d->kind != INTROSPECT_SCHEMA || is_meta(l->entry, kind)))
            return l->entry;
    return NULL;
}

/* the same name may be added by several rules */
static bool is_added(const struct doctor *d, const char *name, size_t n_name) {
    size_t k = hash_name(name, n_name);

    for (const struct listed *l; (l = find_name(d, name, n_name, &k)); k++)
        if (!l->entry)
            return true;
    return false;
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
    list_name(d, client->name, client->n_name, NULL);
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

static void doctor_deinit(struct doctor *d) {
    buffer_deinit(&d->added);
}

int introspect_doctor(const struct selection *selection, enum introspect_kind kind,
                      const struct message *reply, struct buffer *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    _cleanup_(doctor_deinit) struct doctor d = {.kind = kind,
                                                .list = json_member(reply->root, "return")};
    size_t end;

    if (!d.list || d.list->type != JSON_ARRAY)
        return INTROSPECT_E_NOTHING;
    if (list_names(&d, &arena, program_n_rules(selection->program)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < program_n_rules(selection->program); i++)
        if (selection_is_working(selection, program_rule(selection->program, i)))
            add_rule(&d, selection, program_rule(selection->program, i));
    if (d.n_added == 0)
        return buffer_status(&d.added) < 0 ? -ENOMEM : INTROSPECT_E_NOTHING;
    end = (size_t)(d.list->text - reply->text) + d.list->n_text - 1;
    buffer_append(text, reply->text, end);
    buffer_append(text, d.added.data, d.added.n);
    buffer_append(text, reply->text + end, reply->n_text - end);
    return d.added.failed ? -ENOMEM : buffer_status(text);
}
