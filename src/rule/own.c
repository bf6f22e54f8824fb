#include "rule/own.h"

#include <errno.h>

#include "rule/build.h"

static int own_event(struct exchange *x, const char *text, size_t n, const char **ret,
                     size_t *ret_n) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const struct json *stamp = json_member(x->message.root, "timestamp");
    int64_t us = x->engine->wall_us;

    buffer_append_string(&b, "{\"timestamp\": ");
    if (stamp && !x->from_client)
        buffer_append(&b, stamp->text, stamp->n_text);
    else
        buffer_printf(&b, "{\"seconds\": %lld, \"microseconds\": %lld}", (long long)(us / 1000000),
                      (long long)(us % 1000000));
    buffer_append_string(&b, ", ");
    buffer_append(&b, text + 1, n - 1);
    if (buffer_status(&b) < 0)
        return -ENOMEM;
    *ret = arena_copy(&x->arena, b.data, b.n);
    *ret_n = b.n;
    return *ret ? 0 : -ENOMEM;
}

static int order_own(struct exchange *x, const struct applied *a, const struct picture *picture,
                     enum engine_own_kind kind) {
    bool is_event = kind != ENGINE_OWN_COMMAND;
    enum vars_side other = a->client_side == VARS_OLD ? VARS_NEW : VARS_OLD;
    struct engine_own *own;
    const char *text;
    size_t n;
    int r;

    r = build_new(&x->arena, is_event ? a->client_side : other, &picture->message, a->bindings,
                  &text, &n);
    if (r > 0)
        return 0; /* a variable is not bound: skipped */
    if (r == 0 && is_event)
        r = own_event(x, text, n, &text, &n);
    if (r < 0)
        return r;
    own = arena_alloc(&x->arena, sizeof(*own));
    if (!own)
        return -ENOMEM;
    *own = (struct engine_own){.kind = kind, .text = text, .n_text = n, .rule = a->rule};
    own->hop = is_event ? a->hop - 1 : a->hop + 1; /* past the end: it only has to be sent */
    *x->own_last = own;
    x->own_last = &own->next;
    return 0;
}

static int order_list(struct exchange *x, const struct applied *a, const struct picture_list *list,
                      enum engine_own_kind kind) {
    for (size_t i = 0; i < list->n; i++) {
        int r = order_own(x, a, &list->picture[i], kind);

        if (r < 0)
            return r;
    }
    return 0;
}

int own_order(struct exchange *x, const struct applied *a) {
    int r;

    r = order_list(x, a, &a->rule->emit_before, ENGINE_OWN_EVENT_BEFORE);
    if (r == 0)
        r = order_list(x, a, &a->rule->emit, ENGINE_OWN_EVENT);
    return r < 0 ? r : order_list(x, a, &a->rule->then, ENGINE_OWN_COMMAND);
}

int own_order_finally(struct exchange *x, const struct applied *a) {
    return order_list(x, a, &a->rule->finally, ENGINE_OWN_COMMAND);
}
