#include "rule/against.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct against {
    struct arena arena; /* for the time of the call */
    const struct selection *selection;
    const struct schema *schema;
    struct diag_set *diags;
    const struct rule *rule;
    const struct diag_source *source;
    enum vars_side server;
    bool
        is_read; /* what is looked at comes from the server: what may be missing may be unknown to it */
    bool has_failed; /* out of memory */
};

/* --- words that may have been meant --------------------------------------------------------------- */

/* NULL-terminated */
struct words {
    struct arena *arena;
    const char **word;
    size_t n, max;
    bool has_failed;
};

static void add_word(struct words *w, const struct json *string) {
    const char **word = w->word;

    if (!string || string->type != JSON_STRING || w->has_failed)
        return;
    if (w->n + 1 >= w->max) {
        w->max = w->max * 2 + 16;
        word = arena_alloc(w->arena, w->max * sizeof(*word));
        if (word && w->n > 0)
            memcpy(word, w->word, w->n * sizeof(*word));
    }
    w->has_failed = !word;
    if (!word)
        return;
    w->word = word;
    w->word[w->n] = arena_copy(w->arena, string->string, string->n_string);
    w->has_failed = !w->word[w->n++];
}

static void member_visit(void *userdata, const struct json *member) {
    add_word(userdata, json_member(member, "name"));
}

static void find(struct against *a, enum diag_level level, size_t at, size_t n_at, struct words *w,
                 const char *name, size_t n_name, const char *what) {
    const char *near = w->word && !w->has_failed ? diag_suggest(name, n_name, w->word) : NULL;
    char way_out[160];

    a->has_failed = a->has_failed || w->has_failed;
    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    diag_add(a->diags, level, a->source, at, n_at, near ? way_out : NULL,
             "the server has no %s \"%.*s\"", what, (int)n_name, name);
}

/* --- members of a type ----------------------------------------------------------------------------- */

struct wanted {
    const struct pattern_member *member;
    const struct json *found;
    bool is_ambiguous; /* it is of several types, by the variant */
};

static void wanted_visit(void *userdata, const struct json *member) {
    struct wanted *w = userdata;
    const struct json *name = json_member(member, "name");

    if (name && name->type == JSON_STRING && name->n_string == w->member->n_key &&
        memcmp(name->string, w->member->key, name->n_string) == 0) {
        w->is_ambiguous = w->is_ambiguous || (w->found && !json_equal(json_member(w->found, "type"),
                                                                      json_member(member, "type")));
        w->found = member;
    }
}

static void look_at(struct against *a, const struct pattern *p, const struct json *type,
                    const char *what);

/* what the picture itself says of the variant.  Return: NULL when it says nothing */
static const struct json *tag_value(const struct pattern *p, const struct json *type) {
    const struct json *tag = schema_tag(type);
    const struct pattern_member *m = tag ? pattern_member(p, tag->string, tag->n_string) : NULL;

    return m && m->pattern.kind == PATTERN_CONST ? m->pattern.value : NULL;
}

static void look_at_member(struct against *a, const struct pattern_member *m,
                           const struct pattern *in, const struct json *type, const char *what) {
    struct words words = {.arena = &a->arena};
    struct wanted wanted = {.member = m};
    const struct pattern *p = &m->pattern;

    /* what may be absent or is not looked at when it comes need not be known */
    if (p->kind == PATTERN_ABSENT ||
        (a->is_read && (m->is_optional || p->kind == PATTERN_ONLY || p->kind == PATTERN_NOT)))
        return;
    schema_visit(a->schema, type, tag_value(in, type), wanted_visit, &wanted);
    if (wanted.found) {
        look_at(a, p, wanted.is_ambiguous ? NULL : schema_type(a->schema, wanted.found, "type"),
                what);
        return;
    }
    if (in->rest == PATTERN_REST_VAR)
        return; /* some commands take more than their schema tells, and the rule knows */
    schema_visit(a->schema, type, tag_value(in, type), member_visit, &words);
    find(a, DIAG_WARNING, p->at, p->n_at, &words, m->key, m->n_key, what);
}

static void look_at_word(struct against *a, const struct pattern *p, const struct json *type) {
    const struct json *values = json_member(type, "values");
    struct words words = {.arena = &a->arena};

    if (!values || p->value->type != JSON_STRING)
        return;
    for (size_t i = 0; i < values->n_items; i++) {
        if (json_equal(&values->items[i], p->value))
            return;
        add_word(&words, &values->items[i]);
    }
    find(a, DIAG_WARNING, p->at, p->n_at, &words, p->value->string, p->value->n_string, "word");
}

/* a type that is not known, or may be anything, says nothing */
static void look_at(struct against *a, const struct pattern *p, const struct json *type,
                    const char *what) {
    const struct json *element;

    if (!type)
        return;
    switch (p->kind) {
    case PATTERN_OBJECT:
        for (size_t i = 0; schema_is(type, "object") && i < p->n_members; i++)
            look_at_member(a, &p->members[i], p, type, what);
        break;
    case PATTERN_EACH:
    case PATTERN_FIRST:
    case PATTERN_EVERY:
    case PATTERN_EXACT:
        element = schema_is(type, "array") ? schema_type(a->schema, type, "element-type") : NULL;
        for (size_t i = 0; i < p->n_items; i++)
            look_at(a, &p->items[i], element, what);
        break;
    case PATTERN_ONLY:
    case PATTERN_IN:
        for (size_t i = 0; i < p->n_items; i++)
            look_at(a, &p->items[i], type, what);
        break;
    case PATTERN_CONST:
        look_at_word(a, p, type);
        break;
    default:
        break;
    }
}

/* --- pictures -------------------------------------------------------------------------------------- */

/* does a rule of another file turn this name into one that is nearer to the server's? */
static bool is_bridged(const struct against *a, const struct picture *p) {
    struct program_uses uses = program_find(
        a->selection->program, p->kind == PICTURE_COMMAND ? PROGRAM_COMMAND : PROGRAM_EVENT,
        p->name, p->n_name);

    for (size_t i = 0; i < uses.n; i++)
        if (uses.use[i].rule->file != a->rule->file &&
            selection_is_client_side(a->selection, uses.use[i].rule, uses.use[i].side))
            return true;
    return false;
}

static void add_names(const struct against *a, const char *meta_type, struct words *words) {
    for (size_t i = 0; i < a->schema->entries->n_items; i++)
        if (schema_is(&a->schema->entries->items[i], meta_type))
            add_word(words, json_member(&a->schema->entries->items[i], "name"));
}

static void look_at_root(struct against *a, const struct pattern *root, const char *key,
                         const struct json *type, bool is_read, const char *what) {
    const struct pattern_member *m = root ? pattern_member(root, key, strlen(key)) : NULL;

    a->is_read = is_read;
    if (m)
        look_at(a, &m->pattern, type, what);
}

/* one letter too many, too few or wrong, or two in each other's place */
static bool is_slip(const char *a, size_t n_a, const char *b, size_t n_b) {
    size_t head = 0, tail = 0;

    while (head < n_a && head < n_b && a[head] == b[head])
        head++;
    while (tail < n_a - head && tail < n_b - head && a[n_a - 1 - tail] == b[n_b - 1 - tail])
        tail++;
    n_a -= head + tail;
    n_b -= head + tail;
    return (n_a <= 1 && n_b <= 1) ||
           (n_a == 2 && n_b == 2 && a[head] == b[head + 1] && a[head + 1] == b[head]);
}

/* is the name nobody's but the rule's?  Else the client says it too, or it is only hidden */
static bool is_said_here(const struct against *a, const struct picture *p, bool is_side) {
    const struct picture_list *client = &a->rule->side[a->server == VARS_OLD ? VARS_NEW : VARS_OLD];

    if (!is_side)
        return true;
    if (p->kind == PICTURE_EVENT && client->n == 0)
        return false;
    for (size_t i = 0; i < client->n; i++)
        if (client->picture[i].n_name == p->n_name &&
            memcmp(client->picture[i].name, p->name, p->n_name) == 0)
            return false;
    return true;
}

/*
 * What the shim does not say of its own accord may be of another version, machine or build: the
 * rule is idle then and no harm is done.  It is a finding only if it looks mistyped.
 */
static void find_unknown(struct against *a, const struct picture *p, const char *meta_type,
                         bool is_side) {
    struct words words = {.arena = &a->arena};
    bool is_told = is_said_here(a, p, is_side);

    add_names(a, meta_type, &words);
    for (size_t i = 0; !is_told && !a->rule->file->is_deny && i < words.n; i++)
        is_told = is_slip(p->name, p->n_name, words.word[i], strlen(words.word[i]));
    if (is_told || words.has_failed)
        find(a, DIAG_ERROR, p->at, p->n_at, &words, p->name, p->n_name, meta_type);
}

/* the reply to it is the one that the client gets */
static bool is_last(const struct against *a, const struct picture *p) {
    const struct picture_list *side = &a->rule->side[a->server];

    return side->n > 0 && p == &side->picture[side->n - 1];
}

/* @is_side: it is one of the rule's two, and nothing that the rule asks or waits for */
static void look_at_picture(struct against *a, const struct picture *p, bool is_side) {
    const char *meta_type = p->kind == PICTURE_COMMAND ? "command" : "event";
    const struct json *entry;

    if ((p->kind != PICTURE_COMMAND && p->kind != PICTURE_EVENT) || is_bridged(a, p))
        return;
    entry = schema_find(a->schema, meta_type, p->name, p->n_name);
    if (!entry) {
        find_unknown(a, p, meta_type, is_side);
        return;
    }
    if (p->kind == PICTURE_EVENT) {
        look_at_root(a, &p->message, "data", schema_type(a->schema, entry, "arg-type"), true,
                     "member");
        return;
    }
    look_at_root(a, &p->message, "arguments", schema_type(a->schema, entry, "arg-type"), false,
                 "argument");
    look_at_root(a, p->reply[REPLY_RETURN], "return", schema_type(a->schema, entry, "ret-type"),
                 true, "member");
    for (size_t i = 0; is_side && is_last(a, p) && i < a->rule->n_replies; i++)
        look_at_root(a, a->rule->replies[i].side[a->server], "return",
                     schema_type(a->schema, entry, "ret-type"), true, "member");
}

static void look_at_list(struct against *a, const struct picture_list *list, bool is_side) {
    for (size_t i = 0; i < list->n; i++) {
        look_at_picture(a, &list->picture[i], is_side);
        look_at_list(a, &list->picture[i].until, false);
    }
}

/* of a rule for errors, either dialect's names stand there */
static void look_at_commands(struct against *a) {
    const struct picture *p = &a->rule->side[a->server].picture[0];

    for (size_t i = 0; a->rule->commands[i]; i++) {
        const char *name = a->rule->commands[i];

        if (schema_find(a->schema, "command", name, strlen(name)) ||
            program_find(a->selection->program, PROGRAM_COMMAND, name, strlen(name)).n > 0)
            return;
    }
    diag_add(a->diags, DIAG_ERROR, a->source, p->at, p->n_at, NULL,
             "the server has none of the commands that this rule is for");
}

static void look_at_rule(struct against *a, const struct rule *rule) {
    a->rule = rule;
    a->source = rule->file->source;
    a->server = selection_client_side(a->selection, rule) == VARS_OLD ? VARS_NEW : VARS_OLD;
    look_at_list(a, &rule->side[a->server], true);
    look_at_list(a, &rule->ask, false);
    look_at_list(a, &rule->then, false);
    look_at_list(a, &rule->finally, false);
    look_at_list(a, &rule->until, false);
    if (rule->conform == CONFORM_ASK)
        look_at_picture(a, &rule->conform_ask, false);
    if (rule->commands && rule->side[a->server].n > 0)
        look_at_commands(a);
}

int against_schema(const struct selection *selection, const struct schema *schema,
                   struct diag_set *diags) {
    struct against a = {
        .arena = ARENA_INIT, .selection = selection, .schema = schema, .diags = diags};

    for (size_t i = 0; i < program_n_rules(selection->program); i++)
        if (selection_is_working(selection, program_rule(selection->program, i)))
            look_at_rule(&a, program_rule(selection->program, i));
    arena_deinit(&a.arena);
    return a.has_failed ? -ENOMEM : 0;
}
