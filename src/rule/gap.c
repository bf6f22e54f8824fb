#include "rule/gap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

enum { GAP_MAX_DEPTH = 24 }; /* of members in members; types are recursive */

/* kinds of JSON that a type allows */
enum {
    KIND_STRING = 1,
    KIND_INT = 2,
    KIND_NUMBER = 4,
    KIND_BOOL = 8,
    KIND_NULL = 16,
    KIND_OBJECT = 32,
    KIND_ARRAY = 64,
    KIND_ANY = 127
};

/* types of both that were compared under this command already */
struct seen {
    const struct seen *up;
    const struct json *a, *b;
};

struct search {
    struct arena *arena;
    struct schema client, server;
    struct gap_list *gaps;
    const char *of;
    bool is_event, is_read; /* is_read: from the server to the client */
    struct seen *seen;
    struct buffer path; /* of where we are */
    const char *variant;
    size_t depth;
    bool has_failed;
};

/* --- words about types ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned int kinds;
} builtin_kinds[] = {
    {"string", KIND_STRING}, {"int", KIND_INT},   {"number", KIND_NUMBER | KIND_INT},
    {"boolean", KIND_BOOL},  {"null", KIND_NULL}, {"value", KIND_ANY},
};

static unsigned int kinds_of(const struct schema *s, const struct json *type) {
    const struct json *json_type = json_member(type, "json-type");
    const struct json *members = json_member(type, "members");
    unsigned int kinds = 0;

    if (schema_is(type, "enum"))
        return KIND_STRING;
    if (schema_is(type, "array"))
        return KIND_ARRAY;
    if (schema_is(type, "object"))
        return KIND_OBJECT;
    for (size_t i = 0; json_type && i < ARRAY_SIZE(builtin_kinds); i++)
        if (json_is_string(json_type, builtin_kinds[i].name))
            return builtin_kinds[i].kinds;
    for (size_t i = 0; schema_is(type, "alternate") && members && i < members->n_items; i++)
        kinds |= kinds_of(s, schema_type(s, &members->items[i], "type"));
    return kinds ? kinds : KIND_ANY;
}

const char *gap_type_name(const struct schema *s, const struct json *type) {
    const struct json *element =
        schema_is(type, "array") ? schema_type(s, type, "element-type") : NULL;
    unsigned int kinds = kinds_of(s, type);

    if (schema_is(type, "enum"))
        return "enum";
    if (schema_is(type, "alternate"))
        return "alternate";
    if (element)
        return kinds_of(s, element) == KIND_OBJECT   ? "list of object"
               : kinds_of(s, element) == KIND_STRING ? "list of str"
               : kinds_of(s, element) == KIND_INT    ? "list of int"
                                                     : "list";
    switch (kinds) {
    case KIND_STRING:
        return "str";
    case KIND_INT:
        return "int";
    case KIND_NUMBER | KIND_INT:
        return "number";
    case KIND_BOOL:
        return "bool";
    case KIND_NULL:
        return "null";
    case KIND_OBJECT:
        return "object";
    default:
        return "any";
    }
}

/* what of a type is of this "meta-type": the type itself, or a branch of an alternate; NULL: nothing */
static const struct json *branch(const struct schema *s, const struct json *type,
                                 const char *meta_type) {
    const struct json *members = schema_is(type, "alternate") ? json_member(type, "members") : NULL;

    if (schema_is(type, meta_type))
        return type;
    for (size_t i = 0; members && i < members->n_items; i++) {
        const struct json *t = schema_type(s, &members->items[i], "type");

        if (schema_is(t, meta_type))
            return t;
    }
    return NULL;
}

static bool is_deprecated(const struct json *entry) {
    const struct json *features = entry ? json_member(entry, "features") : NULL;

    for (size_t i = 0; features && i < features->n_items; i++)
        if (json_is_string(&features->items[i], "deprecated"))
            return true;
    return false;
}

/* --- noting ------------------------------------------------------------------------------------------ */

static const char *copied(struct search *s, const char *text, size_t n) {
    const char *copy = arena_copy(s->arena, text, n);

    s->has_failed = s->has_failed || !copy;
    return copy;
}

static void note(struct search *s, enum gap_kind kind, const struct json *word, const char *was,
                 const char *is) {
    struct gap_list *l = s->gaps;
    struct gap *gap = l->gap;

    if (l->n == l->max) {
        l->max = l->max * 2 + 64;
        gap = arena_alloc(s->arena, l->max * sizeof(*gap));
        if (gap && l->n > 0)
            memcpy(gap, l->gap, l->n * sizeof(*gap));
    }
    s->has_failed = s->has_failed || !gap;
    if (s->has_failed)
        return;
    l->gap = gap;
    gap[l->n++] = (struct gap){
        .kind = kind,
        .is_event = s->is_event,
        .of = s->of,
        .path = copied(s, s->path.data ? s->path.data : "", s->path.n),
        .variant = s->variant,
        .word = word ? copied(s, word->string, word->n_string) : NULL,
        .was = was,
        .is = is,
    };
}

/* Return: how long the path was */
static size_t push(struct search *s, const struct json *name) {
    size_t n = s->path.n;

    buffer_append_string(&s->path, n > 0 ? "." : "");
    buffer_append(&s->path, name->string, name->n_string);
    return n;
}

static void pop(struct search *s, size_t n) {
    s->path.n = n;
}

/* --- words of enumerations -------------------------------------------------------------------------- */

static bool has_word(const struct json *type, const struct json *word) {
    const struct json *values = json_member(type, "values");

    for (size_t i = 0; values && i < values->n_items; i++)
        if (json_equal(&values->items[i], word))
            return true;
    return false;
}

static bool is_word_deprecated(const struct json *type, const struct json *word) {
    const struct json *members = json_member(type, "members");

    for (size_t i = 0; members && i < members->n_items; i++)
        if (json_equal(json_member(&members->items[i], "name"), word))
            return is_deprecated(&members->items[i]);
    return false;
}

/* what the one who speaks may say and the one who hears does not know */
static void compare_words(struct search *s, const struct json *a, const struct json *b) {
    const struct json *said = json_member(s->is_read ? b : a, "values");
    const struct json *heard = s->is_read ? a : b;

    for (size_t i = 0; said && i < said->n_items; i++) {
        const struct json *word = &said->items[i];

        if (!has_word(heard, word))
            note(s, s->is_read ? GAP_WORD : GAP_VALUE, word, NULL, NULL);
        else if (!s->is_read && is_word_deprecated(b, word) && !is_word_deprecated(a, word))
            note(s, GAP_DEPRECATED, word, NULL, NULL);
    }
}

/* --- members of objects -------------------------------------------------------------------------------- */

static void compare(struct search *s, const struct json *a, const struct json *b);

struct wanted {
    const struct json *name, *found;
};

static void wanted_visit(void *userdata, const struct json *member) {
    struct wanted *w = userdata;

    if (!w->found && json_equal(json_member(member, "name"), w->name))
        w->found = member;
}

/* what @type has under this name, first in its variant @tag */
static const struct json *find_member(const struct schema *s, const struct json *type,
                                      const struct json *name, const struct json *tag) {
    struct wanted w = {.name = name};

    schema_visit(s, type, tag, wanted_visit, &w);
    if (!w.found && tag)
        schema_visit(s, type, NULL, wanted_visit, &w);
    return w.found;
}

static bool is_optional(const struct json *member) {
    return json_member(member, "default") != NULL;
}

/* @b: NULL: the server has no such member */
static void compare_member(struct search *s, const struct json *a, const struct json *b) {
    size_t n = push(s, json_member(a, "name"));

    if (!b) {
        note(s, s->is_read ? GAP_MEMBER : GAP_ARGUMENT, NULL, NULL, NULL);
    } else {
        if (s->is_read && !is_optional(a) && is_optional(b))
            note(s, GAP_MAYBE, NULL, NULL, NULL);
        if (!s->is_read && is_optional(a) && !is_optional(b))
            note(s, GAP_NEEDED, NULL, NULL, NULL);
        if (is_deprecated(b) && !is_deprecated(a))
            note(s, GAP_DEPRECATED, NULL, NULL, NULL);
        compare(s, schema_type(&s->client, a, "type"), schema_type(&s->server, b, "type"));
    }
    pop(s, n);
}

/* what the server must have and the client does not know */
static void note_needed(struct search *s, const struct json *a, const struct json *members) {
    for (size_t i = 0; !s->is_read && members && i < members->n_items; i++) {
        const struct json *m = &members->items[i], *name = json_member(m, "name");
        size_t n;

        if (!name || is_optional(m) || find_member(&s->client, a, name, NULL))
            continue;
        n = push(s, name);
        note(s, GAP_NEEDED, NULL, NULL, NULL);
        pop(s, n);
    }
}

static void compare_members(struct search *s, const struct json *members, const struct json *b,
                            const struct json *tag) {
    for (size_t i = 0; members && i < members->n_items; i++)
        compare_member(s, &members->items[i],
                       find_member(&s->server, b, json_member(&members->items[i], "name"), tag));
}

static const char *variant_text(struct search *s, const struct json *type, const struct json *tag) {
    const struct json *name = schema_tag(type);
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    if (name)
        buffer_append(&b, name->string, name->n_string);
    buffer_append_string(&b, "=");
    buffer_append(&b, tag->string, tag->n_string);
    s->has_failed = s->has_failed || b.failed;
    return b.failed ? "" : copied(s, b.data, b.n);
}

static const struct json *variant_of(const struct schema *s, const struct json *type,
                                     const struct json *tag) {
    const struct json *variants = json_member(type, "variants");

    for (size_t i = 0; variants && i < variants->n_items; i++)
        if (json_equal(json_member(&variants->items[i], "case"), tag))
            return schema_type(s, &variants->items[i], "type");
    return NULL;
}

/* what the server does not know at all was told with the words of the tag */
static void compare_variants(struct search *s, const struct json *a, const struct json *b) {
    const struct json *variants = json_member(a, "variants");
    const char *variant = s->variant;

    for (size_t i = 0; variants && i < variants->n_items; i++) {
        const struct json *tag = json_member(&variants->items[i], "case");
        const struct json *type_a = schema_type(&s->client, &variants->items[i], "type");
        const struct json *type_b = variant_of(&s->server, b, tag);

        if (!type_a || (!type_b && json_member(b, "variants")))
            continue;
        s->variant = variant_text(s, a, tag);
        compare_members(s, json_member(type_a, "members"), b, tag);
        if (type_b)
            note_needed(s, a, json_member(type_b, "members"));
        s->variant = variant;
    }
}

static void compare_objects(struct search *s, const struct json *a, const struct json *b) {
    compare_members(s, json_member(a, "members"), b, NULL);
    note_needed(s, a, json_member(b, "members"));
    compare_variants(s, a, b);
}

/* --- types ------------------------------------------------------------------------------------------------ */

/* types are recursive: two are compared once under a command */
static bool is_seen(struct search *s, const struct json *a, const struct json *b) {
    struct seen *seen;

    for (const struct seen *i = s->seen; i; i = i->up)
        if (i->a == a && i->b == b)
            return true;
    seen = arena_alloc(s->arena, sizeof(*seen));
    s->has_failed = s->has_failed || !seen;
    if (seen) {
        *seen = (struct seen){s->seen, a, b};
        s->seen = seen;
    }
    return !seen;
}

static void compare_kinds(struct search *s, const struct json *a, const struct json *b) {
    unsigned int client = kinds_of(&s->client, a), server = kinds_of(&s->server, b);
    unsigned int said = s->is_read ? server : client, heard = s->is_read ? client : server;

    if (said == KIND_ANY || heard == KIND_ANY || (said & ~heard) == 0)
        return;
    note(s, GAP_TYPE, NULL, gap_type_name(&s->client, a), gap_type_name(&s->server, b));
}

static void compare_elements(struct search *s, const struct json *a, const struct json *b) {
    size_t n = s->path.n;

    buffer_append_string(&s->path, "[]");
    compare(s, schema_type(&s->client, a, "element-type"),
            schema_type(&s->server, b, "element-type"));
    pop(s, n);
}

static void compare(struct search *s, const struct json *a, const struct json *b) {
    static const struct {
        const char *meta_type;
        void (*compare)(struct search *s, const struct json *a, const struct json *b);
    } parts[] = {{"enum", compare_words}, {"object", compare_objects}, {"array", compare_elements}};

    if (!a || !b || s->depth == GAP_MAX_DEPTH || is_seen(s, a, b))
        return;
    s->depth++;
    compare_kinds(s, a, b);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const struct json *part_a = branch(&s->client, a, parts[i].meta_type);
        const struct json *part_b = branch(&s->server, b, parts[i].meta_type);

        if (part_a && part_b)
            parts[i].compare(s, part_a, part_b);
    }
    s->depth--;
}

/* --- commands and events ------------------------------------------------------------------------------------ */

static void compare_root(struct search *s, const struct json *a, const struct json *b,
                         const char *key, const char *root, bool is_read) {
    s->is_read = is_read;
    s->seen = NULL;
    s->variant = "";
    buffer_clear(&s->path);
    buffer_append_string(&s->path, root);
    compare(s, schema_type(&s->client, a, key), schema_type(&s->server, b, key));
    s->has_failed = s->has_failed || s->path.failed;
    buffer_clear(&s->path);
}

static void compare_entry(struct search *s, const struct json *a) {
    const char *meta_type = s->is_event ? "event" : "command";
    const struct json *name = json_member(a, "name");
    const struct json *b = schema_find(&s->server, meta_type, name->string, name->n_string);

    s->variant = "";
    s->of = copied(s, name->string, name->n_string);
    if (!b) {
        note(s, s->is_event ? GAP_EVENT : GAP_COMMAND, NULL, NULL, NULL);
        return;
    }
    if (is_deprecated(b) && !is_deprecated(a))
        note(s, GAP_DEPRECATED, NULL, NULL, NULL);
    compare_root(s, a, b, "arg-type", s->is_event ? "data" : "arguments", s->is_event);
    if (!s->is_event)
        compare_root(s, a, b, "ret-type", "return", true);
}

static int by_name(const void *a, const void *b) {
    const struct gap *x = a, *y = b;
    int r = x->is_event - y->is_event;

    if (r == 0)
        r = strcmp(x->of, y->of);
    if (r == 0)
        r = strcmp(x->path, y->path);
    if (r == 0)
        r = strcmp(x->variant, y->variant);
    return r ? r : (int)x->kind - (int)y->kind;
}

/* before introspection, servers told of their commands alone */
static bool has_events(const struct schema *s) {
    for (size_t i = 0; i < s->entries->n_items; i++)
        if (schema_is(&s->entries->items[i], "event"))
            return true;
    return false;
}

int gap_find(struct arena *arena, const struct schema *client, const struct schema *server,
             struct gap_list *ret) {
    struct search s = {.arena = arena, .client = *client, .server = *server, .gaps = ret};

    bool is_event_told = has_events(server);

    *ret = (struct gap_list){0};
    for (size_t i = 0; i < client->entries->n_items; i++) {
        const struct json *entry = &client->entries->items[i];

        s.is_event = schema_is(entry, "event");
        if ((s.is_event && is_event_told) || schema_is(entry, "command"))
            compare_entry(&s, entry);
    }
    s.has_failed = s.has_failed || s.path.failed;
    buffer_deinit(&s.path);
    if (ret->n > 0)
        qsort(ret->gap, ret->n, sizeof(*ret->gap), by_name);
    return s.has_failed ? -ENOMEM : 0;
}

const char *gap_kind_name(enum gap_kind kind) {
    static const char *const names[] = {
        [GAP_COMMAND] = "command",    [GAP_EVENT] = "event",
        [GAP_ARGUMENT] = "argument",  [GAP_NEEDED] = "needed",
        [GAP_MEMBER] = "member",      [GAP_MAYBE] = "may-be-absent",
        [GAP_TYPE] = "type",          [GAP_VALUE] = "value",
        [GAP_WORD] = "unknown-value", [GAP_DEPRECATED] = "deprecated",
    };

    return names[kind];
}
