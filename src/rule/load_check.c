/*
 * What a rule must be as a whole: its sides, its orientation, what belongs
 * together.  What its members are is load_rule.c's business.
 */

#include <stdio.h>
#include <string.h>

#include "rule/fdshape.h"
#include "rule/load_parts.h"
#include "rule/load_replies.h"
#include "rule/picture.h"

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
            load_fault(l, json_member(value, "new"), "one side has to show a message",
                       "both sides are null");
        return;
    }
    rule->kind = first->kind;
    for (size_t side = 0; side < 2; side++) {
        const struct json *picture = json_member(value, side == VARS_OLD ? "old" : "new");

        if (rule->side[side].is_list && rule->kind != PICTURE_COMMAND)
            load_fault(l, picture, "only one command can become several",
                       "a list cannot stand here");
        for (size_t i = 0; i < rule->side[side].n; i++)
            if (rule->side[side].picture[i].kind != rule->kind)
                load_fault(l, picture,
                           "a command stands beside a command, an event beside an event",
                           "the two sides show different kinds of messages");
    }
    if (rule->side[VARS_OLD].is_list && rule->side[VARS_NEW].is_list)
        load_fault(l, json_member(value, "new"), "the client's side is one command",
                   "both sides are lists");
}

/* a rule that works in one orientation only has to say so */
static void check_orientation(struct load *l, const struct json *value, const struct rule *rule) {
    static const char *const one_way[] = {"ask", "then", "finally", "emit", "emit-before", "until"};

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
                load_fault(l, json_member(value, side == VARS_OLD ? "old" : "new"),
                           side == VARS_NEW ? "add \"for\": \"old-client\""
                                            : "add \"for\": \"new-client\"",
                           "a list of commands cannot be reversed");
    } else {
        size_t client = rule->for_client == RULE_FOR_OLD_CLIENT ? VARS_OLD : VARS_NEW;

        if (rule->side[client].is_list)
            load_fault(l, json_member(value, client == VARS_OLD ? "old" : "new"),
                       "steps stand on the server's side", "a client's side cannot be a list");
    }
}

static const struct picture *first_until(const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].until.n > 0)
            return &list->picture[i];
    return NULL;
}

static bool has_step_until(const struct rule *rule) {
    return first_until(&rule->side[VARS_OLD]) || first_until(&rule->side[VARS_NEW]);
}

static void fault_until(struct load *l, const struct picture *p, const char *way_out,
                        const char *message) {
    if (!p)
        return;
    diag_add(l->diags, DIAG_ERROR, l->source, p->until.picture[0].at, p->until.picture[0].n_at,
             way_out, "%s", message);
    l->is_invalid = true;
}

/* a rule has its own, and steps have theirs */
static void check_until(struct load *l, const struct json *value, const struct rule *rule) {
    const struct picture_list *others[] = {&rule->ask, &rule->then, &rule->finally};
    bool is_list = rule->side[VARS_OLD].is_list || rule->side[VARS_NEW].is_list;
    const struct json *until = json_member(value, "until");

    for (size_t side = 0; side < 2; side++)
        if (!rule->side[side].is_list)
            fault_until(l, first_until(&rule->side[side]), "put it beside \"old\" and \"new\"",
                        "only a step has an \"until\" of its own");
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        fault_until(l, first_until(others[i]), "leave it out",
                    "only a step has an \"until\" of its own");
    if (until && is_list)
        load_fault_at_key(l, until, "put it into the step that is to be waited for",
                          "a sequence of commands waits step by step");
}

/* what only a rule for one kind of message can have */
static void check_use(struct load *l, const struct json *value, const struct rule *rule) {
    static const struct {
        const char *key;
        enum picture_kind kind;
        const char *message;
    } uses[] = {
        {"command", PICTURE_ERROR, "\"command\" belongs to a rule for errors"},
        {"replies", PICTURE_COMMAND, "\"replies\" belongs to a rule for a command"},
        {"finally", PICTURE_COMMAND, "\"finally\" belongs to a rule for a command"},
        {"until", PICTURE_COMMAND, "\"until\" belongs to a rule for a command"},
        {"conform", PICTURE_COMMAND, "\"conform\" belongs to a rule for a command"},
        {"after-reply", PICTURE_EVENT, "\"after-reply\" belongs to a rule for an event"},
    };
    const struct json *hide = json_member(value, "hide"), *timeout = json_member(value, "timeout"),
                      *needs = json_member(value, "needs");
    bool has_until = json_member(value, "until") || has_step_until(rule),
         has_after = json_member(value, "after-reply");

    for (size_t i = 0; i < ARRAY_SIZE(uses); i++)
        if (json_member(value, uses[i].key) && rule->kind != uses[i].kind)
            load_fault_at_key(l, json_member(value, uses[i].key), "leave it out", uses[i].message);
    if (needs && !json_member(value, "ask") && !json_member(value, "recall"))
        load_fault_at_key(l, needs,
                          "leave it out: the pictures tell which messages the rule is for",
                          "\"needs\" is for what \"ask\" or \"recall\" bind, and neither is there");
    if (hide && !has_until)
        load_fault_at_key(l, hide, "add \"until\": {\"event\": …}",
                          "\"hide\" says something of \"until\", which is not there");
    if (timeout && !has_until && !has_after)
        load_fault_at_key(
            l, timeout, "add \"until\": {\"event\": …}, or leave it out",
            "\"timeout\" says something of \"until\" or \"after-reply\", and neither is there");
}

/* errors are rewritten on their way and the greeting before all else: neither can wait, nor order anything */
static void check_alone(struct load *l, const struct json *value, const struct rule *rule) {
    static const char *const keys[] = {"ask",      "then",   "finally", "emit", "emit-before",
                                       "remember", "recall", "forget",  "needs"};

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
        load_fault(
            l, side_value(value, client),
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
        load_fault(l, side_value(value, null_side), "show what it becomes",
                   rule->kind == PICTURE_ERROR ? "an error cannot become nothing"
                                               : "a greeting cannot become nothing");
    else if (rule->for_client != RULE_FOR_BOTH && rule->for_client != reader)
        load_fault(l, json_member(value, "for"),
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
    if (!rule->new_with)
        rule->new_with = l->file->new_with;
    if ((since || until) && rule->has_new_since && rule->has_old_until &&
        version_compare(rule->new_since, rule->old_until) > 0)
        load_fault(
            l, since ? since : until,
            "\"new-since\" is the first version with the new form, \"old-until\" the first without the old one",
            "\"new-since\" is later than \"old-until\": in between a server would have neither form");
}

/* --- file descriptors ---------------------------------------------------------------------------- */

static bool has_fd(const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].fd)
            return true;
    return false;
}

static void check_sent_fds(struct load *l, const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].fd && !fdshape_is_sent(list->picture[i].fd, l->source, l->diags))
            l->is_invalid = true;
}

/* what is ordered after the reply goes without any: by then they may be forgotten */
static void check_no_fds(struct load *l, const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].fd) {
            diag_add(l->diags, DIAG_ERROR, l->source, list->picture[i].fd->at,
                     list->picture[i].fd->n_at, "send it by \"ask\", or as a step",
                     "no file descriptor can go with this command");
            l->is_invalid = true;
        }
}

/* the client's side reads one, the server's side and what is asked send one: it cannot be both */
static void check_fds(struct load *l, const struct json *value, const struct rule *rule) {
    enum vars_side server = rule->for_client == RULE_FOR_NEW_CLIENT ? VARS_OLD : VARS_NEW;

    if (!has_fd(&rule->side[VARS_OLD]) && !has_fd(&rule->side[VARS_NEW]) && !has_fd(&rule->ask) &&
        !has_fd(&rule->then) && !has_fd(&rule->finally))
        return;
    if (rule->for_client == RULE_FOR_BOTH) {
        load_fault(l, value, "add \"for\": \"old-client\" or \"for\": \"new-client\"",
                   "\"fd\" cannot be reversed");
        return;
    }
    check_sent_fds(l, &rule->side[server]);
    check_sent_fds(l, &rule->ask);
    check_no_fds(l, &rule->then);
    check_no_fds(l, &rule->finally);
}

void load_check_rule(struct load *l, const struct json *value, struct rule *rule) {
    if (!has_both_sides(l, value) || l->is_invalid)
        return;
    check_sides(l, value, rule);
    check_orientation(l, value, rule);
    check_use(l, value, rule);
    check_alone(l, value, rule);
    check_fds(l, value, rule);
    check_until(l, value, rule);
    load_check_replies(l, value, rule);
    check_versions(l, value, rule);
    if (!l->is_invalid && rule->side[VARS_OLD].is_null != rule->side[VARS_NEW].is_null)
        check_null(l, value, rule);
}
