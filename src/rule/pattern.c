#include "rule/pattern.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fault(struct pattern_compiler *c, const struct json *value, const char *way_out,
                 const char *message) {
    diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(value->text - c->source->text),
             value->n_text, way_out, "%s", message);
    return PATTERN_E_INVALID;
}

static int fault_key(struct pattern_compiler *c, const struct json *member, const char *way_out,
                     const char *message) {
    diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(member->key_text - c->source->text),
             member->n_key_text, way_out, "%s \"%.*s\"", message, (int)member->n_key, member->key);
    return PATTERN_E_INVALID;
}

/* --- strings: constants, variables, text with captures ----------------------------------- */

static bool is_name_start(char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
}

static size_t name_length(const char *text, size_t n) {
    size_t i = 0;

    if (n == 0 || !is_name_start(text[0]))
        return 0;
    while (i < n &&
           (is_name_start(text[i]) || (text[i] >= '0' && text[i] <= '9') || text[i] == '-'))
        i++;
    return i;
}

/* a variable is met; one that is new belongs to the list pattern around it */
static int meet_var(struct pattern_compiler *c, const char *name, size_t n_name,
                    const struct json *place, size_t *ret_var) {
    size_t n = c->vars->n;
    int r;

    r = vars_intern(c->arena, c->vars, name, n_name, ret_var);
    if (r < 0)
        return r;
    if (c->vars->n > n) {
        struct var *var = &c->vars->var[*ret_var];

        var->group = c->group;
        var->at = (size_t)(place->text - c->source->text);
        var->n_at = place->n_text;
    }
    return 0;
}

/* "$x", "$x:int" */
static int compile_var(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    const char *text = value->string + 1;
    size_t n = value->n_string - 1, n_name = name_length(text, n);
    int type = VARS_ANY;

    if (n_name > 0 && n_name < n && text[n_name] == ':') {
        type = vars_type_find(text + n_name + 1, n - n_name - 1);
        if (type < 0)
            return fault(c, value, "the types are str, int, number, bool, object, list and any",
                         "unknown type of a variable");
    } else if (n_name == 0 || n_name != n) {
        return fault(c, value, "\"$name\" or \"$name:type\"; a plain dollar is written \"$$\"",
                     "this is no variable");
    }
    p->kind = PATTERN_VAR;
    p->type = (enum vars_type)type;
    return meet_var(c, text, n_name, value, &p->var);
}

static bool has_capture(const struct json *value) {
    return memmem(value->string, value->n_string, "${", 2) != NULL;
}

static int add_piece(struct pattern_compiler *c, struct pattern *p, const char *text, size_t n_text,
                     struct pattern_piece **ret) {
    struct pattern_piece *more = arena_alloc(c->arena, (p->n_pieces + 1) * sizeof(*more));

    if (!more)
        return -ENOMEM;
    if (p->n_pieces > 0)
        memcpy(more, p->pieces, p->n_pieces * sizeof(*more));
    p->pieces = more;
    *ret = &more[p->n_pieces++];
    (*ret)->text = text;
    (*ret)->n_text = n_text;
    return 0;
}

/* "Device '${dev}' is in use" */
static int compile_text(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    const char *text = value->string, *end = value->string + value->n_string;
    struct pattern_piece *piece;
    int r;

    p->kind = PATTERN_TEXT;
    for (;;) {
        const char *open = memmem(text, (size_t)(end - text), "${", 2);
        size_t n_name;

        r = add_piece(c, p, text, (size_t)((open ? open : end) - text), &piece);
        if (r < 0 || !open)
            return r;
        n_name = name_length(open + 2, (size_t)(end - open - 2));
        if (n_name == 0 || open + 2 + n_name >= end || open[2 + n_name] != '}')
            return fault(c, value, "\"… ${name} …\"",
                         "a capture in this text has no name or no end");
        if (p->n_pieces > 1 && piece->n_text == 0)
            return fault(c, value, "put a character between them",
                         "two captures side by side cannot be told apart");
        piece->has_var = true;
        r = meet_var(c, open + 2, n_name, value, &piece->var);
        if (r < 0)
            return r;
        text = open + 2 + n_name + 1;
    }
}

/* "$$x" is the text "$x" */
static int compile_literal_dollar(struct pattern_compiler *c, const struct json *value,
                                  struct pattern *p) {
    p->kind = PATTERN_CONST;
    p->value = vars_new_string(c->arena, value->string + 1, value->n_string - 1);
    return p->value ? 0 : -ENOMEM;
}

static int compile_string(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    if (value->n_string >= 2 && memcmp(value->string, "$$", 2) == 0)
        return compile_literal_dollar(c, value, p);
    if (has_capture(value))
        return compile_text(c, value, p);
    if (value->n_string > 0 && value->string[0] == '$')
        return compile_var(c, value, p);
    p->kind = PATTERN_CONST;
    p->value = value;
    return 0;
}

/* --- lists --------------------------------------------------------------------------------- */

static int compile_items(struct pattern_compiler *c, const struct json *items, size_t n,
                         struct pattern *p) {
    int r, worst = 0;

    p->items = arena_alloc(c->arena, (n + 1) * sizeof(*p->items));
    if (!p->items)
        return -ENOMEM;
    p->n_items = n;
    for (size_t i = 0; i < n; i++) {
        r = pattern_compile(c, &items[i], &p->items[i]);
        if (r < 0)
            return r;
        worst = r > 0 ? r : worst;
    }
    return worst;
}

struct find_group {
    const struct vars *vars;
    const struct pattern *element;
    size_t own, outer, other;
};

/* do the rows of a list within @p belong to @group? */
static bool has_rows(const struct pattern *p, size_t group) {
    if ((p->kind == PATTERN_EACH || p->kind == PATTERN_EVERY) && p->group == group)
        return true;
    for (size_t i = 0; i < p->n_members; i++)
        if (has_rows(&p->members[i].pattern, group))
            return true;
    for (size_t i = 0; i < p->n_items; i++)
        if (has_rows(&p->items[i], group))
            return true;
    return false;
}

static void find_group_visit(void *userdata, const struct pattern *p, size_t var,
                             bool is_optional) {
    struct find_group *f = userdata;
    size_t group = f->vars->var[var].group;

    (void)p, (void)is_optional;
    if (group != 0 && group != f->own && group != f->outer && f->other == 0 &&
        !has_rows(f->element, group))
        f->other = group;
}

/* the rows of a list pattern are those of the other side's list with the same variables; lists within have their own */
static void join_groups(struct pattern_compiler *c, struct pattern *p, size_t outer) {
    struct find_group f = {c->vars, &p->items[0], p->group, outer, 0};

    pattern_visit(&p->items[0], false, find_group_visit, &f);
    if (f.other == 0)
        return;
    for (size_t i = 0; i < c->vars->n; i++)
        if (c->vars->var[i].group == p->group)
            c->vars->var[i].group = f.other;
    p->group = f.other;
}

static int compile_rows(struct pattern_compiler *c, const struct json *element,
                        enum pattern_kind kind, struct pattern *p) {
    size_t outer = c->group;
    int r;

    p->kind = kind;
    p->group = ++c->vars->n_groups;
    c->group = p->group;
    r = compile_items(c, element, 1, p);
    c->group = outer;
    if (r == 0)
        join_groups(c, p, outer);
    return r;
}

static bool is_rest(const struct json *value) {
    return json_is_string(value, "...");
}

static bool has_rest(const struct json *value, size_t from) {
    for (size_t i = from; i < value->n_items; i++)
        if (is_rest(&value->items[i]))
            return true;
    return false;
}

/* [P, "..."], and elements behind them */
static int compile_each(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    struct pattern more = {0};
    int r;

    r = compile_rows(c, &value->items[0], PATTERN_EACH, p);
    if (r || value->n_items == 2)
        return r;
    r = compile_items(c, &value->items[2], value->n_items - 2, &more);
    p->more = more.items;
    p->n_more = more.n_items;
    return r;
}

static int compile_list(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    size_t n = value->n_items;

    if (n >= 2 && !is_rest(&value->items[0]) && is_rest(&value->items[1]) && !has_rest(value, 2))
        return compile_each(c, value, p);
    if (n == 3 && is_rest(&value->items[0]) && !is_rest(&value->items[1]) &&
        is_rest(&value->items[2])) {
        p->kind = PATTERN_FIRST;
        return compile_items(c, &value->items[1], 1, p);
    }
    for (size_t i = 0; i < n; i++)
        if (is_rest(&value->items[i]))
            return fault(
                c, &value->items[i],
                "[P, \"...\"] is every element, [\"...\", P, \"...\"] the first that matches",
                "\"...\" cannot stand here in a list");
    p->kind = PATTERN_EXACT;
    return compile_items(c, value->items, n, p);
}

/* --- operators ------------------------------------------------------------------------------ */

static int operator_only(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    p->kind = PATTERN_ONLY;
    return compile_items(c, value, 1, p);
}

static int operator_like(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    const char *glob;

    if (value->type != JSON_STRING)
        return fault(c, value, "for example {\"$like\": \"virtio-*\"}", "\"$like\" wants a string");
    p->kind = PATTERN_LIKE;
    glob = arena_copy(c->arena, value->string, value->n_string);
    p->value = glob ? vars_new_string(c->arena, glob, value->n_string) : NULL;
    return p->value ? 0 : -ENOMEM;
}

static int operator_in(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    if (value->type != JSON_ARRAY || value->n_items == 0)
        return fault(c, value, "for example {\"$in\": [\"a\", \"b\"]}",
                     "\"$in\" wants a list of at least one value");
    p->kind = PATTERN_IN;
    return compile_items(c, value->items, value->n_items, p);
}

static int operator_every(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    return compile_rows(c, value, PATTERN_EVERY, p);
}

static int operator_not(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    p->kind = PATTERN_NOT;
    return compile_items(c, value, 1, p);
}

static int operator_absent(struct pattern_compiler *c, const struct json *value,
                           struct pattern *p) {
    if (value->type != JSON_BOOL || !value->boolean)
        return fault(c, value, "leave the member out to say nothing of it",
                     "\"$absent\" can only be true");
    p->kind = PATTERN_ABSENT;
    return 0;
}

static const struct {
    const char *name;
    int (*compile)(struct pattern_compiler *c, const struct json *value, struct pattern *p);
} operators[] = {
    {"$only", operator_only}, {"$like", operator_like},     {"$in", operator_in},
    {"$not", operator_not},   {"$absent", operator_absent}, {"$every", operator_every},
};

static int fault_operator(struct pattern_compiler *c, const struct json *member) {
    const char *names[ARRAY_SIZE(operators) + 1] = {NULL};
    const char *near;
    char way_out[80];

    for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
        names[i] = operators[i].name;
    near = diag_suggest(member->key, member->n_key, names);
    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    return fault_key(
        c, member,
        near
            ? way_out
            : "known are $only, $like, $in, $not, $absent, $every; a member that begins with a dollar is written \"$$…\"",
        "unknown operator");
}

static int compile_operator(struct pattern_compiler *c, const struct json *member,
                            struct pattern *p) {
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
        if (json_key_is(member, operators[i].name))
            return operators[i].compile(c, member, p);
    return fault_operator(c, member);
}

/* --- objects -------------------------------------------------------------------------------- */

static int compile_rest(struct pattern_compiler *c, const struct json *member, struct pattern *p) {
    struct pattern rest = {0};
    int r;

    if (member->type == JSON_NULL) {
        p->rest = PATTERN_REST_GOES;
        return 0;
    }
    if (member->type != JSON_STRING)
        return fault(c, member, "\"...\": \"$rest\" or \"...\": null",
                     "\"...\" wants a variable or null");
    r = compile_string(c, member, &rest);
    if (r)
        return r;
    if (rest.kind != PATTERN_VAR)
        return fault(c, member, "\"...\": \"$rest\" or \"...\": null",
                     "\"...\" wants a variable or null");
    p->rest = PATTERN_REST_VAR;
    p->rest_var = rest.var;
    return 0;
}

static int compile_member(struct pattern_compiler *c, const struct json *member,
                          struct pattern *p) {
    struct pattern_member *m = &p->members[p->n_members];

    if (json_key_is(member, "..."))
        return compile_rest(c, member, p);
    m->key = member->key;
    m->n_key = member->n_key;
    if (m->n_key > 1 && m->key[0] == '*') {
        m->is_optional = true;
        m->key++;
        m->n_key--;
    } else if (m->n_key > 1 && m->key[0] == '$') {
        if (m->key[1] != '$')
            return fault_key(
                c, member,
                "an operator stands alone in its object; a member that begins with a dollar is written \"$$…\"",
                "an operator beside other members:");
        m->key++;
        m->n_key--;
    }
    if (pattern_member(p, m->key, m->n_key))
        return fault_key(c, member, "once as \"name\" or once as \"*name\"",
                         "this member stands here twice:");
    p->n_members++;
    return pattern_compile(c, member, &m->pattern);
}

static int compile_object(struct pattern_compiler *c, const struct json *value, struct pattern *p) {
    int r, worst = 0;

    if (value->n_items == 1 && value->items[0].n_key > 1 && value->items[0].key[0] == '$' &&
        value->items[0].key[1] != '$')
        return compile_operator(c, &value->items[0], p);
    p->kind = PATTERN_OBJECT;
    p->members = arena_alloc(c->arena, (value->n_items + 1) * sizeof(*p->members));
    if (!p->members)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        r = compile_member(c, &value->items[i], p);
        if (r < 0)
            return r;
        worst = r > 0 ? r : worst;
    }
    return worst;
}

int pattern_compile(struct pattern_compiler *c, const struct json *value, struct pattern *ret) {
    ret->at = (size_t)(value->text - c->source->text);
    ret->n_at = value->n_text;
    switch (value->type) {
    case JSON_STRING:
        return compile_string(c, value, ret);
    case JSON_ARRAY:
        return compile_list(c, value, ret);
    case JSON_OBJECT:
        return compile_object(c, value, ret);
    default:
        ret->kind = PATTERN_CONST;
        ret->value = value;
        return 0;
    }
}

const struct pattern_member *pattern_member(const struct pattern *p, const char *key,
                                            size_t n_key) {
    if (!p || p->kind != PATTERN_OBJECT)
        return NULL;
    for (size_t i = 0; i < p->n_members; i++)
        if (p->members[i].n_key == n_key && memcmp(p->members[i].key, key, n_key) == 0)
            return &p->members[i];
    return NULL;
}

void pattern_visit(const struct pattern *p, bool is_optional, pattern_visit_fn visit,
                   void *userdata) {
    if (p->kind == PATTERN_VAR)
        visit(userdata, p, p->var, is_optional);
    if (p->kind == PATTERN_OBJECT && p->rest == PATTERN_REST_VAR)
        visit(userdata, p, p->rest_var, true);
    for (size_t i = 0; i < p->n_pieces; i++)
        if (p->pieces[i].has_var)
            visit(userdata, p, p->pieces[i].var, is_optional);
    for (size_t i = 0; i < p->n_members; i++)
        pattern_visit(&p->members[i].pattern, is_optional || p->members[i].is_optional, visit,
                      userdata);
    for (size_t i = 0; i < p->n_items; i++)
        pattern_visit(&p->items[i], is_optional, visit, userdata);
    for (size_t i = 0; i < p->n_more; i++)
        pattern_visit(&p->more[i], true, visit, userdata);
}
