/*
 * Messages of the shim's own that rules order: questions, what comes after a
 * reply, events.  The probe of a new server is one, too.
 */

#include <errno.h>
#include <string.h>

#include "proxy/flow.h"
#include "proxy/handover.h"
#include "rule/introspect.h"

int inject_command(struct session *s, struct task *t, const char *text, size_t n) {
    if (t->kind != TASK_THEN) /* nobody waits for that one */
        t->deadline_ms = s->time.now_ms + s->limits.ask_timeout_ms;
    s->stats.n_asked++;
    session_trace(s, TRACE_ASKED, -1, NULL, NULL, 0, text, n, NULL);
    return task_send(s, t, text, n, true);
}

/* can a command of the shim's own be sent now? */
static bool may_ask(const struct session *s) {
    return s->negotiation == NEGOTIATION_DONE && !s->input[SIDE_SERVER].has_ended &&
           s->n_in_flight < s->limits.max_pending;
}

/* what @parent asked gets no answer */
static int go_on_without(struct session *s, struct task *parent) {
    int r = engine_answer(parent->exchange, NULL, 0);

    return r < 0 ? r : task_run(s, parent);
}

int inject_ask(struct session *s, struct task *parent) {
    struct exchange *px = parent->exchange;
    struct task *t;
    int r;

    if (!may_ask(s))
        return go_on_without(s, parent);
    t = task_new(s, TASK_ASK);
    if (!t)
        return -ENOMEM;
    r = exchange_new(&s->engine, true, px->ask_hop, px->ask, px->n_ask, &t->exchange);
    if (r) {
        task_free(s, t);
        return r < 0 ? r : -ENOTRECOVERABLE;
    }
    if (px->ask_fd.entry) {
        r = handover_give(s, t, &px->ask_fd);
        if (r) {
            task_free(s, t);
            return r < 0 ? r : go_on_without(s, parent);
        }
    }
    t->parent = parent;
    parent->child = t;
    return task_run(s, t);
}

static int begin_then(struct session *s, const struct engine_own *own) {
    struct task *t;
    int r;

    if (!may_ask(s))
        return 0;
    t = task_new(s, TASK_THEN);
    if (!t)
        return -ENOMEM;
    r = exchange_new(&s->engine, true, own->hop, own->text, own->n_text, &t->exchange);
    if (r) {
        task_free(s, t);
        return r < 0 ? r : -ENOTRECOVERABLE;
    }
    return task_run(s, t);
}

static int begin_emit(struct session *s, const struct engine_own *own, struct held **place,
                      bool is_before) {
    struct task *t = task_new(s, TASK_MESSAGE);
    struct held *h;
    int r;

    if (!t)
        return -ENOMEM;
    r = exchange_new(&s->engine, false, own->hop, own->text, own->n_text, &t->exchange);
    if (r == 0)
        buffer_append(&t->raw, own->text, own->n_text);
    h = r == 0 ? queue_add(s, is_before ? NULL : *place, is_before ? *place : NULL) : NULL;
    if (!h || t->raw.failed) {
        task_free(s, t);
        return r > 0 ? -ENOTRECOVERABLE : -ENOMEM;
    }
    t->held = h;
    t->exchange->is_changed = true; /* it is written whatever rules say */
    if (!is_before)
        *place = h;
    session_trace(s, TRACE_EMITTED, -1, NULL, NULL, 0, own->text, own->n_text, own->rule->name);
    return task_run(s, t);
}

static int begin_own(struct session *s, const struct engine_own *own, struct held **place,
                     bool is_before) {
    return own->kind == ENGINE_OWN_COMMAND ? begin_then(s, own)
                                           : begin_emit(s, own, place, is_before);
}

int inject_ordered(struct session *s, struct exchange *x, struct held *place) {
    struct held *last = place;
    int r = 0;

    s->n_filling++;
    for (const struct engine_own *own = x->own; own && r == 0; own = own->next)
        r = own->kind == ENGINE_OWN_EVENT_BEFORE ? begin_own(s, own, &place, true)
                                                 : begin_own(s, own, &last, false);
    s->n_filling--;
    x->own = NULL;
    x->own_last = &x->own;
    return r;
}

int inject_probe(struct session *s) {
    struct task *t = task_new(s, TASK_PROBE);

    if (!t)
        return -ENOMEM;
    s->probe = t;
    return inject_command(s, t, INTROSPECT_ASK_COMMANDS, strlen(INTROSPECT_ASK_COMMANDS));
}
