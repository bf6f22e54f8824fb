#include "rule/picture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rule/fdshape.h"

static int fault(struct pattern_compiler *c, const struct json *value, const char *way_out,
                 const char *message) {
    diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(value->text - c->source->text),
             value->n_text, way_out, "%s", message);
    return PICTURE_E_INVALID;
}

const char *picture_kind_name(enum picture_kind kind) {
    static const char *const names[] = {
        [PICTURE_COMMAND] = "a command",
        [PICTURE_EVENT] = "an event",
        [PICTURE_ERROR] = "an error",
        [PICTURE_GREETING] = "a greeting",
    };

    return names[kind];
}

/* which key makes a picture what it is, and which others it may have */
static const struct {
    enum picture_kind kind;
    const char *key;
    const char *keys[7];
} kinds[] = {
    {PICTURE_COMMAND, "execute", {"execute", "arguments", "fd", "until", "return", "error", NULL}},
    {PICTURE_EVENT, "event", {"event", "data", NULL}},
    {PICTURE_GREETING, "QMP", {"QMP", NULL}},
    {PICTURE_ERROR, "error", {"error", NULL}},
};

static int find_kind(const struct json *value) {
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (json_member(value, kinds[i].key))
            return (int)i;
    return -1;
}

static bool is_known(const char *const *keys, const struct json *member) {
    for (; *keys; keys++)
        if (json_key_is(member, *keys))
            return true;
    return false;
}

static int check_keys(struct pattern_compiler *c, const struct json *value, size_t kind) {
    int worst = 0;

    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *m = &value->items[i];
        const char *near;
        char way_out[128];

        if (is_known(kinds[kind].keys, m))
            continue;
        near = diag_suggest(m->key, m->n_key, kinds[kind].keys);
        if (near)
            snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
        else
            snprintf(way_out, sizeof(way_out),
                     "everything else of a message is carried over untouched");
        diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(m->key_text - c->source->text),
                 m->n_key_text, way_out, "unknown key \"%.*s\" in the picture of %s", (int)m->n_key,
                 m->key, picture_kind_name(kinds[kind].kind));
        worst = PICTURE_E_INVALID;
    }
    return worst;
}

static int compile_name(struct pattern_compiler *c, const struct json *value, struct picture *ret) {
    if (ret->kind != PICTURE_COMMAND && ret->kind != PICTURE_EVENT)
        return 0;
    if (value->type != JSON_STRING || value->n_string == 0)
        return fault(c, value, "a name is written as it stands in the traffic",
                     "the name of a command or event must be a string");
    if (value->string[0] == '$' || memmem(value->string, value->n_string, "${", 2))
        return fault(c, value, "write a rule for each of them",
                     "the name of a command or event cannot be a variable");
    ret->name = value->string;
    ret->n_name = value->n_string;
    return 0;
}

static bool is_reply_key(const struct json *m) {
    return json_key_is(m, "return") || json_key_is(m, "error");
}

/* add a member to a root pattern */
static int compile_root_member(struct pattern_compiler *c, const struct json *m,
                               struct pattern *root) {
    struct pattern_member *pm = &root->members[root->n_members];
    int r;

    pm->key = m->key;
    pm->n_key = m->n_key;
    r = pattern_compile(c, m, &pm->pattern);
    if (r)
        return r;
    pm->is_implied = pm->pattern.kind == PATTERN_OBJECT &&
                     (json_key_is(m, "arguments") || json_key_is(m, "data"));
    root->n_members++;
    return 0;
}

static int new_root(struct pattern_compiler *c, size_t n_members, struct pattern *root) {
    *root = (struct pattern){.kind = PATTERN_OBJECT};
    root->members = arena_alloc(c->arena, n_members * sizeof(*root->members));
    return root->members ? 0 : -ENOMEM;
}

int picture_compile_reply(struct pattern_compiler *c, const struct json *m, struct pattern **ret) {
    struct pattern *root = arena_alloc(c->arena, sizeof(*root));
    int r;

    if (!root)
        return -ENOMEM;
    r = new_root(c, 1, root);
    if (r < 0)
        return r;
    *ret = root;
    return compile_root_member(c, m, root);
}

static int compile_reply(struct pattern_compiler *c, const struct json *m, struct picture *ret) {
    return picture_compile_reply(
        c, m, &ret->reply[json_key_is(m, "return") ? REPLY_RETURN : REPLY_ERROR]);
}

static int compile_fd(struct pattern_compiler *c, const struct json *m, struct picture *ret) {
    ret->fd = arena_alloc(c->arena, sizeof(*ret->fd));
    return ret->fd ? fdshape_compile(c, m, ret->fd) : -ENOMEM;
}

static int compile_until(struct pattern_compiler *c, const struct json *m,
                         struct picture_list *ret) {
    int r;

    r = picture_compile_list(c, m, ret);
    if (r)
        return r;
    for (size_t i = 0; i < ret->n; i++)
        if (ret->picture[i].kind != PICTURE_EVENT)
            return fault(c, m, "write {\"event\": …}", "only events can stand here");
    return ret->is_null ? fault(c, m, "leave the key out", "null says nothing here") : 0;
}

static int compile_member(struct pattern_compiler *c, const struct json *m, struct picture *ret) {
    if (ret->kind == PICTURE_COMMAND && is_reply_key(m))
        return compile_reply(c, m, ret);
    if (ret->kind == PICTURE_COMMAND && json_key_is(m, "fd"))
        return compile_fd(c, m, ret);
    if (ret->kind == PICTURE_COMMAND && json_key_is(m, "until"))
        return compile_until(c, m, &ret->until);
    return compile_root_member(c, m, &ret->message);
}

int picture_compile(struct pattern_compiler *c, const struct json *value, struct picture *ret) {
    int kind, r, worst;

    ret->at = (size_t)(value->text - c->source->text);
    ret->n_at = value->n_text;
    kind = find_kind(value);
    if (kind < 0)
        return fault(c, value, "a picture has \"execute\", \"event\", \"error\" or \"QMP\"",
                     "this is no picture of a message");
    ret->kind = kinds[kind].kind;
    worst = check_keys(c, value, (size_t)kind);
    r = new_root(c, value->n_items + 1, &ret->message);
    if (r < 0)
        return r;
    r = compile_name(c, json_member(value, kinds[kind].key), ret);
    if (r)
        return r;
    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *m = &value->items[i];

        if (!is_known(kinds[kind].keys, m))
            continue;
        r = compile_member(c, m, ret);
        if (r < 0)
            return r;
        worst = r > 0 ? PICTURE_E_INVALID : worst;
    }
    return worst;
}

int picture_compile_list(struct pattern_compiler *c, const struct json *value,
                         struct picture_list *ret) {
    const struct json *items = value->type == JSON_ARRAY ? value->items : value;
    size_t n = value->type == JSON_ARRAY ? value->n_items : 1;
    int r, worst = 0;

    ret->is_list = value->type == JSON_ARRAY;
    ret->is_null = value->type == JSON_NULL;
    if (ret->is_null)
        return 0;
    if (n == 0)
        return fault(c, value, "write null when this side has nothing like it",
                     "a list of pictures cannot be empty");
    ret->picture = arena_alloc(c->arena, n * sizeof(*ret->picture));
    if (!ret->picture)
        return -ENOMEM;
    ret->n = n;
    for (size_t i = 0; i < n; i++) {
        r = picture_compile(c, &items[i], &ret->picture[i]);
        if (r < 0)
            return r;
        worst = r > 0 ? r : worst;
    }
    return worst;
}

static int imply(struct arena *arena, const struct picture *from, struct picture *to,
                 const char *key) {
    const struct pattern_member *m = pattern_member(&from->message, key, strlen(key));
    struct pattern_member *more, *added;
    size_t n = to->message.n_members;

    if (!m || !m->is_implied || pattern_member(&to->message, key, strlen(key)))
        return 0;
    more = arena_alloc(arena, (n + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    memcpy(more, to->message.members, n * sizeof(*more));
    added = &more[n];
    *added = (struct pattern_member){.key = key, .n_key = strlen(key), .is_implied = true};
    added->pattern = (struct pattern){.kind = PATTERN_OBJECT, .at = to->at, .n_at = to->n_at};
    to->message.members = more;
    to->message.n_members++;
    return 0;
}

int picture_imply(struct arena *arena, struct picture *a, struct picture *b) {
    const char *key = a->kind == PICTURE_COMMAND ? "arguments" : "data";
    int r;

    if (a->kind != b->kind || (a->kind != PICTURE_COMMAND && a->kind != PICTURE_EVENT))
        return 0;
    r = imply(arena, a, b, key);
    return r ? r : imply(arena, b, a, key);
}
