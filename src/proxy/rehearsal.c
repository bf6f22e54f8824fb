#include "proxy/rehearsal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/util.h"
#include "json/reader.h"
#include "proxy/compare.h"
#include "proxy/exchanges.h"
#include "proxy/rerun.h"
#include "proxy/session.h"
#include "qmp/message.h"

#define NO_ANSWER                                                                                  \
    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the trace has no answer to this\"}}"

enum line_kind { LINE_SAY, LINE_HEAR, LINE_END };

struct line {
    struct list in_script;
    enum line_kind kind;
    struct buffer text;
    uint64_t ms;
    size_t n_fds;
    bool is_part;    /* more of it follows */
    bool is_blanked; /* a secret was taken out: only what it is can be compared */
};

/* a command of the live client, and not answered yet: its id then and now */
struct call {
    struct list in_rehearsal;
    char *id_then, *id_now;
};

struct rehearsal {
    int played, other;
    bool is_shape;
    uint64_t start_ms;
    struct list script, calls;
    size_t n_lines;
    size_t n_differences, n_same;
    rehearsal_fn tell;
    void *userdata;
};

int rehearsal_new(int played, bool is_shape, uint64_t start_ms, rehearsal_fn tell, void *userdata,
                  struct rehearsal **ret) {
    struct rehearsal *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->played = played;
    r->is_shape = is_shape;
    r->other = played == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
    r->start_ms = start_ms;
    r->tell = tell;
    r->userdata = userdata;
    list_init(&r->script);
    list_init(&r->calls);
    *ret = r;
    return 0;
}

static void line_free(struct rehearsal *r, struct line *line) {
    list_remove(&line->in_script);
    r->n_lines--;
    buffer_deinit(&line->text);
    free(line);
}

static void call_free(struct call *call) {
    list_remove(&call->in_rehearsal);
    free(call->id_then);
    free(call->id_now);
    free(call);
}

struct rehearsal *rehearsal_free(struct rehearsal *r) {
    if (!r)
        return NULL;
    list_for_each_safe(i, &r->script)
        line_free(r, list_entry(i, struct line, in_script));
    list_for_each_safe(i, &r->calls)
        call_free(list_entry(i, struct call, in_rehearsal));
    free(r);
    return NULL;
}

/* --- the script ----------------------------------------------------------------------------------------- */

static bool is_message(const char *text, int from) {
    return exchange_label(text + strspn(text, " \t\r\n"), from).kind != FRAME_UNKNOWN;
}

/* a line that the record goes on with; NULL: it begins one */
static struct line *open_line(const struct rehearsal *r, enum line_kind kind) {
    list_for_each(i, &r->script) {
        struct line *line = list_entry(i, struct line, in_script);

        if (line->kind == kind && line->is_part)
            return line;
    }
    return NULL;
}

static int add_line(struct rehearsal *r, enum line_kind kind, const struct record *record) {
    size_t n_blanks = kind == LINE_HEAR && record->text ? strspn(record->text, " \t\r\n") : 0;
    struct line *line = open_line(r, kind);

    if (!line) {
        line = calloc(1, sizeof(*line));
        if (!line)
            return -ENOMEM;
        line->kind = kind;
        line->ms = record->ms - r->start_ms;
        line->n_fds = rerun_count_fds(record->fds);
        line->is_blanked = record->is_blanked;
        list_append(&r->script, &line->in_script);
        r->n_lines++;
    }
    line->is_part = record->is_part;
    if (record->text)
        buffer_append(&line->text, record->text + n_blanks, record->n_text - n_blanks);
    while (kind == LINE_HEAR && !line->is_part && line->text.n > 0 &&
           strchr(" \t\r\n", line->text.data[line->text.n - 1]))
        line->text.n--;
    buffer_append(&line->text, "", 1); /* a NUL that the next part takes the place of */
    if (line->text.failed)
        return -ENOMEM;
    line->text.n--;
    return 0;
}

int rehearsal_add(struct rehearsal *r, const struct record *record) {
    if (record->kind == RECORD_CAME && record->side == r->played)
        return add_line(r, LINE_SAY, record);
    if (record->kind == RECORD_OF(TRACE_ENDED) && record->side == r->played)
        return add_line(r, LINE_END, record);
    /* bytes that are no message are the recorded peer's own affair */
    if (record->kind == RECORD_OF(TRACE_SENT) && record->side == r->played && record->text &&
        (open_line(r, LINE_HEAR) || record->is_part || is_message(record->text, r->other)))
        return add_line(r, LINE_HEAR, record);
    return 0;
}

bool rehearsal_is_hungry(const struct rehearsal *r) {
    return r->n_lines < REHEARSAL_AHEAD || (r->n_lines < REHEARSAL_MAX_LINES &&
                                            (open_line(r, LINE_SAY) || open_line(r, LINE_HEAR)));
}

/* --- saying -------------------------------------------------------------------------------------------- */

static bool is_reply(const char *text) {
    enum frame_kind kind = exchange_label(text, SIDE_SERVER).kind;

    return kind == FRAME_RETURN || kind == FRAME_ERROR;
}

/* Return: the live command that the recorded reply is for; NULL: it was never sent */
static struct call *find_call(const struct rehearsal *r, const char *id) {
    list_for_each(i, &r->calls) {
        struct call *call = list_entry(i, struct call, in_rehearsal);

        if (!*id || strcmp(call->id_then, id) == 0)
            return call;
    }
    return NULL;
}

/* with the id that the live client gave.  Return: 0 or -ENOMEM */
static int say_reply(struct rehearsal *r, const char *text, struct buffer *b) {
    _cleanup_(freep) char *id = exchange_id(text, SIDE_SERVER);
    struct call *call = id ? find_call(r, id) : NULL;
    int x;

    if (!id)
        return -ENOMEM;
    if (!call)
        return 0;
    x = message_put_id(b, FRAME_SERVER, text, strlen(text), *call->id_now ? call->id_now : NULL,
                       strlen(call->id_now));
    call_free(call);
    buffer_append_string(b, "\r\n");
    return x < 0 ? x : buffer_status(b);
}

/* a message's line end came with it or with the next one, and some peers wait for it */
static int say(struct rehearsal *r, struct line *line, struct buffer *b, size_t *ret_n_fds) {
    _cleanup_(freep) char *text = exchange_trimmed(line->text.data, line->text.n);
    int x = 0;

    if (!text)
        return -ENOMEM;

    *ret_n_fds = line->n_fds;
    if (r->played == SIDE_SERVER && is_reply(text)) {
        x = say_reply(r, text, b);
    } else if (is_message(text, r->played)) {
        buffer_append_string(b, text);
        buffer_append_string(b, "\r\n");
    } else {
        buffer_append(b, line->text.data, line->text.n);
    }
    line_free(r, line);
    return x < 0 ? x : buffer_status(b);
}

int rehearsal_next(struct rehearsal *r, struct buffer *b, size_t *ret_n_fds) {
    struct line *line;

    if (list_is_empty(&r->script))
        return REHEARSAL_E_OVER;
    line = list_entry(r->script.next, struct line, in_script);
    if (line->kind == LINE_HEAR)
        return REHEARSAL_E_WAIT;
    if (line->kind == LINE_SAY)
        return say(r, line, b, ret_n_fds);
    line_free(r, line);
    return REHEARSAL_E_END;
}

/* --- hearing ------------------------------------------------------------------------------------------- */

/* the same members, and types, wherever they are */
static bool is_same_shape(const struct json *a, const struct json *b) {
    if (a->type != b->type)
        return false;
    if (a->type == JSON_ARRAY)
        for (size_t i = 0; i < size_min(a->n_items, b->n_items); i++)
            if (!is_same_shape(&a->items[i], &b->items[i]))
                return false;
    if (a->type != JSON_OBJECT)
        return true;
    for (size_t i = 0; i < a->n_items; i++) {
        const struct json *m = json_member_n(b, a->items[i].key, a->items[i].n_key);

        if (!m || !is_same_shape(&a->items[i], m))
            return false;
    }
    return a->n_items == b->n_items;
}

/* the time of an event, and the server's version, are of their own day; ids are compared apart */
static bool is_same(const struct rehearsal *r, struct compare *c, const char *then,
                    const char *now) {
    static const char *const ignored[] = {"id", "timestamp", NULL};
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *a, *b;

    if (exchange_label(then, SIDE_SERVER).kind == FRAME_GREETING)
        return true;
    if (json_read(&arena, then, strlen(then), false, &a, NULL) ||
        json_read(&arena, now, strlen(now), false, &b, NULL) || a->type != JSON_OBJECT ||
        b->type != JSON_OBJECT)
        return strcmp(then, now) == 0;
    return r->is_shape ? is_same_shape(a, b) : compare_members(c, a, b, ignored) == 0;
}

/* is it about the same: the same command, the same event, the reply with the same id? */
static bool is_alike(const struct rehearsal *r, const char *then, const char *now) {
    struct exchange_label a = exchange_label(then, r->other), b = exchange_label(now, r->other);
    _cleanup_(freep) char *id_a = NULL, *id_b = NULL;

    if (r->other == SIDE_SERVER && is_reply(then) && is_reply(now)) {
        id_a = exchange_id(then, SIDE_SERVER);
        id_b = exchange_id(now, SIDE_SERVER);
        return id_a && id_b && strcmp(id_a, id_b) == 0;
    }
    return a.kind == b.kind && a.n == b.n && (a.n == 0 || memcmp(a.text, b.text, (size_t)a.n) == 0);
}

/* Return: the line that this is; NULL: there is none */
static struct line *find_line(const struct rehearsal *r, const char *now, struct compare *c) {
    struct line *alike = NULL;

    list_for_each(i, &r->script) {
        struct line *line = list_entry(i, struct line, in_script);

        if (line->kind != LINE_HEAR || !is_alike(r, line->text.data, now))
            continue;
        if (line->is_blanked || is_same(r, c, line->text.data, now) || is_reply(now))
            return line;
        alike = alike ? alike : line;
    }
    return alike;
}

static void differs(struct rehearsal *r, uint64_t ms, const char *then, const char *now,
                    const char *where) {
    struct rehearsal_difference d = {.ms = ms, .then = then, .now = now, .where = where};

    r->n_differences++;
    r->tell(r->userdata, &d);
}

static int add_call(struct rehearsal *r, const char *then, const char *now) {
    struct call *call = calloc(1, sizeof(*call));

    if (!call)
        return -ENOMEM;
    call->id_then = exchange_id(then, SIDE_CLIENT);
    call->id_now = exchange_id(now, SIDE_CLIENT);
    list_append(&r->calls, &call->in_rehearsal);
    return call->id_then && call->id_now ? 0 : -ENOMEM;
}

/* nobody waits for an answer that does not come */
static int refuse(const char *now, struct buffer *answer) {
    _cleanup_(freep) char *id = exchange_id(now, SIDE_CLIENT);
    int x;

    if (!id)
        return -ENOMEM;
    x = message_put_id(answer, FRAME_SERVER, NO_ANSWER, strlen(NO_ANSWER), *id ? id : NULL,
                       strlen(id));
    buffer_append_string(answer, "\r\n");
    return x < 0 ? x : buffer_status(answer);
}

static int hear(struct rehearsal *r, const char *now, struct buffer *answer) {
    struct compare c;
    struct line *line;
    int x = 0;

    compare_init(&c);
    line = find_line(r, now, &c);
    if (!line) {
        differs(r, 0, NULL, now, "");
        if (r->other == SIDE_CLIENT && is_message(now, SIDE_CLIENT))
            x = refuse(now, answer);
    } else {
        compare_deinit(&c);
        compare_init(&c);
        if (line->is_blanked || is_same(r, &c, line->text.data, now))
            r->n_same++;
        else
            differs(r, line->ms, line->text.data, now, c.where);
        if (r->other == SIDE_CLIENT)
            x = add_call(r, line->text.data, now);
        line_free(r, line);
    }
    compare_deinit(&c);
    return x;
}

int rehearsal_hear(struct rehearsal *r, const char *text, size_t n, struct buffer *answer) {
    _cleanup_(freep) char *now = strndup(text, n);

    return now ? hear(r, now, answer) : -ENOMEM;
}

void rehearsal_give_up(struct rehearsal *r) {
    while (!list_is_empty(&r->script)) {
        struct line *line = list_entry(r->script.next, struct line, in_script);

        if (line->kind != LINE_HEAR)
            return;
        differs(r, line->ms, line->text.data, NULL, "");
        line_free(r, line);
    }
}

size_t rehearsal_n_differences(const struct rehearsal *r) {
    return r->n_differences;
}

size_t rehearsal_n_same(const struct rehearsal *r) {
    return r->n_same;
}
