#include "rule/fdshape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fdlook.h"

static const char *const member_names[] = {"kind", "access", "offset", "number", NULL};
static const char *const access_names[] = {"read", "write", "read-write", NULL};

static int fault(const struct pattern_compiler *c, const struct json *value, const char *way_out,
                 const char *message) {
    diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(value->text - c->source->text),
             value->n_text, way_out, "%s", message);
    return PATTERN_E_INVALID;
}

static bool is_any(const char *text, size_t n, const char *const *words) {
    for (; *words; words++)
        if (strlen(*words) == n && memcmp(text, *words, n) == 0)
            return true;
    return false;
}

/* a word that does not stand in @known can never come */
static int check_word(const struct pattern_compiler *c, const struct json *value,
                      const struct pattern *p, const char *const *known, const char *message) {
    char way_out[160];
    const char *near;
    size_t n;

    if (p->kind != PATTERN_CONST ||
        (value->type == JSON_STRING && is_any(value->string, value->n_string, known)))
        return 0;
    near = value->type == JSON_STRING ? diag_suggest(value->string, value->n_string, known) : NULL;
    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    else
        for (n = (size_t)snprintf(way_out, sizeof(way_out), "known are"); *known; known++)
            n += (size_t)snprintf(way_out + n, sizeof(way_out) - n, " %s", *known);
    return fault(c, value, way_out, message);
}

static int check_member(struct pattern_compiler *c, const struct json *member,
                        const struct pattern_member *m) {
    if (json_key_is(member, "kind") || json_key_is(member, "*kind"))
        return check_word(c, member, &m->pattern, fdlook_kinds,
                          "unknown kind of a file descriptor");
    if (json_key_is(member, "access") || json_key_is(member, "*access"))
        return check_word(c, member, &m->pattern, access_names,
                          "unknown access of a file descriptor");
    if (!json_key_is(member, "number"))
        return 0;
    if (m->pattern.kind != PATTERN_VAR)
        return fault(c, member, "write \"number\": \"$fd\"",
                     "the number of a file descriptor can only be a variable");
    c->vars->var[m->pattern.var].is_fd = true;
    return 0;
}

static int check_members(struct pattern_compiler *c, const struct json *value,
                         const struct pattern *p) {
    int worst = 0;

    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *m = &value->items[i];
        size_t n_mark = m->n_key > 0 && m->key[0] == '*';
        const struct pattern_member *pm = pattern_member(p, m->key + n_mark, m->n_key - n_mark);
        int r;

        if (!pm || !is_any(pm->key, pm->n_key, member_names)) {
            diag_add(c->diags, DIAG_ERROR, c->source, (size_t)(m->key_text - c->source->text),
                     m->n_key_text, "known are kind, access, offset, number",
                     "unknown key \"%.*s\" of a file descriptor", (int)m->n_key, m->key);
            worst = PATTERN_E_INVALID;
            continue;
        }
        r = check_member(c, m, pm);
        worst = r > 0 ? r : worst;
    }
    return worst;
}

int fdshape_compile(struct pattern_compiler *c, const struct json *value, struct pattern *ret) {
    int r;

    r = pattern_compile(c, value, ret);
    if (r || ret->kind == PATTERN_ABSENT)
        return r;
    if (ret->kind != PATTERN_OBJECT)
        return fault(c, value, "{\"kind\": \"file\", \"offset\": \"$offset\", \"number\": \"$fd\"}",
                     "a file descriptor is shown as an object, or {\"$absent\": true}");
    return check_members(c, value, ret);
}

static void find(const struct pattern *p, const struct diag_source *source, struct diag_set *diags,
                 const char *way_out, const char *message) {
    diag_add(diags, DIAG_ERROR, source, p->at, p->n_at, way_out, "%s", message);
}

bool fdshape_is_sent(const struct pattern *p, const struct diag_source *source,
                     struct diag_set *diags) {
    const struct pattern_member *number = pattern_member(p, "number", 6),
                                *kind = pattern_member(p, "kind", 4),
                                *access = pattern_member(p, "access", 6);

    if (!number) {
        find(p, source, diags, "add \"number\": \"$fd\", a variable that was read or recalled",
             "nothing tells which file descriptor goes with this command");
        return false;
    }
    if (kind) {
        find(&kind->pattern, source, diags, "leave it out, or read it on the client's side",
             "the kind of a file descriptor cannot be written");
        return false;
    }
    if (access && !(access->pattern.kind == PATTERN_CONST &&
                    (json_is_string(access->pattern.value, "read") ||
                     json_is_string(access->pattern.value, "write")))) {
        find(
            &access->pattern, source, diags, "write \"read\" or \"write\", or leave it out",
            "a file descriptor can be sent with less access than it came with, and not with another");
        return false;
    }
    return true;
}
