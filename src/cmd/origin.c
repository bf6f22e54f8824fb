#include "cmd/origin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "cmd/probe.h"
#include "cmd/rules.h"
#include "json/reader.h"
#include "rule/schemas.h"

#define ORIGIN_SCHEMAS DATADIR "/schemas.json"

static int origin_failed(const char *name, const char *why) {
    fprintf(stderr, "qmp-shim: %s: %s\n", name, why);
    return ORIGIN_E_FAILED;
}

/* Return: 0, -ENOMEM, ORIGIN_E_FAILED */
static int origin_read_json(struct arena *arena, const char *path, struct json **ret) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct json_fault fault;
    const char *text;
    int r;

    r = rules_read_file(path, &b);
    if (r)
        return r < 0 ? r : ORIGIN_E_FAILED;
    text = arena_copy(arena, b.data ? b.data : "", b.n);
    r = text ? json_read(arena, text, b.n, false, ret, &fault) : -ENOMEM;
    return r > 0 ? origin_failed(path, fault.message) : r;
}

/* --- a list of names, as older servers have it ------------------------------------------------------- */

static const struct json *origin_word(struct arena *arena, const char *key, const char *text) {
    struct json *v = arena_alloc(arena, sizeof(*v));

    if (v)
        *v = (struct json){.type = JSON_STRING,
                           .text = text,
                           .n_text = strlen(text),
                           .string = text,
                           .n_string = strlen(text),
                           .key = key,
                           .n_key = strlen(key)};
    return v;
}

/* a command without types.  Return: 0 or -ENOMEM */
static int origin_add_meta(struct arena *arena, struct json *entry) {
    const struct json *word = origin_word(arena, "meta-type", "command");
    struct json *items = arena_alloc(arena, (entry->n_items + 1) * sizeof(*items));

    if (!word || !items)
        return -ENOMEM;
    if (entry->n_items > 0)
        memcpy(items, entry->items, entry->n_items * sizeof(*items));
    items[entry->n_items] = *word;
    entry->items = items;
    entry->n_items++;
    return 0;
}

/* Return: 0, -ENOMEM, ORIGIN_E_FAILED */
static int origin_take(struct arena *arena, const char *path, struct json *value,
                       struct schema *ret) {
    const struct json *found = value->type == JSON_OBJECT ? json_member(value, "return") : value;
    int r = 0;

    for (size_t i = 0; found && found->type == JSON_ARRAY && i < found->n_items && r == 0; i++)
        if (json_member(&found->items[i], "name") && !json_member(&found->items[i], "meta-type"))
            r = origin_add_meta(arena, &found->items[i]);
    if (r < 0)
        return r;
    return schema_read(value, ret)
               ? origin_failed(path, "this is no reply to query-qmp-schema or query-commands")
               : 0;
}

/* --- where it stands --------------------------------------------------------------------------------- */

static int origin_read_file(struct arena *arena, const char *path, struct origin *ret) {
    struct json *value;
    int r;

    r = origin_read_json(arena, path, &value);
    return r ? r : origin_take(arena, path, value, &ret->schema);
}

static void origin_take_greeting(struct arena *arena, const char *path, struct origin *ret) {
    struct json *value;

    if (access(path, R_OK) == 0 && origin_read_json(arena, path, &value) == 0)
        ret->has_version = version_read_greeting(value, &ret->version) == 0;
}

static int origin_read_folder(struct arena *arena, const char *folder, struct origin *ret) {
    static const char *const files[] = {"query-qmp-schema.json", "query-commands.json"};
    char path[4096];

    snprintf(path, sizeof(path), "%s/greeting.json", folder);
    origin_take_greeting(arena, path, ret);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (snprintf(path, sizeof(path), "%s/%s", folder, files[i]) >= (int)sizeof(path))
            break;
        if (access(path, F_OK) == 0)
            return origin_read_file(arena, path, ret);
    }
    return origin_failed(folder, "neither query-qmp-schema.json nor query-commands.json is there");
}

static int origin_ask(struct arena *arena, const char *path, struct origin *ret) {
    struct probe probe;
    int r;

    r = probe_server(arena, path, &probe);
    if (r)
        return r < 0 ? r : ORIGIN_E_FAILED;
    ret->has_version = probe.has_version;
    ret->version = probe.version;
    return schema_read(probe.schema, &ret->schema)
               ? origin_failed(path, "this is no reply to query-qmp-schema")
               : 0;
}

static int origin_unknown(const char *name, const char *path, const struct json *file) {
    const struct json *versions = schemas_versions(file);

    fprintf(stderr, "qmp-shim: %s has not got version %s; it has", path, name);
    for (size_t i = 0; versions && i < versions->n_items; i++)
        fprintf(stderr, " %.*s", (int)versions->items[i].n_string, versions->items[i].string);
    fputc('\n', stderr);
    return ORIGIN_E_FAILED;
}

static int origin_find_version(struct arena *arena, struct origin *ret) {
    const char *path = getenv("QMP_SHIM_SCHEMAS");
    struct json *file;
    int r;

    ret->has_version = true;
    path = path ? path : ORIGIN_SCHEMAS;
    r = origin_read_json(arena, path, &file);
    if (r)
        return r;
    r = schemas_find(arena, file, ret->version, &ret->schema);
    if (r == SCHEMAS_E_UNKNOWN)
        return origin_unknown(ret->name, path, file);
    return r > 0 ? origin_failed(path, "this is no file of schemas") : r;
}

int origin_read(struct arena *arena, const char *name, struct origin *ret) {
    struct stat st;

    *ret = (struct origin){.name = name};
    if (version_read(name, strlen(name), &ret->version) == 0)
        return origin_find_version(arena, ret);
    if (stat(name, &st) < 0)
        return origin_failed(name, strerror(errno));
    if (S_ISSOCK(st.st_mode))
        return origin_ask(arena, name, ret);
    return S_ISDIR(st.st_mode) ? origin_read_folder(arena, name, ret)
                               : origin_read_file(arena, name, ret);
}
