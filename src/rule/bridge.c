#include "rule/bridge.h"

#include <string.h>

/* the next name of a path, without "[]".  Return: its length; 0 at the end */
static size_t next_name(const char **path) {
    *path += strspn(*path, ".[]");
    return strcspn(*path, ".[");
}

static bool has_word(const struct pattern *p, const struct vars *vars, const char *word) {
    const struct var *var = p->kind == PATTERN_VAR ? &vars->var[p->var] : NULL;

    if (p->kind == PATTERN_CONST)
        return json_is_string(p->value, word);
    for (size_t i = 0; p->kind == PATTERN_IN && i < p->n_items; i++)
        if (has_word(&p->items[i], vars, word))
            return true;
    for (size_t i = 0; var && i < var->n_map; i++)
        if (json_is_string(var->map[i].side[VARS_OLD], word) ||
            json_is_string(var->map[i].side[VARS_NEW], word))
            return true;
    return false;
}

/*
 * does @p tell of what is at @path in it (and of @word there)?  Arguments that
 * "..." takes go where the rule says; in a reply nothing comes of it.
 */
static bool mentions(const struct pattern *p, const struct vars *vars, const char *path,
                     const char *word, bool is_argument) {
    size_t n = next_name(&path);

    while (p->kind == PATTERN_EACH || p->kind == PATTERN_FIRST || p->kind == PATTERN_EVERY)
        p = &p->items[0];
    if (n == 0)
        return !word || has_word(p, vars, word);
    if (p->kind == PATTERN_OBJECT) {
        const struct pattern_member *m = pattern_member(p, path, n);

        if (m)
            return mentions(&m->pattern, vars, path + n, word, is_argument);
        return is_argument && p->rest != PATTERN_REST_STAYS && !word;
    }
    return false;
}

static bool shows(const struct picture_list *list, const char *name) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].n_name == strlen(name) &&
            memcmp(list->picture[i].name, name, list->picture[i].n_name) == 0)
            return true;
    return false;
}

/* what is missed is read or written by the client's picture; what the server needs, by its own */
static bool sees_to(const struct selection *s, const struct rule *rule, const struct gap *gap) {
    enum vars_side client = selection_client_side(s, rule);
    enum vars_side side = gap->kind != GAP_NEEDED ? client
                          : client == VARS_OLD    ? VARS_NEW
                                                  : VARS_OLD;
    bool is_return = strncmp(gap->path, "return", strlen("return")) == 0;

    if (gap->path[0] == '\0')
        return !shows(&rule->side[client == VARS_OLD ? VARS_NEW : VARS_OLD], gap->of);
    if (gap->kind == GAP_TYPE && rule->conform != CONFORM_NONE)
        return true;
    for (size_t i = 0; i < rule->side[side].n; i++) {
        const struct picture *p = &rule->side[side].picture[i];
        const struct pattern *root = is_return ? p->reply[REPLY_RETURN] : &p->message;

        if (root && mentions(root, &rule->vars, gap->path, gap->word, !is_return && !gap->is_event))
            return true;
    }
    return false;
}

static const struct rule *find_emitter(const struct selection *s, const char *event) {
    for (size_t i = 0; i < program_n_rules(s->program); i++) {
        const struct rule *rule = program_rule(s->program, i);

        if (selection_is_working(s, rule) &&
            (shows(&rule->emit, event) || shows(&rule->emit_before, event)))
            return rule;
    }
    return NULL;
}

const struct rule *bridge_find(const struct selection *s, const struct gap *gap) {
    struct program_uses uses = program_find(
        s->program, gap->is_event ? PROGRAM_EVENT : PROGRAM_COMMAND, gap->of, strlen(gap->of));

    for (size_t i = 0; i < uses.n; i++)
        if (selection_is_client_side(s, uses.use[i].rule, uses.use[i].side) &&
            sees_to(s, uses.use[i].rule, gap))
            return uses.use[i].rule;
    return gap->kind == GAP_EVENT ? find_emitter(s, gap->of) : NULL;
}
