#include "rule/match.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "json/writer.h"

enum {
    MATCH_MAX_TEXT_BYTES = 4096, /* a longer text has no captures */
    MATCH_MAX_TRIES = 1000, /* of captures in one text, where variables do not take the first */
};

struct match {
    struct arena *arena;
    enum vars_side side;
};

static int match(struct match *m, const struct pattern *p, const struct json *value,
                 struct bindings *b);

/* --- variables -------------------------------------------------------------------------------- */

/* the innermost bindings that hold @var, or those of the place itself */
static struct bindings *holder(struct bindings *b, size_t var) {
    for (struct bindings *i = b; i; i = i->outer)
        if (i->value[var])
            return i;
    return b;
}

/* the old side's value of @var, of which @value was read on m->side */
static int to_old(struct match *m, const struct var *var, const struct json *value,
                  const struct json **ret) {
    int r;

    if (!vars_type_fits(var->type[m->side], value))
        return MATCH_E_NO;
    if (m->side == VARS_NEW) {
        r = vars_convert(m->arena, var, VARS_OLD, value, ret);
    } else {
        *ret = value;
        r = var->n_map > 0 ? vars_convert(m->arena, var, VARS_NEW, value, &value) : 0;
    }
    return r > 0 ? MATCH_E_NO : r;
}

/* bind @value (of m->side) to @var, or compare it with what it is bound to */
static int bind(struct match *m, size_t var, const struct json *value, struct bindings *b) {
    struct bindings *h = holder(b, var);
    int r;

    r = to_old(m, &b->vars->var[var], value, &value);
    if (r)
        return r;
    if (h->value[var] && !h->is_weak[var])
        return json_equal(h->value[var], value) ? 0 : MATCH_E_NO;
    h->value[var] = value;
    h->is_weak[var] = false;
    return 0;
}

/* --- text with captures ----------------------------------------------------------------------- */

static int bind_text(struct match *m, size_t var, const char *text, size_t n, struct bindings *b) {
    const struct json *value = vars_new_string(m->arena, text, n);

    return value ? bind(m, var, value, b) : -ENOMEM;
}

struct text {
    const struct pattern *p;
    const char *end;
    size_t n_tries;
};

enum { MATCH_E_NEVER = MATCH_E_NO + 1 }; /* nor if an earlier capture were longer */

/* Return: where piece @i stands next, at @from or behind it; NULL: nowhere */
static const char *find_piece(const struct text *t, size_t i, const char *from) {
    const struct pattern_piece *piece = &t->p->pieces[i];

    if (i + 1 < t->p->n_pieces)
        return memmem(from, (size_t)(t->end - from), piece->text, piece->n_text);
    if ((size_t)(t->end - from) < piece->n_text)
        return NULL;
    from = t->end - piece->n_text;
    return memcmp(from, piece->text, piece->n_text) == 0 ? from : NULL;
}

/*
 * The rest of the text against the pieces from @i on; the capture before
 * piece @i began at @from.  A longer capture is tried only where a variable
 * did not take the shorter one: if the pieces themselves are not found, they
 * are not found further on either.
 */
static int match_pieces(struct match *m, struct text *t, size_t i, const char *from,
                        struct bindings *b) {
    bool is_last = i + 1 == t->p->n_pieces;
    const char *at = find_piece(t, i, from);

    if (!at)
        return MATCH_E_NEVER;
    for (; at; at = is_last || at == t->end ? NULL : find_piece(t, i, at + 1)) {
        struct bindings *fork;
        int r;

        if (t->n_tries++ == MATCH_MAX_TRIES)
            return MATCH_E_NEVER;
        fork = bindings_fork(m->arena, b);
        if (!fork)
            return -ENOMEM;
        r = bind_text(m, t->p->pieces[i - 1].var, from, (size_t)(at - from), fork);
        if (r == 0 && !is_last)
            r = match_pieces(m, t, i + 1, at + t->p->pieces[i].n_text, fork);
        if (r == 0)
            bindings_join(b, fork);
        if (r != MATCH_E_NO)
            return r;
    }
    return MATCH_E_NO;
}

static int match_text(struct match *m, const struct pattern *p, const struct json *value,
                      struct bindings *b) {
    const struct pattern_piece *first = &p->pieces[0];
    struct text t = {.p = p};
    int r;

    if (value->type != JSON_STRING || value->n_string < first->n_text ||
        value->n_string > MATCH_MAX_TEXT_BYTES)
        return MATCH_E_NO;
    if (memcmp(value->string, first->text, first->n_text) != 0)
        return MATCH_E_NO;
    t.end = value->string + value->n_string;
    r = match_pieces(m, &t, 1, value->string + first->n_text, b);
    return r > 0 ? MATCH_E_NO : r;
}

/* --- lists ------------------------------------------------------------------------------------ */

static int match_each(struct match *m, const struct pattern *p, const struct json *value,
                      struct bindings *b) {
    struct bindings_rows *rows = arena_alloc(m->arena, sizeof(*rows));
    int r;

    if (!rows)
        return -ENOMEM;
    rows->n = value->n_items;
    rows->row = arena_alloc(m->arena, (rows->n + 1) * sizeof(*rows->row));
    if (!rows->row)
        return -ENOMEM;
    for (size_t i = 0; i < rows->n; i++) {
        rows->row[i] = bindings_new(m->arena, b->vars, b);
        if (!rows->row[i])
            return -ENOMEM;
        rows->row[i]->group = p->group;
        r = match(m, &p->items[0], &value->items[i], rows->row[i]);
        if (r)
            return r;
    }
    b->rows[p->group] = rows;
    return 0;
}

/* the elements that fit; the others are as if they were not there */
static int match_every(struct match *m, const struct pattern *p, const struct json *value,
                       struct bindings *b) {
    struct bindings_rows *rows = arena_alloc(m->arena, sizeof(*rows));

    if (!rows)
        return -ENOMEM;
    rows->row = arena_alloc(m->arena, (value->n_items + 1) * sizeof(*rows->row));
    if (!rows->row)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        struct bindings *row = bindings_new(m->arena, b->vars, b);
        int r;

        if (!row)
            return -ENOMEM;
        row->group = p->group;
        r = match(m, &p->items[0], &value->items[i], row);
        if (r < 0)
            return r;
        if (r == 0)
            rows->row[rows->n++] = row;
    }
    b->rows[p->group] = rows;
    return 0;
}

static int match_first(struct match *m, const struct pattern *p, const struct json *value,
                       struct bindings *b) {
    int r;

    for (size_t i = 0; i < value->n_items; i++) {
        struct bindings *fork = bindings_fork(m->arena, b);

        if (!fork)
            return -ENOMEM;
        r = match(m, &p->items[0], &value->items[i], fork);
        if (r == 0)
            bindings_join(b, fork);
        if (r <= 0)
            return r;
    }
    return MATCH_E_NO;
}

static int match_exact(struct match *m, const struct pattern *p, const struct json *value,
                       struct bindings *b) {
    int r;

    if (value->n_items != p->n_items)
        return MATCH_E_NO;
    for (size_t i = 0; i < p->n_items; i++) {
        r = match(m, &p->items[i], &value->items[i], b);
        if (r)
            return r;
    }
    return 0;
}

/* --- objects ---------------------------------------------------------------------------------- */

static void add_member(struct json *object, const struct json *member, struct buffer *text) {
    object->items[object->n_items++] = *member;
    buffer_append_string(text, text->n > 1 ? ", " : "");
    buffer_append(text, member->key_text, member->n_key_text);
    buffer_append_string(text, ": ");
    json_write(text, member);
}

/* the members that no picture mentions, as an object of their own */
static int bind_rest(struct match *m, const struct pattern *p, const struct json *value,
                     struct bindings *b) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    struct json *rest = arena_alloc(m->arena, sizeof(*rest));

    if (!rest)
        return -ENOMEM;
    rest->type = JSON_OBJECT;
    rest->items = arena_alloc(m->arena, (value->n_items + 1) * sizeof(*rest->items));
    if (!rest->items)
        return -ENOMEM;
    buffer_append_string(&text, "{");
    for (size_t i = 0; i < value->n_items; i++)
        if (!pattern_member(p, value->items[i].key, value->items[i].n_key))
            add_member(rest, &value->items[i], &text);
    buffer_append_string(&text, "}");
    if (buffer_status(&text) < 0)
        return -ENOMEM;
    rest->n_text = text.n;
    rest->text = arena_copy(m->arena, text.data, text.n);
    if (!rest->text)
        return -ENOMEM;
    return rest->n_items > 0 ? bind(m, p->rest_var, rest, b) : 0;
}

static const struct json empty_object = {.type = JSON_OBJECT, .text = "{}", .n_text = 2};

static int match_object(struct match *m, const struct pattern *p, const struct json *value,
                        struct bindings *b) {
    int r;

    if (value->type != JSON_OBJECT)
        return MATCH_E_NO;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pattern_member *pm = &p->members[i];
        const struct json *v = json_member_n(value, pm->key, pm->n_key);

        if (!v && pm->is_optional)
            continue;
        if (!v && pm->is_implied)
            v = &empty_object;
        r = match(m, &pm->pattern, v, b);
        if (r)
            return r;
    }
    return p->rest == PATTERN_REST_VAR ? bind_rest(m, p, value, b) : 0;
}

/* --- guards ----------------------------------------------------------------------------------- */

static int match_in(struct match *m, const struct pattern *p, const struct json *value,
                    struct bindings *b) {
    for (size_t i = 0; i < p->n_items; i++) {
        int r = match(m, &p->items[i], value, b);

        if (r <= 0)
            return r;
    }
    return MATCH_E_NO;
}

static int match_not(struct match *m, const struct pattern *p, const struct json *value,
                     const struct bindings *b) {
    struct bindings *fork = bindings_fork(m->arena, b);
    int r;

    if (!fork)
        return -ENOMEM;
    r = match(m, &p->items[0], value, fork);
    if (r < 0)
        return r;
    return r == 0 ? MATCH_E_NO : 0;
}

static int match_like(struct match *m, const struct pattern *p, const struct json *value) {
    const char *string;

    if (value->type != JSON_STRING || memchr(value->string, '\0', value->n_string))
        return MATCH_E_NO;
    string = arena_copy(m->arena, value->string, value->n_string);
    if (!string)
        return -ENOMEM;
    return fnmatch(p->value->string, string, 0) == 0 ? 0 : MATCH_E_NO;
}

static int match_present(struct match *m, const struct pattern *p, const struct json *value,
                         struct bindings *b) {
    switch (p->kind) {
    case PATTERN_CONST:
        return json_equal(p->value, value) ? 0 : MATCH_E_NO;
    case PATTERN_VAR:
        return vars_type_fits(p->type, value) ? bind(m, p->var, value, b) : MATCH_E_NO;
    case PATTERN_TEXT:
        return match_text(m, p, value, b);
    case PATTERN_OBJECT:
        return match_object(m, p, value, b);
    case PATTERN_EACH:
        return value->type == JSON_ARRAY ? match_each(m, p, value, b) : MATCH_E_NO;
    case PATTERN_EVERY:
        return value->type == JSON_ARRAY ? match_every(m, p, value, b) : MATCH_E_NO;
    case PATTERN_FIRST:
        return value->type == JSON_ARRAY ? match_first(m, p, value, b) : MATCH_E_NO;
    case PATTERN_EXACT:
        return value->type == JSON_ARRAY ? match_exact(m, p, value, b) : MATCH_E_NO;
    case PATTERN_LIKE:
        return match_like(m, p, value);
    default:
        return MATCH_E_NO;
    }
}

static int match(struct match *m, const struct pattern *p, const struct json *value,
                 struct bindings *b) {
    switch (p->kind) {
    case PATTERN_ONLY:
        return 0;
    case PATTERN_ABSENT:
        return value ? MATCH_E_NO : 0;
    case PATTERN_NOT:
        return match_not(m, p, value, b);
    case PATTERN_IN:
        return match_in(m, p, value, b);
    default:
        return value ? match_present(m, p, value, b) : MATCH_E_NO;
    }
}

int match_value(struct arena *arena, enum vars_side side, const struct pattern *p,
                const struct json *value, struct bindings *b) {
    struct match m = {arena, side};
    struct bindings *fork = bindings_fork(arena, b);
    int r;

    if (!fork)
        return -ENOMEM;
    r = match(&m, p, value, fork);
    if (r == 0)
        bindings_join(b, fork);
    return r;
}
