#include "rule/examples.h"

#include <stdio.h>

#include "base/util.h"

struct examples {
    const struct diag_source *source;
    struct diag_set *diags;
    bool is_invalid;
};

static void fault(struct examples *e, const struct json *value, const char *way_out,
                  const char *message) {
    diag_add(e->diags, DIAG_ERROR, e->source, (size_t)(value->text - e->source->text),
             value->n_text, way_out, "%s", message);
    e->is_invalid = true;
}

static void fault_key(struct examples *e, const struct json *member, const char *const *known) {
    const char *near = diag_suggest(member->key, member->n_key, known);
    char way_out[64];

    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    diag_add(
        e->diags, DIAG_ERROR, e->source, (size_t)(member->key_text - e->source->text),
        member->n_key_text,
        near
            ? way_out
            : "an example has old, new, one-way, ask, then, finally, emit, emit-before, until and first",
        "unknown key \"%.*s\" in an example", (int)member->n_key, member->key);
    e->is_invalid = true;
}

static bool is_message(const struct json *value) {
    static const char *const kinds[] = {"execute", "exec-oob", "event", "error", "QMP"};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (json_member(value, kinds[i]))
            return true;
    return false;
}

static void check_message(struct examples *e, const struct json *value) {
    if (!is_message(value))
        fault(e, value, "a message has \"execute\", \"exec-oob\", \"event\", \"error\" or \"QMP\"",
              "this is no message");
}

static void check_messages(struct examples *e, const struct json *value) {
    if (value->type != JSON_ARRAY)
        check_message(e, value);
    for (size_t i = 0; value->type == JSON_ARRAY && i < value->n_items; i++)
        check_message(e, &value->items[i]);
}

static void check_side(struct examples *e, const struct json *value) {
    if (value->type != JSON_NULL)
        check_messages(e, value);
}

static void check_one_way(struct examples *e, const struct json *value) {
    if (value->type != JSON_BOOL && !json_is_string(value, "old-client") &&
        !json_is_string(value, "new-client"))
        fault(e, value, "true is the same as \"old-client\"",
              "\"one-way\" is true, \"old-client\" or \"new-client\"");
}

static void check_list(struct examples *e, const struct json *value);

static const struct {
    const char *key;
    void (*check)(struct examples *e, const struct json *value);
} keys[] = {
    {"old", check_side},         {"new", check_side},
    {"one-way", check_one_way},  {"ask", check_messages},
    {"then", check_messages},    {"emit", check_messages},
    {"until", check_messages},   {"emit-before", check_messages},
    {"finally", check_messages}, {"first", check_list},
};

static void check_member(struct examples *e, const struct json *member) {
    const char *known[ARRAY_SIZE(keys) + 1] = {NULL};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        known[i] = keys[i].key;
        if (json_key_is(member, keys[i].key)) {
            keys[i].check(e, member);
            return;
        }
    }
    fault_key(e, member, known);
}

static void check_example(struct examples *e, const struct json *value) {
    if (value->type != JSON_OBJECT || !json_member(value, "old") || !json_member(value, "new")) {
        fault(e, value, "{\"old\": message, \"new\": message}",
              "an example shows a message on both sides");
        return;
    }
    for (size_t i = 0; i < value->n_items; i++)
        check_member(e, &value->items[i]);
}

static void check_list(struct examples *e, const struct json *value) {
    if (value->type != JSON_ARRAY)
        fault(e, value, "[{\"old\": message, \"new\": message}]", "examples stand in a list");
    for (size_t i = 0; value->type == JSON_ARRAY && i < value->n_items; i++)
        check_example(e, &value->items[i]);
}

int examples_check(const struct json *value, const struct diag_source *source,
                   struct diag_set *diags) {
    struct examples e = {source, diags, false};

    check_list(&e, value);
    return e.is_invalid ? EXAMPLES_E_INVALID : 0;
}
