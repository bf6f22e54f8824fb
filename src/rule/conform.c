#include "rule/conform.h"

#include <errno.h>
#include <string.h>

#include "rule/vars.h"
#include "json/writer.h"

/* types in a schema may refer to each other for ever; a command's arguments are not deeper than this */
enum { CONFORM_MAX_DEPTH = 32 };

struct conform {
    struct arena *arena;
    const struct json *types; /* the list of schema entries */
    struct buffer *text;
    size_t n_changed;
};

static int write_scalar(struct conform *c, const struct json *value, enum vars_type type) {
    const struct json *cast = value;
    int r = 0;

    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT && value->type != JSON_NULL)
        r = vars_cast(c->arena, type, value, &cast);
    if (r < 0)
        return r;
    c->n_changed += r == 0 && cast != value;
    json_write(c->text, r == 0 ? cast : value);
    return 0;
}

static void begin_member(struct conform *c, const struct json *member, size_t i) {
    buffer_append_string(c->text, i > 0 ? ", " : "");
    buffer_append(c->text, member->key_text, member->n_key_text);
    buffer_append_string(c->text, ": ");
}

/* --- by schema ----------------------------------------------------------------------------------- */

static const struct json *find_type(const struct conform *c, const struct json *name) {
    for (size_t i = 0; name && name->type == JSON_STRING && i < c->types->n_items; i++) {
        const struct json *entry = &c->types->items[i], *m = json_member(entry, "name");

        if (m && json_equal(m, name))
            return entry;
    }
    return NULL;
}

static const struct json *find_member(const struct json *members, const struct json *value) {
    for (size_t i = 0; members && members->type == JSON_ARRAY && i < members->n_items; i++) {
        const struct json *name = json_member(&members->items[i], "name");

        if (name && name->type == JSON_STRING && name->n_string == value->n_key &&
            memcmp(name->string, value->key, value->n_key) == 0)
            return json_member(&members->items[i], "type");
    }
    return NULL;
}

/* of a union, the members that the tag's value adds */
static const struct json *find_variant(const struct conform *c, const struct json *type,
                                       const struct json *object) {
    const struct json *tag = json_member(type, "tag"), *variants = json_member(type, "variants");
    const struct json *value =
        tag && tag->type == JSON_STRING ? json_member_n(object, tag->string, tag->n_string) : NULL;

    for (size_t i = 0; value && variants && variants->type == JSON_ARRAY && i < variants->n_items;
         i++) {
        const struct json *tag_value = json_member(&variants->items[i], "case");

        if (tag_value && json_equal(tag_value, value))
            return find_type(c, json_member(&variants->items[i], "type"));
    }
    return NULL;
}

static int write_typed(struct conform *c, const struct json *value, const struct json *type,
                       size_t depth);

static int write_object(struct conform *c, const struct json *value, const struct json *type,
                        size_t depth) {
    const struct json *variant = find_variant(c, type, value);

    buffer_append_string(c->text, "{");
    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *m = &value->items[i];
        const struct json *name = find_member(json_member(type, "members"), m);
        int r;

        if (!name && variant)
            name = find_member(json_member(variant, "members"), m);
        begin_member(c, m, i);
        r = write_typed(c, m, find_type(c, name), depth + 1);
        if (r < 0)
            return r;
    }
    buffer_append_string(c->text, "}");
    return 0;
}

static int write_array(struct conform *c, const struct json *value, const struct json *type,
                       size_t depth) {
    const struct json *element = find_type(c, json_member(type, "element-type"));

    buffer_append_string(c->text, "[");
    for (size_t i = 0; i < value->n_items; i++) {
        int r;

        buffer_append_string(c->text, i > 0 ? ", " : "");
        r = write_typed(c, &value->items[i], element, depth + 1);
        if (r < 0)
            return r;
    }
    buffer_append_string(c->text, "]");
    return 0;
}

static int write_builtin(struct conform *c, const struct json *value, const struct json *type) {
    static const struct {
        const char *json_type;
        enum vars_type type;
    } types[] = {
        {"string", VARS_STR}, {"int", VARS_INT}, {"number", VARS_NUMBER}, {"boolean", VARS_BOOL}};
    const struct json *json_type = json_member(type, "json-type");

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (json_type && json_is_string(json_type, types[i].json_type))
            return write_scalar(c, value, types[i].type);
    return write_scalar(c, value, VARS_ANY);
}

static int write_typed(struct conform *c, const struct json *value, const struct json *type,
                       size_t depth) {
    const struct json *meta = type ? json_member(type, "meta-type") : NULL;

    if (meta && depth < CONFORM_MAX_DEPTH) {
        if (json_is_string(meta, "builtin"))
            return write_builtin(c, value, type);
        if (json_is_string(meta, "object") && value->type == JSON_OBJECT)
            return write_object(c, value, type, depth);
        if (json_is_string(meta, "array") && value->type == JSON_ARRAY)
            return write_array(c, value, type, depth);
    }
    return write_scalar(c, value, VARS_ANY);
}

static const struct json *find_command(const struct conform *c, const struct message *command) {
    for (size_t i = 0; i < c->types->n_items; i++) {
        const struct json *entry = &c->types->items[i], *name = json_member(entry, "name");

        if (name && name->type == JSON_STRING && name->n_string == command->n_name &&
            memcmp(name->string, command->name, command->n_name) == 0 &&
            json_is_string(json_member(entry, "meta-type"), "command"))
            return entry;
    }
    return NULL;
}

/* --- the command around its arguments --------------------------------------------------------------- */

/* Return: 0, -ENOMEM, CONFORM_E_NOTHING; @arguments is what c->text holds */
static int replace_arguments(const struct conform *c, const struct message *command,
                             const struct json *arguments, struct buffer *text) {
    size_t at = (size_t)(arguments->text - command->text);

    if (buffer_status(c->text) < 0)
        return -ENOMEM;
    if (c->n_changed == 0)
        return CONFORM_E_NOTHING;
    buffer_append(text, command->text, at);
    buffer_append(text, c->text->data, c->text->n);
    buffer_append(text, command->text + at + arguments->n_text,
                  command->n_text - at - arguments->n_text);
    return buffer_status(text);
}

static const struct json *arguments_of(const struct message *command) {
    const struct json *arguments = json_member(command->root, "arguments");

    return arguments && arguments->type == JSON_OBJECT ? arguments : NULL;
}

int conform_by_schema(struct arena *arena, const struct json *schema, const struct message *command,
                      struct buffer *text) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct conform c = {arena, json_member(schema, "return"), &b, 0};
    const struct json *arguments = arguments_of(command), *entry, *type;
    int r;

    if (!arguments || !c.types || c.types->type != JSON_ARRAY)
        return CONFORM_E_NOTHING;
    entry = find_command(&c, command);
    type = entry ? find_type(&c, json_member(entry, "arg-type")) : NULL;
    if (!type)
        return CONFORM_E_NOTHING;
    r = write_typed(&c, arguments, type, 0);
    return r < 0 ? r : replace_arguments(&c, command, arguments, text);
}

/* --- by a list of names and types ---------------------------------------------------------------------- */

/* QOM's names of types, as far as they are scalars */
static enum vars_type scalar_type(const struct json *type) {
    static const struct {
        const char *name;
        enum vars_type type;
    } names[] = {
        {"bool", VARS_BOOL},     {"boolean", VARS_BOOL}, {"int", VARS_INT},    {"int8", VARS_INT},
        {"int16", VARS_INT},     {"int32", VARS_INT},    {"int64", VARS_INT},  {"uint8", VARS_INT},
        {"uint16", VARS_INT},    {"uint32", VARS_INT},   {"uint64", VARS_INT}, {"size", VARS_INT},
        {"number", VARS_NUMBER}, {"str", VARS_STR},      {"string", VARS_STR},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (json_is_string(type, names[i].name))
            return names[i].type;
    return VARS_ANY;
}

static bool is_excepted(const struct rule *rule, const struct json *member) {
    for (size_t i = 0; rule->conform_except && i < rule->conform_except->n_items; i++) {
        const struct json *name = &rule->conform_except->items[i];

        if (name->type == JSON_STRING && name->n_string == member->n_key &&
            memcmp(name->string, member->key, member->n_key) == 0)
            return true;
    }
    return false;
}

static enum vars_type listed_type(const struct rule *rule, const struct json *list,
                                  const struct json *member) {
    for (size_t i = 0; !is_excepted(rule, member) && i < list->n_items; i++) {
        const struct json *name =
            json_member_n(&list->items[i], rule->conform_name, strlen(rule->conform_name));
        const struct json *type =
            json_member_n(&list->items[i], rule->conform_type, strlen(rule->conform_type));

        if (name && type && name->type == JSON_STRING && name->n_string == member->n_key &&
            memcmp(name->string, member->key, member->n_key) == 0)
            return scalar_type(type);
    }
    return VARS_ANY;
}

int conform_by_list(struct arena *arena, const struct rule *rule, const struct json *reply,
                    const struct message *command, struct buffer *text) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const struct json *list = json_member(reply, "return"), *arguments = arguments_of(command);
    struct conform c = {arena, list, &b, 0};

    if (!arguments || !list || list->type != JSON_ARRAY)
        return CONFORM_E_NOTHING;
    buffer_append_string(&b, "{");
    for (size_t i = 0; i < arguments->n_items; i++) {
        const struct json *m = &arguments->items[i];
        int r;

        begin_member(&c, m, i);
        r = write_scalar(&c, m, listed_type(rule, list, m));
        if (r < 0)
            return r;
    }
    buffer_append_string(&b, "}");
    return replace_arguments(&c, command, arguments, text);
}
