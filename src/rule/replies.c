#include "rule/replies.h"

#include <errno.h>

#include "rule/build.h"
#include "rule/match.h"

static int try_pair(struct exchange *x, const struct applied *a, const struct reply_pair *pair,
                    struct buffer *text) {
    enum vars_side client = a->client_side, server = client == VARS_OLD ? VARS_NEW : VARS_OLD;
    enum reply_kind kind = x->reply.kind == FRAME_RETURN ? REPLY_RETURN : REPLY_ERROR;
    struct bindings *b;
    int r;

    if (pair->kind[server] != kind)
        return MATCH_E_NO;
    b = bindings_fork(&x->arena, a->bindings);
    if (!b)
        return -ENOMEM;
    r = match_value(&x->arena, server, pair->side[server], x->reply.root, b);
    if (r)
        return r;
    r = build_value(&x->arena, client, pair->side[client], pair->side[server], x->reply.root, b,
                    text);
    if (r == 0)
        bindings_join(a->bindings, b);
    return r > 0 ? MATCH_E_NO : r;
}

int replies_apply(struct exchange *x, const struct applied *a, struct buffer *text) {
    for (size_t i = 0; i < a->rule->n_replies; i++) {
        int r;

        buffer_clear(text);
        r = try_pair(x, a, &a->rule->replies[i], text);
        if (r <= 0)
            return r;
    }
    return MATCH_E_NO;
}
