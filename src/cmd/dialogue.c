#include "cmd/dialogue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cmd/tracereader.h"
#include "proxy/session.h"

enum { DIALOGUE_MAX_CALLS = 1000 }; /* commands of a session whose replies are waited for */

/* a command whose reply has not come */
struct call {
    struct list in_session;
    char *id, *name, *new_name; /* the last: behind the rules */
};

struct spoken {
    struct list in_dialogue;
    struct dialogue *dialogue;
    uint64_t id, start_ms;
    struct exchanges exchanges;
    struct list calls;
    size_t n_calls;
};

struct dialogue {
    const struct dialogue_filter *filter;
    dialogue_fn tell;
    void *userdata;
    struct list sessions;
    bool is_out_of_memory, is_over;
};

/* --- which reply is to which command ----------------------------------------------------------------- */

static char *copy_id(const char *text, int from) {
    struct frame_reader reader;
    size_t n;

    frame_reader_init(&reader, from == SIDE_CLIENT ? FRAME_CLIENT : FRAME_SERVER);
    if (!text || !*text || frame_scan(&reader, text, strlen(text), &n) != FRAME_OBJECT)
        return strdup("");
    return strndup(text + frame_reader_frame(&reader)->id.at, frame_reader_frame(&reader)->id.n);
}

static void call_free(struct spoken *session, struct call *c) {
    list_remove(&c->in_session);
    session->n_calls--;
    free(c->id);
    free(c->name);
    free(c->new_name);
    free(c);
}

static void call_add(struct spoken *session, const struct exchanged *x,
                     struct exchange_label label) {
    struct exchange_label to = exchange_label(x->to_text, x->from);
    struct call *c;

    if (session->n_calls == DIALOGUE_MAX_CALLS)
        call_free(session, list_entry(session->calls.next, struct call, in_session));
    c = calloc(1, sizeof(*c));
    if (!c) {
        session->dialogue->is_out_of_memory = true;
        return;
    }
    c->id = copy_id(x->text, SIDE_CLIENT);
    c->name = strndup(label.text, (size_t)label.n);
    c->new_name = strndup(to.text, (size_t)to.n);
    list_append(&session->calls, &c->in_session);
    session->n_calls++;
    if (!c->id || !c->name || !c->new_name)
        session->dialogue->is_out_of_memory = true;
}

/* Return: the command that is answered; NULL: not known */
static struct call *call_find(struct spoken *session, const char *text) {
    _cleanup_(freep) char *id = copy_id(text, SIDE_SERVER);

    list_for_each(i, &session->calls) {
        struct call *c = list_entry(i, struct call, in_session);

        if (id && c->id && strcmp(c->id, id) == 0)
            return c;
    }
    return NULL;
}

/* --- what is wanted ------------------------------------------------------------------------------------ */

static bool is_named(const char *text, int from, const char *name, bool is_event) {
    struct exchange_label label = exchange_label(text, from);

    return (label.kind == FRAME_EVENT) == is_event && (size_t)label.n == strlen(name) &&
           memcmp(label.text, name, (size_t)label.n) == 0;
}

static bool is_wanted(const struct dialogue_filter *f, const struct exchanged *x,
                      const struct call *call) {
    bool is_error = x->to_text && exchange_label(x->to_text, SIDE_SERVER).kind == FRAME_ERROR;

    if (f->command && !is_named(x->text, x->from, f->command, false) &&
        !is_named(x->to_text, x->from, f->command, false) &&
        !(call && (strcmp(call->name, f->command) == 0 || strcmp(call->new_name, f->command) == 0)))
        return false;
    if (f->event && !is_named(x->text, SIDE_SERVER, f->event, true) &&
        !is_named(x->to_text, SIDE_SERVER, f->event, true))
        return false;
    if (f->rule && !(x->rule && strcmp(x->rule, f->rule) == 0))
        return false;
    if (f->is_changed && (x->kind == EXCHANGE_PASSED || x->kind == EXCHANGE_NOTE))
        return false;
    return !f->is_failed || x->is_failed || is_error;
}

static void on_exchanged(void *userdata, const struct exchanged *x) {
    struct spoken *session = userdata;
    struct dialogue *d = session->dialogue;
    struct exchange_label label = exchange_label(x->text, x->from);
    struct call *call = NULL;
    struct dialogue_line line = {
        .x = x,
        .ms = x->ms - session->start_ms,
        .from = x->from >= 0                ? x->from
                : x->kind == EXCHANGE_ASKED ? SIDE_CLIENT
                                            : SIDE_SERVER,
        .text = x->text      ? x->text
                : x->to_text ? x->to_text
                             : "",
    };

    if (x->from == SIDE_CLIENT && label.n > 0)
        call_add(session, x, label);
    if (x->to == SIDE_CLIENT &&
        (label.kind == FRAME_RETURN || label.kind == FRAME_ERROR || x->kind == EXCHANGE_ANSWERED))
        call = call_find(session, x->to_text);
    line.call = call ? call->name : NULL;
    line.is_wanted = is_wanted(d->filter, x, call);
    if (!d->is_over && !d->is_out_of_memory)
        d->is_over = d->tell(d->userdata, &line) != 0;
    if (call)
        call_free(session, call);
}

/* --- sessions -------------------------------------------------------------------------------------------- */

static struct spoken *spoken_get(struct dialogue *d, const struct record *r) {
    struct spoken *session;

    list_for_each(i, &d->sessions) {
        session = list_entry(i, struct spoken, in_dialogue);
        if (session->id == r->session)
            return session;
    }
    session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->dialogue = d;
    session->id = r->session;
    session->start_ms = r->ms;
    list_init(&session->calls);
    exchanges_init(&session->exchanges, on_exchanged, session);
    list_append(&d->sessions, &session->in_dialogue);
    return session;
}

static void spoken_end(struct spoken *session) {
    exchanges_deinit(&session->exchanges);
    while (!list_is_empty(&session->calls))
        call_free(session, list_entry(session->calls.next, struct call, in_session));
    list_remove(&session->in_dialogue);
    free(session);
}

/* Return: 0 or -ENOMEM */
static int add(struct dialogue *d, const struct record *r) {
    struct spoken *session;
    int x;

    if (r->session == 0 || (d->filter->session && d->filter->session != r->session))
        return 0;
    session = spoken_get(d, r);
    if (!session)
        return -ENOMEM;
    if (r->kind == RECORD_CLOSED) /* what is still open is told before */
        exchanges_deinit(&session->exchanges);
    x = exchanges_add(&session->exchanges, r);
    if (r->kind == RECORD_CLOSED)
        spoken_end(session);
    return d->is_out_of_memory ? -ENOMEM : x;
}

int dialogue_read(const char *path, const struct dialogue_filter *filter, dialogue_fn tell,
                  void *userdata) {
    struct dialogue d = {.filter = filter, .tell = tell, .userdata = userdata};
    struct tracereader reader = TRACEREADER_INIT;
    struct record record;
    int r;

    list_init(&d.sessions);
    r = tracereader_open(&reader, path);
    while (r == 0 && !d.is_over) {
        r = tracereader_next(&reader, &record);
        if (r == 0)
            r = add(&d, &record);
    }
    while (!list_is_empty(&d.sessions))
        spoken_end(list_entry(d.sessions.next, struct spoken, in_dialogue));
    tracereader_close(&reader);
    if (r < 0)
        return r;
    return r == TRACEREADER_E_FAILED ? DIALOGUE_E_FAILED : 0;
}
