#include "proxy/casewriter.h"

#include <string.h>

#include "json/reader.h"
#include "proxy/compare.h"
#include "proxy/rerun.h"
#include "proxy/session.h"

/* a case file has a message on one line */
static void write_line(struct buffer *b, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        buffer_append(b, strchr("\n\r\t", text[i]) && text[i] ? " " : text + i, 1);
}

static void write_raw(struct buffer *b, const char *text, size_t n) {
    buffer_append_string(b, "raw \"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            buffer_printf(b, "\\%c", c);
        else if (c < ' ' || c > '~')
            buffer_printf(b, "\\x%02x", c);
        else
            buffer_append(b, text + i, 1);
    }
    buffer_append_string(b, "\"");
}

/* a text that cannot be read for want of memory is none that can be written */
static bool is_json(struct casewriter *w, const char *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *v;
    int r = json_read(&arena, text, strlen(text), false, &v, NULL);

    w->text.failed = w->text.failed || r < 0;
    return r == 0;
}

static void write_fds(struct buffer *b, const char *kinds) {
    size_t n = rerun_count_fds(kinds);

    if (n > 0)
        buffer_printf(b, " with %zu fd%s", n, n > 1 ? "s" : "");
    buffer_append_string(b, "\n");
}

/* the shim's own event has the time at which it is played */
static void write_event(struct casewriter *w, const char *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *root;
    const struct json *timestamp = NULL;
    const char *rest = text;
    int r = json_read(&arena, text, strlen(text), false, &root, NULL);

    w->text.failed = w->text.failed || r < 0;
    if (r == 0)
        timestamp = json_member(root, "timestamp");
    if (timestamp && w->n_numbers + 1 < COMPARE_MAX_NUMBERS) {
        write_line(&w->text, text, (size_t)(timestamp->text - text));
        buffer_printf(&w->text, "\"$%zu\"", ++w->n_numbers);
        rest = timestamp->text + timestamp->n_text;
    }
    write_line(&w->text, rest, strlen(rest));
}

/* what was sent is what must come */
static void write_sent(void *userdata, const struct exchanged *x) {
    struct casewriter *w = userdata;

    if (x->to < 0 || !x->to_text || w->has_ended)
        return;
    buffer_append_string(&w->text, x->to == SIDE_CLIENT ? "client< " : "qemu< ");
    if (x->kind == EXCHANGE_EMITTED)
        write_event(w, x->to_text);
    else
        write_line(&w->text, x->to_text, strlen(x->to_text));
    write_fds(&w->text, x->fds);
}

static void write_came(struct casewriter *w, const struct record *r) {
    _cleanup_(freep) char *text = exchange_trimmed(r->text, r->n_text);

    if (!text)
        w->text.failed = true;
    if (!text || (!*text && r->n_text == strspn(r->text, " \t\r\n") && !r->fds))
        return;
    if (r->ms > w->last_ms)
        buffer_printf(&w->text, "after %llums\n", (unsigned long long)(r->ms - w->last_ms));
    w->last_ms = r->ms;
    buffer_append_string(&w->text, r->side == SIDE_CLIENT ? "client> " : "qemu> ");
    if (is_json(w, r->text))
        write_line(&w->text, text, strlen(text));
    else
        write_raw(&w->text, r->text, r->n_text);
    write_fds(&w->text, r->fds);
}

void casewriter_init(struct casewriter *w, uint64_t start_ms) {
    *w = (struct casewriter){.text = BUFFER_INIT, .last_ms = start_ms};
    exchanges_init(&w->exchanges, write_sent, w);
}

void casewriter_deinit(struct casewriter *w) {
    w->has_ended = true; /* what is open is of no interest any more */
    exchanges_deinit(&w->exchanges);
    buffer_deinit(&w->text);
}

int casewriter_add(struct casewriter *w, const struct record *r) {
    int x;

    if (r->kind == RECORD_OF(TRACE_ENDED) || r->kind == RECORD_CLOSED)
        w->has_ended = true;
    if (w->has_ended)
        return 0;
    if (r->kind == RECORD_CAME)
        write_came(w, r);
    x = exchanges_add(&w->exchanges, r);
    return x < 0 ? x : buffer_status(&w->text);
}
