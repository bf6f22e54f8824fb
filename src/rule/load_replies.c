#include "rule/load_replies.h"

#include <errno.h>

#include "rule/picture.h"

static int reply(struct load *l, struct pattern_compiler *c, const struct json *pair,
                 enum vars_side side, struct reply_pair *ret) {
    const struct json *value = json_member(pair, side == VARS_OLD ? "old" : "new");
    const struct json *m =
        value && value->type == JSON_OBJECT && value->n_items == 1 ? &value->items[0] : NULL;

    if (!m || (!json_key_is(m, "return") && !json_key_is(m, "error"))) {
        load_fault(l, value ? value : pair,
                   "{\"return\": …} or {\"error\": {\"class\": …, \"desc\": …}}",
                   "a reply is shown on both sides, as a return or an error");
        return 0;
    }
    ret->kind[side] = json_key_is(m, "return") ? REPLY_RETURN : REPLY_ERROR;
    return load_fold(l, picture_compile_reply(c, m, &ret->side[side]));
}

static int pair(struct load *l, struct pattern_compiler *c, const struct json *value,
                struct reply_pair *ret) {
    static const char *const known[] = {"old", "new", NULL};
    int r;

    for (size_t i = 0; value->type == JSON_OBJECT && i < value->n_items; i++)
        if (!json_key_is(&value->items[i], "old") && !json_key_is(&value->items[i], "new"))
            load_fault_key(l, &value->items[i], known);
    r = reply(l, c, value, VARS_OLD, ret);
    return r < 0 ? r : reply(l, c, value, VARS_NEW, ret);
}

int load_replies(struct load *l, struct pattern_compiler *c, const struct json *value,
                 struct rule *rule) {
    if (value->type != JSON_ARRAY || value->n_items == 0) {
        load_fault(l, value, "[{\"old\": {\"error\": …}, \"new\": {\"return\": …}}, …]",
                   "\"replies\" is a list of at least one pair");
        return 0;
    }
    rule->replies = arena_alloc(l->arena, value->n_items * sizeof(*rule->replies));
    if (!rule->replies)
        return -ENOMEM;
    for (size_t i = 0; i < value->n_items; i++) {
        int r = pair(l, c, &value->items[i], &rule->replies[rule->n_replies++]);

        if (r < 0)
            return r;
    }
    return 0;
}

static bool shows_reply(const struct picture *p) {
    return p->reply[REPLY_RETURN] || p->reply[REPLY_ERROR];
}

void load_check_replies(struct load *l, const struct json *value, const struct rule *rule) {
    const struct json *replies = json_member(value, "replies");
    bool has_other = false;

    if (!replies || rule->kind != PICTURE_COMMAND)
        return; /* which is told elsewhere */
    for (size_t side = 0; side < 2; side++)
        has_other = has_other || rule->side[side].is_null ||
                    (!rule->side[side].is_list && rule->side[side].n > 0 &&
                     shows_reply(&rule->side[side].picture[0]));
    if (has_other)
        load_fault_at_key(l, replies, "say all of replies here, or all of them in the pictures",
                          "\"replies\" stands in place of \"return\" and \"error\", and of null");
}
