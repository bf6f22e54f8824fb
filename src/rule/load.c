#include "rule/load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json/reader.h"
#include "json/number.h"
#include "rule/examples.h"
#include "rule/picture.h"

enum { LOAD_LANGUAGE_VERSION = 1 };

struct load {
    struct arena *arena;
    const struct diag_source *source;
    struct diag_set *diags;
    struct rule_file *file;
    bool is_invalid; /* a diagnostic of level error was added */
};

/* a rule in the making */
struct load_rule {
    struct load *load;
    struct rule *rule;
    struct pattern_compiler compiler;
};

static void fault(struct load *l, const struct json *value, const char *way_out,
                  const char *message) {
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(value->text - l->source->text),
             value->n_text, way_out, "%s", message);
    l->is_invalid = true;
}

static void fault_key(struct load *l, const struct json *member, const char *const *known) {
    const char *near = diag_suggest(member->key, member->n_key, known);
    char way_out[400];
    size_t n = 0;

    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    else
        for (n = (size_t)snprintf(way_out, sizeof(way_out), "known are");
             *known && n < sizeof(way_out); known++)
            n += (size_t)snprintf(way_out + n, sizeof(way_out) - n, " %s", *known);
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(member->key_text - l->source->text),
             member->n_key_text, way_out, "unknown key \"%.*s\"", (int)member->n_key, member->key);
    l->is_invalid = true;
}

/* @value, perhaps a member, is not what it must be */
static void fault_named(struct load *l, const struct json *value, const char *way_out,
                        const char *wanted) {
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(value->text - l->source->text),
             value->n_text, way_out, "%s%.*s%s must be %s", value->key ? "\"" : "this",
             (int)value->n_key, value->key ? value->key : "", value->key ? "\"" : "", wanted);
    l->is_invalid = true;
}

/* fold the outcome of a compiler: its diagnostic is there, reading goes on */
static int folded(struct load *l, int r) {
    if (r > 0)
        l->is_invalid = true;
    return r < 0 ? r : 0;
}

static int copy_string(struct load *l, const struct json *value, const char **ret) {
    if (value->type != JSON_STRING || memchr(value->string, '\0', value->n_string)) {
        fault_named(l, value, "in double quotation marks", "a string");
        *ret = "";
        return 0;
    }
    *ret = arena_copy(l->arena, value->string, value->n_string);
    return *ret ? 0 : -ENOMEM;
}

static void read_version(struct load *l, const struct json *value, bool *ret_has,
                         struct version *ret) {
    if (value->type == JSON_STRING && version_read(value->string, value->n_string, ret) == 0)
        *ret_has = true;
    else
        fault(l, value, "for example \"2.12\" or \"0.12.1\"", "this is no version number");
}

/* a name or a list of names, NULL-terminated */
static int copy_names(struct load *l, const struct json *value, const char ***ret) {
    const struct json *items = value->type == JSON_ARRAY ? value->items : value;
    size_t n = value->type == JSON_ARRAY ? value->n_items : 1;
    int r;

    if (n == 0)
        fault(l, value, "name at least one command", "this list cannot be empty");
    *ret = arena_alloc(l->arena, (n + 1) * sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = copy_string(l, &items[i], &(*ret)[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- members of a rule ------------------------------------------------------------------------ */

static int rule_name(struct load_rule *lr, const struct json *value) {
    if (json_is_string(value, ""))
        fault(lr->load, value, "it stands in the log and in explanations",
              "a name cannot be empty");
    return copy_string(lr->load, value, &lr->rule->name);
}

static int rule_text(struct load_rule *lr, const struct json *value) {
    const char *text;

    return copy_string(lr->load, value, &text);
}

static int rule_for(struct load_rule *lr, const struct json *value) {
    if (json_is_string(value, "old-client"))
        lr->rule->for_client = RULE_FOR_OLD_CLIENT;
    else if (json_is_string(value, "new-client"))
        lr->rule->for_client = RULE_FOR_NEW_CLIENT;
    else
        fault(lr->load, value, "leave it out when the rule works in both orientations",
              "\"for\" is \"old-client\" or \"new-client\"");
    return 0;
}

static int rule_new_since(struct load_rule *lr, const struct json *value) {
    read_version(lr->load, value, &lr->rule->has_new_since, &lr->rule->new_since);
    return 0;
}

static int rule_old_until(struct load_rule *lr, const struct json *value) {
    read_version(lr->load, value, &lr->rule->has_old_until, &lr->rule->old_until);
    return 0;
}

static int pictures(struct load_rule *lr, const struct json *value, struct picture_list *ret) {
    return folded(lr->load, picture_compile_list(&lr->compiler, value, ret));
}

/* pictures of one kind only */
static int pictures_of(struct load_rule *lr, const struct json *value, enum picture_kind kind,
                       struct picture_list *ret) {
    int r;

    r = pictures(lr, value, ret);
    if (r < 0)
        return r;
    if (ret->is_null)
        fault(lr->load, value, "leave the key out", "null says nothing here");
    for (size_t i = 0; i < ret->n; i++)
        if (ret->picture[i].kind != kind && ret->picture[i].message.kind == PATTERN_OBJECT)
            fault(lr->load, value,
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

static int rule_ask(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_COMMAND, &lr->rule->ask);
}

static int rule_then(struct load_rule *lr, const struct json *value) {
    return pictures_of(lr, value, PICTURE_COMMAND, &lr->rule->then);
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
        fault(lr->load, value, "true keeps the event of \"until\" from the client",
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
    fault(lr->load, value, "in seconds, for example 30 or 0.5",
          "\"timeout\" is a number of seconds, more than 0 and at most 3600");
    return 0;
}

static int rule_command(struct load_rule *lr, const struct json *value) {
    return copy_names(lr->load, value, &lr->rule->commands);
}

static int rule_after_reply(struct load_rule *lr, const struct json *value) {
    return copy_names(lr->load, value, &lr->rule->after_reply);
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
        return folded(lr->load, pattern_compile(&lr->compiler, table, &fact->key));
    if (!entry || entry->type != JSON_OBJECT) {
        fault(lr->load, table, "{\"TABLE\": {\"$key\": {\"name\": \"$value\"}}}",
              "a table maps one key to an object");
        return 0;
    }
    key->type = JSON_STRING;
    key->string = entry->key;
    key->n_string = entry->n_key;
    key->text = entry->key_text;
    key->n_text = entry->n_key_text;
    r = folded(lr->load, pattern_compile(&lr->compiler, key, &fact->key));
    if (r < 0)
        return r;
    return folded(lr->load, pattern_compile(&lr->compiler, entry, &fact->value));
}

static int facts(struct load_rule *lr, const struct json *value, struct fact_list *ret,
                 bool has_value) {
    int r;

    if (value->type != JSON_OBJECT) {
        fault_named(lr->load, value,
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
    fault(lr->load, types, "[{\"name\": \"$name\", \"type\": \"$type\"}, \"...\"]",
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
        fault(lr->load, rule->conform_except, "for example [\"addr\"]",
              "\"except\" is a list of arguments");
    r = conform_key(lr, types, "$name", &rule->conform_name);
    if (r == 0)
        r = conform_key(lr, types, "$type", &rule->conform_type);
    if (r < 0)
        return r;
    r = folded(lr->load,
               picture_compile(&lr->compiler, json_member(value, "ask"), &rule->conform_ask));
    if (r == 0 && rule->conform_ask.kind != PICTURE_COMMAND)
        fault(lr->load, json_member(value, "ask"), "write {\"execute\": …}",
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
        fault(
            lr->load, value,
            "{\"ask\": {\"execute\": …}, \"types\": [{\"name\": \"$name\", \"type\": \"$type\"}, \"...\"]}",
            "\"conform\" is \"schema\", or an object with \"ask\" and \"types\"");
        return 0;
    }
    for (size_t i = 0; i < value->n_items; i++)
        if (!json_key_is(&value->items[i], "ask") && !json_key_is(&value->items[i], "types") &&
            !json_key_is(&value->items[i], "except"))
            fault_key(lr->load, &value->items[i], known);
    return conform_ask(lr, value);
}

static int rule_examples(struct load_rule *lr, const struct json *value) {
    lr->rule->examples = value;
    return folded(lr->load, examples_check(value, lr->load->source, lr->load->diags));
}

static int rule_vars(struct load_rule *lr, const struct json *value) {
    size_t n = lr->rule->vars.n;
    int r;

    r = folded(lr->load, vars_compile(lr->load->arena, &lr->rule->vars, value, lr->load->source,
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
    {"old", rule_old},
    {"new", rule_new},
    {"ask", rule_ask},
    {"then", rule_then},
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
            fault_key(l, &value->items[i], known);
    }
}

/* --- what a rule must be as a whole ----------------------------------------------------------- */

static const struct picture *first_picture(const struct rule *rule) {
    if (rule->side[VARS_OLD].n > 0)
        return &rule->side[VARS_OLD].picture[0];
    return rule->side[VARS_NEW].n > 0 ? &rule->side[VARS_NEW].picture[0] : NULL;
}

static bool has_both_sides(struct load *l, const struct json *value) {
    static const char *const sides[] = {"old", "new"};
    bool has = true;

    for (size_t i = 0; i < 2; i++)
        if (!json_member(value, sides[i])) {
            diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(value->text - l->source->text), 1,
                     "write null when this side has nothing like it", "this rule has no \"%s\"",
                     sides[i]);
            l->is_invalid = true;
            has = false;
        }
    return has;
}

/* both sides show the same kind of message, in as many pictures as are allowed */
static void check_sides(struct load *l, const struct json *value, struct rule *rule) {
    const struct picture *first = first_picture(rule);

    if (!first) {
        if (rule->side[VARS_OLD].is_null && rule->side[VARS_NEW].is_null)
            fault(l, json_member(value, "new"), "one side has to show a message",
                  "both sides are null");
        return;
    }
    rule->kind = first->kind;
    for (size_t side = 0; side < 2; side++) {
        const struct json *picture = json_member(value, side == VARS_OLD ? "old" : "new");

        if (rule->side[side].is_list && rule->kind != PICTURE_COMMAND)
            fault(l, picture, "only one command can become several", "a list cannot stand here");
        for (size_t i = 0; i < rule->side[side].n; i++)
            if (rule->side[side].picture[i].kind != rule->kind)
                fault(l, picture, "a command stands beside a command, an event beside an event",
                      "the two sides show different kinds of messages");
    }
    if (rule->side[VARS_OLD].is_list && rule->side[VARS_NEW].is_list)
        fault(l, json_member(value, "new"), "the client's side is one command",
              "both sides are lists");
}

/* a rule that works in one orientation only has to say so */
static void check_orientation(struct load *l, const struct json *value, const struct rule *rule) {
    static const char *const one_way[] = {"ask", "then", "emit", "emit-before", "until"};

    if (rule->for_client == RULE_FOR_BOTH) {
        for (size_t i = 0; i < ARRAY_SIZE(one_way); i++)
            if (json_member(value, one_way[i])) {
                const struct json *m = json_member(value, one_way[i]);

                diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(m->key_text - l->source->text),
                         m->n_key_text, "add \"for\": \"old-client\" or \"for\": \"new-client\"",
                         "\"%s\" cannot be reversed", one_way[i]);
                l->is_invalid = true;
            }
        for (size_t side = 0; side < 2; side++)
            if (rule->side[side].is_list)
                fault(l, json_member(value, side == VARS_OLD ? "old" : "new"),
                      side == VARS_NEW ? "add \"for\": \"old-client\""
                                       : "add \"for\": \"new-client\"",
                      "a list of commands cannot be reversed");
    } else {
        size_t client = rule->for_client == RULE_FOR_OLD_CLIENT ? VARS_OLD : VARS_NEW;

        if (rule->side[client].is_list)
            fault(l, json_member(value, client == VARS_OLD ? "old" : "new"),
                  "steps stand on the server's side", "a client's side cannot be a list");
    }
}

static void fault_at_key(struct load *l, const struct json *member, const char *way_out,
                         const char *message) {
    diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(member->key_text - l->source->text),
             member->n_key_text, way_out, "%s", message);
    l->is_invalid = true;
}

/* what only a rule for one kind of message can have */
static void check_use(struct load *l, const struct json *value, const struct rule *rule) {
    static const struct {
        const char *key;
        enum picture_kind kind;
        const char *message;
    } uses[] = {
        {"command", PICTURE_ERROR, "\"command\" belongs to a rule for errors"},
        {"until", PICTURE_COMMAND, "\"until\" belongs to a rule for a command"},
        {"conform", PICTURE_COMMAND, "\"conform\" belongs to a rule for a command"},
        {"after-reply", PICTURE_EVENT, "\"after-reply\" belongs to a rule for an event"},
    };
    const struct json *hide = json_member(value, "hide"), *timeout = json_member(value, "timeout");
    bool has_until = json_member(value, "until"), has_after = json_member(value, "after-reply");

    for (size_t i = 0; i < ARRAY_SIZE(uses); i++)
        if (json_member(value, uses[i].key) && rule->kind != uses[i].kind)
            fault_at_key(l, json_member(value, uses[i].key), "leave it out", uses[i].message);
    if (hide && !has_until)
        fault_at_key(l, hide, "add \"until\": {\"event\": …}",
                     "\"hide\" says something of \"until\", which is not there");
    if (timeout && !has_until && !has_after)
        fault_at_key(
            l, timeout, "add \"until\": {\"event\": …}, or leave it out",
            "\"timeout\" says something of \"until\" or \"after-reply\", and neither is there");
}

/* errors are rewritten on their way and the greeting before all else: neither can wait, nor order anything */
static void check_alone(struct load *l, const struct json *value, const struct rule *rule) {
    static const char *const keys[] = {"ask",      "then",   "emit",  "emit-before",
                                       "remember", "recall", "forget"};

    if (rule->kind != PICTURE_ERROR && rule->kind != PICTURE_GREETING)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const struct json *m = json_member(value, keys[i]);

        if (m) {
            diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(m->key_text - l->source->text),
                     m->n_key_text, "leave it out: such a rule only says what becomes what",
                     "\"%s\" does nothing in a rule for %s", keys[i],
                     rule->kind == PICTURE_ERROR ? "errors" : "the greeting");
            l->is_invalid = true;
        }
    }
}

static const struct json *side_value(const struct json *value, enum vars_side side) {
    return json_member(value, side == VARS_OLD ? "old" : "new");
}

/* a command that no server is sent has to be answered by someone */
static void check_local(struct load *l, const struct json *value, const struct rule *rule,
                        enum vars_side client) {
    const struct picture *p = &rule->side[client].picture[0];

    if (rule->kind == PICTURE_COMMAND && !p->reply[REPLY_RETURN] && !p->reply[REPLY_ERROR])
        fault(l, side_value(value, client),
              "add \"return\": {…} or \"error\": {\"class\": …, \"desc\": …} to this picture",
              "the other side is null, so this command is answered here, and nothing says what");
}

/* one side is null */
static void check_null(struct load *l, const struct json *value, const struct rule *rule) {
    enum vars_side null_side = rule->side[VARS_OLD].is_null ? VARS_OLD : VARS_NEW,
                   other = null_side == VARS_OLD ? VARS_NEW : VARS_OLD;
    enum rule_for reader = (rule->kind == PICTURE_COMMAND) == (other == VARS_OLD)
                               ? RULE_FOR_OLD_CLIENT
                               : RULE_FOR_NEW_CLIENT;

    if (rule->kind == PICTURE_ERROR || rule->kind == PICTURE_GREETING)
        fault(l, side_value(value, null_side), "show what it becomes",
              rule->kind == PICTURE_ERROR ? "an error cannot become nothing"
                                          : "a greeting cannot become nothing");
    else if (rule->for_client != RULE_FOR_BOTH && rule->for_client != reader)
        fault(l, json_member(value, "for"),
              reader == RULE_FOR_OLD_CLIENT ? "write \"for\": \"old-client\""
                                            : "write \"for\": \"new-client\"",
              rule->kind == PICTURE_COMMAND
                  ? "this rule never applies: its client has no such command"
                  : "this rule never applies: its server has no such event");
    else
        check_local(l, value, rule, other);
}

/* what a rule itself says of versions, or its file */
static void check_versions(struct load *l, const struct json *value, struct rule *rule) {
    const struct json *since = json_member(value, "new-since"),
                      *until = json_member(value, "old-until");

    if (!rule->has_new_since && l->file->has_new_since) {
        rule->has_new_since = true;
        rule->new_since = l->file->new_since;
    }
    if (!rule->has_old_until && l->file->has_old_until) {
        rule->has_old_until = true;
        rule->old_until = l->file->old_until;
    }
    if ((since || until) && rule->has_new_since && rule->has_old_until &&
        version_compare(rule->new_since, rule->old_until) > 0)
        fault(
            l, since ? since : until,
            "\"new-since\" is the first version with the new form, \"old-until\" the first without the old one",
            "\"new-since\" is later than \"old-until\": in between a server would have neither form");
}

static int imply_all(struct load *l, struct rule *rule) {
    struct picture_list *old = &rule->side[VARS_OLD], *new = &rule->side[VARS_NEW];

    if (old->n != 1 || new->n != 1 || old->is_list || new->is_list)
        return 0;
    return picture_imply(l->arena, &old->picture[0], &new->picture[0]);
}

static int load_rule(struct load *l, const struct json *value, struct rule *rule) {
    struct load_rule lr = {l, rule, {l->arena, &rule->vars, l->source, l->diags, 0}};
    int r;

    rule->file = l->file;
    rule->name = "";
    rule->at = (size_t)(value->text - l->source->text);
    rule->n_at = 1;
    if (value->type != JSON_OBJECT) {
        fault(l, value, "{\"name\": …, \"old\": …, \"new\": …}", "a rule must be an object");
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
        fault(l, value, "it stands in the log and in explanations", "this rule has no \"name\"");
    if (!has_both_sides(l, value) || l->is_invalid)
        return 0;
    check_sides(l, value, rule);
    check_orientation(l, value, rule);
    check_use(l, value, rule);
    check_alone(l, value, rule);
    check_versions(l, value, rule);
    if (!l->is_invalid && rule->side[VARS_OLD].is_null != rule->side[VARS_NEW].is_null)
        check_null(l, value, rule);
    return imply_all(l, rule);
}

/* --- members of a file ------------------------------------------------------------------------ */

static int file_language(struct load *l, const struct json *value) {
    struct number n;

    if (value->type != JSON_NUMBER || number_read(value->text, value->n_text, &n) ||
        !number_equal(n, (struct number){.mantissa = LOAD_LANGUAGE_VERSION}))
        fault(l, value, "write 1", "unknown version of the rule language");
    return 0;
}

static int file_name(struct load *l, const struct json *value) {
    return copy_string(l, value, &l->file->name);
}

static int file_summary(struct load *l, const struct json *value) {
    return copy_string(l, value, &l->file->summary);
}

static int file_text(struct load *l, const struct json *value) {
    const char *text;

    return copy_string(l, value, &text);
}

static int file_new_since(struct load *l, const struct json *value) {
    read_version(l, value, &l->file->has_new_since, &l->file->new_since);
    return 0;
}

static int file_old_until(struct load *l, const struct json *value) {
    read_version(l, value, &l->file->has_old_until, &l->file->old_until);
    return 0;
}

static int file_default(struct load *l, const struct json *value) {
    if (!json_is_string(value, "deny") && !json_is_string(value, "pass"))
        fault(l, value, "\"deny\" refuses every command that no rule mentions",
              "\"default\" is \"pass\" or \"deny\"");
    l->file->is_deny = json_is_string(value, "deny");
    return 0;
}

/* two rules of one name cannot be told apart in the log */
static void check_names(struct load *l, const struct json *rules) {
    for (size_t i = 0; i < rules->n_items; i++) {
        const struct json *name = json_member(&rules->items[i], "name");

        for (size_t k = 0; name && k < i; k++) {
            const struct json *before = json_member(&rules->items[k], "name");

            if (before && json_equal(name, before)) {
                fault(l, name, "a name is unique in its file", "another rule above has this name");
                break;
            }
        }
    }
}

static int file_rules(struct load *l, const struct json *value) {
    bool was_invalid = l->is_invalid, is_invalid = false;
    int r;

    if (value->type != JSON_ARRAY) {
        fault(l, value, "[{\"name\": …, \"old\": …, \"new\": …}]", "\"rules\" must be a list");
        return 0;
    }
    l->file->rules = arena_alloc(l->arena, (value->n_items + 1) * sizeof(*l->file->rules));
    if (!l->file->rules)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        l->is_invalid = false;
        r = load_rule(l, &value->items[i], &l->file->rules[l->file->n_rules]);
        if (r < 0)
            return r;
        if (!l->is_invalid)
            l->file->n_rules++;
        else
            l->file->rules[l->file->n_rules] = (struct rule){0};
        is_invalid = is_invalid || l->is_invalid;
    }
    l->is_invalid = was_invalid || is_invalid;
    check_names(l, value);
    return 0;
}

static const struct {
    const char *key;
    int (*read)(struct load *l, const struct json *value);
    bool is_needed;
} file_keys[] = {
    {"$schema", file_text, false},
    {"qmp-shim-rules", file_language, true},
    {"name", file_name, true},
    {"summary", file_summary, false},
    {"old", file_text, false},
    {"new", file_text, false},
    {"new-since", file_new_since, false},
    {"old-until", file_old_until, false},
    {"default", file_default, false},
    {"rules", file_rules, true},
};

static void check_file_keys(struct load *l, const struct json *root) {
    const char *known[ARRAY_SIZE(file_keys) + 1] = {NULL};

    for (size_t i = 0; i < ARRAY_SIZE(file_keys); i++)
        known[i] = file_keys[i].key;
    for (size_t i = 0; i < root->n_items; i++) {
        bool is_known = false;

        for (size_t k = 0; k < ARRAY_SIZE(file_keys); k++)
            is_known = is_known || json_key_is(&root->items[i], file_keys[k].key);
        if (!is_known)
            fault_key(l, &root->items[i], known);
    }
}

static int read_file_members(struct load *l, const struct json *root) {
    int r;

    check_file_keys(l, root);
    for (size_t i = 0; i < ARRAY_SIZE(file_keys); i++) {
        const struct json *m = json_member(root, file_keys[i].key);

        r = m ? file_keys[i].read(l, m) : 0;
        if (r < 0)
            return r;
        if (!m && file_keys[i].is_needed) {
            diag_add(l->diags, DIAG_ERROR, l->source, (size_t)(root->text - l->source->text), 1,
                     "a rule file begins {\"qmp-shim-rules\": 1, \"name\": …, \"rules\": [",
                     "this file has no \"%s\"", file_keys[i].key);
            l->is_invalid = true;
        }
    }
    return 0;
}

static void check_file_versions(struct load *l, const struct json *root) {
    if (l->file->has_new_since && l->file->has_old_until &&
        version_compare(l->file->new_since, l->file->old_until) > 0)
        fault(
            l, json_member(root, "new-since"),
            "\"new-since\" is the first version with the new form, \"old-until\" the first without the old one",
            "\"new-since\" is later than \"old-until\": in between a server would have neither form");
}

int load_file(struct arena *arena, const struct diag_source *source, struct rule_file *ret_file,
              struct diag_set *diags) {
    struct load l = {arena, source, diags, ret_file, false};
    struct json_fault where;
    struct json *root;
    int r;

    *ret_file = (struct rule_file){.source = source, .name = source->path};
    r = json_read(arena, source->text, source->n_text, true, &root, &where);
    if (r < 0)
        return r;
    if (r > 0) {
        diag_add(diags, DIAG_ERROR, source, where.at, where.n, NULL, "%s", where.message);
        return LOAD_E_INVALID;
    }
    if (root->type != JSON_OBJECT) {
        fault(&l, root, "a rule file begins {\"qmp-shim-rules\": 1, \"name\": …, \"rules\": [",
              "a rule file must be one object");
        return LOAD_E_INVALID;
    }
    r = read_file_members(&l, root);
    if (r < 0)
        return r;
    check_file_versions(&l, root);
    return l.is_invalid ? LOAD_E_INVALID : 0;
}
