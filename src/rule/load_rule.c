/*
 * The members of a rule, from JSON to struct rule.  Whether they make sense
 * together is load_check.c's business.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json/number.h"
#include "rule/examples.h"
#include "rule/load_parts.h"
#include "rule/load_replies.h"
#include "rule/picture.h"

/* a rule in the making */
struct load_rule {
    struct load *load;
    struct rule *rule;
    struct pattern_compiler compiler;
};

static int rule_name(struct load_rule *lr, const struct json *value) {
    if (json_is_string(value, ""))
        load_fault(lr->load, value, "it stands in the log and in explanations",
                   "a name cannot be empty");
    return load_string(lr->load, value, &lr->rule->name);
}

static int rule_text(struct load_rule *lr, const struct json *value) {
    const char *text;

    return load_string(lr->load, value, &text);
}

static int rule_for(struct load_rule *lr, const struct json *value) {
    if (json_is_string(value, "old-client"))
        lr->rule->for_client = RULE_FOR_OLD_CLIENT;
    else if (json_is_string(value, "new-client"))
        lr->rule->for_client = RULE_FOR_NEW_CLIENT;
    else
        load_fault(lr->load, value, "leave it out when the rule works in both orientations",
                   "\"for\" is \"old-client\" or \"new-client\"");
    return 0;
}

static int rule_new_since(struct load_rule *lr, const struct json *value) {
    load_version(lr->load, value, &lr->rule->has_new_since, &lr->rule->new_since);
    return 0;
}

static int rule_old_until(struct load_rule *lr, const struct json *value) {
    load_version(lr->load, value, &lr->rule->has_old_until, &lr->rule->old_until);
    return 0;
}

static int rule_new_with(struct load_rule *lr, const struct json *value) {
    return load_string(lr->load, value, &lr->rule->new_with);
}

static int pictures(struct load_rule *lr, const struct json *value, struct picture_list *ret) {
    return load_fold(lr->load, picture_compile_list(&lr->compiler, value, ret));
}

/* pictures of one kind only */
static int pictures_of(struct load_rule *lr, const struct json *value, enum picture_kind kind,
                       struct picture_list *ret) {
    int r;

    r = pictures(lr, value, ret);
    if (r < 0)
        return r;
    if (ret->is_null)
        load_fault(lr->load, value, "leave the key out", "null says nothing here");
    for (size_t i = 0; i < ret->n; i++)
        if (ret->picture[i].kind != kind && ret->picture[i].message.kind == PATTERN_OBJECT)
            load_fault(lr->load, value,
                       kind == PICTURE_EVENT ? "write {\"event\": …}" : "write {\"execute\": …}",
                       kind == PICTURE_EVENT ? "only events can stand here"
                                             : "only commands can stand here");
    return 0;
}

static int rule_old(struct load_rule *lr, const struct json *value) {
    return pictures(lr, value, &lr->rule->side[VARS_OLD]);
}

static int rule_new(struct load_rule *lr, const struct json *value) {
    return pictures(lr, value, &lr->rule->side[VARS_NEW]);
}

static int rule_replies(struct load_rule *lr, const struct json *value) {
    return load_replies(lr->load, &lr->compiler, value, lr->rule);
}

static int rule_ask(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_COMMAND, &lr->rule->ask);
}

static int rule_then(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_COMMAND, &lr->rule->then);
}

static int rule_finally(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_COMMAND, &lr->rule->finally);
}

static int rule_emit(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_EVENT, &lr->rule->emit);
}

static int rule_emit_before(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_EVENT, &lr->rule->emit_before);
}

static int rule_until(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_EVENT, &lr->rule->until);
}

static int rule_hide(struct load_rule *lr, const struct json *value) {
    if (value->type != JSON_BOOL)
        load_fault(lr->load, value, "true keeps the event of \"until\" from the client",
                   "\"hide\" is true or false");
    lr->rule->hide = value->boolean;
    return 0;
}

static int rule_timeout(struct load_rule *lr, const struct json *value) {
    struct number n;
    static const struct number thousand = {.mantissa = 1, .exponent = 3};

    if (value->type != JSON_NUMBER || number_read(value->text, value->n_text, &n) || n.negative ||
        number_multiply(n, thousand, &n))
        goto bad;
    n = number_round(n);
    for (; n.exponent > 0 && n.mantissa <= UINT32_MAX; n.exponent--)
        n.mantissa *= 10;
    if (n.mantissa == 0 || n.mantissa > 3600 * 1000)
        goto bad;
    lr->rule->timeout_ms = (uint32_t)n.mantissa;
    return 0;
bad:
    load_fault(lr->load, value, "in seconds, for example 30 or 0.5",
               "\"timeout\" is a number of seconds, more than 0 and at most 3600");
    return 0;
}

static int rule_command(struct load_rule *lr, const struct json *value) {
    return load_names(lr->load, value, &lr->rule->commands);
}

static int rule_after_reply(struct load_rule *lr, const struct json *value) {
    return load_names(lr->load, value, &lr->rule->after_reply);
}

struct fact_fds {
    const struct vars *vars;
    struct fact_picture *fact;
    bool has_two;
};

static void fact_fd_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    struct fact_fds *f = userdata;

    (void)p, (void)is_optional;
    if (!f->vars->var[var].is_fd)
        return;
    f->has_two = f->fact->has_fd && f->fact->fd_var != var;
    f->fact->has_fd = true;
    f->fact->fd_var = var;
}

static void find_fact_fd(struct load_rule *lr, const struct json *entry,
                         struct fact_picture *fact) {
    struct fact_fds f = {&lr->rule->vars, fact, false};

    pattern_visit(&fact->value, false, fact_fd_visit, &f);
    if (f.has_two)
        load_fault(lr->load, entry, "use a table of its own for the other one",
                   "only one file descriptor can be kept under a key");
}

static int compile_fact(struct load_rule *lr, const struct json *table, struct fact_picture *fact,
                        bool has_value) {
    const struct json *entry =
        table->type == JSON_OBJECT && table->n_items == 1 ? &table->items[0] : NULL;
    struct json *key = arena_alloc(lr->load->arena, sizeof(*key)); /* a constant key is kept */
    int r;

    fact->table = arena_copy(lr->load->arena, table->key, table->n_key);
    if (!fact->table || !key)
        return -ENOMEM;
    if (!has_value)
        return load_fold(lr->load, pattern_compile(&lr->compiler, table, &fact->key));
    if (!entry || entry->type != JSON_OBJECT) {
        load_fault(lr->load, table, "{\"TABLE\": {\"$key\": {\"name\": \"$value\"}}}",
                   "a table maps one key to an object");
        return 0;
    }
    key->type = JSON_STRING;
    key->string = entry->key;
    key->n_string = entry->n_key;
    key->text = entry->key_text;
    key->n_text = entry->n_key_text;
    r = load_fold(lr->load, pattern_compile(&lr->compiler, key, &fact->key));
    if (r < 0)
        return r;
    r = load_fold(lr->load, pattern_compile(&lr->compiler, entry, &fact->value));
    if (r == 0)
        find_fact_fd(lr, entry, fact);
    return r;
}

static int facts(struct load_rule *lr, const struct json *value, struct fact_list *ret,
                 bool has_value) {
    int r;

    if (value->type != JSON_OBJECT) {
        load_fault_value(lr->load, value,
                         has_value ? "{\"TABLE\": {\"$key\": {…}}}" : "{\"TABLE\": \"$key\"}",
                         "an object of tables");
        return 0;
    }
    ret->fact = arena_alloc(lr->load->arena, (value->n_items + 1) * sizeof(*ret->fact));
    if (!ret->fact)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        r = compile_fact(lr, &value->items[i], &ret->fact[ret->n++], has_value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int rule_remember(struct load_rule *lr, const struct json *value) {
    return facts(lr, value, &lr->rule->remember, true);
}

static int rule_recall(struct load_rule *lr, const struct json *value) {
    return facts(lr, value, &lr->rule->recall, true);
}

static int rule_forget(struct load_rule *lr, const struct json *value) {
    return facts(lr, value, &lr->rule->forget, false);
}

/* in {"types": [{"name": "$name", "type": "$type"}, "..."]}, the member with the value @variable */
static int conform_key(struct load_rule *lr, const struct json *types, const char *variable,
                       const char **ret) {
    const struct json *element =
        types->type == JSON_ARRAY && types->n_items == 2 ? &types->items[0] : NULL;

    for (size_t i = 0; element && i < element->n_items; i++)
        if (json_is_string(&element->items[i], variable)) {
            *ret = arena_copy(lr->load->arena, element->items[i].key, element->items[i].n_key);
            return *ret ? 0 : -ENOMEM;
        }
    load_fault(lr->load, types, "[{\"name\": \"$name\", \"type\": \"$type\"}, \"...\"]",
               "\"types\" shows where $name and $type stand in the reply");
    return 0;
}

static int conform_ask(struct load_rule *lr, const struct json *value) {
    const struct json *types = json_member(value, "types");
    struct rule *rule = lr->rule;
    int r;

    rule->conform = CONFORM_ASK;
    rule->conform_except = json_member(value, "except");
    if (rule->conform_except && rule->conform_except->type != JSON_ARRAY)
        load_fault(lr->load, rule->conform_except, "for example [\"addr\"]",
                   "\"except\" is a list of arguments");
    r = conform_key(lr, types, "$name", &rule->conform_name);
    if (r == 0)
        r = conform_key(lr, types, "$type", &rule->conform_type);
    if (r < 0)
        return r;
    r = load_fold(lr->load,
                  picture_compile(&lr->compiler, json_member(value, "ask"), &rule->conform_ask));
    if (r == 0 && rule->conform_ask.kind != PICTURE_COMMAND)
        load_fault(lr->load, json_member(value, "ask"), "write {\"execute\": …}",
                   "only a command can stand here");
    return r;
}

static int rule_conform(struct load_rule *lr, const struct json *value) {
    static const char *const known[] = {"ask", "types", "except", NULL};

    if (json_is_string(value, "schema")) {
        lr->rule->conform = CONFORM_SCHEMA;
        return 0;
    }
    if (!json_member(value, "ask") || !json_member(value, "types")) {
        load_fault(
            lr->load, value,
            "{\"ask\": {\"execute\": …}, \"types\": [{\"name\": \"$name\", \"type\": \"$type\"}, \"...\"]}",
            "\"conform\" is \"schema\", or an object with \"ask\" and \"types\"");
        return 0;
    }
    for (size_t i = 0; i < value->n_items; i++)
        if (!json_key_is(&value->items[i], "ask") && !json_key_is(&value->items[i], "types") &&
            !json_key_is(&value->items[i], "except"))
            load_fault_key(lr->load, &value->items[i], known);
    return conform_ask(lr, value);
}

static int rule_examples(struct load_rule *lr, const struct json *value) {
    lr->rule->examples = value;
    return load_fold(lr->load, examples_check(value, lr->load->source, lr->load->diags));
}

static bool is_var(const struct json *value, const char *name) {
    size_t n = strlen(name);

    return value->type == JSON_STRING && value->n_string == n + 1 && value->string[0] == '$' &&
           memcmp(value->string + 1, name, n) == 0;
}

static void need_var(struct load_rule *lr, const struct json *value) {
    const struct vars *vars = &lr->rule->vars;

    for (size_t i = 0; i < vars->n; i++)
        if (is_var(value, vars->var[i].name)) {
            lr->rule->needs[lr->rule->n_needs++] = i;
            return;
        }
    load_fault(lr->load, value, "for example [\"$id\"], which \"recall\" or \"ask\" binds",
               "\"needs\" is a list of variables of this rule");
}

static int rule_needs(struct load_rule *lr, const struct json *value) {
    size_t n = value->type == JSON_ARRAY ? value->n_items : 0;

    lr->rule->needs = arena_alloc(lr->load->arena, (n + 1) * sizeof(*lr->rule->needs));
    if (!lr->rule->needs)
        return -ENOMEM;
    if (n == 0)
        need_var(lr, value);
    for (size_t i = 0; i < n; i++)
        need_var(lr, &value->items[i]);
    return 0;
}

static int rule_vars(struct load_rule *lr, const struct json *value) {
    size_t n = lr->rule->vars.n;
    int r;

    r = load_fold(lr->load, vars_compile(lr->load->arena, &lr->rule->vars, value, lr->load->source,
                                         lr->load->diags));
    for (size_t i = n; r == 0 && i < lr->rule->vars.n; i++) {
        const struct var *var = &lr->rule->vars.var[i];

        diag_add(lr->load->diags, DIAG_ERROR, lr->load->source, var->at, var->n_at,
                 "the pictures of this rule have no such variable", "unknown variable \"%s\"",
                 var->name);
        lr->load->is_invalid = true;
    }
    return r;
}

/* in the order in which they are compiled: "vars" when all variables are known */
static const struct {
    const char *key;
    int (*compile)(struct load_rule *lr, const struct json *value);
} rule_keys[] = {
    {"name", rule_name},
    {"summary", rule_text},
    {"for", rule_for},
    {"command", rule_command},
    {"new-since", rule_new_since},
    {"old-until", rule_old_until},
    {"new-with", rule_new_with},
    {"old", rule_old},
    {"new", rule_new},
    {"replies", rule_replies},
    {"ask", rule_ask},
    {"then", rule_then},
    {"finally", rule_finally},
    {"emit-before", rule_emit_before},
    {"emit", rule_emit},
    {"until", rule_until},
    {"hide", rule_hide},
    {"timeout", rule_timeout},
    {"after-reply", rule_after_reply},
    {"remember", rule_remember},
    {"recall", rule_recall},
    {"forget", rule_forget},
    {"conform", rule_conform},
    {"needs", rule_needs},
    {"vars", rule_vars},
    {"examples", rule_examples},
};

static void check_rule_keys(struct load *l, const struct json *value) {
    const char *known[ARRAY_SIZE(rule_keys) + 1] = {NULL};

    for (size_t i = 0; i < ARRAY_SIZE(rule_keys); i++)
        known[i] = rule_keys[i].key;
    for (size_t i = 0; i < value->n_items; i++) {
        bool is_known = false;

        for (size_t k = 0; k < ARRAY_SIZE(rule_keys); k++)
            is_known = is_known || json_key_is(&value->items[i], rule_keys[k].key);
        if (!is_known)
            load_fault_key(l, &value->items[i], known);
    }
}

static int imply_all(struct load *l, struct rule *rule) {
    struct picture_list *old = &rule->side[VARS_OLD], *new = &rule->side[VARS_NEW];

    if (old->n != 1 || new->n != 1 || old->is_list || new->is_list)
        return 0;
    return picture_imply(l->arena, &old->picture[0], &new->picture[0]);
}

int load_rule(struct load *l, const struct json *value, struct rule *rule) {
    struct load_rule lr = {l, rule, {l->arena, &rule->vars, l->source, l->diags, 0}};
    int r;

    rule->file = l->file;
    rule->name = "";
    rule->at = (size_t)(value->text - l->source->text);
    rule->n_at = 1;
    rule->n_text = value->n_text;
    if (value->type != JSON_OBJECT) {
        load_fault(l, value, "{\"name\": …, \"old\": …, \"new\": …}", "a rule must be an object");
        return 0;
    }
    check_rule_keys(l, value);
    for (size_t i = 0; i < ARRAY_SIZE(rule_keys); i++) {
        const struct json *m = json_member(value, rule_keys[i].key);

        r = m ? rule_keys[i].compile(&lr, m) : 0;
        if (r < 0)
            return r;
    }
    if (!json_member(value, "name"))
        load_fault(l, value, "it stands in the log and in explanations",
                   "this rule has no \"name\"");
    load_check_rule(l, value, rule);
    if (l->is_invalid)
        return 0;
    return imply_all(l, rule);
}
