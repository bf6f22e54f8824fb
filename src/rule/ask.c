#include "rule/ask.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "rule/build.h"
#include "rule/conform.h"
#include "rule/fdpicture.h"
#include "rule/introspect.h"
#include "rule/match.h"

int ask_order(struct exchange *x, const struct picture *picture) {
    int r;

    x->ask_hop = x->hop + 1;
    r = fdpicture_build(x, exchange_server_side(x), picture, &x->ask_fd);
    if (r)
        return r;
    return build_new(&x->arena, exchange_server_side(x), &picture->message, x->bindings, &x->ask,
                     &x->n_ask);
}

int ask_next(struct exchange *x) {
    for (; x->i < x->rule->ask.n; x->i++) {
        int r = ask_order(x, &x->rule->ask.picture[x->i]);

        if (r <= 0)
            return r;
    }
    return 1;
}

int ask_take(struct exchange *x, const struct message *reply) {
    const struct picture *picture = &x->rule->ask.picture[x->i++];
    const struct pattern *p =
        reply ? picture->reply[reply->kind == FRAME_RETURN ? REPLY_RETURN : REPLY_ERROR] : NULL;
    int r;

    if (!p)
        return 0; /* what it would have bound stays unbound */
    r = match_value(&x->arena, exchange_server_side(x), p, reply->root, x->bindings);
    return r < 0 ? r : 0;
}

/* --- loose types ---------------------------------------------------------------------- */

int ask_types(struct exchange *x) {
    int r;

    x->types.root = NULL;
    if (x->rule->conform == CONFORM_NONE || !x->from_client)
        return 1;
    if (x->rule->conform == CONFORM_ASK) {
        r = ask_order(x, &x->rule->conform_ask);
        return r > 0 ? 1 : r;
    }
    if (x->engine->schema.n > 0)
        return 1;
    fdpicture_drop(&x->ask_fd);
    x->ask_hop = SIZE_MAX; /* the server's own word, whatever rules make of it */
    x->ask = INTROSPECT_ASK_SCHEMA;
    x->n_ask = strlen(x->ask);
    return 0;
}

int ask_take_types(struct exchange *x, const struct message *reply) {
    x->stage = ENGINE_WRITING;
    if (!reply || reply->kind != FRAME_RETURN)
        return 0;
    if (x->rule->conform == CONFORM_ASK) {
        x->types = *reply;
        return 0;
    }
    buffer_append(&x->engine->schema, reply->text, reply->n_text);
    return buffer_status(&x->engine->schema);
}

static int conformed(struct exchange *x, struct buffer *text) {
    struct message schema;
    int r;

    if (x->rule->conform == CONFORM_ASK)
        return x->types.root ? conform_by_list(&x->arena, x->rule, x->types.root, &x->message, text)
                             : CONFORM_E_NOTHING;
    if (x->engine->schema.n == 0)
        return CONFORM_E_NOTHING;
    r = message_read(&x->arena, x->engine->schema.data, x->engine->schema.n, &schema);
    if (r)
        return error_fold(r);
    return conform_by_schema(&x->arena, schema.root, &x->message, text);
}

int ask_conform(struct exchange *x) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    int r;

    if (x->rule->conform == CONFORM_NONE || !x->from_client)
        return 0;
    r = conformed(x, &text);
    if (r)
        return r < 0 ? r : 0;
    r = message_read(&x->arena, text.data, text.n, &x->message);
    x->is_changed = true;
    return error_fold(r);
}
