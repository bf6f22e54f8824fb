#include "rule/schema.h"

#include <string.h>

int schema_read(const struct json *value, struct schema *ret) {
    const struct json *list = value->type == JSON_OBJECT ? json_member(value, "return") : value;

    if (!list || list->type != JSON_ARRAY)
        return SCHEMA_E_INVALID;
    for (size_t i = 0; i < list->n_items; i++) {
        const struct json *name = json_member(&list->items[i], "name"),
                          *type = json_member(&list->items[i], "meta-type");

        if (!name || !type || name->type != JSON_STRING || type->type != JSON_STRING)
            return SCHEMA_E_INVALID;
    }
    ret->entries = list;
    return 0;
}

bool schema_is(const struct json *entry, const char *meta_type) {
    const struct json *type = entry ? json_member(entry, "meta-type") : NULL;

    return type && json_is_string(type, meta_type);
}

static bool is_called(const struct json *entry, const char *name, size_t n_name) {
    const struct json *value = json_member(entry, "name");

    return value->n_string == n_name && memcmp(value->string, name, n_name) == 0;
}

const struct json *schema_find(const struct schema *s, const char *meta_type, const char *name,
                               size_t n_name) {
    for (size_t i = 0; i < s->entries->n_items; i++)
        if (is_called(&s->entries->items[i], name, n_name) &&
            schema_is(&s->entries->items[i], meta_type))
            return &s->entries->items[i];
    return NULL;
}

const struct json *schema_type(const struct schema *s, const struct json *entry, const char *key) {
    const struct json *name = json_member(entry, key);

    if (!name || name->type != JSON_STRING)
        return NULL;
    for (size_t i = 0; i < s->entries->n_items; i++) {
        const struct json *e = &s->entries->items[i];

        if (is_called(e, name->string, name->n_string) && !schema_is(e, "command") &&
            !schema_is(e, "event"))
            return e;
    }
    return NULL;
}

static void visit_members(const struct json *type, schema_visit_fn visit, void *userdata) {
    const struct json *members = type ? json_member(type, "members") : NULL;

    for (size_t i = 0; members && i < members->n_items; i++)
        visit(userdata, &members->items[i]);
}

const struct json *schema_tag(const struct json *type) {
    const struct json *tag = json_member(type, "tag");

    return tag && tag->type == JSON_STRING ? tag : NULL;
}

void schema_visit(const struct schema *s, const struct json *type, const struct json *tag_value,
                  schema_visit_fn visit, void *userdata) {
    const struct json *variants = json_member(type, "variants");

    visit_members(type, visit, userdata);
    for (size_t i = 0; variants && i < variants->n_items; i++) {
        const struct json *value = json_member(&variants->items[i], "case");

        if (!tag_value || (value && json_equal(value, tag_value)))
            visit_members(schema_type(s, &variants->items[i], "type"), visit,
                          userdata); /* which has no variants of its own */
    }
}
