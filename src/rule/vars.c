#include "rule/vars.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json/writer.h"

static const char *const type_names[_VARS_TYPE_N + 1] = {
    [VARS_ANY] = "any",   [VARS_STR] = "str",       [VARS_INT] = "int",   [VARS_NUMBER] = "number",
    [VARS_BOOL] = "bool", [VARS_OBJECT] = "object", [VARS_LIST] = "list",
};

int vars_type_find(const char *name, size_t n_name) {
    for (int i = 0; i < _VARS_TYPE_N; i++)
        if (strlen(type_names[i]) == n_name && memcmp(type_names[i], name, n_name) == 0)
            return i;
    return -1;
}

const char *vars_type_name(enum vars_type type) {
    return type_names[type];
}

static bool is_integer(const struct json *value) {
    struct number n;

    return number_read(value->text, value->n_text, &n) == 0 && number_is_integer(n);
}

bool vars_type_fits(enum vars_type type, const struct json *value) {
    switch (type) {
    case VARS_ANY:
        return true;
    case VARS_STR:
        return value->type == JSON_STRING;
    case VARS_INT:
        return value->type == JSON_NUMBER && is_integer(value);
    case VARS_NUMBER:
        return value->type == JSON_NUMBER;
    case VARS_BOOL:
        return value->type == JSON_BOOL;
    case VARS_OBJECT:
        return value->type == JSON_OBJECT;
    case VARS_LIST:
        return value->type == JSON_ARRAY;
    default:
        return false;
    }
}

int vars_intern(struct arena *arena, struct vars *vars, const char *name, size_t n_name,
                size_t *ret_index) {
    struct var *more;

    for (size_t i = 0; i < vars->n; i++)
        if (strlen(vars->var[i].name) == n_name && memcmp(vars->var[i].name, name, n_name) == 0) {
            *ret_index = i;
            return 0;
        }
    more = arena_alloc(arena, (vars->n + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    if (vars->n > 0)
        memcpy(more, vars->var, vars->n * sizeof(*more));
    vars->var = more;
    more[vars->n].name = arena_copy(arena, name, n_name);
    if (!more[vars->n].name)
        return -ENOMEM;
    *ret_index = vars->n++;
    return 0;
}

/* --- the "vars" member ------------------------------------------------------------------ */

struct compile {
    const struct vars *vars;
    struct arena *arena;
    const struct diag_source *source;
    struct diag_set *diags;
};

static int fault(struct compile *c, const struct json *value, const char *way_out,
                 const char *message) {
    diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(value->text - c->source->text),
             value->n_text, way_out, "%s", message);
    return VARS_E_INVALID;
}

static int compile_scale(struct compile *c, struct var *var, const struct json *value) {
    if (value->type != JSON_NUMBER || number_read(value->text, value->n_text, &var->scale) ||
        var->scale.mantissa == 0)
        return fault(c, value, "new = old × scale", "\"scale\" must be a number other than 0");
    var->has_scale = true;
    return 0;
}

static int compile_map(struct compile *c, struct var *var, const struct json *value) {
    if (value->type != JSON_ARRAY || value->n_items == 0)
        return fault(c, value, "[[old, new], …]; the first pair that fits is taken",
                     "\"map\" must be a list of at least one pair");
    var->map = arena_alloc(c->arena, (value->n_items + 1) * sizeof(*var->map));
    if (!var->map)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *pair = &value->items[i];

        if (pair->type != JSON_ARRAY || pair->n_items != 2)
            return fault(c, pair, "write [old, new]",
                         "a pair of \"map\" must be a list of two values");
        var->map[i].side[VARS_OLD] = &pair->items[0];
        var->map[i].side[VARS_NEW] = &pair->items[1];
    }
    var->n_map = value->n_items;
    return 0;
}

static int compile_type(struct compile *c, struct var *var, enum vars_side side,
                        const struct json *value) {
    int type = value->type == JSON_STRING ? vars_type_find(value->string, value->n_string) : -1;

    if (type < 0)
        return fault(c, value, "the types are str, int, number, bool, object, list and any",
                     "unknown type");
    var->type[side] = (enum vars_type)type;
    return 0;
}

static int compile_from(struct compile *c, struct var *var, const struct json *value) {
    const char *name = value->type == JSON_STRING ? value->string : "";
    size_t n = value->type == JSON_STRING ? value->n_string : 0;

    for (size_t i = 0; n > 1 && name[0] == '$' && i < c->vars->n; i++) {
        const struct var *other = &c->vars->var[i];

        if (other == var || strlen(other->name) != n - 1 ||
            memcmp(other->name, name + 1, n - 1) != 0)
            continue;
        var->has_from = true;
        var->from = i;
        return 0;
    }
    return fault(c, value, "for example {\"from\": \"$status\", \"map\": [[\"a\", \"b\"]]}",
                 "\"from\" names another variable of this rule");
}

static int compile_member(struct compile *c, struct var *var, const struct json *m) {
    static const char *const keys[] = {"scale", "map", "old", "new", "from", "default", NULL};
    const char *near;
    char way_out[64];

    if (json_key_is(m, "scale"))
        return compile_scale(c, var, m);
    if (json_key_is(m, "map"))
        return compile_map(c, var, m);
    if (json_key_is(m, "from"))
        return compile_from(c, var, m);
    if (json_key_is(m, "old"))
        return compile_type(c, var, VARS_OLD, m);
    if (json_key_is(m, "new"))
        return compile_type(c, var, VARS_NEW, m);
    if (json_key_is(m, "default")) {
        var->fallback = m;
        return 0;
    }
    near = diag_suggest(m->key, m->n_key, keys);
    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(m->key_text - c->source->text),
             m->n_key_text, near ? way_out : "known are scale, map, old, new, from, default",
             "unknown key \"%.*s\"", (int)m->n_key, m->key);
    return VARS_E_INVALID;
}

static int compile_var(struct compile *c, struct var *var, const struct json *value) {
    int r, worst = 0;

    if (value->type != JSON_OBJECT)
        return fault(c, value, "for example {\"scale\": 1000, \"new\": \"int\"}",
                     "what \"vars\" says of a variable must be an object");
    for (size_t i = 0; i < value->n_items; i++) {
        r = compile_member(c, var, &value->items[i]);
        if (r < 0)
            return r;
        worst = r > 0 ? r : worst;
    }
    return worst;
}

int vars_compile(struct arena *arena, struct vars *vars, const struct json *value,
                 const struct diag_source *source, struct diag_set *diags) {
    struct compile c = {vars, arena, source, diags};
    int r, worst = 0;

    if (value->type != JSON_OBJECT)
        return fault(&c, value, "name → how it differs between the sides",
                     "\"vars\" must be an object");
    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *m = &value->items[i];
        size_t index, n = vars->n;

        r = vars_intern(arena, vars, m->key, m->n_key, &index);
        if (r < 0)
            return r;
        if (vars->n > n) {
            vars->var[index].at = (size_t)(m->key_text - source->text);
            vars->var[index].n_at = m->n_key_text;
        }
        r = compile_var(&c, &vars->var[index], m);
        if (r < 0)
            return r;
        worst = r > 0 ? r : worst;
    }
    return worst;
}

/* --- conversion -------------------------------------------------------------------------- */

static struct json *new_scalar(struct arena *arena, enum json_type type, const char *text,
                               size_t n) {
    struct json *v = arena_alloc(arena, sizeof(*v));

    if (!v)
        return NULL;
    v->type = type;
    v->text = arena_copy(arena, text, n);
    v->n_text = n;
    return v->text ? v : NULL;
}

const struct json *vars_new_string(struct arena *arena, const char *string, size_t n) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct json *v;

    json_write_string(&b, string, n);
    if (buffer_status(&b) < 0)
        return NULL;
    v = new_scalar(arena, JSON_STRING, b.data, b.n);
    if (!v)
        return NULL;
    v->string = arena_copy(arena, string, n);
    v->n_string = n;
    return v->string ? v : NULL;
}

const struct json *vars_new_number(struct arena *arena, struct number number) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    number_write(&b, number);
    return buffer_status(&b) < 0 ? NULL : new_scalar(arena, JSON_NUMBER, b.data, b.n);
}

static const struct json *new_bool(struct arena *arena, bool value) {
    struct json *v =
        value ? new_scalar(arena, JSON_BOOL, "true", 4) : new_scalar(arena, JSON_BOOL, "false", 5);

    if (v)
        v->boolean = value;
    return v;
}

static int found(const struct json *value, const struct json **ret) {
    if (!value)
        return -ENOMEM;
    *ret = value;
    return 0;
}

static int cast_to_string(struct arena *arena, const struct json *value, const struct json **ret) {
    switch (value->type) {
    case JSON_NUMBER:
        return found(vars_new_string(arena, value->text, value->n_text), ret);
    case JSON_BOOL:
        return found(value->boolean ? vars_new_string(arena, "on", 2)
                                    : vars_new_string(arena, "off", 3),
                     ret);
    default:
        return VARS_E_UNFIT;
    }
}

static bool string_is_any(const struct json *value, const char *const *words) {
    for (; *words; words++)
        if (json_is_string(value, *words))
            return true;
    return false;
}

static int cast_to_bool(struct arena *arena, const struct json *value, const struct json **ret) {
    static const char *const yes[] = {"on", "true", "yes", "y", NULL};
    static const char *const no[] = {"off", "false", "no", "n", NULL};

    if (string_is_any(value, yes))
        return found(new_bool(arena, true), ret);
    if (string_is_any(value, no))
        return found(new_bool(arena, false), ret);
    return VARS_E_UNFIT;
}

/* QEMU reads such strings as strtoull() does, with base 0 (qobject-input-visitor's keyval variant) */
static int cast_hexadecimal(struct arena *arena, const struct json *value,
                            const struct json **ret) {
    static const char digits[] = "0123456789abcdef";
    struct number n = {0};
    size_t i;

    if (value->n_string < 3 || value->n_string > 18 || value->string[0] != '0' ||
        (value->string[1] | 32) != 'x')
        return VARS_E_UNFIT;
    for (i = 2; i < value->n_string; i++) {
        const char *digit =
            memchr(digits, value->string[i] | (value->string[i] >= 'A' ? 32 : 0), 16);

        if (!digit)
            return VARS_E_UNFIT;
        n.mantissa = n.mantissa * 16 + (unsigned)(digit - digits);
    }
    return found(vars_new_number(arena, n), ret);
}

/* QEMU takes 1e2 and 1.0 for floating-point numbers */
static bool is_plain_integer(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (text[i] == '.' || text[i] == 'e' || text[i] == 'E')
            return false;
    return true;
}

static int cast_to_number(struct arena *arena, const struct json *value, bool integer,
                          const struct json **ret) {
    struct number n;

    if (value->type == JSON_STRING && number_read(value->string, value->n_string, &n) == 0 &&
        (!integer || number_is_integer(n)))
        return found(is_plain_integer(value->string, value->n_string) || !integer
                         ? new_scalar(arena, JSON_NUMBER, value->string, value->n_string)
                         : vars_new_number(arena, n),
                     ret);
    if (value->type == JSON_STRING)
        return cast_hexadecimal(arena, value, ret);
    if (value->type == JSON_NUMBER && integer && number_read(value->text, value->n_text, &n) == 0)
        return found(vars_new_number(arena, number_round(n)), ret);
    return VARS_E_UNFIT;
}

int vars_cast(struct arena *arena, enum vars_type type, const struct json *value,
              const struct json **ret_value) {
    if (vars_type_fits(type, value) &&
        (type != VARS_INT || is_plain_integer(value->text, value->n_text))) {
        *ret_value = value;
        return 0;
    }
    switch (type) {
    case VARS_STR:
        return cast_to_string(arena, value, ret_value);
    case VARS_BOOL:
        return cast_to_bool(arena, value, ret_value);
    case VARS_INT:
        return cast_to_number(arena, value, true, ret_value);
    case VARS_NUMBER:
        return cast_to_number(arena, value, false, ret_value);
    default:
        return VARS_E_UNFIT;
    }
}

static int convert_map(const struct var *var, enum vars_side to, const struct json *value,
                       const struct json **ret) {
    enum vars_side from = to == VARS_OLD ? VARS_NEW : VARS_OLD;

    for (size_t i = 0; i < var->n_map; i++)
        if (json_equal(var->map[i].side[from], value)) {
            *ret = var->map[i].side[to];
            return 0;
        }
    return VARS_E_UNFIT;
}

static int convert_scale(struct arena *arena, const struct var *var, enum vars_side to,
                         const struct json *value, const struct json **ret) {
    struct number n;
    int r;

    if (value->type != JSON_NUMBER || number_read(value->text, value->n_text, &n))
        return VARS_E_UNFIT;
    r = to == VARS_NEW ? number_multiply(n, var->scale, &n) : number_divide(n, var->scale, &n);
    if (r > 0)
        return VARS_E_UNFIT;
    return found(vars_new_number(arena, n), ret);
}

int vars_convert(struct arena *arena, const struct var *var, enum vars_side to,
                 const struct json *value, const struct json **ret_value) {
    int r;

    if (var->n_map > 0) {
        r = convert_map(var, to, value, &value);
        if (r)
            return r;
    }
    if (var->has_scale) {
        r = convert_scale(arena, var, to, value, &value);
        if (r)
            return r;
    }
    return vars_cast(arena, var->type[to], value, ret_value);
}
