/*
 * A message is first read past to its end, and the members of objects that
 * pictures show are noted, with what variables stand for.  Only then it is
 * written, because a variable may be wanted before the place that binds it.
 */

#include "rule/plan.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "json/plain.h"
#include "json/skim.h"
#include "json/writer.h"

enum {
    PLAN_MAX_VARS = 32,
    PLAN_MAX_MEMBERS = 64, /* of one object, that pictures show: a bit for each */
    PLAN_MAX_FOUND = 96,   /* members of a message, in objects that pictures show */
    PLAN_MAX_DEPTH = 8,    /* objects in pictures */
    PLAN_HEAD_BYTES = 16,
    PLAN_N_CARRIED = 2, /* members at the top that may come, whether pictures show them or not */
};

struct plan_member {
    const char *key, *key_text; /* and with quotes and colon */
    size_t n_key, n_key_text;
    char head[PLAN_HEAD_BYTES]; /* of key_text, for a quick look */
    unsigned int head_bits;     /* a bit for each byte of it that there is */
    uint64_t bit;               /* its own among those of the object */
    const struct pattern *read,
        *write;                 /* NULL: this side does not show it; both: it is carried over */
    bool may_be_left;           /* written only if its variable is bound */
    bool is_implied;            /* not written if it is {} */
    bool is_other;              /* a constant becomes another one */
    struct plan_object *object; /* one of the two shows an object; otherwise NULL */
};

struct plan_object {
    struct plan_member *member; /* first those that are written, in that order */
    size_t n, n_written;
    const struct plan_member **usual; /* those that mostly come, and then all of them again */
    size_t n_usual;
    uint64_t needed; /* a bit for each that must be there */
};

struct plan {
    struct plan_object root;
    const struct plan_member *id; /* at the top of the message */
};

/* --- making --------------------------------------------------------------------------------- */

struct make {
    struct arena *arena;
    const struct vars *vars;
};

static bool var_is_plain(const struct make *m, size_t var) {
    const struct var *v = &m->vars->var[var];

    return v->group == 0 && v->type[VARS_OLD] == VARS_ANY && v->type[VARS_NEW] == VARS_ANY &&
           !v->has_scale && v->n_map == 0 && !v->has_from && !v->fallback && !v->is_fd;
}

static bool is_plain(const struct make *m, const struct pattern *p, size_t depth) {
    switch (p->kind) {
    case PATTERN_CONST:
        return p->value && p->value->type != JSON_OBJECT && p->value->type != JSON_ARRAY;
    case PATTERN_VAR:
        return var_is_plain(m, p->var);
    case PATTERN_OBJECT:
        return p->rest == PATTERN_REST_STAYS && depth < PLAN_MAX_DEPTH;
    default:
        return false;
    }
}

static int make_object(struct make *m, const struct pattern *read, const struct pattern *write,
                       size_t depth, struct plan_object *o);

/* Return: 0, -ENOMEM */
static int make_key(struct make *m, const char *key, size_t n, struct plan_object *o, size_t i) {
    struct plan_member *pm = &o->member[i];
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    json_write_string(&b, key, n);
    buffer_append_string(&b, ": ");
    if (buffer_status(&b) < 0)
        return -ENOMEM;
    pm->key = key;
    pm->n_key = n;
    pm->bit = (uint64_t)1 << i;
    pm->key_text = arena_copy(m->arena, b.data, b.n);
    pm->n_key_text = b.n;
    memcpy(pm->head, b.data, size_min(b.n, PLAN_HEAD_BYTES));
    pm->head_bits = b.n < PLAN_HEAD_BYTES ? (1u << b.n) - 1 : (1u << PLAN_HEAD_BYTES) - 1;
    return pm->key_text ? 0 : -ENOMEM;
}

/* @r, @w: what the sides show of it; one of the two may be NULL, @any is not */
static int make_member(struct make *m, const struct pattern_member *any,
                       const struct pattern_member *r, const struct pattern_member *w, size_t depth,
                       struct plan_object *o) {
    struct plan_member *pm = &o->member[o->n];
    const struct pattern *read = r ? &r->pattern : NULL, *write = w ? &w->pattern : NULL;
    bool is_object = false;
    int x;

    if ((read && !is_plain(m, read, depth)) || (write && !is_plain(m, write, depth)) ||
        (w && w->is_optional && write->kind == PATTERN_OBJECT) || o->n == PLAN_MAX_MEMBERS)
        return PLAN_E_READ;
    x = make_key(m, any->key, any->n_key, o, o->n);
    if (x < 0)
        return x;
    pm->read = read;
    pm->write = write;
    pm->may_be_left = w && w->is_optional;
    pm->is_implied = w && w->is_implied;
    pm->is_other = read && write && read->kind == PATTERN_CONST && write->kind == PATTERN_CONST &&
                   !json_equal_text(read->value, write->value);
    is_object = (read && read->kind == PATTERN_OBJECT) || (write && write->kind == PATTERN_OBJECT);
    if (is_object) {
        pm->object = arena_alloc(m->arena, sizeof(*pm->object));
        if (!pm->object)
            return -ENOMEM;
        x = make_object(m, read && read->kind == PATTERN_OBJECT ? read : NULL,
                        write && write->kind == PATTERN_OBJECT ? write : NULL, depth + 1,
                        pm->object);
        if (x)
            return x;
    }
    /* one that is implied is the same as an empty object */
    if (r && !r->is_optional &&
        !(r->is_implied && read->kind == PATTERN_OBJECT && pm->object->needed == 0))
        o->needed |= pm->bit;
    o->n++;
    return 0;
}

/* @read, @write: NULL: this side shows no object there */
static int make_object(struct make *m, const struct pattern *read, const struct pattern *write,
                       size_t depth, struct plan_object *o) {
    size_t n_read = read ? read->n_members : 0, n_write = write ? write->n_members : 0;
    int r;

    o->member = arena_alloc(m->arena, (n_read + n_write + PLAN_N_CARRIED) * sizeof(*o->member));
    if (!o->member)
        return -ENOMEM;
    for (size_t i = 0; i < n_write; i++) {
        const struct pattern_member *w = &write->members[i];

        r = make_member(m, w, pattern_member(read, w->key, w->n_key), w, depth, o);
        if (r)
            return r;
    }
    o->n_written = o->n;
    for (size_t i = 0; i < n_read; i++) {
        const struct pattern_member *pm = &read->members[i];

        if (pattern_member(write, pm->key, pm->n_key))
            continue;
        r = make_member(m, pm, pm, NULL, depth, o);
        if (r)
            return r;
    }
    return 0;
}

/* Return: 0 or -ENOMEM */
static int find_usual(struct make *m, struct plan_object *o) {
    o->usual = arena_alloc(m->arena, (o->n + 1) * 2 * sizeof(struct plan_member *));
    if (!o->usual)
        return -ENOMEM;
    for (size_t i = 0; i < o->n; i++) {
        int r = o->member[i].object ? find_usual(m, o->member[i].object) : 0;

        if (r < 0)
            return r;
        if (o->member[i].read || !o->member[i].write)
            o->usual[o->n_usual++] = &o->member[i];
    }
    for (size_t i = 0; i < o->n_usual; i++)
        o->usual[o->n_usual + i] = o->usual[i];
    return 0;
}

static bool is_called(const struct plan_member *m, const char *key) {
    return m->n_key == strlen(key) && memcmp(m->key, key, m->n_key) == 0;
}

/* of those that may stand at the top of a message; the others are not looked at here */
static bool is_known(const struct plan_member *m) {
    return is_called(m, "execute") || is_called(m, "arguments") || is_called(m, "return");
}

/* pictures need not show @key.  Return: 0, -ENOMEM, PLAN_E_READ */
static int add_carried(struct make *m, struct plan_object *o, const char *key) {
    for (size_t i = 0; i < o->n; i++)
        if (is_called(&o->member[i], key))
            return 0;
    if (o->n == PLAN_MAX_MEMBERS)
        return PLAN_E_READ;
    o->n++;
    return make_key(m, key, strlen(key), o, o->n - 1);
}

/* Return: 0, -ENOMEM, PLAN_E_READ */
static int make_root(struct make *m, const struct pattern *read, const struct pattern *write,
                     struct plan *plan) {
    struct plan_object *o = &plan->root;
    int r;

    r = make_object(m, read, write, 0, o);
    if (r)
        return r;
    for (size_t i = 0; i < o->n; i++)
        if (!is_known(&o->member[i]))
            return PLAN_E_READ;
    r = add_carried(m, o, "id");
    if (r)
        return r;
    plan->id = &o->member[o->n - 1];
    r = add_carried(m, o, "arguments");
    return r ? r : find_usual(m, o);
}

int plan_make(struct arena *arena, const struct vars *vars, const struct pattern *read,
              const struct pattern *write, const struct plan **ret_plan) {
    struct make m = {arena, vars};
    struct plan *plan;
    int r;

    if (vars->n > PLAN_MAX_VARS || !is_plain(&m, read, 0) || !is_plain(&m, write, 0) ||
        read->kind != PATTERN_OBJECT || write->kind != PATTERN_OBJECT)
        return PLAN_E_READ;
    plan = arena_alloc(arena, sizeof(*plan));
    if (!plan)
        return -ENOMEM;
    r = make_root(&m, read, write, plan);
    if (r)
        return r;
    *ret_plan = plan;
    return 0;
}

/* --- reading -------------------------------------------------------------------------------- */

/* the members of an object of the message, in their order */
struct level {
    struct found *first;
    uint64_t seen; /* a bit for each that pictures show */
};

struct found {
    struct found *next;
    const struct plan_member *member; /* NULL: no picture shows it */
    const char *key;                  /* with its quotes */
    size_t n_key;
    struct skim_value value;
    bool is_whole;      /* name and value stand together as they are written */
    struct level level; /* what is in it, if the side that is read shows an object */
};

struct run {
    const struct plan *plan;
    const struct plan_id *id; /* to be written; NULL: what came */
    struct buffer *to;
    struct plan_result result;
    size_t n_found;
    uint32_t bound;                              /* a bit for each variable that is */
    const struct skim_value *var[PLAN_MAX_VARS]; /* if it is bound */
    struct skim skim;
    struct found
        found[PLAN_MAX_FOUND]; /* near to the others: mostly only the first few are used, */
    struct skim_name names[SKIM_MAX_NAMES]; /* and none of these */
};

static inline bool is_bound(const struct run *r, size_t var) {
    return r->bound >> var & 1;
}

static bool looks_like(enum vars_type type, const struct skim_value *v) {
    char c = v->text[0];

    switch (type) {
    case VARS_STR:
        return c == '"';
    case VARS_BOOL:
        return c == 't' || c == 'f';
    case VARS_OBJECT:
        return c == '{';
    case VARS_LIST:
        return c == '[';
    case VARS_NUMBER:
        return c == '-' || (c >= '0' && c <= '9');
    case VARS_INT:
        for (size_t i = c == '-'; i < v->n; i++)
            if (v->text[i] < '0' || v->text[i] > '9')
                return false;
        return true;
    default:
        return false;
    }
}

/* may be false of a value that fits, but looks unusual */
static inline bool fits(enum vars_type type, const struct skim_value *v) {
    return type == VARS_ANY || looks_like(type, v);
}

/* likewise */
static inline bool is_same(const struct json *constant, const struct skim_value *v) {
    return v->n == constant->n_text && memcmp(v->text, constant->text, v->n) == 0;
}

static bool read_object(struct run *r, const struct plan_object *o, struct level *ret);

/* Return: behind the plain string or whole number at s->at; NULL: it is something else */
static inline const char *behind_scalar(const struct skim *s) {
    const char *at = s->at;

    if (*at == '"') {
        at = plain_skip_within(s->begin, at + 1, s->end);
        return at < s->end && *at == '"' ? at + 1 : NULL;
    }
    if (*at < '1' || *at > '9')
        return NULL;
    while (at < s->end && (unsigned char)(*at - '0') <= 9)
        at++;
    return at < s->end && (*at == ',' || *at == '}') ? at : NULL;
}

/* a value that is not looked into */
static inline bool read_past(struct run *r, struct skim_value *ret) {
    const char *end = r->skim.at < r->skim.end ? behind_scalar(&r->skim) : NULL;

    if (!end)
        return skim_value(&r->skim, ret);
    ret->text = r->skim.at;
    ret->n = (size_t)(end - r->skim.at);
    ret->is_neat = true;
    r->skim.at = end;
    return true;
}

/* a value of a member that pictures show */
static inline bool read_shown(struct run *r, struct found *f) {
    const struct pattern *p = f->member->read;

    if (p && p->kind == PATTERN_OBJECT)
        return read_object(r, f->member->object, &f->level);
    if (!read_past(r, &f->value))
        return false;
    if (!p)
        return true;
    if (p->kind == PATTERN_CONST)
        return is_same(p->value, &f->value);
    if (is_bound(r, p->var) || !fits(p->type, &f->value))
        return false;
    r->var[p->var] = &f->value;
    r->bound |= (uint32_t)1 << p->var;
    return true;
}

/* does its name, with the colon, stand at @at, where @n bytes are left, and is there more? */
static inline bool is_next(const struct plan_member *m, const char *at, size_t n) {
    if (n <= m->n_key_text)
        return false;
#if defined(__SSE2__)
    if (n >= PLAN_HEAD_BYTES) {
        __m128i a = _mm_loadu_si128((const __m128i *)at),
                b = _mm_loadu_si128((const __m128i *)m->head);
        unsigned int same = (unsigned int)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b));

        return (~same & m->head_bits) == 0 &&
               (m->n_key_text <= PLAN_HEAD_BYTES ||
                memcmp(at + PLAN_HEAD_BYTES, m->key_text + PLAN_HEAD_BYTES,
                       m->n_key_text - PLAN_HEAD_BYTES) == 0);
    }
#endif
    return memcmp(at, m->key_text, m->n_key_text) == 0;
}

/*
 * The name that comes next, if it is one of the usual ones and written as
 * they are here: mostly in the order of the picture, so that the first that
 * is tried is the one.  Return: NULL when it has to be read.
 */
static inline const struct plan_member *guess(struct run *r, const struct plan_object *o,
                                              size_t *next, bool is_first) {
    const char *at = r->skim.at, *end = r->skim.end;

    if (end - at < 3)
        return NULL;
    if (!is_first) {
        if (at[0] != ',' || at[1] != ' ')
            return NULL;
        at += 2;
    }
    for (size_t i = *next; i < *next + o->n_usual; i++)
        if (is_next(o->usual[i], at, (size_t)(end - at))) {
            *next = i + 1 < o->n_usual ? i + 1 : 0; /* some may be tried later than need be */
            r->skim.at = at + o->usual[i]->n_key_text;
            return o->usual[i];
        }
    return NULL;
}

static const struct plan_member *member_of(const struct plan_object *o,
                                           const struct skim_name *name) {
    for (size_t i = 0; i < o->n; i++)
        if (o->member[i].n_key == name->n && memcmp(o->member[i].key, name->text, name->n) == 0)
            return &o->member[i];
    return NULL;
}

/* Return: false when there are no more, or when it has failed */
static inline bool read_name(struct run *r, const struct plan_object *o, struct skim_object *object,
                             size_t *next, struct found *f) {
    struct skim *s = &r->skim;
    const char *at = s->at;
    struct skim_name name;

    f->member = guess(r, o, next, !object->is_begun);
    f->is_whole = f->member != NULL;
    if (f->member) {
        f->key = at + (object->is_begun ? 2 : 0);
        f->n_key = f->member->n_key + 2; /* there is nothing to be escaped in it */
        object->is_begun = true;
        return true;
    }
    if (s->at < s->end && *s->at == '}') {
        skim_close(s, object);
        return false;
    }
    if (!skim_member(s, object, &name))
        return false;
    f->key = name.text - 1;
    f->n_key = name.n + 2;
    f->member = member_of(o, &name);
    return true;
}

/* Return: whether it is as it should be */
static bool read_object(struct run *r, const struct plan_object *o, struct level *ret) {
    struct found **last = &ret->first, *f = &r->found[r->n_found];
    struct skim_object object;
    size_t next = 0;

    ret->seen = 0;
    if (r->n_found == PLAN_MAX_FOUND || !skim_open(&r->skim, &object))
        return false;
    while (read_name(r, o, &object, &next, f)) {
        if (++r->n_found == PLAN_MAX_FOUND || (f->member && ret->seen & f->member->bit))
            return false;
        if (f->member)
            ret->seen |= f->member->bit;
        *last = f;
        last = &f->next;
        if (!(f->member ? read_shown(r, f) : read_past(r, &f->value)))
            return false;
        f = &r->found[r->n_found];
    }
    *last = NULL;
    return !r->skim.has_failed && (o->needed & ~ret->seen) == 0;
}

/* nothing else at the top of the message may mean anything */
static bool check_root(const struct level *root) {
    for (const struct found *f = root->first; f; f = f->next)
        if (!f->member)
            return false;
    return true;
}

/* --- writing -------------------------------------------------------------------------------- */

static bool write_object(struct run *r, const struct plan_object *o, const struct level *level);

static inline void write_slice(struct run *r, const struct skim_value *v) {
    if (v->is_neat)
        buffer_append(r->to, v->text, v->n);
    else
        skim_write(r->to, v->text, v->n);
}

/* @f: what was there, if it was; Return: whether there is a value for it */
static bool write_value(struct run *r, const struct plan_member *m, const struct found *f) {
    static const struct level nothing = {NULL, 0};
    const struct pattern *p = m->write;
    const struct skim_value *v;

    switch (p->kind) {
    case PATTERN_CONST:
        buffer_append(r->to, p->value->text, p->value->n_text);
        return true;
    case PATTERN_VAR:
        v = r->var[p->var];
        if (!is_bound(r, p->var) || !fits(p->type, v))
            return false;
        write_slice(r, v);
        return true;
    default:
        return write_object(r, m->object,
                            f && m->read && m->read->kind == PATTERN_OBJECT ? &f->level : &nothing);
    }
}

static bool is_put(const struct run *r, const struct plan_member *m) {
    return !m->may_be_left || (m->write->kind == PATTERN_VAR && is_bound(r, m->write->var));
}

static inline void begin_member(struct run *r, size_t *n, const char *key, size_t n_key) {
    if ((*n)++ > 0)
        buffer_append(r->to, ", ", 2);
    buffer_append(r->to, key, n_key);
}

/* as it was */
static void carry(struct run *r, const struct found *f, size_t *n) {
    if (f->is_whole && f->value.is_neat) {
        begin_member(r, n, f->key, (size_t)(f->value.text + f->value.n - f->key));
        return;
    }
    begin_member(r, n, f->key, f->n_key);
    buffer_append(r->to, ": ", 2);
    write_slice(r, &f->value);
}

void plan_write_id(const struct plan_result *result, struct buffer *to) {
    if (result->is_id_neat)
        buffer_append(to, result->id.text, result->id.n);
    else
        skim_write(to, result->id.text, result->id.n);
}

static void write_id(struct run *r, const struct found *f, size_t *n) {
    r->result.id = (struct plan_id){f->value.text, f->value.n};
    r->result.is_id_neat = f->value.is_neat;
    begin_member(r, n, "\"id\": ", 6);
    r->result.id_at = r->to->n;
    if (r->id)
        buffer_append(r->to, r->id->text, r->id->n);
    else
        plan_write_id(&r->result, r->to);
}

/* one that was there: rewritten, carried over, or gone.  Return: see write_value() */
static bool write_found(struct run *r, const struct found *f, size_t *n) {
    const struct plan_member *m = f->member;
    bool is_written = m && m->write && is_put(r, m);

    if (m && m->read && !is_written) {
        r->result.is_changed = true;
        return true;
    }
    if (is_written) {
        begin_member(r, n, f->key, f->n_key + (f->is_whole ? 2 : 0));
        if (!f->is_whole)
            buffer_append(r->to, ": ", 2);
        r->result.is_changed = r->result.is_changed || m->is_other;
        return write_value(r, m, f);
    }
    if (m == r->plan->id)
        write_id(r, f, n);
    else
        carry(r, f, n);
    return true;
}

/* one that was not there; "arguments" is left out when nothing is in it */
static bool write_new(struct run *r, const struct plan_member *m, size_t *n) {
    size_t n_before = r->to->n, n_members = *n, n_value;

    if (!is_put(r, m))
        return true;
    begin_member(r, n, m->key_text, m->n_key_text);
    n_value = r->to->n;
    if (!write_value(r, m, NULL))
        return false;
    if (m->is_implied && r->to->n == n_value + 2) {
        r->to->n = n_before;
        *n = n_members;
    } else {
        r->result.is_changed = true;
    }
    return true;
}

static bool write_object(struct run *r, const struct plan_object *o, const struct level *level) {
    size_t n = 0;

    buffer_append(r->to, "{", 1);
    for (const struct found *f = level->first; f; f = f->next)
        if (!write_found(r, f, &n))
            return false;
    for (size_t i = 0; i < o->n_written; i++)
        if (!(level->seen >> i & 1) && !write_new(r, &o->member[i], &n))
            return false;
    buffer_append(r->to, "}", 1);
    return true;
}

int plan_apply(const struct plan *plan, const char *text, size_t n, const struct plan_id *id,
               struct buffer *to, struct plan_result *ret) {
    struct level root;
    struct run r;

    r.plan = plan; /* not all of it is set, because this is done for every message */
    r.id = id;
    r.to = to;
    r.result = (struct plan_result){0};
    r.n_found = 0;
    r.bound = 0;
    skim_init(&r.skim, text, n, r.names);
    if (!read_object(&r, &plan->root, &root) || !skim_is_over(&r.skim) || !check_root(&root) ||
        !write_object(&r, &plan->root, &root))
        return PLAN_E_READ;
    *ret = r.result;
    return buffer_status(to);
}
