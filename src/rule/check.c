#include "rule/check.h"

#include <errno.h>
#include <string.h>

#include "rule/direction.h"
#include "rule/overlap.h"

struct check {
    struct arena arena; /* for the time of the check */
    const struct rule_file *file;
    struct diag_set *diags;
};

static void find(struct check *c, enum diag_level level, const struct json *value,
                 const char *way_out, const char *message) {
    diag_add(c->diags, level, c->file->source, (size_t)(value->text - c->file->source->text),
             value->n_text, way_out, "%s", message);
}

/* --- maps ---------------------------------------------------------------------------------------- */

/* Return: the first pair before @i with the same value on @side; NULL when there is none */
static const struct vars_pair *pair_before(const struct var *var, size_t i, enum vars_side side) {
    for (size_t k = 0; k < i; k++)
        if (json_equal(var->map[k].side[side], var->map[i].side[side]))
            return &var->map[k];
    return NULL;
}

struct use {
    size_t var;
    bool is_used;
};

static void use_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    struct use *use = userdata;

    (void)p, (void)is_optional;
    use->is_used = use->is_used || var == use->var;
}

static bool uses(const struct pattern *p, size_t var) {
    struct use use = {var, false};

    if (p)
        pattern_visit(p, false, use_visit, &use);
    return use.is_used;
}

static bool any_uses(const struct picture_list *list, size_t var, bool in_reply) {
    bool is_used = false;

    for (size_t i = 0; i < list->n; i++)
        is_used = is_used || (in_reply ? uses(list->picture[i].reply[REPLY_RETURN], var) ||
                                             uses(list->picture[i].reply[REPLY_ERROR], var)
                                       : uses(&list->picture[i].message, var));
    return is_used;
}

/* Is the new side told what it said, for clients of the old side?  The server is then the new one. */
static bool is_server_told_back(const struct rule *rule, size_t var) {
    const struct picture_list *new = &rule->side[VARS_NEW];
    bool is_command = rule->kind == PICTURE_COMMAND;
    bool is_asked = any_uses(&rule->ask, var, true);

    if (is_command && any_uses(&rule->side[VARS_OLD], var, false))
        return false; /* the client's value is told */
    if (is_asked && is_command && any_uses(new, var, false))
        return true;
    return (is_asked || any_uses(new, var, is_command) || any_uses(&rule->until, var, false)) &&
           (any_uses(&rule->then, var, false) || any_uses(&rule->finally, var, false) ||
            any_uses(&rule->ask, var, false));
}

/* and for clients of the new side, who send the command? */
static bool is_client_told_back(const struct rule *rule, size_t var) {
    const struct picture_list *new = &rule->side[VARS_NEW];

    return rule->kind == PICTURE_COMMAND && any_uses(new, var, false) &&
           (any_uses(new, var, true) || any_uses(&rule->emit, var, false));
}

static bool is_told_back(const struct rule *rule, size_t var) {
    return (direction_has(rule, VARS_OLD) && is_server_told_back(rule, var)) ||
           (direction_has(rule, VARS_NEW) && is_client_told_back(rule, var));
}

static void check_pair(struct check *c, const struct rule *rule, size_t index, size_t i) {
    const struct var *var = &rule->vars.var[index];
    bool is_old_taken = pair_before(var, i, VARS_OLD), is_new_taken = pair_before(var, i, VARS_NEW);

    if (is_old_taken && is_new_taken)
        find(c, DIAG_WARNING, var->map[i].side[VARS_OLD],
             "leave this pair out, or put it above those",
             "this pair is never taken: both values stand in pairs above");
    else if (is_old_taken && is_told_back(rule, index))
        find(
            c, DIAG_ERROR, var->map[i].side[VARS_OLD],
            "the server is told the new value of the first pair; use a variable without a map for it",
            "this map cannot be inverted: the old value stands in a pair above");
    else if ((is_old_taken || is_new_taken) && rule->for_client == RULE_FOR_BOTH)
        find(c, DIAG_WARNING, var->map[i].side[is_old_taken ? VARS_OLD : VARS_NEW],
             is_old_taken ? "add \"for\": \"old-client\", or give this value a pair of its own"
                          : "add \"for\": \"new-client\", or give this value a pair of its own",
             is_old_taken ? "this map cannot be inverted: the old value stands in a pair above"
                          : "this map cannot be inverted: the new value stands in a pair above");
}

/* a default is the old side's value, and has to have a counterpart */
static int check_default(struct check *c, const struct var *var) {
    const struct json *ignored;
    int r;

    if (!var->fallback)
        return 0;
    r = vars_convert(&c->arena, var, VARS_NEW, var->fallback, &ignored);
    if (r < 0)
        return r;
    if (r > 0)
        find(c, DIAG_ERROR, var->fallback,
             "write the old side's value, as \"map\", \"scale\" and the types here take it",
             "this default has no counterpart on the new side");
    else if (!vars_type_fits(var->type[VARS_OLD], var->fallback))
        find(c, DIAG_ERROR, var->fallback, "write the old side's value",
             "this default is not of the old side's type");
    return 0;
}

static int check_vars(struct check *c, const struct rule *rule) {
    for (size_t i = 0; i < rule->vars.n; i++) {
        int r;

        for (size_t k = 0; k < rule->vars.var[i].n_map; k++)
            check_pair(c, rule, i, k);
        r = check_default(c, &rule->vars.var[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- a file -------------------------------------------------------------------------------------- */

static int check_rules(struct check *c) {
    for (size_t i = 0; i < c->file->n_rules; i++) {
        int r = check_vars(c, &c->file->rules[i]);

        if (r == 0)
            r = direction_check(&c->arena, c->file->source, &c->file->rules[i], c->diags);
        if (r < 0)
            return r;
    }
    return overlap_check(&c->arena, c->file, c->diags);
}

int check_file(const struct rule_file *file, struct diag_set *diags) {
    struct check c = {.arena = ARENA_INIT, .file = file, .diags = diags};
    int r;

    r = check_rules(&c);
    arena_deinit(&c.arena);
    return r;
}

/* --- tables -------------------------------------------------------------------------------------- */

static bool has_table(const struct fact_list *list, const char *table) {
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->fact[i].table, table) == 0)
            return true;
    return false;
}

static bool is_remembered(const struct rule_file *files, size_t n_files, const char *table) {
    for (size_t i = 0; i < n_files; i++)
        for (size_t k = 0; k < files[i].n_rules; k++)
            if (has_table(&files[i].rules[k].remember, table))
                return true;
    return false;
}

void check_together(const struct rule_file *files, size_t n_files, struct diag_set *diags) {
    for (size_t i = 0; i < n_files; i++)
        for (size_t k = 0; k < files[i].n_rules; k++) {
            const struct fact_list *recall = &files[i].rules[k].recall;

            for (size_t n = 0; n < recall->n; n++)
                if (!is_remembered(files, n_files, recall->fact[n].table))
                    diag_add(
                        diags, DIAG_WARNING, files[i].source, recall->fact[n].key.at,
                        recall->fact[n].key.n_at, "the rule that knows the values has \"remember\"",
                        "no rule remembers anything in the table \"%s\"", recall->fact[n].table);
        }
}
