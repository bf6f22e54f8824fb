#pragma once

/*
 * What the tests of rule/ have in common: a rule from its text, and a message
 * read by one side's picture and written by the other's.
 */

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "json/reader.h"
#include "rule/bindings.h"
#include "rule/build.h"
#include "rule/load.h"
#include "rule/match.h"
#include "test.h"

struct loaded {
    struct arena arena;
    struct diag_source source;
    struct diag_set diags;
    struct rule_file file;
    int r;
};

/* a file with these rules, as text; apostrophes stand for quotation marks */
static inline void loaded_init(struct loaded *l, const char *rules) {
    struct buffer text = BUFFER_INIT;
    char *copy;

    *l = (struct loaded){.arena = ARENA_INIT};
    buffer_printf(&text, "{\"qmp-shim-rules\": 1, \"name\": \"case\", \"rules\": [%s]}", rules);
    copy = arena_copy(&l->arena, text.data, text.n);
    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    l->source = (struct diag_source){.path = "case.jsonc", .text = copy, .n_text = text.n};
    buffer_deinit(&text);
    diag_set_init(&l->diags);
    l->r = load_file(&l->arena, &l->source, &l->file, &l->diags);
}

static inline void loaded_deinit(struct loaded *l) {
    diag_set_deinit(&l->diags);
    arena_deinit(&l->arena);
}

/* what was found, as printed; the caller frees */
static inline char *loaded_findings(const struct loaded *l) {
    struct buffer b = BUFFER_INIT;

    cr_assert(eq(int, diag_set_print(&l->diags, &b), 0));
    return b.n > 0 ? buffer_steal_string(&b) : strdup("");
}

/* a rule must load */
static inline void loaded_rule(struct loaded *l, const char *old, const char *new,
                               const char *more) {
    struct buffer text = BUFFER_INIT;

    buffer_printf(
        &text,
        "{'name': 'one', 'old': {'event': 'E', 'data': %s}, 'new': {'event': 'E', 'data': %s}%s%s}",
        old, new, more[0] ? ", " : "", more);
    loaded_init(l, text.data);
    if (l->r)
        cr_fatal("%s\n%s", text.data, loaded_findings(l));
    buffer_deinit(&text);
}

static inline const struct json *loaded_json(struct loaded *l, const char *text) {
    char *copy = arena_copy(&l->arena, text, strlen(text));
    struct json *value;

    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    cr_assert(eq(int, json_read(&l->arena, copy, strlen(copy), false, &value, NULL), 0), "%s",
              text);
    return value;
}

static inline const struct pattern *loaded_pattern(const struct loaded *l, enum vars_side side) {
    return &pattern_member(&l->file.rules[0].side[side].picture[0].message, "data", 4)->pattern;
}

/*
 * Read @text by one side's "data" and write it by the other's.
 * Return: what is written, with apostrophes; "no match" or "unbound" instead.  The caller frees.
 */
static inline char *loaded_convert(struct loaded *l, enum vars_side from, const char *text) {
    enum vars_side to = from == VARS_OLD ? VARS_NEW : VARS_OLD;
    struct bindings *b = bindings_new(&l->arena, &l->file.rules[0].vars, NULL);
    const struct json *value = loaded_json(l, text);
    struct buffer out = BUFFER_INIT;
    char *result;
    int r;

    r = match_value(&l->arena, from, loaded_pattern(l, from), value, b);
    cr_assert(ge(int, r, 0));
    if (r)
        return strdup("no match");
    r = build_value(&l->arena, to, loaded_pattern(l, to), loaded_pattern(l, from), value, b, &out);
    cr_assert(ge(int, r, 0));
    if (r) {
        buffer_deinit(&out);
        return strdup("unbound");
    }
    result = buffer_steal_string(&out);
    for (char *c = result; *c; c++)
        if (*c == '"')
            *c = '\'';
    return result;
}
