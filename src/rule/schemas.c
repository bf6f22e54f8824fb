#include "rule/schemas.h"

#include <errno.h>
#include <string.h>

const struct json *schemas_versions(const struct json *file) {
    const struct json *versions = json_member(file, "versions");

    if (!json_member(file, "qmp-shim-schemas") || !versions || versions->type != JSON_ARRAY)
        return NULL;
    return versions;
}

/* versions are the letters of "in", in their order */
static bool is_in(const struct json *entry, char letter) {
    const struct json *in = json_member(entry, "in");

    return in && in->type == JSON_STRING && in->n_string > 0 &&
           memchr(in->string, letter, in->n_string);
}

static int pick(struct arena *arena, const struct json *entries, char letter, struct schema *ret) {
    struct json *list = arena_alloc(arena, sizeof(*list));
    struct json *items = arena_alloc(arena, (entries->n_items + 1) * sizeof(*items));

    if (!list || !items)
        return -ENOMEM;
    *list = *entries;
    list->items = items;
    list->n_items = 0;
    for (size_t i = 0; i < entries->n_items; i++)
        if (is_in(&entries->items[i], letter))
            items[list->n_items++] = entries->items[i];
    return schema_read(list, ret) ? SCHEMAS_E_INVALID : 0;
}

int schemas_find(struct arena *arena, const struct json *file, struct version version,
                 struct schema *ret) {
    const struct json *versions = schemas_versions(file), *entries = json_member(file, "entries");

    if (!versions || !entries || entries->type != JSON_ARRAY)
        return SCHEMAS_E_INVALID;
    for (size_t i = 0; i < versions->n_items; i++) {
        const struct json *v = &versions->items[i];
        struct version has;

        if (v->type == JSON_STRING && version_read(v->string, v->n_string, &has) == 0 &&
            has.major == version.major && has.minor == version.minor)
            return pick(arena, entries, (char)('a' + i), ret);
    }
    return SCHEMAS_E_UNKNOWN;
}
