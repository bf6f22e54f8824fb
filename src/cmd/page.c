#include "cmd/page.h"

#include <string.h>

#include "base/util.h"
#include "cmd/page-template.h"
#include "json/reader.h"
#include "proxy/changes.h"
#include "proxy/session.h"

enum {
    MAX_VALUE_BYTES = 2000, /* of one that changed */
    MAX_INSIDE_BYTES = 300, /* of what stands on the line of a message */
};

/* --- data -------------------------------------------------------------------------------------------------- */

/*
 * A byte is a character, as in a trace.  Outside of plain ASCII, and where HTML
 * has a meaning of its own, it is escaped, so that no byte can end the script
 * element that it stands in.
 */
static void put_string(struct buffer *b, const char *text, size_t n) {
    size_t n_plain;

    buffer_append(b, "\"", 1);
    for (size_t i = 0; i < n; i += n_plain + 1) {
        for (n_plain = 0; i + n_plain < n; n_plain++) {
            unsigned char c = (unsigned char)text[i + n_plain];

            if (c < ' ' || c > '~' || strchr("\"\\<>&'", c))
                break;
        }
        buffer_append(b, text + i, n_plain);
        if (i + n_plain < n)
            buffer_printf(b, "\\u%04X", (unsigned char)text[i + n_plain]);
    }
    buffer_append(b, "\"", 1);
}

static void put_key(struct buffer *b, const char *key) {
    if (b->n > 0 && b->data[b->n - 1] != '{')
        buffer_append(b, ",", 1);
    buffer_printf(b, "\"%s\":", key);
}

static void put_text_n(struct buffer *b, const char *key, const char *text, size_t n) {
    put_key(b, key);
    put_string(b, text, n);
}

static void put_text(struct buffer *b, const char *key, const char *text) {
    if (text)
        put_text_n(b, key, text, strlen(text));
}

static void put_number(struct buffer *b, const char *key, uint64_t number) {
    put_key(b, key);
    buffer_printf(b, "%llu", (unsigned long long)number);
}

static void put_flag(struct buffer *b, const char *key, bool is_set) {
    if (is_set)
        put_number(b, key, 1);
}

/* a message; @long_key tells its length when it was cut */
static void put_message(struct buffer *b, const char *key, const char *long_key, const char *text) {
    size_t n = text ? strlen(text) : 0;

    if (n == 0)
        return;
    put_text_n(b, key, text, size_min(n, PAGE_MAX_TEXT_BYTES));
    if (n > PAGE_MAX_TEXT_BYTES)
        put_number(b, long_key, n);
}

/* --- a message ------------------------------------------------------------------------------------------------ */

static const char *const kinds[] = {
    [EXCHANGE_OPEN] = "open-end",       [EXCHANGE_PASSED] = "passed",
    [EXCHANGE_REWRITTEN] = "rewritten", [EXCHANGE_DROPPED] = "dropped",
    [EXCHANGE_ANSWERED] = "answered",   [EXCHANGE_ASKED] = "asked",
    [EXCHANGE_SWALLOWED] = "swallowed", [EXCHANGE_EMITTED] = "emitted",
    [EXCHANGE_NOTE] = "note",
};

static const struct {
    const char *name, *inside; /* the member that all is in */
} labels[] = {
    [FRAME_UNKNOWN] = {"raw", NULL},
    [FRAME_COMMAND] = {"command", "arguments"},
    [FRAME_COMMAND_OOB] = {"command", "arguments"},
    [FRAME_RETURN] = {"reply", "return"},
    [FRAME_ERROR] = {"error", "error"},
    [FRAME_EVENT] = {"event", "data"},
    [FRAME_GREETING] = {"greeting", "QMP"},
};

struct changing {
    struct buffer *b;
    size_t n;
};

static void put_change(void *userdata, const struct change *c) {
    struct changing *k = userdata;
    struct buffer *b = k->b;

    if (++k->n > PAGE_MAX_CHANGES)
        return;
    if (k->n == 1)
        put_key(b, "g");
    buffer_append_string(b, k->n == 1 ? "[" : ",");
    buffer_printf(b, "[\"%c\",", c->was && c->is ? '~' : c->was ? '-' : '+');
    put_string(b, c->path, strlen(c->path));
    for (size_t i = 0; i < 2; i++) {
        const struct json *v = i == 0 ? c->was : c->is;

        buffer_append(b, ",", 1);
        put_string(b, v ? v->text : "", v ? size_min(v->n_text, MAX_VALUE_BYTES) : 0);
    }
    buffer_append(b, "]", 1);
}

static int put_changes(struct buffer *b, const struct exchanged *x) {
    struct changing k = {.b = b};
    int r;

    if (x->kind != EXCHANGE_REWRITTEN || !x->text || !x->to_text)
        return 0;
    r = changes_find(x->text, x->to_text, put_change, &k);
    if (k.n > 0)
        buffer_append(b, "]", 1);
    if (k.n > PAGE_MAX_CHANGES)
        put_number(b, "gn", k.n - PAGE_MAX_CHANGES);
    return r;
}

/* arguments, what is returned, …: what a line has room for */
static int put_inside(struct buffer *b, enum frame_kind kind, const char *text) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *inside;
    struct json *root;
    int r;

    if (!labels[kind].inside) {
        put_text_n(b, "i", text, strnlen(text, MAX_INSIDE_BYTES));
        return 0;
    }
    r = json_read(&arena, text, strlen(text), false, &root, NULL);
    inside = r == 0 ? json_member(root, labels[kind].inside) : NULL;
    if (inside)
        put_text_n(b, "i", inside->text, size_min(inside->n_text, MAX_INSIDE_BYTES));
    return r < 0 ? r : 0;
}

static int put_body(struct buffer *b, const struct dialogue_line *line) {
    const struct exchanged *x = line->x;
    struct exchange_label label = exchange_label(line->text, line->from);
    struct exchange_label to = exchange_label(x->to_text, line->from);
    int r;

    put_text(b, "l", labels[label.kind].name);
    if (label.n > 0)
        put_text_n(b, "n", label.text, (size_t)label.n);
    if (x->kind == EXCHANGE_REWRITTEN && to.n > 0 &&
        (to.n != label.n || memcmp(to.text, label.text, (size_t)to.n) != 0))
        put_text_n(b, "m", to.text, (size_t)to.n);
    put_text(b, "c", line->call);
    r = put_inside(b, label.kind, line->text);
    put_message(b, "x", "xz", line->text);
    if (x->kind == EXCHANGE_REWRITTEN)
        put_message(b, "y", "yz", x->to_text);
    return r < 0 ? r : put_changes(b, x);
}

static void put_note(struct buffer *b, const struct exchanged *x) {
    static const char *const who[] = {[SIDE_CLIENT] = "the client ", [SIDE_SERVER] = "the server "};
    _cleanup_(buffer_deinit) struct buffer name = BUFFER_INIT;

    buffer_append_string(&name, x->from >= 0 ? who[x->from] : "");
    buffer_append_string(&name, x->to_text);
    put_text(b, "l", "note");
    put_text_n(b, "n", name.data, name.n);
}

/* Return: 0 or -ENOMEM */
static int put_line(struct buffer *b, const struct dialogue_line *line) {
    const struct exchanged *x = line->x;
    int r = 0;

    buffer_append_string(b, "{");
    put_number(b, "s", x->session);
    put_number(b, "t", line->ms);
    if (x->us > 0)
        put_number(b, "u", (uint64_t)x->us);
    put_text(b, "k", kinds[x->kind]);
    put_text(b, "f", line->from == SIDE_CLIENT ? "client" : "server");
    if (x->kind == EXCHANGE_NOTE)
        put_note(b, x);
    else
        r = put_body(b, line);
    if (x->kind != EXCHANGE_NOTE && (x->is_held || x->sent_ms > x->ms))
        put_number(b, "w", x->sent_ms > x->ms ? x->sent_ms - x->ms : 0);
    put_flag(b, "e", x->is_failed);
    put_flag(b, "b", x->is_blanked);
    put_text(b, "r", x->rule);
    put_text(b, "o", x->note);
    put_text(b, "d", x->fds);
    buffer_append_string(b, "}");
    return r < 0 ? r : buffer_status(b);
}

/* --- the digest ------------------------------------------------------------------------------------------------- */

static void put_numbers(struct buffer *b, const struct digest *d) {
    const struct {
        const char *key;
        uint64_t n;
    } numbers[] = {
        {"sessions", d->n_sessions + d->n_sessions_lost},
        {"client", d->n_from[SIDE_CLIENT]},
        {"server", d->n_from[SIDE_SERVER]},
        {"passed", d->n_passed},
        {"rewritten", d->n_rewritten},
        {"held", d->n_held},
        {"dropped", d->n_dropped},
        {"answered", d->n_answered},
        {"asked", d->n_asked},
        {"emitted", d->n_emitted},
        {"errors", d->n_errors},
        {"failed", d->n_failed},
    };

    put_key(b, "numbers");
    buffer_append_string(b, "{");
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        put_number(b, numbers[i].key, numbers[i].n);
    buffer_append_string(b, "}");
}

/* the most counted first, then by name */
static int compare_names(const void *a, const void *b) {
    const struct digest_name *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return x->text && y->text ? strcmp(x->text, y->text) : !x->text - !y->text;
}

/* from here on @names is a list, and nothing can be found in it */
static void put_names(struct buffer *b, const char *key, struct digest_names *names) {
    if (names->n_places > 0)
        qsort(names->place, names->n_places, sizeof(*names->place), compare_names);
    put_key(b, key);
    buffer_append_string(b, "[");
    for (size_t i = 0; i < names->n; i++) {
        buffer_append_string(b, i > 0 ? ",{" : "{");
        put_text(b, "n", names->place[i].text);
        put_number(b, "c", names->place[i].n);
        put_text(b, "k", names->place[i].what);
        buffer_append_string(b, "}");
    }
    buffer_append_string(b, "]");
}

static void put_unused(struct buffer *b, const struct digest *d) {
    size_t n = 0;

    put_key(b, "unused");
    buffer_append_string(b, "[");
    for (size_t i = 0; i < d->active.n_places; i++) {
        const char *name = d->active.place[i].text;

        if (!name || digest_count(&d->used, name) > 0)
            continue;
        buffer_append_string(b, n++ > 0 ? "," : "");
        put_string(b, name, strlen(name));
    }
    buffer_append_string(b, "]");
    put_number(b, "moreUnused", d->active.n_lost);
    put_number(b, "active", d->active.n);
}

static void put_holds(struct buffer *b, const struct page *p) {
    put_key(b, "holds");
    buffer_append_string(b, "[");
    for (size_t i = 0; i < p->digest.n_holds; i++) {
        const struct digest_hold *h = &p->digest.holds[i];

        buffer_append_string(b, i > 0 ? ",{" : "{");
        put_text(b, "n", h->name);
        put_number(b, "w", h->ms);
        if (h->index != SIZE_MAX)
            put_number(b, "i", h->index);
        buffer_append_string(b, "}");
    }
    buffer_append_string(b, "]");
}

static void put_sessions(struct buffer *b, const struct digest *d) {
    put_key(b, "sessions");
    buffer_append_string(b, "[");
    for (size_t i = 0; i < d->n_sessions; i++)
        buffer_printf(b, "%s%llu", i > 0 ? "," : "", (unsigned long long)d->sessions[i]);
    buffer_append_string(b, "]");
}

static void put_summary(struct page *p, const char *title) {
    struct buffer *b = &p->line;
    struct digest *d = &p->digest;

    buffer_append_string(b, "{");
    put_text(b, "title", title);
    put_text(b, "note", "qmp-shim " PACKAGE_VERSION);
    if (d->first_us > 0) {
        put_number(b, "began", (uint64_t)d->first_us);
        put_number(b, "ms", (uint64_t)(d->last_us - d->first_us) / 1000);
    }
    if (p->n_written < p->n_wanted) {
        put_key(b, "notice");
        buffer_printf(b,
                      "\"Only the first %zu of %zu messages are on this page: it holds %d MiB.  "
                      "The counts are those of all.  Narrow it by the options of qmp-shim show.\"",
                      p->n_written, p->n_wanted, PAGE_MAX_BYTES >> 20);
    } else if (p->is_filtered) {
        put_text(b, "notice",
                 "This page has a part of the trace only, by the options it was made with.  The "
                 "counts are those of all.");
    }
    put_numbers(b, d);
    put_sessions(b, d);
    put_holds(b, p);
    put_unused(b, d);
    put_names(b, "used", &d->used);
    put_names(b, "strange", &d->strange);
    buffer_append_string(b, "}\n");
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

/* Return: the line of the template behind the one that is @mark */
static size_t put_template(FILE *file, size_t line, const char *mark) {
    for (; page_template[line]; line++) {
        if (mark && strcmp(page_template[line], mark) == 0)
            return line + 1;
        fputs(page_template[line], file);
    }
    return line;
}

static size_t find_mark(const char *mark) {
    size_t line = 0;

    while (strcmp(page_template[line], mark) != 0)
        line++;
    return line + 1;
}

#define PAGE_MESSAGES "@MESSAGES@\n"
#define PAGE_SUMMARY "@SUMMARY@\n"

void page_begin(struct page *p, FILE *file) {
    *p = (struct page){.file = file};
    put_template(file, 0, PAGE_MESSAGES);
}

int page_line(struct page *p, const struct dialogue_line *line) {
    bool is_room = p->n_bytes < PAGE_MAX_BYTES;
    int r;

    p->n_wanted += line->is_wanted;
    p->is_filtered = p->is_filtered || !line->is_wanted;
    r = digest_add(&p->digest, line, line->is_wanted && is_room ? p->n_written : SIZE_MAX);
    if (r < 0 || !line->is_wanted || !is_room)
        return r;
    buffer_clear(&p->line);
    r = put_line(&p->line, line);
    if (r < 0)
        return r;
    if (p->n_written > 0)
        fputs(",\n", p->file);
    fwrite(p->line.data, 1, p->line.n, p->file);
    p->n_bytes += p->line.n;
    p->n_written++;
    return 0;
}

int page_end(struct page *p, const char *title) {
    int r;

    put_template(p->file, find_mark(PAGE_MESSAGES), PAGE_SUMMARY);
    buffer_clear(&p->line);
    put_summary(p, title);
    r = buffer_status(&p->line);
    if (r < 0)
        return r;
    fwrite(p->line.data, 1, p->line.n, p->file);
    put_template(p->file, find_mark(PAGE_SUMMARY), NULL);
    return 0;
}

void page_deinit(struct page *p) {
    digest_deinit(&p->digest);
    buffer_deinit(&p->line);
}
