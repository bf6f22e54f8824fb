#include "rule/build.h"

#include <errno.h>
#include <string.h>

#include "json/writer.h"

struct build {
    struct arena *arena;
    enum vars_side side;
    struct buffer *text;
};

static int write_pattern(struct build *w, const struct pattern *p, const struct pattern *read,
                         const struct json *source, const struct bindings *b);

/* --- variables ----------------------------------------------------------------------------- */

static int value_of(struct build *w, size_t var, const struct bindings *b,
                    const struct json **ret) {
    const struct json *value = bindings_get(b, var);
    int r;

    if (!value)
        return BUILD_E_UNBOUND;
    *ret = value;
    if (w->side == VARS_OLD)
        return 0;
    r = vars_convert(w->arena, &b->vars->var[var], VARS_NEW, value, ret);
    return r > 0 ? BUILD_E_UNBOUND : r;
}

static int write_var(struct build *w, const struct pattern *p, const struct bindings *b) {
    const struct json *value;
    int r;

    r = value_of(w, p->var, b, &value);
    if (r)
        return r;
    if (!vars_type_fits(p->type, value))
        return BUILD_E_UNBOUND;
    json_write(w->text, value);
    return 0;
}

static int write_text(struct build *w, const struct pattern *p, const struct bindings *b) {
    _cleanup_(buffer_deinit) struct buffer string = BUFFER_INIT;
    const struct json *value;
    int r;

    for (size_t i = 0; i < p->n_pieces; i++) {
        const struct pattern_piece *piece = &p->pieces[i];

        buffer_append(&string, piece->text, piece->n_text);
        if (!piece->has_var)
            continue;
        r = value_of(w, piece->var, b, &value);
        if (r)
            return r;
        if (value->type == JSON_STRING)
            buffer_append(&string, value->string, value->n_string);
        else
            json_write(&string, value);
    }
    json_write_string(w->text, string.data, string.n);
    return buffer_status(&string);
}

/* --- which variables must be bound ------------------------------------------------------------ */

struct unbound {
    const struct bindings *b;
    int first;
};

/* of the list that is about to be written; in one of its rows a variable is bound there or not at all */
static bool is_bound_in_rows(const struct bindings *b, size_t var) {
    size_t group = b->vars->var[var].group;

    for (; group > 0 && b && b->group != group; b = b->outer)
        if (b->rows[group])
            return true;
    return false;
}

static void unbound_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    struct unbound *u = userdata;

    (void)p;
    if (!is_optional && u->first < 0 && !bindings_has(u->b, var) && !is_bound_in_rows(u->b, var))
        u->first = (int)var;
}

int build_unbound(const struct pattern *write, const struct bindings *b) {
    struct unbound u = {b, -1};

    pattern_visit(write, false, unbound_visit, &u);
    return u.first;
}

static void any_bound_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    struct unbound *u = userdata;

    (void)p, (void)is_optional;
    if (bindings_has(u->b, var) || is_bound_in_rows(u->b, var))
        u->first = (int)var;
}

static void count_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    (void)p, (void)var, (void)is_optional;
    ++*(size_t *)userdata;
}

/*
 * An optional member is put when its variables are bound: all that are
 * needed, and at least one.  One without variables is a guard for reading,
 * but for {"$only": V}, which says what to write.
 */
static bool is_put(const struct pattern *p, const struct bindings *b) {
    struct unbound u = {b, -1};
    size_t n = 0;

    pattern_visit(p, false, count_visit, &n);
    if (n == 0)
        return p->kind == PATTERN_ONLY;
    pattern_visit(p, false, any_bound_visit, &u);
    return u.first >= 0 && build_unbound(p, b) < 0;
}

/* --- objects ---------------------------------------------------------------------------------- */

struct members {
    struct build *w;
    size_t n; /* written so far */
};

static void begin_member(struct members *m, const char *key_text, size_t n_key_text) {
    buffer_append_string(m->w->text, m->n++ > 0 ? ", " : "");
    buffer_append(m->w->text, key_text, n_key_text);
    buffer_append_string(m->w->text, ": ");
}

static void carry_member(struct members *m, const struct json *member) {
    begin_member(m, member->key_text, member->n_key_text);
    json_write(m->w->text, member);
}

/* a member that was not there; "arguments" and "data" are left out when nothing is in them */
static int write_new_member(struct members *m, const struct pattern_member *pm,
                            const struct bindings *b) {
    struct buffer *text = m->w->text;
    size_t n_before = text->n, n_value;
    int r;

    buffer_append_string(text, m->n > 0 ? ", " : "");
    json_write_string(text, pm->key, pm->n_key);
    buffer_append_string(text, ": ");
    n_value = text->n;
    r = write_pattern(m->w, &pm->pattern, NULL, NULL, b);
    if (r == 0 && !text->failed && pm->is_implied && text->n == n_value + 2)
        text->n = n_before;
    else
        m->n++;
    return r;
}

/* a guard that may be missing says nothing of what is written: what was there stays */
static bool is_guard(const struct pattern *p) {
    return p->kind == PATTERN_LIKE || p->kind == PATTERN_IN || p->kind == PATTERN_NOT;
}

/* what the pattern says of a member may be nothing: then what was there is not written either */
static int write_member(struct members *m, const struct pattern_member *pm,
                        const struct pattern *read, const struct json *source,
                        const struct bindings *b) {
    bool is_kept = source && is_guard(&pm->pattern);

    if (pm->pattern.kind == PATTERN_ABSENT ||
        (pm->is_optional && !is_kept && !is_put(&pm->pattern, b)))
        return 0;
    if (source) {
        begin_member(m, source->key_text, source->n_key_text);
        return write_pattern(m->w, &pm->pattern, read, source, b);
    }
    return write_new_member(m, pm, b);
}

static bool rest_stays(const struct pattern *p, const struct pattern *read) {
    if (p->rest == PATTERN_REST_GOES || read->rest == PATTERN_REST_GOES)
        return false;
    return read->rest != PATTERN_REST_VAR ||
           (p->rest == PATTERN_REST_VAR && p->rest_var == read->rest_var);
}

/* one member of the message that came: rewritten, carried over, or gone */
static int edit_member(struct members *m, const struct pattern *p, const struct pattern *read,
                       const struct json *member, const struct bindings *b) {
    const struct pattern_member *pr = pattern_member(read, member->key, member->n_key);
    const struct pattern_member *pw = pattern_member(p, member->key, member->n_key);

    if (pw && (pr || !pw->is_optional || is_put(&pw->pattern, b)))
        return write_member(m, pw, pr ? &pr->pattern : NULL, member, b);
    if (!pr && rest_stays(p, read))
        carry_member(m, member);
    return 0;
}

static int edit_members(struct members *m, const struct pattern *p, const struct pattern *read,
                        const struct json *source, const struct bindings *b) {
    for (size_t i = 0; i < source->n_items; i++) {
        int r = edit_member(m, p, read, &source->items[i], b);

        if (r)
            return r;
    }
    return 0;
}

/* is a member of this name written already, by @p or because it stays? */
static bool is_taken(const struct pattern *p, const struct pattern *read, const struct json *source,
                     const struct json *member, const struct bindings *b) {
    const struct pattern_member *pm = pattern_member(p, member->key, member->n_key);

    if (pm)
        return pm->pattern.kind != PATTERN_ABSENT && (!pm->is_optional || is_put(&pm->pattern, b));
    return source && rest_stays(p, read) && !pattern_member(read, member->key, member->n_key) &&
           json_member_n(source, member->key, member->n_key);
}

/* @source: NULL when nothing of it stays */
static int spread_rest(struct members *m, const struct pattern *p, const struct pattern *read,
                       const struct json *source, const struct bindings *b) {
    const struct json *rest;
    int r;

    if (!bindings_has(b, p->rest_var))
        return 0;
    r = value_of(m->w, p->rest_var, b, &rest);
    if (r)
        return r;
    if (rest->type != JSON_OBJECT)
        return BUILD_E_UNBOUND;
    for (size_t i = 0; i < rest->n_items; i++) {
        if (is_taken(p, read, source, &rest->items[i], b))
            return BUILD_E_UNBOUND; /* one name cannot stand twice */
        carry_member(m, &rest->items[i]);
    }
    return 0;
}

static int write_object(struct build *w, const struct pattern *p, const struct pattern *read,
                        const struct json *source, const struct bindings *b) {
    bool is_edit = read && read->kind == PATTERN_OBJECT && source && source->type == JSON_OBJECT;
    struct members m = {w, 0};
    int r;

    buffer_append_string(w->text, "{");
    if (is_edit) {
        r = edit_members(&m, p, read, source, b);
        if (r)
            return r;
    }
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pattern_member *pm = &p->members[i];

        if (is_edit && json_member_n(source, pm->key, pm->n_key))
            continue; /* it has kept its place */
        r = write_member(&m, pm, NULL, NULL, b);
        if (r)
            return r;
    }
    if (p->rest == PATTERN_REST_VAR &&
        !(is_edit && read->rest == PATTERN_REST_VAR && read->rest_var == p->rest_var)) {
        r = spread_rest(&m, p, read, is_edit ? source : NULL, b);
        if (r)
            return r;
    }
    buffer_append_string(w->text, "}");
    return 0;
}

/* --- lists ------------------------------------------------------------------------------------ */

static const struct bindings_rows *rows_of(const struct bindings *b, size_t group) {
    for (; b; b = b->outer)
        if (b->rows[group])
            return b->rows[group];
    return NULL;
}

/* the elements behind those of the rows, as far as there are values for them */
static int write_more(struct build *w, const struct pattern *p, bool has_rows,
                      const struct bindings *b) {
    for (size_t i = 0; i < p->n_more; i++) {
        int r;

        if (!is_put(&p->more[i], b) && p->more[i].kind != PATTERN_CONST)
            continue;
        buffer_append_string(w->text, has_rows ? ", " : "");
        has_rows = true;
        r = write_pattern(w, &p->more[i], NULL, NULL, b);
        if (r)
            return r;
    }
    return 0;
}

static int write_each(struct build *w, const struct pattern *p, const struct pattern *read,
                      const struct json *source, const struct bindings *b) {
    const struct bindings_rows *rows = rows_of(b, p->group);
    bool is_edit = read && read->kind == PATTERN_EACH && source && source->type == JSON_ARRAY;
    int r;

    if (!rows && is_edit)
        rows = rows_of(b, read->group);
    if (!rows)
        return BUILD_E_UNBOUND;
    buffer_append_string(w->text, "[");
    for (size_t i = 0; i < rows->n; i++) {
        bool has_source = is_edit && i < source->n_items;

        buffer_append_string(w->text, i > 0 ? ", " : "");
        r = write_pattern(w, &p->items[0], has_source ? &read->items[0] : NULL,
                          has_source ? &source->items[i] : NULL, rows->row[i]);
        if (r)
            return r;
    }
    r = write_more(w, p, rows->n > 0, b);
    buffer_append_string(w->text, "]");
    return r;
}

static int write_exact(struct build *w, const struct pattern *p, const struct pattern *read,
                       const struct json *source, const struct bindings *b) {
    bool is_edit = read && read->kind == PATTERN_EXACT && source && source->type == JSON_ARRAY &&
                   source->n_items == read->n_items;

    buffer_append_string(w->text, "[");
    for (size_t i = 0; i < p->n_items; i++) {
        bool has_source = is_edit && i < read->n_items;
        int r;

        buffer_append_string(w->text, i > 0 ? ", " : "");
        r = write_pattern(w, &p->items[i], has_source ? &read->items[i] : NULL,
                          has_source ? &source->items[i] : NULL, b);
        if (r)
            return r;
    }
    buffer_append_string(w->text, "]");
    return 0;
}

static int write_source(struct build *w, const struct json *source) {
    if (!source)
        return BUILD_E_UNBOUND;
    json_write(w->text, source);
    return 0;
}

static int write_pattern(struct build *w, const struct pattern *p, const struct pattern *read,
                         const struct json *source, const struct bindings *b) {
    switch (p->kind) {
    case PATTERN_CONST:
        json_write(w->text, p->value);
        return 0;
    case PATTERN_VAR:
        return write_var(w, p, b);
    case PATTERN_TEXT:
        return write_text(w, p, b);
    case PATTERN_OBJECT:
        return write_object(w, p, read, source, b);
    case PATTERN_EACH:
        return write_each(w, p, read, source, b);
    case PATTERN_EXACT:
        return write_exact(w, p, read, source, b);
    case PATTERN_ONLY:
        return write_pattern(w, &p->items[0], NULL, NULL, b);
    default: /* a guard: what the other side had at this place */
        return write_source(w, source);
    }
}

int build_value(struct arena *arena, enum vars_side side, const struct pattern *write,
                const struct pattern *read, const struct json *source, const struct bindings *b,
                struct buffer *text) {
    struct build w = {arena, side, text};
    int r;

    r = write_pattern(&w, write, read, source, b);
    return r ? r : buffer_status(text);
}

int build_new(struct arena *arena, enum vars_side side, const struct pattern *p,
              const struct bindings *b, const char **ret, size_t *ret_n) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    int r;

    r = build_value(arena, side, p, NULL, NULL, b, &text);
    if (r)
        return r;
    *ret = arena_copy(arena, text.data, text.n);
    *ret_n = text.n;
    return *ret ? 0 : -ENOMEM;
}
