#include "proxy/rerun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/list.h"
#include "base/util.h"
#include "proxy/alignment.h"
#include "proxy/exchanges.h"
#include "proxy/player.h"
#include "proxy/recorder.h"
#include "qmp/message.h"

#define NO_ANSWER                                                                                  \
    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the trace has no answer to this\"}}"

/* a command on its way to the server, and not answered yet */
struct call {
    struct list in_dialogue;
    char *text;
    uint64_t number; /* of the client's command; 0: the shim's own */
};

/* a reply whose command has not been sent yet */
struct reply {
    struct list in_session;
    char *text;
    uint64_t number;
};

struct played;

/* as recorded, or as played */
struct dialogue {
    struct played *session;
    enum alignment_time time;
    struct exchanges exchanges;
    struct list calls;
};

struct way {
    struct played *session;
    struct alignment alignment;
};

struct played {
    struct list in_rerun;
    struct rerun *rerun;
    uint64_t id, start_ms, start_now_ms;
    struct player player;
    struct recorder recorder;
    struct dialogue dialogue[2]; /* by enum alignment_time */
    struct way to[2];            /* by enum side */
    struct list replies;
    int error;
};

struct rerun {
    struct program *program;
    uint64_t session; /* 0: all */
    struct list sessions;
    struct rerun_counts counts;
    rerun_fn tell;
    void *userdata;
};

/* --- lists ------------------------------------------------------------------------------------------------ */

static void call_free(struct call *c) {
    list_remove(&c->in_dialogue);
    free(c->text);
    free(c);
}

static void reply_free(struct reply *r) {
    list_remove(&r->in_session);
    free(r->text);
    free(r);
}

static int sent_add(struct dialogue *d, const struct exchanged *x) {
    struct played *s = d->session;
    uint64_t start_ms = d->time == ALIGNMENT_THEN ? s->start_ms : s->start_now_ms;

    return alignment_add(&s->to[x->to].alignment, d->time, x->to_text, x->sent_ms - start_ms);
}

static int call_add(struct dialogue *d, const struct exchanged *x) {
    struct call *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->text = strdup(x->to_text);
    c->number = x->from == SIDE_CLIENT ? x->number : 0;
    list_append(&d->calls, &c->in_dialogue);
    return c->text ? 0 : -ENOMEM;
}

/* of a message that was sent */
static void tell(void *userdata, const struct exchanged *x) {
    struct dialogue *d = userdata;
    int r = 0;

    if (x->to < 0 || !x->to_text)
        return;
    r = sent_add(d, x);
    if (r == 0 && x->to == SIDE_SERVER)
        r = call_add(d, x);
    if (r < 0)
        d->session->error = r;
}

static void differs(void *userdata, const char *then, const char *now, uint64_t ms) {
    struct way *way = userdata;
    struct played *s = way->session;
    struct rerun_difference d = {
        .session = s->id, .ms = ms, .side = (int)(way - s->to), .then = then, .now = now};

    s->rerun->counts.n_differences++;
    s->rerun->tell(s->rerun->userdata, &d);
}

static void compare(struct played *s, bool is_end) {
    for (int side = SIDE_SERVER; side >= SIDE_CLIENT; side--)
        if (alignment_settle(&s->to[side].alignment, is_end) < 0)
            s->error = -ENOMEM;
}

/* --- replies ---------------------------------------------------------------------------------------------------- */

/* Return: which recorded command the reply @text is for; NULL: not known */
static struct call *call_of(const struct dialogue *d, const char *text) {
    _cleanup_(freep) char *id = exchange_id(text, SIDE_SERVER);

    list_for_each(i, &d->calls) {
        struct call *c = list_entry(i, struct call, in_dialogue);
        _cleanup_(freep) char *call_id = exchange_id(c->text, SIDE_CLIENT);

        if (!id || !call_id)
            d->session->error = -ENOMEM;
        else if (!*id || strcmp(id, call_id) == 0)
            return c;
    }
    return NULL;
}

static struct call *call_like(const struct dialogue *d, uint64_t number, const char *text) {
    bool is_starved = false;

    list_for_each(i, &d->calls) {
        struct call *c = list_entry(i, struct call, in_dialogue);

        if (c->number == number && (number > 0 || exchange_is_same(c->text, text, &is_starved)))
            return c;
    }
    if (is_starved)
        d->session->error = -ENOMEM;
    return NULL;
}

static int send_bytes(struct played *s, enum side from, const char *text, size_t n, size_t n_fds);

/* the server answers @c, which is gone then */
static int answer(struct played *s, struct call *c, const char *text) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    _cleanup_(freep) char *id = exchange_id(c->text, SIDE_CLIENT);
    int r;

    if (!id)
        return -ENOMEM;
    call_free(c);
    r = message_put_id(&b, FRAME_SERVER, text, strlen(text), *id ? id : NULL, strlen(id));
    buffer_append_string(&b, "\r\n");
    return r < 0 || b.failed ? -ENOMEM : send_bytes(s, SIDE_SERVER, b.data, b.n, 0);
}

static int defer(struct played *s, const char *text, uint64_t number) {
    struct reply *reply = calloc(1, sizeof(*reply));

    if (!reply)
        return -ENOMEM;
    reply->text = strdup(text);
    reply->number = number;
    list_append(&s->replies, &reply->in_session);
    return reply->text ? 0 : -ENOMEM;
}

/* replies to what was sent only now.  Return: 0 or negative */
static int answer_late(struct played *s) {
    list_for_each_safe(i, &s->replies) {
        struct reply *reply = list_entry(i, struct reply, in_session);
        struct call *c = call_like(&s->dialogue[ALIGNMENT_NOW], reply->number, "");
        int r;

        if (!c)
            continue;
        r = answer(s, c, reply->text);
        reply_free(reply);
        return r < 0 ? r : answer_late(s);
    }
    return 0;
}

/* what the shim asks now and did not ask then.  Return: 0 or negative */
static int answer_new(struct played *s) {
    list_for_each_safe(i, &s->dialogue[ALIGNMENT_NOW].calls) {
        struct call *c = list_entry(i, struct call, in_dialogue);
        int r;

        if (c->number > 0 || call_like(&s->dialogue[ALIGNMENT_THEN], 0, c->text))
            continue;
        r = answer(s, c, NO_ANSWER);
        return r < 0 ? r : answer_new(s);
    }
    return 0;
}

static int play_reply(struct played *s, const char *text) {
    struct call *then = call_of(&s->dialogue[ALIGNMENT_THEN], text), *now;
    uint64_t number;

    if (!then)
        return send_bytes(s, SIDE_SERVER, text, strlen(text), 0);
    now = call_like(&s->dialogue[ALIGNMENT_NOW], then->number, then->text);
    number = then->number;
    call_free(then);
    if (now)
        return answer(s, now, text);
    return number > 0 ? defer(s, text, number) : 0;
}

/* --- playing ------------------------------------------------------------------------------------------------------ */

static void hear_trace(void *userdata, const struct trace_item *item) {
    struct played *s = userdata;

    recorder_tell(&s->recorder, item, s->player.time);
}

static void hear_record(void *userdata, const struct record *record) {
    struct played *s = userdata;
    struct exchanges *e = &s->dialogue[ALIGNMENT_NOW].exchanges;
    struct record came = *record, sent;
    bool has_sent = record_split(&came, &sent);
    int r = s->recorder.has_failed ? -ENOMEM : exchanges_add(e, &came);

    if (r == 0 && has_sent)
        r = exchanges_add(e, &sent);
    if (r < 0)
        s->error = r;
}

static int send_bytes(struct played *s, enum side from, const char *text, size_t n, size_t n_fds) {
    int r;

    r = n > 0 || n_fds > 0 ? player_send(&s->player, from, text, n, n_fds, NULL) : 0;
    for (int side = 0; side < 2; side++)
        player_take(&s->player, (enum side)side, s->player.inbox[side].text.n);
    return r < 0 ? r : s->error;
}

size_t rerun_count_fds(const char *kinds) {
    size_t n = kinds ? 1 : 0;

    for (; kinds && *kinds; kinds++)
        n += *kinds == ' ';
    return n;
}

static int pass_time(struct played *s, const struct record *r) {
    uint64_t since_ms = r->ms > s->start_ms ? r->ms - s->start_ms : 0;
    uint64_t now_ms = s->start_now_ms + since_ms;
    int x = 0;

    if (now_ms > s->player.time.now_ms)
        x = player_wait(&s->player, now_ms - s->player.time.now_ms);
    s->player.time.wall_us = r->us;
    return error_fold(x);
}

static int play_what_came(struct played *s, const struct record *r) {
    _cleanup_(freep) char *text = exchange_trimmed(r->text, r->n_text);
    enum frame_kind kind;

    if (!text)
        return -ENOMEM;
    kind = exchange_label(text, r->side).kind;

    if (r->is_blanked && r->n_text == 0)
        s->rerun->counts.n_blanked++;
    if (r->side == SIDE_SERVER && !r->is_part && (kind == FRAME_RETURN || kind == FRAME_ERROR))
        return play_reply(s, text);
    return send_bytes(s, (enum side)r->side, r->text, r->n_text, rerun_count_fds(r->fds));
}

/* all that was recorded of what came before has been read: the two dialogues are even */
static int make_even(struct played *s) {
    int r;

    r = answer_new(s);
    if (r == 0)
        r = answer_late(s);
    compare(s, false);
    return r;
}

static int play_record(struct played *s, const struct record *r) {
    int x = 0;

    if (r->kind == RECORD_CAME || r->kind == RECORD_OF(TRACE_ENDED)) {
        x = make_even(s);
        if (x == 0)
            x = pass_time(s, r);
    }
    if (x == 0)
        x = exchanges_add(&s->dialogue[ALIGNMENT_THEN].exchanges, r);
    if (x == 0 && r->kind == RECORD_CAME)
        x = play_what_came(s, r);
    if (x == 0 && r->kind == RECORD_OF(TRACE_ENDED))
        x = player_close(&s->player, (enum side)r->side);
    return x < 0 ? x : s->error;
}

/* --- sessions ------------------------------------------------------------------------------------------------------- */

static void dialogue_init(struct played *s, enum alignment_time time) {
    struct dialogue *d = &s->dialogue[time];

    d->session = s;
    d->time = time;
    list_init(&d->calls);
    exchanges_init(&d->exchanges, tell, d);
}

static void dialogue_deinit(struct dialogue *d) {
    exchanges_deinit(&d->exchanges); /* tells what is open, before the calls go */
    while (!list_is_empty(&d->calls))
        call_free(list_entry(d->calls.next, struct call, in_dialogue));
}

static void played_free(struct played *s) {
    player_deinit(&s->player);
    for (size_t i = 0; i < 2; i++)
        dialogue_deinit(&s->dialogue[i]);
    for (size_t i = 0; i < 2; i++)
        alignment_deinit(&s->to[i].alignment);
    recorder_deinit(&s->recorder);
    while (!list_is_empty(&s->replies))
        reply_free(list_entry(s->replies.next, struct reply, in_session));
    list_remove(&s->in_rerun);
    free(s);
}

static int begin_session(struct rerun *rerun, const struct record *r) {
    struct played *s = calloc(1, sizeof(*s));
    struct limits limits = LIMITS_DEFAULT;
    int x;

    if (!s)
        return -ENOMEM;
    s->rerun = rerun;
    s->id = r->session;
    s->start_ms = r->ms;
    list_init(&s->replies);
    list_append(&rerun->sessions, &s->in_rerun);
    for (size_t i = 0; i < 2; i++) {
        s->to[i].session = s;
        alignment_init(&s->to[i].alignment, differs, &s->to[i]);
        dialogue_init(s, (enum alignment_time)i);
    }
    recorder_init(&s->recorder, s->id, NULL, hear_record, s);
    rerun->counts.n_played++;
    x = player_init(&s->player, rerun->program, &limits, false, hear_trace, s);
    if (x < 0)
        return x;
    s->start_now_ms = s->player.time.now_ms;
    session_tell_traffic(s->player.session, true);
    return 0;
}

static int end_session(struct played *s) {
    int r = make_even(s);

    recorder_note(&s->recorder, RECORD_CLOSED, NULL, s->player.time);
    compare(s, true);
    if (r == 0)
        r = s->recorder.has_failed ? -ENOMEM : s->error;
    played_free(s);
    return r;
}

static struct played *played_find(struct rerun *rerun, uint64_t id) {
    list_for_each(i, &rerun->sessions) {
        struct played *s = list_entry(i, struct played, in_rerun);

        if (s->id == id)
            return s;
    }
    return NULL;
}

/* --- the whole trace -------------------------------------------------------------------------------------------- */

int rerun_new(struct program *program, uint64_t session, rerun_fn fn, void *userdata,
              struct rerun **ret) {
    struct rerun *rerun = calloc(1, sizeof(*rerun));

    if (!rerun)
        return -ENOMEM;
    rerun->program = program_ref(program);
    rerun->session = session;
    rerun->tell = fn;
    rerun->userdata = userdata;
    list_init(&rerun->sessions);
    *ret = rerun;
    return 0;
}

struct rerun *rerun_free(struct rerun *rerun) {
    if (!rerun)
        return NULL;
    while (!list_is_empty(&rerun->sessions))
        played_free(list_entry(rerun->sessions.next, struct played, in_rerun));
    program_unref(rerun->program);
    free(rerun);
    return NULL;
}

int rerun_add(struct rerun *rerun, const struct record *r) {
    struct played *s = played_find(rerun, r->session);

    if (r->session == 0 || (rerun->session && rerun->session != r->session))
        return 0;
    if (r->kind == RECORD_OPENED)
        return begin_session(rerun, r);
    if (!s) { /* it began in an older file */
        rerun->counts.n_skipped += r->kind == RECORD_CLOSED;
        return 0;
    }
    return r->kind == RECORD_CLOSED ? end_session(s) : play_record(s, r);
}

int rerun_finish(struct rerun *rerun) {
    while (!list_is_empty(&rerun->sessions)) {
        int r = end_session(list_entry(rerun->sessions.next, struct played, in_rerun));

        if (r < 0)
            return r;
    }
    return 0;
}

struct rerun_counts rerun_counts(const struct rerun *rerun) {
    return rerun->counts;
}
