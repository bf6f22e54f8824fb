/*
 * qmp-shim replay: what a recorded dialogue would have been with other rules.
 *
 * What came is played again, each byte at its time on a clock of its own.  A
 * reply of the server goes to the command that it was for, whatever that is
 * called now; to what the shim asks only now there is no reply, and it gets
 * an error.  What is sent now is compared with what was sent then.
 */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/list.h"
#include "base/util.h"
#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/rules.h"
#include "cmd/tracereader.h"
#include "json/reader.h"
#include "proxy/compare.h"
#include "proxy/exchanges.h"
#include "proxy/player.h"
#include "proxy/recorder.h"
#include "qmp/message.h"
#include "rule/version.h"

enum replay_option {
    REPLAY_RULES = 256,
    REPLAY_CLIENT,
    REPLAY_CLIENT_VERSION,
    REPLAY_SESSION,
    REPLAY_TO_CASE
};

enum {
    REPLAY_MAX_APART = 64
}; /* messages that two dialogues may be apart before they are called different */

#define REPLAY_NO_ANSWER                                                                           \
    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the trace has no answer to this\"}}"

enum { THEN, NOW }; /* as recorded, as played */

/* something that was sent */
struct replay_message {
    struct list in_dialogue;
    char *text;
    uint64_t ms; /* since the session began */
};

/* a command on its way to the server, and not answered yet */
struct replay_call {
    struct list in_dialogue;
    char *text;
    uint64_t number; /* of the client's command; 0: the shim's own */
};

/* a reply whose command has not been sent yet */
struct replay_reply {
    struct list in_session;
    char *text;
    uint64_t number;
};

struct replay_session;

struct replay_dialogue {
    struct replay_session *session;
    struct exchanges exchanges;
    struct list sent[2]; /* by enum side; not compared yet */
    size_t n_sent[2];
    struct list calls;
};

struct replay_session {
    struct list in_replay;
    struct replay *replay;
    uint64_t id, start_ms, start_now_ms;
    struct player player;
    struct recorder recorder;
    struct replay_dialogue dialogue[2]; /* THEN, NOW */
    struct list replies;
    bool has_ended;
    int error;
};

struct replay {
    struct program_options options;
    struct rules_choice rules;
    struct program *program;
    uint64_t session; /* 0: all */
    bool is_to_case, has_case;
    size_t n_case_numbers;
    struct list sessions;
    size_t n_played, n_skipped, n_differences;
    size_t n_blanked; /* messages that cannot be played: their text was not recorded */
};

static const struct command_option replay_options[] = {
    {REPLAY_RULES, "rules", "FILE|NAME",
     "a rule file, or an installed one by its name; may be\ngiven several times.  Default: all installed ones if\n--client-version is given, else none"},
    {REPLAY_CLIENT, "client", "old|new",
     "which side of the rules the client is on\n(default: old)"},
    {REPLAY_CLIENT_VERSION, "client-version", "X",
     "the QEMU version that the client was written for"},
    {REPLAY_SESSION, "session", "N", "only that session"},
    {REPLAY_TO_CASE, "to-case", NULL,
     "play nothing; print a case file for \"qmp-shim test\" of\nthe session (default: the first one)"},
    {.name = NULL},
};

/* --- lists ------------------------------------------------------------------------------------------------ */

static void replay_message_free(struct replay_dialogue *d, int side, struct replay_message *m) {
    list_remove(&m->in_dialogue);
    d->n_sent[side]--;
    free(m->text);
    free(m);
}

static void replay_call_free(struct replay_call *c) {
    list_remove(&c->in_dialogue);
    free(c->text);
    free(c);
}

static void replay_reply_free(struct replay_reply *r) {
    list_remove(&r->in_session);
    free(r->text);
    free(r);
}

static int replay_sent_add(struct replay_dialogue *d, const struct exchanged *x) {
    struct replay_message *m = calloc(1, sizeof(*m));
    uint64_t start_ms =
        d == &d->session->dialogue[THEN] ? d->session->start_ms : d->session->start_now_ms;

    if (!m)
        return -ENOMEM;
    m->text = strdup(x->to_text);
    m->ms = x->sent_ms - start_ms;
    list_append(&d->sent[x->to], &m->in_dialogue);
    d->n_sent[x->to]++;
    return m->text ? 0 : -ENOMEM;
}

static int replay_call_add(struct replay_dialogue *d, const struct exchanged *x) {
    struct replay_call *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->text = strdup(x->to_text);
    c->number = x->from == SIDE_CLIENT ? x->number : 0;
    list_append(&d->calls, &c->in_dialogue);
    return c->text ? 0 : -ENOMEM;
}

/* of a message that was sent */
static void replay_tell(void *userdata, const struct exchanged *x) {
    struct replay_dialogue *d = userdata;
    int r = 0;

    if (x->to < 0 || !x->to_text)
        return;
    r = replay_sent_add(d, x);
    if (r == 0 && x->to == SIDE_SERVER)
        r = replay_call_add(d, x);
    if (r < 0)
        d->session->error = r;
}

/* --- comparing --------------------------------------------------------------------------------------------- */

static bool replay_is_same(const char *a, const char *b) {
    static const char *const ignored[] = {"id", "timestamp",
                                          NULL}; /* an event of the shim's own has its own time */
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *va, *vb;
    struct compare c;
    bool is_same;

    if (exchange_is_same(a, b))
        return true;
    if (exchange_label(a, SIDE_SERVER).kind != FRAME_EVENT)
        return false;
    if (json_read(&arena, a, strlen(a), false, &va, NULL) ||
        json_read(&arena, b, strlen(b), false, &vb, NULL))
        return false;
    compare_init(&c);
    is_same = va->type == JSON_OBJECT && vb->type == JSON_OBJECT &&
              compare_members(&c, va, vb, ignored) == 0;
    compare_deinit(&c);
    return is_same;
}

static void replay_print(const char *sign, const char *text) {
    printf("  %s ", sign);
    for (; *text; text++)
        putchar(*text >= ' ' && *text <= '~' ? *text : '?');
    putchar('\n');
}

static struct replay_message *replay_first(const struct replay_dialogue *d, int side) {
    return list_is_empty(&d->sent[side])
               ? NULL
               : list_entry(d->sent[side].next, struct replay_message, in_dialogue);
}

/* @then or @now may be NULL */
static void replay_differs(struct replay_session *s, int side, const struct replay_message *then,
                           const struct replay_message *now) {
    s->replay->n_differences++;
    printf("session %llu, %.3f s, to the %s:\n", (unsigned long long)s->id,
           (double)(then ? then : now)->ms / 1000, side == SIDE_CLIENT ? "client" : "server");
    if (then)
        replay_print("-", then->text);
    if (now)
        replay_print("+", now->text);
}

/* Return: how many messages of @d come before one like @m; the number of all when there is none */
static size_t replay_find(const struct replay_dialogue *d, int side,
                          const struct replay_message *m) {
    size_t n = 0;

    list_for_each(i, &d->sent[side]) {
        if (replay_is_same(list_entry(i, struct replay_message, in_dialogue)->text, m->text))
            return n;
        n++;
    }
    return n;
}

/* Return: was something settled? */
static bool replay_compare_one(struct replay_session *s, int side, bool is_end) {
    struct replay_dialogue *then = &s->dialogue[THEN], *now = &s->dialogue[NOW];
    struct replay_message *a = replay_first(then, side), *b = replay_first(now, side);
    size_t n_then, n_now;
    bool is_known;

    if (a && b && replay_is_same(a->text, b->text)) {
        replay_message_free(then, side, a);
        replay_message_free(now, side, b);
        return true;
    }
    is_known =
        is_end || then->n_sent[side] >= REPLAY_MAX_APART || now->n_sent[side] >= REPLAY_MAX_APART;
    if (!is_known || (!a && !b))
        return false;
    n_then = b ? replay_find(then, side, b) : 0; /* only then: these */
    n_now = a ? replay_find(now, side, a) : 0;
    if (n_then == then->n_sent[side] && n_now == now->n_sent[side] && a && b) {
        replay_differs(s, side, a, b);
        replay_message_free(then, side, a);
        replay_message_free(now, side, b);
    } else if (a && (!b || (n_then < then->n_sent[side] &&
                            (n_now == now->n_sent[side] || n_then <= n_now)))) {
        replay_differs(s, side, a, NULL);
        replay_message_free(then, side, a);
    } else {
        replay_differs(s, side, NULL, b);
        replay_message_free(now, side, b);
    }
    return true;
}

static void replay_compare(struct replay_session *s, bool is_end) {
    for (int side = SIDE_SERVER; side >= SIDE_CLIENT; side--)
        while (replay_compare_one(s, side, is_end))
            continue;
}

/* --- replies ---------------------------------------------------------------------------------------------------- */

static char *replay_id(const char *text, enum frame_source source) {
    struct frame_reader reader;
    size_t n;

    frame_reader_init(&reader, source);
    if (!*text || frame_scan(&reader, text, strlen(text), &n) != FRAME_OBJECT)
        return strdup("");
    return strndup(text + frame_reader_frame(&reader)->id.at, frame_reader_frame(&reader)->id.n);
}

/* Return: which recorded command the reply @text is for; NULL: not known */
static struct replay_call *replay_call_of(const struct replay_dialogue *d, const char *text) {
    _cleanup_(freep) char *id = replay_id(text, FRAME_SERVER);

    list_for_each(i, &d->calls) {
        struct replay_call *c = list_entry(i, struct replay_call, in_dialogue);
        _cleanup_(freep) char *call_id = replay_id(c->text, FRAME_CLIENT);

        if (id && call_id && (!*id || strcmp(id, call_id) == 0))
            return c;
    }
    return NULL;
}

static struct replay_call *replay_call_like(const struct replay_dialogue *d, uint64_t number,
                                            const char *text) {
    list_for_each(i, &d->calls) {
        struct replay_call *c = list_entry(i, struct replay_call, in_dialogue);

        if (c->number == number && (number > 0 || exchange_is_same(c->text, text)))
            return c;
    }
    return NULL;
}

static int replay_send(struct replay_session *s, enum side from, const char *text, size_t n,
                       size_t n_fds);

/* the server answers @c, which is gone then */
static int replay_answer(struct replay_session *s, struct replay_call *c, const char *text) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    _cleanup_(freep) char *id = replay_id(c->text, FRAME_CLIENT);
    int r;

    if (!id)
        return -ENOMEM;
    replay_call_free(c);
    r = message_put_id(&b, FRAME_SERVER, text, strlen(text), *id ? id : NULL, strlen(id));
    buffer_append_string(&b, "\r\n");
    return r < 0 || b.failed ? -ENOMEM : replay_send(s, SIDE_SERVER, b.data, b.n, 0);
}

static int replay_defer(struct replay_session *s, const char *text, uint64_t number) {
    struct replay_reply *reply = calloc(1, sizeof(*reply));

    if (!reply)
        return -ENOMEM;
    reply->text = strdup(text);
    reply->number = number;
    list_append(&s->replies, &reply->in_session);
    return reply->text ? 0 : -ENOMEM;
}

/* replies to what was sent only now.  Return: 0 or negative */
static int replay_answer_late(struct replay_session *s) {
    list_for_each_safe(i, &s->replies) {
        struct replay_reply *reply = list_entry(i, struct replay_reply, in_session);
        struct replay_call *c = replay_call_like(&s->dialogue[NOW], reply->number, "");
        int r;

        if (!c)
            continue;
        r = replay_answer(s, c, reply->text);
        replay_reply_free(reply);
        return r < 0 ? r : replay_answer_late(s);
    }
    return 0;
}

/* what the shim asks now and did not ask then.  Return: 0 or negative */
static int replay_answer_new(struct replay_session *s) {
    list_for_each_safe(i, &s->dialogue[NOW].calls) {
        struct replay_call *c = list_entry(i, struct replay_call, in_dialogue);
        int r;

        if (c->number > 0 || replay_call_like(&s->dialogue[THEN], 0, c->text))
            continue;
        r = replay_answer(s, c, REPLAY_NO_ANSWER);
        return r < 0 ? r : replay_answer_new(s);
    }
    return 0;
}

static int replay_reply(struct replay_session *s, const char *text) {
    struct replay_call *then = replay_call_of(&s->dialogue[THEN], text), *now;
    uint64_t number;

    if (!then)
        return replay_send(s, SIDE_SERVER, text, strlen(text), 0);
    now = replay_call_like(&s->dialogue[NOW], then->number, then->text);
    number = then->number;
    replay_call_free(then);
    if (now)
        return replay_answer(s, now, text);
    return number > 0 ? replay_defer(s, text, number) : 0;
}

/* --- playing ------------------------------------------------------------------------------------------------------ */

static void replay_trace(void *userdata, const struct trace_item *item) {
    struct replay_session *s = userdata;

    recorder_tell(&s->recorder, item, s->player.time);
}

static void replay_record(void *userdata, const struct record *record) {
    struct replay_session *s = userdata;
    int r = exchanges_add(&s->dialogue[NOW].exchanges, record);

    if (r < 0)
        s->error = r;
}

static int replay_send(struct replay_session *s, enum side from, const char *text, size_t n,
                       size_t n_fds) {
    int r;

    r = n > 0 || n_fds > 0 ? player_send(&s->player, from, text, n, n_fds) : 0;
    for (int side = 0; side < 2; side++)
        player_take(&s->player, (enum side)side, s->player.inbox[side].text.n);
    return r < 0 ? r : s->error;
}

static size_t replay_count_fds(const char *kinds) {
    size_t n = kinds ? 1 : 0;

    for (; kinds && *kinds; kinds++)
        n += *kinds == ' ';
    return n;
}

static int replay_pass_time(struct replay_session *s, const struct record *r) {
    uint64_t now_ms = s->start_now_ms + (r->ms - s->start_ms);
    int x = 0;

    if (now_ms > s->player.time.now_ms)
        x = player_wait(&s->player, now_ms - s->player.time.now_ms);
    s->player.time.wall_us = r->us;
    return error_fold(x);
}

static int replay_came(struct replay_session *s, const struct record *r) {
    size_t n_blanks = strspn(r->text, " \t\r\n");
    enum frame_kind kind = exchange_label(r->text + n_blanks, r->side).kind;

    if (r->is_blanked && r->n_text == 0)
        s->replay->n_blanked++;
    if (r->side == SIDE_SERVER && !r->is_part && (kind == FRAME_RETURN || kind == FRAME_ERROR))
        return replay_reply(s, r->text + n_blanks);
    return replay_send(s, (enum side)r->side, r->text, r->n_text, replay_count_fds(r->fds));
}

/* all that was recorded of what came before has been read: the two dialogues are even */
static int replay_make_even(struct replay_session *s) {
    int r;

    r = replay_answer_new(s);
    if (r == 0)
        r = replay_answer_late(s);
    replay_compare(s, false);
    return r;
}

static int replay_step(struct replay_session *s, const struct record *r) {
    int x = 0;

    if (r->kind == RECORD_CAME || r->kind == RECORD_OF(TRACE_ENDED)) {
        x = replay_make_even(s);
        if (x == 0)
            x = replay_pass_time(s, r);
    }
    if (x == 0)
        x = exchanges_add(&s->dialogue[THEN].exchanges, r);
    if (x == 0 && r->kind == RECORD_CAME)
        x = replay_came(s, r);
    if (x == 0 && r->kind == RECORD_OF(TRACE_ENDED))
        x = player_close(&s->player, (enum side)r->side);
    return x < 0 ? x : s->error;
}

/* --- sessions ------------------------------------------------------------------------------------------------------- */

static void replay_dialogue_init(struct replay_dialogue *d, struct replay_session *s) {
    d->session = s;
    list_init(&d->sent[SIDE_CLIENT]);
    list_init(&d->sent[SIDE_SERVER]);
    list_init(&d->calls);
    exchanges_init(&d->exchanges, replay_tell, d);
}

static void replay_dialogue_deinit(struct replay_dialogue *d) {
    for (int side = 0; side < 2; side++)
        while (replay_first(d, side))
            replay_message_free(d, side, replay_first(d, side));
    while (!list_is_empty(&d->calls))
        replay_call_free(list_entry(d->calls.next, struct replay_call, in_dialogue));
}

static void replay_session_free(struct replay_session *s) {
    player_deinit(&s->player);
    for (size_t i = 0; i < 2; i++) {
        exchanges_deinit(&s->dialogue[i].exchanges);
        replay_dialogue_deinit(&s->dialogue[i]);
    }
    recorder_deinit(&s->recorder);
    while (!list_is_empty(&s->replies))
        replay_reply_free(list_entry(s->replies.next, struct replay_reply, in_session));
    list_remove(&s->in_replay);
    free(s);
}

static int replay_begin(struct replay *replay, const struct record *r) {
    struct replay_session *s = calloc(1, sizeof(*s));
    struct limits limits = LIMITS_DEFAULT;
    int x;

    if (!s)
        return -ENOMEM;
    s->replay = replay;
    s->id = r->session;
    s->start_ms = r->ms;
    list_init(&s->replies);
    list_append(&replay->sessions, &s->in_replay);
    for (size_t i = 0; i < 2; i++)
        replay_dialogue_init(&s->dialogue[i], s);
    recorder_init(&s->recorder, s->id, NULL, replay_record, s);
    replay->n_played++;
    x = player_init(&s->player, replay->program, &limits, false, replay_trace, s);
    if (x < 0)
        return x;
    s->start_now_ms = s->player.time.now_ms;
    session_tell_traffic(s->player.session);
    return 0;
}

static int replay_end(struct replay_session *s) {
    int r = replay_make_even(s);

    recorder_note(&s->recorder, RECORD_CLOSED, NULL, s->player.time);
    replay_compare(s, true);
    replay_session_free(s);
    return r;
}

static struct replay_session *replay_session_find(struct replay *replay, uint64_t id) {
    list_for_each(i, &replay->sessions) {
        struct replay_session *s = list_entry(i, struct replay_session, in_replay);

        if (s->id == id)
            return s;
    }
    return NULL;
}

static int replay_record_of(struct replay *replay, const struct record *r) {
    struct replay_session *s = replay_session_find(replay, r->session);

    if (r->session == 0 || (replay->session && replay->session != r->session))
        return 0;
    if (r->kind == RECORD_OPENED)
        return replay_begin(replay, r);
    if (!s) { /* it began in an older file */
        replay->n_skipped += r->kind == RECORD_CLOSED;
        return 0;
    }
    return r->kind == RECORD_CLOSED ? replay_end(s) : replay_step(s, r);
}

/* --- to a case file ---------------------------------------------------------------------------------------------------- */

/* a case file has a message on one line */
static void replay_print_line(const char *text) {
    for (; *text; text++)
        putchar(*text == '\n' || *text == '\r' || *text == '\t' ? ' ' : *text);
}

static void replay_print_raw(const char *text, size_t n) {
    fputs("raw \"", stdout);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c > '~')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static bool replay_is_json(const char *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *v;

    return json_read(&arena, text, strlen(text), false, &v, NULL) == 0;
}

static void replay_print_fds(const char *kinds) {
    size_t n = replay_count_fds(kinds);

    if (n > 0)
        printf(" with %zu fd%s", n, n > 1 ? "s" : "");
    putchar('\n');
}

/* the shim's own event has the time at which it is played */
static void replay_print_event(struct replay *replay, const char *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *root;
    const struct json *timestamp = NULL;

    if (json_read(&arena, text, strlen(text), false, &root, NULL) == 0)
        timestamp = json_member(root, "timestamp");
    if (!timestamp || replay->n_case_numbers + 1 >= COMPARE_MAX_NUMBERS) {
        replay_print_line(text);
        return;
    }
    printf("%.*s\"$%zu\"%s", (int)(timestamp->text - text), text, ++replay->n_case_numbers,
           timestamp->text + timestamp->n_text);
}

/* what was sent is what must come */
static void replay_case_tell(void *userdata, const struct exchanged *x) {
    struct replay_session *s = userdata;

    if (x->to < 0 || !x->to_text || s->has_ended)
        return;
    printf("%s ", x->to == SIDE_CLIENT ? "client<" : "qemu<");
    if (x->kind == EXCHANGE_EMITTED)
        replay_print_event(s->replay, x->to_text);
    else
        replay_print_line(x->to_text);
    replay_print_fds(x->fds);
}

static void replay_case_head(const struct replay *replay, const struct record *r) {
    printf("# session %llu of a trace\n", (unsigned long long)r->session);
    if (replay->rules.n_names > 0)
        fputs("rules:", stdout);
    for (size_t i = 0; i < replay->rules.n_names; i++) {
        const char *name = replay->rules.names[i];
        _cleanup_(freep) char *path =
            strchr(name, '/') || strstr(name, ".jsonc") ? realpath(name, NULL) : NULL;

        printf(" %s", path ? path : name);
    }
    printf("%sclient: %s\n", replay->rules.n_names > 0 ? "\n" : "",
           replay->options.client == DIALECT_NEW ? "new" : "old");
    if (replay->options.client_version)
        printf("client-version: %s\n", replay->options.client_version);
    puts("handshake: none\n");
}

static void replay_case_came(struct replay_session *s, const struct record *r) {
    size_t n_blanks = strspn(r->text, " \t\r\n");

    if (n_blanks == r->n_text && !r->fds)
        return;
    if (r->ms > s->start_ms)
        printf("after %llums\n", (unsigned long long)(r->ms - s->start_ms));
    s->start_ms = r->ms;
    printf("%s ", r->side == SIDE_CLIENT ? "client>" : "qemu>");
    if (replay_is_json(r->text))
        replay_print_line(r->text + n_blanks);
    else
        replay_print_raw(r->text, r->n_text);
    replay_print_fds(r->fds);
}

/* the end of the connection is left out */
static int replay_case_record(struct replay *replay, const struct record *r) {
    struct replay_session *s = replay_session_find(replay, r->session);
    int x;

    if (r->kind == RECORD_OPENED && !replay->has_case &&
        (!replay->session || replay->session == r->session)) {
        replay->has_case = true;
        replay_case_head(replay, r);
        x = replay_begin(replay, r);
        if (x == 0)
            s = replay_session_find(replay, r->session);
        if (s)
            exchanges_init(&s->dialogue[THEN].exchanges, replay_case_tell, s);
        return x;
    }
    if (!s || s->has_ended)
        return 0;
    if (r->kind == RECORD_OF(TRACE_ENDED) || r->kind == RECORD_CLOSED) {
        s->has_ended = true;
        return 0;
    }
    if (r->kind == RECORD_CAME)
        replay_case_came(s, r);
    return exchanges_add(&s->dialogue[THEN].exchanges, r);
}

/* --- the command ------------------------------------------------------------------------------------------------------- */

static int replay_read(struct replay *replay, const char *path) {
    struct tracereader reader = TRACEREADER_INIT;
    struct record record;
    int r;

    r = tracereader_open(&reader, path);
    while (r == 0) {
        r = tracereader_next(&reader, &record);
        if (r == 0)
            r = replay->is_to_case ? replay_case_record(replay, &record)
                                   : replay_record_of(replay, &record);
    }
    tracereader_close(&reader);
    while (r == TRACEREADER_E_END && !replay->is_to_case &&
           !list_is_empty(&replay->sessions)) { /* still being recorded */
        int x = replay_end(list_entry(replay->sessions.next, struct replay_session, in_replay));

        r = x < 0 ? x : r;
    }
    while (!list_is_empty(&replay->sessions))
        replay_session_free(list_entry(replay->sessions.next, struct replay_session, in_replay));
    return r == TRACEREADER_E_END ? 0 : r;
}

/* Return: the exit status */
static int replay_sum_up(const struct replay *replay) {
    if (replay->is_to_case && replay->has_case)
        return 0;
    if (replay->n_skipped > 0)
        printf("%zu sessions began before this file does: not played\n", replay->n_skipped);
    if (replay->n_blanked > 0)
        printf("%zu messages were recorded without their text: not played\n", replay->n_blanked);
    if (replay->is_to_case || replay->n_played == 0) {
        fputs("qmp-shim replay: there is no such session in the trace\n", stderr);
        return COMMAND_FAILED;
    }
    printf("%zu session%s played, %zu difference%s\n", replay->n_played,
           replay->n_played == 1 ? "" : "s", replay->n_differences,
           replay->n_differences == 1 ? "" : "s");
    return replay->n_differences > 0 ? COMMAND_FAILED : 0;
}

static int replay_file(struct replay *replay, const char *path) {
    size_t n_files;
    int r;

    list_init(&replay->sessions);
    replay->rules.is_all = replay->rules.n_names == 0 && replay->options.client_version;
    replay->options.no_deny = replay->rules.is_all; /* as run has it */
    r = rules_load(&replay->rules, &replay->options, &replay->program, &n_files);
    if (r == 0)
        r = replay_read(replay, path);
    program_unref(replay->program);
    if (r < 0)
        fprintf(stderr, "qmp-shim replay: %s\n", strerror(-r));
    return r ? COMMAND_FAILED : replay_sum_up(replay);
}

static int replay_wrong(const char *option, const char *value, const char *wanted) {
    fprintf(stderr, "qmp-shim replay: --%s cannot be \"%s\"; it is %s\n", option, value, wanted);
    return COMMAND_USAGE;
}

/* Return: 0 or an exit status */
static int replay_set(struct replay *replay, int option, const char *value) {
    struct version version;
    char *end;

    switch (option) {
    case REPLAY_RULES:
        replay->rules.names[replay->rules.n_names++] = value;
        return 0;
    case REPLAY_CLIENT:
        replay->options.client = strcmp(value, "new") == 0 ? DIALECT_NEW : DIALECT_OLD;
        return strcmp(value, "new") == 0 || strcmp(value, "old") == 0
                   ? 0
                   : replay_wrong("client", value, "\"old\" or \"new\"");
    case REPLAY_CLIENT_VERSION:
        replay->options.client_version = value;
        return version_read(value, strlen(value), &version)
                   ? replay_wrong("client-version", value, "a number, as 2.6")
                   : 0;
    case REPLAY_SESSION:
        replay->session = strtoull(value, &end, 10);
        return replay->session > 0 && !*end
                   ? 0
                   : replay_wrong("session", value, "a number, as in the trace");
    default:
        replay->is_to_case = true;
        return 0;
    }
}

static int replay_parse(struct replay *replay, const struct command *c, int argc, char **argv) {
    const char *path;
    int option, status;

    while ((option = options_next(c, argc, argv)) >= 0) {
        status = replay_set(replay, option, optarg);
        if (status)
            return status;
    }
    if (option == OPTIONS_HELP)
        return 0;
    if (option == OPTIONS_WRONG)
        return COMMAND_USAGE;
    if (optind == argc) {
        fputs("qmp-shim replay: TRACE is missing; see \"qmp-shim help replay\"\n", stderr);
        return COMMAND_USAGE;
    }
    path = argv[optind++];
    status = options_no_arguments(c, argc, argv);
    return status ? status : replay_file(replay, path);
}

static int replay_run(const struct command *c, int argc, char **argv) {
    struct replay replay = {.rules = {.names = calloc((size_t)argc, sizeof(*replay.rules.names))}};
    int status = COMMAND_FAILED;

    if (replay.rules.names)
        status = replay_parse(&replay, c, argc, argv);
    free(replay.rules.names);
    return status;
}

const struct command command_replay = {
    .name = "replay",
    .summary = "play a trace with other rules and say what differs",
    .synopsis = "[OPTION]… TRACE",
    .text = "Plays what client and server said in a trace, at the times they said it, with\n"
            "the rules given.  Prints each message that the shim would have sent otherwise: -\n"
            "is what it was, + what it would be now.  Exits with 1 if there is one.\n",
    .options = replay_options,
    .run = replay_run,
};
