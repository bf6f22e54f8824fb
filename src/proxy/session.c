#include "proxy/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/commands.h"
#include "proxy/flow.h"
#include "proxy/planned.h"
#include "proxy/run.h"

/* --- life ------------------------------------------------------------------------------------------- */

int session_new(struct program *program, const struct limits *limits, trace_fn trace,
                void *userdata, struct session **ret_session) {
    struct session *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->program = program_ref(program);
    s->limits = *limits;
    s->trace = trace;
    s->tells_passed = trace;
    s->userdata = userdata;
    frame_reader_init(&s->input[SIDE_CLIENT].reader, FRAME_CLIENT);
    frame_reader_init(&s->input[SIDE_SERVER].reader, FRAME_SERVER);
    out_init(&s->out[SIDE_CLIENT]);
    out_init(&s->out[SIDE_SERVER]);
    compact_init(&s->compact);
    list_init(&s->tasks);
    list_init(&s->queue);
    list_init(&s->deferred);
    engine_init(&s->engine, program,
                &(struct engine_limits){.max_facts = limits->max_facts,
                                        .max_facts_bytes = limits->max_facts_bytes,
                                        .max_kept_fds = limits->max_kept_fds});
    s->is_deny = program && program_is_deny(program);
    r = program ? selection_share(program, NULL, &s->engine.selection) : 0;
    if (r < 0) {
        session_free(s);
        return r;
    }
    *ret_session = s;
    return 0;
}

void session_lend(struct session *s, struct buffer *room) {
    s->room = room;
}

struct session *session_free(struct session *s) {
    if (!s)
        return NULL;
    while (!list_is_empty(&s->tasks))
        task_free(s, list_entry(s->tasks.next, struct task, in_session));
    while (!list_is_empty(&s->queue))
        queue_drop(s, list_entry(s->queue.next, struct held, in_queue));
    while (!list_is_empty(&s->deferred))
        client_forget(s, list_entry(s->deferred.next, struct deferred, in_session));
    for (size_t side = 0; side < 2; side++) {
        buffer_deinit(&s->input[side].tail);
        rides_deinit(&s->input[side].rides);
        out_deinit(&s->out[side]);
    }
    fds_deinit(&s->blank_fds);
    compact_deinit(&s->compact);
    engine_deinit(&s->engine);
    free(s->has_failed);
    program_unref(s->program);
    free(s);
    return NULL;
}

/*
 * What came is told before what becomes of it.  Till then it may turn out that
 * it goes on as it is: TRACE_PASSED says nothing else, and does not count.
 */
void session_tell(struct session *s, const struct trace_item *item) {
    if (s->untold && item->kind != TRACE_PASSED)
        s->trace(s->userdata, steal(s->untold));
    s->trace(s->userdata, item);
}

void session_trace(struct session *s, enum trace_kind kind, int from, const struct exchange *x,
                   const char *text, size_t n, const char *to_text, size_t n_to_text,
                   const char *note) {
    struct trace_item item = {.kind = kind,
                              .from = from,
                              .text = text,
                              .n_text = n,
                              .to_text = to_text,
                              .n_to_text = n_to_text,
                              .note = note};

    if (!s->trace || (kind == TRACE_REWRITTEN && !session_tells_rewritten(s)))
        return;
    if (x && x->applied)
        item.rule = x->applied->rule->name;
    session_tell(s, &item);
}

void session_trace_passed(struct session *s, enum side from, const char *text, size_t n) {
    if (s->tells_passed)
        session_trace(s, TRACE_PASSED, (int)from, NULL, text, n, NULL, 0, NULL);
}

struct buffer session_take(const struct session *s, char *spare, size_t n_spare) {
    struct buffer *room = s->room;

    return room && room->cap - room->n >= n_spare
               ? buffer_in(room->data + room->n, room->cap - room->n)
               : buffer_in(spare, n_spare);
}

int session_give(struct session *s, enum side to, struct buffer *b) {
    struct buffer *room = s->room;

    if (!room || b->data != room->data + room->n)
        return out_copy(&s->out[to], b->data, b->n);
    room->n += b->n;
    return out_borrow(&s->out[to], b->data, b->n);
}

int session_select(struct session *s, const struct version *server,
                   const struct selection_commands *commands) {
    struct selection *selection;
    int r;

    r = planned_wake_all(s); /* what is under way goes on with the rules it began with */
    if (r < 0)
        return r;
    if (server) {
        s->engine.server = *server;
        s->engine.has_server = true;
    }
    server = s->engine.has_server ? &s->engine.server : NULL;
    r = commands ? selection_new(s->program, server, commands, &selection)
                 : selection_share(s->program, server, &selection);
    if (r < 0)
        return r;
    selection_unref(s->engine.selection);
    s->engine.selection = selection;
    s->shortcut = NULL;
    s->passing = NULL;
    s->n_changes++;
    return 0;
}

int session_tell_rules(struct session *s) {
    const char *text;
    int r;

    if (s->has_told_rules || !s->trace)
        return 0;
    s->has_told_rules = true;
    r = selection_tell(s->engine.selection, &text);
    if (r == 0)
        session_trace(s, TRACE_ACTIVE, -1, NULL, text, strlen(text), NULL, 0, NULL);
    return r;
}

bool session_reads(const struct session *s, enum program_role role, const char *name,
                   size_t n_name) {
    struct program_uses uses = program_find(s->program, role, name, n_name);
    const struct selection *selection = s->engine.selection;

    for (size_t i = 0; i < uses.n; i++)
        if (selection_is_working(selection, uses.use[i].rule) &&
            selection_is_client_side(selection, uses.use[i].rule, uses.use[i].side) ==
                (role == PROGRAM_COMMAND))
            return true;
    return false;
}

bool session_is_blocked(const struct session *s) {
    if (s->input[SIDE_SERVER].has_ended)
        return false; /* there is nothing to wait for */
    if (s->fd_wait || s->probe || (s->program && s->negotiation == NEGOTIATION_ASKED))
        return true;
    list_for_each(i, &s->tasks)
        if (list_entry(i, struct task, in_session)->is_blocking)
            return true;
    return false;
}

/* --- what a session is told --------------------------------------------------------------------------------------- */

static bool queue_is_over(const struct session *s) {
    return s->n_queue > s->limits.max_held || s->n_queue_bytes > s->limits.max_held_bytes;
}

/* Replies made here wait for the end of a message that passes in pieces; only that ends their wait. */
static bool queue_is_waiting(const struct session *s) {
    return !list_is_empty(&s->queue) && !list_entry(s->queue.next, struct held, in_queue)->is_ready;
}

/* after every input: release what may go, keep the limits, let go on what waited */
static int settle(struct session *s) {
    int r;

    r = answer_release_met(s);
    if (r == 0)
        r = queue_flush(s);
    while (r == 0 && queue_is_over(s) && queue_is_waiting(s))
        r = answer_expire_first(s);
    if (r == 0)
        r = queue_flush(s);
    return r < 0 ? r : client_resume(s);
}

/* is nothing under way?  Then there is nothing to settle, which is so after most messages */
static bool is_quiet(const struct session *s) {
    return list_is_empty(&s->tasks) && list_is_empty(&s->queue) && list_is_empty(&s->deferred);
}

/* --- telling of traffic: nothing here runs unless somebody asked for it --- */

static void tell_fds(struct session *s, enum side from, const char *text, const struct fds *fds) {
    struct trace_item item = {.kind = TRACE_CAME, .from = from, .text = text, .fds = fds};

    session_tell(s, &item);
}

void session_tell_went(struct session *s, enum side from, const char *text, size_t n,
                       const struct frame *frame) {
    struct trace_item item = {
        .kind = TRACE_WENT, .from = (int)from, .text = text, .n_text = n, .frame = frame};

    session_tell(s, &item);
}

struct traffic {
    size_t n[2];               /* in each out */
    const char *text;          /* the object that came; mostly it goes on as it is */
    const struct frame *frame; /* NULL: it is none, or not whole */
};

/* what is in an out now and was not before */
static void tell_sent(struct session *s, enum side to, const struct traffic *before) {
    const struct frame *frame = before->frame;
    size_t n_before = before->n[to];

    list_for_each(i, &s->out[to].segments) {
        const struct out_segment *g = list_entry(i, struct out_segment, in_out);
        struct trace_item item = {.kind = TRACE_SENT, .from = to};

        if (n_before < g->n) {
            item.text = g->text + n_before;
            item.n_text = g->n - n_before;
            if (frame && frame->n_bytes == item.n_text &&
                memcmp(item.text, before->text, item.n_text) == 0)
                item.frame = frame;
            item.fds = n_before == 0 && !fds_is_empty(&g->fds) ? &g->fds : NULL;
            session_tell(s, &item);
        }
        n_before -= size_min(n_before, g->n);
    }
}

static struct traffic traffic_now(const struct session *s) {
    return (struct traffic){.n = {s->out[SIDE_CLIENT].n_bytes, s->out[SIDE_SERVER].n_bytes}};
}

static int tell_traffic(struct session *s, const struct traffic *before, int r) {
    if (!s->tells_traffic)
        return r;
    if (s->untold)
        s->trace(s->userdata, steal(s->untold));
    tell_sent(s, SIDE_SERVER, before);
    tell_sent(s, SIDE_CLIENT, before);
    return r;
}

/* Is it all that goes out by now, as it came?  What is borrowed stands where it stood. */
static bool went_on(const struct session *s, const struct trace_item *came,
                    const struct traffic *before) {
    enum side to = side_other((enum side)came->from);
    const struct out *out = &s->out[to];
    const struct out_segment *g;

    if (out->n_bytes != before->n[to] + came->n_text ||
        s->out[came->from].n_bytes != before->n[came->from])
        return false;
    g = list_entry(out->segments.prev, struct out_segment, in_out);
    return g->text + g->n == came->text + came->n_text &&
           (g->n > came->n_text || (g->n == came->n_text && fds_is_empty(&g->fds)));
}

bool session_needs_wall(const struct session *s) {
    return s->program && program_has_events(s->program);
}

void session_tell_passed(struct session *s, bool is_wanted) {
    s->tells_passed = is_wanted && s->trace;
}

void session_tell_traffic(struct session *s, bool is_wanted) {
    s->tells_traffic = is_wanted && s->trace;
}

bool session_is_between(const struct session *s) {
    for (size_t side = 0; side < 2; side++)
        if (s->input[side].tail.n > 0 || s->input[side].is_streaming ||
            s->input[side].reader.is_inside)
            return false;
    return true;
}

int session_tell_active(struct session *s) {
    if (!s->has_told_rules)
        return 0;
    s->has_told_rules = false;
    return session_tell_rules(s);
}

/* --- what comes in, time, the end --- */

static int feed_piece(struct session *s, enum side from, enum frame_scan scan, const char *text,
                      size_t n) {
    int r = input_piece(s, from, scan, text, n);

    return r < 0 || is_quiet(s) ? r : settle(s);
}

/* @came stays until it is told, at the latest by tell_traffic() */
static void tell_later(struct session *s, const struct trace_item *came) {
    s->untold = came;
}

static int feed_and_tell(struct session *s, enum side from, enum frame_scan scan, const char *text,
                         size_t n) {
    const struct frame *frame = frame_reader_frame(&s->input[from].reader);
    struct trace_item item = {.kind = TRACE_CAME, .from = from, .text = text, .n_text = n};
    struct traffic before = traffic_now(s);
    int r;

    if (scan == FRAME_OBJECT && frame->n_bytes == n)
        item.frame = frame;
    before.text = text;
    before.frame = item.frame;
    tell_later(s, &item);
    r = feed_piece(s, from, scan, text, n);
    if (s->untold && (item.frame || scan == FRAME_BLANK) && went_on(s, &item, &before)) {
        item.kind = TRACE_WENT;
        s->trace(s->userdata, steal(s->untold));
        return r;
    }
    return tell_traffic(s, &before, r);
}

/* what has to be looked at next; what comes before it and passes has gone.  Return: 0 or -ENOMEM */
static int next_piece(struct session *s, enum side from, const char *text, size_t n,
                      struct piece *ret) {
    int r;

    if (is_quiet(s))
        return from == SIDE_SERVER ? run_feed(s, text, n, ret) : commands_feed(s, text, n, ret);
    if (from == SIDE_SERVER) {
        r = planned_feed(s, text, n, ret);
        return r < 0 || ret->n > 0 || is_quiet(s) ? r : settle(s);
    }
    ret->text = text;
    ret->scan = frame_scan(&s->input[from].reader, text, n, &ret->n);
    return 0;
}

int session_feed(struct session *s, enum side from, const char *text, size_t n, struct fds *fds,
                 struct session_time time) {
    const char *end = text + n;
    struct piece p;
    int r;

    s->time = time;
    s->stats.n_bytes[from] += n;
    if (s->tells_traffic && fds && !fds_is_empty(fds))
        tell_fds(s, from, text, fds);
    r = rides_add_take(&s->input[from].rides, s->input[from].tail.n, fds);
    for (; r == 0 && text < end; text = p.text + p.n) {
        r = next_piece(s, from, text, (size_t)(end - text), &p);
        if (r == 0 && p.n > 0)
            r = s->tells_traffic ? feed_and_tell(s, from, p.scan, p.text, p.n)
                                 : feed_piece(s, from, p.scan, p.text, p.n);
    }
    return r;
}

/* replies will not come any more: whatever waits goes as it is */
static int end_server(struct session *s) {
    int r;

    for (;;) {
        r = answer_expire(s, UINT64_MAX - 1);
        if (r < 0 || list_is_empty(&s->queue))
            return r;
        r = answer_expire_first(s);
        if (r < 0)
            return r;
    }
}

static int end_input(struct session *s, enum side from) {
    int r = 0;

    if (s->input[from].tail.n > 0 || s->input[from].is_streaming)
        r = input_break(s, from, true, "", 0);
    if (r == 0 && from == SIDE_SERVER)
        r = end_server(s);
    return r < 0 ? r : settle(s);
}

int session_end(struct session *s, enum side from, struct session_time time) {
    struct trace_item item = {.kind = TRACE_ENDED, .from = from};
    struct traffic before = traffic_now(s);

    s->time = time;
    if (s->input[from].has_ended)
        return 0;
    s->input[from].has_ended = true;
    if (s->tells_traffic)
        session_tell(s, &item);
    return tell_traffic(s, &before, end_input(s, from));
}

int session_tick(struct session *s, struct session_time time) {
    struct traffic before = traffic_now(s);
    int r;

    s->time = time;
    r = answer_expire(s, time.now_ms);
    return tell_traffic(s, &before, r < 0 ? r : settle(s));
}

/* --- what is asked of a session -------------------------------------------------------------------------------------- */

uint64_t session_deadline_ms(const struct session *s) {
    uint64_t first = UINT64_MAX;

    list_for_each(i, &s->tasks) {
        const struct task *t = list_entry(i, struct task, in_session);

        first = t->deadline_ms < first ? t->deadline_ms : first;
    }
    return first;
}

struct out *session_out(struct session *s, enum side to) {
    return &s->out[to];
}

bool session_wants(const struct session *s, enum side from) {
    if (s->input[from].has_ended || s->out[side_other(from)].n_bytes > s->limits.max_out_bytes)
        return false;
    if (from == SIDE_CLIENT && (s->n_in_flight > s->limits.max_pending ||
                                queue_is_over(s))) /* refusals that wait for their turn */
        return false;
    return from == SIDE_SERVER ||
           s->n_deferred_bytes + s->input[from].tail.n <= s->limits.max_held_bytes ||
           !session_is_blocked(s);
}

bool session_is_at_ease(const struct session *s) {
    const struct input *client = &s->input[SIDE_CLIENT], *server = &s->input[SIDE_SERVER];

    return out_is_empty(&s->out[SIDE_CLIENT]) && out_is_empty(&s->out[SIDE_SERVER]) &&
           s->n_in_flight <= s->limits.max_pending && s->n_queue == 0 && s->n_deferred_bytes == 0 &&
           client->tail.n == 0 && !client->has_ended && !server->has_ended;
}

bool session_is_finished(const struct session *s, enum side to) {
    if (to == SIDE_CLIENT)
        return s->input[SIDE_SERVER].has_ended && list_is_empty(&s->queue);
    return s->input[SIDE_CLIENT].has_ended && list_is_empty(&s->deferred) && !session_is_blocked(s);
}

const struct session_stats *session_stats(const struct session *s) {
    return &s->stats;
}

const struct selection *session_selection(const struct session *s) {
    return s->engine.selection;
}
