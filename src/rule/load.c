#include "rule/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "json/number.h"
#include "json/reader.h"
#include "rule/load_parts.h"
#include "rule/todo.h"

enum { LOAD_LANGUAGE_VERSION = 1 };

static int file_language(struct load *l, const struct json *value) {
    struct number n;

    if (value->type != JSON_NUMBER || number_read(value->text, value->n_text, &n) ||
        !number_equal(n, (struct number){.mantissa = LOAD_LANGUAGE_VERSION}))
        load_fault(l, value, "write 1", "unknown version of the rule language");
    return 0;
}

static int file_name(struct load *l, const struct json *value) {
    return load_string(l, value, &l->file->name);
}

static int file_summary(struct load *l, const struct json *value) {
    return load_string(l, value, &l->file->summary);
}

static int file_text(struct load *l, const struct json *value) {
    const char *text;

    return load_string(l, value, &text);
}

static int file_new_since(struct load *l, const struct json *value) {
    load_version(l, value, &l->file->has_new_since, &l->file->new_since);
    return 0;
}

static int file_old_until(struct load *l, const struct json *value) {
    load_version(l, value, &l->file->has_old_until, &l->file->old_until);
    return 0;
}

static int file_new_with(struct load *l, const struct json *value) {
    return load_string(l, value, &l->file->new_with);
}

static int file_default(struct load *l, const struct json *value) {
    if (!json_is_string(value, "deny") && !json_is_string(value, "pass"))
        load_fault(l, value, "\"deny\" refuses every command that no rule mentions",
                   "\"default\" is \"pass\" or \"deny\"");
    l->file->is_deny = json_is_string(value, "deny");
    return 0;
}

static int compare_names(const void *a, const void *b) {
    const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;
    int c = memcmp(x->string, y->string, size_min(x->n_string, y->n_string));

    if (c == 0)
        c = (x->n_string > y->n_string) - (x->n_string < y->n_string);
    return c ? c : (x->text > y->text) - (x->text < y->text);
}

static int compare_places(const void *a, const void *b) {
    const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;

    return (x->text > y->text) - (x->text < y->text);
}

/* two rules of one name cannot be told apart in the log.  Sorted, because there may be very many */
static int check_names(struct load *l, const struct json *rules) {
    _cleanup_(freep) const struct json **names = calloc(rules->n_items + 1, sizeof(*names));
    size_t n = 0, n_twice = 0;

    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < rules->n_items; i++) {
        const struct json *name = json_member(&rules->items[i], "name");

        if (name && name->type == JSON_STRING)
            names[n++] = name;
    }
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = n; i > 1; i--) /* from the end, over what was looked at */
        if (json_equal(names[i - 1], names[i - 2]))
            names[n - ++n_twice] = names[i - 1];
    qsort(names + n - n_twice, n_twice, sizeof(*names), compare_places);
    for (size_t i = n - n_twice; i < n; i++)
        load_fault(l, names[i], "a name is unique in its file", "another rule above has this name");
    return 0;
}

static int file_rules(struct load *l, const struct json *value) {
    bool was_invalid = l->is_invalid, is_invalid = false;
    int r;

    if (value->type != JSON_ARRAY) {
        load_fault(l, value, "[{\"name\": …, \"old\": …, \"new\": …}]", "\"rules\" must be a list");
        return 0;
    }
    l->file->rules = arena_alloc(l->arena, (value->n_items + 1) * sizeof(*l->file->rules));
    if (!l->file->rules)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        l->is_invalid = false;
        r = load_rule(l, &value->items[i], &l->file->rules[l->file->n_rules]);
        if (r < 0)
            return r;
        if (!l->is_invalid)
            l->file->n_rules++;
        else
            l->file->rules[l->file->n_rules] = (struct rule){0};
        is_invalid = is_invalid || l->is_invalid;
    }
    l->is_invalid = was_invalid || is_invalid;
    return check_names(l, value);
}

static const struct {
    const char *key;
    int (*read)(struct load *l, const struct json *value);
    bool is_needed;
} file_keys[] = {
    {"$schema", file_text, false},
    {"qmp-shim-rules", file_language, true},
    {"name", file_name, true},
    {"summary", file_summary, false},
    {"old", file_text, false},
    {"new", file_text, false},
    {"new-since", file_new_since, false},
    {"old-until", file_old_until, false},
    {"new-with", file_new_with, false},
    {"default", file_default, false},
    {"rules", file_rules, true},
};

static void check_file_keys(struct load *l, const struct json *root) {
    const char *known[ARRAY_SIZE(file_keys) + 1] = {NULL};

    for (size_t i = 0; i < ARRAY_SIZE(file_keys); i++)
        known[i] = file_keys[i].key;
    for (size_t i = 0; i < root->n_items; i++) {
        bool is_known = false;

        for (size_t k = 0; k < ARRAY_SIZE(file_keys); k++)
            is_known = is_known || json_key_is(&root->items[i], file_keys[k].key);
        if (!is_known)
            load_fault_key(l, &root->items[i], known);
    }
}

static int read_file_members(struct load *l, const struct json *root) {
    int r;

    check_file_keys(l, root);
    for (size_t i = 0; i < ARRAY_SIZE(file_keys); i++) {
        const struct json *m = json_member(root, file_keys[i].key);

        r = m ? file_keys[i].read(l, m) : 0;
        if (r < 0)
            return r;
        if (!m && file_keys[i].is_needed) {
            diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(root->text - l->source->text), 1,
                     "a rule file begins {\"qmp-shim-rules\": 1, \"name\": …, \"rules\": [",
                     "this file has no \"%s\"", file_keys[i].key);
            l->is_invalid = true;
        }
    }
    return 0;
}

static void check_file_versions(struct load *l, const struct json *root) {
    if (l->file->has_new_since && l->file->has_old_until &&
        version_compare(l->file->new_since, l->file->old_until) > 0)
        load_fault(
            l, json_member(root, "new-since"),
            "\"new-since\" is the first version with the new form, \"old-until\" the first without the old one",
            "\"new-since\" is later than \"old-until\": in between a server would have neither form");
}

int load_file(struct arena *arena, const struct diag_source *source, struct rule_file *ret_file,
              struct diag_set *diags) {
    struct load l = {arena, source, diags, ret_file, false};
    struct json_fault where;
    struct json *root;
    int r;

    *ret_file = (struct rule_file){.source = source, .name = source->path};
    r = json_read(arena, source->text, source->n_text, true, &root, &where);
    if (r < 0)
        return r;
    if (r > 0) {
        diag_add(diags, DIAG_ERROR, source, where.at, where.n, NULL, "%s", where.message);
        return LOAD_E_INVALID;
    }
    if (root->type != JSON_OBJECT) {
        load_fault(&l, root, "a rule file begins {\"qmp-shim-rules\": 1, \"name\": …, \"rules\": [",
                   "a rule file must be one object");
        return LOAD_E_INVALID;
    }
    r = read_file_members(&l, root);
    if (r < 0)
        return r;
    check_file_versions(&l, root);
    todo_find(ret_file, diags);
    return l.is_invalid ? LOAD_E_INVALID : 0;
}
