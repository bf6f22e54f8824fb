#include "rule/load_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void load_fault(struct load *l, const struct json *value, const char *way_out,
                const char *message) {
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(value->text - l->source->text),
             value->n_text, way_out, "%s", message);
    l->is_invalid = true;
}

void load_fault_key(struct load *l, const struct json *member, const char *const *known) {
    const char *near = diag_suggest(member->key, member->n_key, known);
    char way_out[400];
    size_t n = 0;

    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    else
        for (n = (size_t)snprintf(way_out, sizeof(way_out), "known are");
             *known && n < sizeof(way_out); known++)
            n += (size_t)snprintf(way_out + n, sizeof(way_out) - n, " %s", *known);
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(member->key_text - l->source->text),
             member->n_key_text, way_out, "unknown key \"%.*s\"", (int)member->n_key, member->key);
    l->is_invalid = true;
}

/* @value, perhaps a member, is not what it must be */
void load_fault_value(struct load *l, const struct json *value, const char *way_out,
                      const char *wanted) {
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(value->text - l->source->text),
             value->n_text, way_out, "%s%.*s%s must be %s", value->key ? "\"" : "this",
             (int)value->n_key, value->key ? value->key : "", value->key ? "\"" : "", wanted);
    l->is_invalid = true;
}

/* fold the outcome of a compiler: its diagnostic is there, reading goes on */
int load_fold(struct load *l, int r) {
    if (r > 0)
        l->is_invalid = true;
    return r < 0 ? r : 0;
}

int load_string(struct load *l, const struct json *value, const char **ret) {
    if (value->type != JSON_STRING || memchr(value->string, '\0', value->n_string)) {
        load_fault_value(l, value, "in double quotation marks", "a string");
        *ret = "";
        return 0;
    }
    *ret = arena_copy(l->arena, value->string, value->n_string);
    return *ret ? 0 : -ENOMEM;
}

void load_version(struct load *l, const struct json *value, bool *ret_has, struct version *ret) {
    if (value->type == JSON_STRING && version_read(value->string, value->n_string, ret) == 0)
        *ret_has = true;
    else
        load_fault(l, value, "for example \"2.12\" or \"0.12.1\"", "this is no version number");
}

/* a name or a list of names, NULL-terminated */
int load_names(struct load *l, const struct json *value, const char ***ret) {
    const struct json *items = value->type == JSON_ARRAY ? value->items : value;
    size_t n = value->type == JSON_ARRAY ? value->n_items : 1;
    int r;

    if (n == 0)
        load_fault(l, value, "name at least one command", "this list cannot be empty");
    *ret = arena_alloc(l->arena, (n + 1) * sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = load_string(l, &items[i], &(*ret)[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

void load_fault_at_key(struct load *l, const struct json *member, const char *way_out,
                       const char *message) {
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(member->key_text - l->source->text),
             member->n_key_text, way_out, "%s", message);
    l->is_invalid = true;
}
