#include "proxy/exchanges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "json/reader.h"
#include "json/value.h"
#include "proxy/session.h"
#include "qmp/message.h"

enum { MAX_ID_BYTES = 200 }; /* two replies that differ by more do not differ by their ids alone */

/* --- messages ------------------------------------------------------------------------------------------ */

static enum frame_source source_of(int from) {
    return from == SIDE_SERVER ? FRAME_SERVER : FRAME_CLIENT;
}

struct exchange_label exchange_label(const char *text, int from) {
    struct frame_reader reader;
    const struct frame *f = &reader.frame;
    size_t n;

    frame_reader_init(&reader, source_of(from));
    if (!text || !*text || frame_scan(&reader, text, strlen(text), &n) > FRAME_PART)
        return (struct exchange_label){.text = ""};
    return (struct exchange_label){.kind = f->kind, .text = text + f->name.at, .n = (int)f->name.n};
}

/* @text as if it had no id */
static int append_bare(struct buffer *b, const char *text) {
    struct exchange_label label = exchange_label(text, SIDE_CLIENT);
    bool is_command = label.kind == FRAME_COMMAND || label.kind == FRAME_COMMAND_OOB;

    return message_put_id(b, is_command ? FRAME_CLIENT : FRAME_SERVER, text, strlen(text), NULL, 0);
}

static bool is_same_label(struct exchange_label a, struct exchange_label b) {
    return a.kind == b.kind && a.n == b.n && memcmp(a.text, b.text, (size_t)a.n) == 0;
}

/* the same but for their blanks? */
static bool is_same_json(const struct buffer *a, const struct buffer *b, bool *is_starved) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *va, *vb = NULL;
    int r;

    r = json_read(&arena, a->data, a->n, false, &va, NULL);
    if (r == 0)
        r = json_read(&arena, b->data, b->n, false, &vb, NULL);
    *is_starved = *is_starved || r < 0;
    return r == 0 && json_equal(va, vb);
}

char *exchange_id(const char *text, int from) {
    struct frame_reader reader;
    size_t n;

    frame_reader_init(&reader, from == SIDE_CLIENT ? FRAME_CLIENT : FRAME_SERVER);
    if (!*text || frame_scan(&reader, text, strlen(text), &n) != FRAME_OBJECT)
        return strdup("");
    return strndup(text + frame_reader_frame(&reader)->id.at, frame_reader_frame(&reader)->id.n);
}

bool exchange_is_same(const char *a, const char *b, bool *is_starved) {
    _cleanup_(buffer_deinit) struct buffer bare_a = BUFFER_INIT, bare_b = BUFFER_INIT;
    size_t n_a = strlen(a), n_b = strlen(b);
    struct exchange_label label_a, label_b;

    if (n_a == n_b && memcmp(a, b, n_a) == 0)
        return true;
    if (a[0] != '{' || b[0] != '{')
        return false;
    label_a = exchange_label(a, SIDE_CLIENT);
    label_b = exchange_label(b, SIDE_CLIENT);
    if (!is_same_label(label_a, label_b))
        return false;
    if (label_a.n == 0 && size_max(n_a, n_b) - size_min(n_a, n_b) > MAX_ID_BYTES)
        return false;
    if (append_bare(&bare_a, a) < 0 || append_bare(&bare_b, b) < 0 || bare_a.failed ||
        bare_b.failed) {
        *is_starved = true;
        return false;
    }
    if (bare_a.n == bare_b.n && memcmp(bare_a.data, bare_b.data, bare_a.n) == 0)
        return true;
    return label_a.n > 0 && is_same_json(&bare_a, &bare_b, is_starved);
}

/* --- what is open ---------------------------------------------------------------------------------------- */

void exchanges_init(struct exchanges *e, exchanges_fn tell, void *userdata) {
    *e = (struct exchanges){.tell = tell, .userdata = userdata};
    list_init(&e->open);
}

static void exchanged_free(struct exchanged *x) {
    list_remove(&x->in_exchanges);
    free(x->text);
    free(x->to_text);
    free(x->rule);
    free(x->note);
    free(x->fds);
    free(x);
}

static void settle(struct exchanges *e, struct exchanged *x) {
    e->tell(e->userdata, x);
    e->n_open--;
    e->n_open_bytes -= x->n_bytes;
    exchanged_free(x);
}

void exchanges_deinit(struct exchanges *e) {
    while (!list_is_empty(&e->open))
        settle(e, list_entry(e->open.next, struct exchanged, in_exchanges));
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

char *exchange_trimmed(const char *text, size_t n) {
    while (text && n > 0 && is_blank(text[0]))
        text++, n--;
    while (text && n > 0 && is_blank(text[n - 1]))
        n--;
    return text ? strndup(text, n) : NULL;
}

/* Return: 0 or -ENOMEM; what @to held is freed */
static int set_text(char **to, const char *text, size_t n) {
    free(*to);
    *to = exchange_trimmed(text, n);
    return *to || !text ? 0 : -ENOMEM;
}

static int set_string(char **to, const char *text) {
    return text ? set_text(to, text, strlen(text)) : 0;
}

static int add_open(struct exchanges *e, const struct record *r, enum exchange_kind kind,
                    struct exchanged **ret) {
    size_t n_bytes = r->n_text + r->n_to_text;
    struct exchanged *x;

    while (e->n_open >= EXCHANGES_MAX_OPEN ||
           (e->n_open > 0 && e->n_open_bytes + n_bytes > EXCHANGES_MAX_OPEN_BYTES))
        settle(e, list_entry(e->open.next, struct exchanged, in_exchanges));
    x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->kind = kind;
    x->session = r->session;
    x->from = x->to = -1;
    x->ms = x->sent_ms = r->ms;
    x->us = r->us;
    x->is_blanked = r->is_blanked;
    list_append(&e->open, &x->in_exchanges);
    e->n_open++;
    x->n_bytes = n_bytes;
    e->n_open_bytes += n_bytes;
    *ret = x;
    return set_string(&x->rule, r->rule) < 0 || set_string(&x->note, r->note) < 0 ||
                   set_string(&x->fds, r->fds) < 0
               ? -ENOMEM
               : 0;
}

/* Return: what came from @from as @text and is not told yet; NULL too if @text is, as a trace may have it */
static struct exchanged *find_came(struct exchanges *e, int from, const char *text, size_t n) {
    _cleanup_(freep) char *wanted = exchange_trimmed(text, n);

    e->is_starved = e->is_starved || (text && !wanted);
    list_for_each(i, &e->open) {
        struct exchanged *x = list_entry(i, struct exchanged, in_exchanges);

        if (wanted && x->from == from && x->text &&
            exchange_is_same(x->text, wanted, &e->is_starved))
            return x;
    }
    return NULL;
}

static bool goes_to(const struct exchanged *x, int to) {
    switch (x->kind) {
    case EXCHANGE_ASKED:
        return to == SIDE_SERVER;
    case EXCHANGE_EMITTED:
    case EXCHANGE_ANSWERED:
        return to == SIDE_CLIENT;
    default:
        return x->from != to;
    }
}

static struct exchanged *find_going(struct exchanges *e, int to, const char *text) {
    list_for_each(i, &e->open) {
        struct exchanged *x = list_entry(i, struct exchanged, in_exchanges);
        const char *will_be = x->to_text ? x->to_text : x->text;

        if (will_be && goes_to(x, to) && exchange_is_same(will_be, text, &e->is_starved))
            return x;
    }
    return NULL;
}

/* --- records ------------------------------------------------------------------------------------------------ */

static int add_came(struct exchanges *e, const struct record *r) {
    struct exchanged *x;
    char *text = exchange_trimmed(r->text, r->n_text);
    int y;

    if (!text)
        return -ENOMEM;
    if (!*text && !r->fds && !r->is_blanked) {
        free(text);
        return 0;
    }
    y = add_open(e, r, EXCHANGE_OPEN, &x);
    if (y < 0) {
        free(text);
        return y;
    }
    x->text = text;
    x->from = r->side;
    x->number = ++e->n_came[r->side];
    return 0;
}

/* the shim's own: to_text is all there is of it */
static int add_own(struct exchanges *e, const struct record *r, enum exchange_kind kind,
                   const char *text, size_t n, struct exchanged **ret) {
    int y = add_open(e, r, kind, ret);

    return y < 0 ? y : set_text(&(*ret)->to_text, text, n);
}

static int add_rewritten(struct exchanges *e, const struct record *r) {
    struct exchanged *x = find_came(e, r->side, r->text, r->n_text);
    int y = 0;

    if (!x) {
        y = add_open(e, r, EXCHANGE_REWRITTEN, &x);
        if (y < 0)
            return y;
        x->from = r->side;
        y = set_text(&x->text, r->text, r->n_text);
    }
    x->kind = EXCHANGE_REWRITTEN;
    if (y == 0)
        y = set_text(&x->to_text, r->to_text, r->n_to_text);
    return y < 0 ? y : set_string(&x->rule, r->rule);
}

/* it goes no further */
static int add_end(struct exchanges *e, const struct record *r, enum exchange_kind kind) {
    struct exchanged *x = find_came(e, r->side, r->text, r->n_text);
    int y;

    if (!x)
        return 0;
    x->kind = kind;
    x->sent_ms = r->ms;
    y = set_string(&x->rule, r->rule);
    settle(e, x);
    return y;
}

/* about a message that goes on */
static int add_remark(struct exchanges *e, const struct record *r) {
    _cleanup_(freep) char *text = exchange_trimmed(r->text, r->n_text);
    struct exchanged *x = find_came(e, r->side, r->text, r->n_text);

    if (!x && text)
        x = find_going(e, SIDE_CLIENT, text);
    if (!x)
        return 0;
    x->is_held = x->is_held || r->kind == RECORD_OF(TRACE_HELD);
    x->is_failed = x->is_failed || r->kind == RECORD_OF(TRACE_FAILED);
    return set_string(&x->note, r->note) < 0 || set_string(&x->rule, r->rule) < 0 ? -ENOMEM : 0;
}

static int add_sent(struct exchanges *e, const struct record *r) {
    _cleanup_(freep) char *text = exchange_trimmed(r->text, r->n_text);
    struct exchanged *x;
    int y = 0;

    if (!text)
        return -ENOMEM;
    if (!*text && !r->is_blanked)
        return 0;
    x = find_going(e, r->side, text);
    if (!x)
        y = add_open(e, r, r->side == SIDE_SERVER ? EXCHANGE_ASKED : EXCHANGE_EMITTED, &x);
    if (y < 0)
        return y;
    if (x->kind == EXCHANGE_OPEN)
        x->kind = EXCHANGE_PASSED;
    x->to = r->side;
    x->sent_ms = r->ms;
    y = set_text(&x->to_text, text, strlen(text));
    settle(e, x);
    return y;
}

static int add_note(struct exchanges *e, const struct record *r, const char *what) {
    struct exchanged *x;
    int y = add_own(e, r, EXCHANGE_NOTE, what, strlen(what), &x);

    if (y < 0)
        return y;
    x->from = r->side;
    x->is_failed = r->kind == RECORD_OF(TRACE_TIMED_OUT);
    x->is_active = r->kind == RECORD_OF(TRACE_ACTIVE);
    if (r->text)
        y = set_text(&x->note, r->text, r->n_text);
    settle(e, x);
    return y;
}

static int add_trace(struct exchanges *e, const struct record *r) {
    struct exchanged *x;

    switch (r->kind - _RECORD_TRACE) {
    case TRACE_CAME:
        return add_came(e, r);
    case TRACE_SENT:
        return add_sent(e, r);
    case TRACE_REWRITTEN:
        return add_rewritten(e, r);
    case TRACE_DROPPED:
        return add_end(e, r, EXCHANGE_DROPPED);
    case TRACE_SWALLOWED:
        return add_end(e, r, EXCHANGE_SWALLOWED);
    case TRACE_ANSWERED:
        return add_own(e, r, EXCHANGE_ANSWERED, r->to_text, r->n_to_text, &x);
    case TRACE_ASKED:
        return add_own(e, r, EXCHANGE_ASKED, r->to_text, r->n_to_text, &x);
    case TRACE_EMITTED:
        return add_own(e, r, EXCHANGE_EMITTED, r->to_text, r->n_to_text, &x);
    case TRACE_TIMED_OUT:
        return add_note(e, r, "waited too long");
    case TRACE_ACTIVE:
        return add_note(e, r, "rules chosen");
    case TRACE_ENDED:
        return add_note(e, r, "sends no more");
    default:
        return add_remark(e, r);
    }
}

static int add_record(struct exchanges *e, const struct record *r) {
    switch (r->kind) {
    case RECORD_HEADER:
    case RECORD_LOST:
        return 0;
    case RECORD_OPENED:
        return add_note(e, r, "session begins");
    case RECORD_CLOSED:
        return add_note(e, r, "session is over");
    default:
        return add_trace(e, r);
    }
}

int exchanges_add(struct exchanges *e, const struct record *r) {
    int y = add_record(e, r);

    return y == 0 && e->is_starved ? -ENOMEM : y;
}
