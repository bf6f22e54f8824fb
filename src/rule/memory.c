#include "rule/memory.h"

#include <errno.h>

#include "base/error.h"
#include "json/span.h"
#include "rule/build.h"
#include "rule/fdpicture.h"
#include "rule/match.h"
#include "rule/reply.h"

static int read_json(struct arena *arena, const char *text, size_t n, const struct json **ret) {
    struct json *value;
    int r;

    r = span_read(arena, text, n, &value);
    if (r)
        return error_fold(r);
    *ret = value;
    return 0;
}

static int build_json(struct arena *arena, const struct pattern *p, const struct bindings *b,
                      const struct json **ret) {
    const char *text;
    size_t n;
    int r;

    r = build_new(arena, VARS_OLD, p, b, &text, &n);
    if (r)
        return r;
    return read_json(arena, text, n, ret);
}

int memory_remember(struct exchange *x, const struct rule *rule, const struct bindings *b) {
    const struct json *key, *value;
    int r;

    for (size_t i = 0; i < rule->remember.n; i++) {
        const struct fact_picture *fact = &rule->remember.fact[i];

        r = build_json(&x->arena, &fact->key, b, &key);
        if (r == 0)
            r = build_json(&x->arena, &fact->value, b, &value);
        if (r < 0)
            return r;
        if (r > 0)
            continue; /* not everything is known yet: perhaps when the reply has come */
        r = facts_remember(&x->engine->facts, fact->table, key, value,
                           fdpicture_of_fact(x, fact, b));
        if (r < 0)
            return r;
        if (r > 0)
            reply_fail(x, rule, "no room to remember more");
    }
    for (size_t i = 0; i < rule->forget.n; i++) {
        r = build_json(&x->arena, &rule->forget.fact[i].key, b, &key);
        if (r < 0)
            return r;
        if (r == 0)
            facts_forget(&x->engine->facts, rule->forget.fact[i].table, key);
    }
    return 0;
}

/* what is recalled gives way to what an answer says later */
static void weaken(struct bindings *b, const struct bindings *before) {
    for (size_t i = 0; i < b->vars->n; i++)
        b->is_weak[i] = before->is_weak[i] || (b->value[i] && !before->value[i]);
}

int memory_recall(struct exchange *x) {
    int r;

    for (size_t i = 0; i < x->rule->recall.n; i++) {
        const struct fact_picture *fact = &x->rule->recall.fact[i];
        struct bindings *before = bindings_fork(&x->arena, x->bindings);
        const struct json *key, *value;

        if (!before)
            return -ENOMEM;
        r = build_json(&x->arena, &fact->key, x->bindings, &key);
        if (r == 0)
            r = facts_recall(&x->engine->facts, &x->arena, fact->table, key, &value);
        if (r == 0)
            r = match_value(&x->arena, VARS_OLD, &fact->value, value, x->bindings);
        if (r < 0)
            return r;
        weaken(x->bindings, before);
    }
    return 0;
}
