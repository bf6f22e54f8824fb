/*
 * Reading case files: text to dialogues.
 */

#include "proxy/case_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json/reader.h"

struct reading {
    struct arena *arena;
    const struct diag_source *source;
    struct diag_set *diags;
    struct case_dialogue shared;    /* what is said before the first "case:" */
    struct case_dialogue *dialogue; /* NULL: none has begun */
    struct case_dialogue *first, **last;
    bool is_titled; /* there is a "case:" in the file */
    bool is_invalid;
};

/* a piece of a line, without blanks around it */
struct words {
    const char *text;
    size_t n;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static struct words trimmed(const char *text, size_t n) {
    while (n > 0 && is_blank(text[0]))
        text++, n--;
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    return (struct words){text, n};
}

static void fault(struct reading *r, struct words w, const char *way_out, const char *message) {
    diag_add(r->diags, DIAG_ERROR, r->source, (size_t)(w.text - r->source->text), w.n, way_out,
             "%s", message);
    r->is_invalid = true;
}

static bool is_same(struct words w, const char *text) {
    return w.n == strlen(text) && memcmp(w.text, text, w.n) == 0;
}

/* Return: does @w begin with @start?  Then *ret is what follows */
static bool begins(struct words w, const char *start, struct words *ret) {
    size_t n = strlen(start);

    if (w.n < n || memcmp(w.text, start, n) != 0)
        return false;
    *ret = trimmed(w.text + n, w.n - n);
    return true;
}

/* up to the next blank.  Return: false when there is none left */
static bool next_word(struct words *rest, struct words *ret) {
    size_t n = 0;

    *rest = trimmed(rest->text, rest->n);
    while (n < rest->n && !is_blank(rest->text[n]))
        n++;
    *ret = (struct words){rest->text, n};
    *rest = (struct words){rest->text + n, rest->n - n};
    return n > 0;
}

static bool read_number(struct words w, uint64_t *ret) {
    *ret = 0;
    for (size_t i = 0; i < w.n; i++) {
        if (w.text[i] < '0' || w.text[i] > '9' || *ret > UINT32_MAX)
            return false;
        *ret = *ret * 10 + (uint64_t)(w.text[i] - '0');
    }
    return w.n > 0;
}

static int begin_dialogue(struct reading *r, size_t at) {
    struct case_dialogue *d = arena_alloc(r->arena, sizeof(*d));

    if (!d)
        return -ENOMEM;
    *d = r->shared;
    d->at = at;
    d->last = &d->first;
    *r->last = d;
    r->last = &d->next;
    r->dialogue = d;
    return 0;
}

/* --- settings -------------------------------------------------------------------------------------- */

static int set_rules(struct reading *r, struct case_dialogue *d, struct words w) {
    struct words rest = w, word;
    size_t n = 0;

    while (next_word(&rest, &word))
        n++;
    d->rules = arena_alloc(r->arena, (n + 1) * sizeof(*d->rules));
    if (!d->rules)
        return -ENOMEM;
    for (size_t i = 0; next_word(&w, &word); i++) {
        d->rules[i] = arena_copy(r->arena, word.text, word.n);
        if (!d->rules[i])
            return -ENOMEM;
    }
    return 0;
}

static int set_client(struct reading *r, struct case_dialogue *d, struct words w) {
    if (is_same(w, "new"))
        d->options.client = DIALECT_NEW;
    else if (is_same(w, "old"))
        d->options.client = DIALECT_OLD;
    else
        fault(r, w, NULL, "the client is old or new");
    return 0;
}

static int set_client_version(struct reading *r, struct case_dialogue *d, struct words w) {
    struct version version;

    if (version_read(w.text, w.n, &version))
        fault(r, w, "write it as MAJOR.MINOR", "this is no version number");
    d->options.client_version = arena_copy(r->arena, w.text, w.n);
    return d->options.client_version ? 0 : -ENOMEM;
}

static int set_server_version(struct reading *r, struct case_dialogue *d, struct words w) {
    struct version v;
    char greeting[200];
    size_t n;

    if (version_read(w.text, w.n, &v)) {
        fault(r, w, "write it as MAJOR.MINOR", "this is no version number");
        return 0;
    }
    n = (size_t)snprintf(
        greeting, sizeof(greeting),
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": %u, \"minor\": %u, \"major\": %u}, \"package\": \"\"}, "
        "\"capabilities\": [\"oob\"]}}",
        v.micro, v.minor, v.major);
    d->greeting = arena_copy(r->arena, greeting, n);
    return d->greeting ? 0 : -ENOMEM;
}

static int set_server_commands(struct reading *r, struct case_dialogue *d, struct words w) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct words word;

    buffer_append_string(&b, "[");
    while (next_word(&w, &word))
        buffer_printf(&b, "%s{\"name\": \"%.*s\"}", b.n > 1 ? ", " : "", (int)word.n, word.text);
    buffer_append_string(&b, "]");
    if (b.failed)
        return -ENOMEM;
    d->commands = arena_copy(r->arena, b.data, b.n);
    return d->commands ? 0 : -ENOMEM;
}

static const struct {
    const char *name;
    size_t offset;
    bool is_ms; /* uint32_t, otherwise size_t */
} limit_table[] = {
    {"max_message_bytes", offsetof(struct limits, max_message_bytes), false},
    {"max_pending", offsetof(struct limits, max_pending), false},
    {"max_held", offsetof(struct limits, max_held), false},
    {"max_held_bytes", offsetof(struct limits, max_held_bytes), false},
    {"max_facts", offsetof(struct limits, max_facts), false},
    {"max_facts_bytes", offsetof(struct limits, max_facts_bytes), false},
    {"max_kept_fds", offsetof(struct limits, max_kept_fds), false},
    {"max_out_bytes", offsetof(struct limits, max_out_bytes), false},
    {"ask_timeout_ms", offsetof(struct limits, ask_timeout_ms), true},
    {"fd_timeout_ms", offsetof(struct limits, fd_timeout_ms), true},
};

static bool set_limit(struct limits *limits, struct words name, uint64_t value) {
    for (size_t i = 0; i < ARRAY_SIZE(limit_table); i++) {
        char *field = (char *)limits + limit_table[i].offset;

        if (!is_same(name, limit_table[i].name))
            continue;
        if (limit_table[i].is_ms)
            *(uint32_t *)field = (uint32_t)value;
        else
            *(size_t *)field = (size_t)value;
        return true;
    }
    return false;
}

static int set_limits(struct reading *r, struct case_dialogue *d, struct words w) {
    struct words word;

    while (next_word(&w, &word)) {
        const char *sign = memchr(word.text, '=', word.n);
        size_t n_name = sign ? (size_t)(sign - word.text) : word.n;
        uint64_t value;

        if (!sign || !read_number((struct words){sign + 1, word.n - n_name - 1}, &value))
            fault(r, word, "write NAME=NUMBER", "this is no limit");
        else if (!set_limit(&d->limits, (struct words){word.text, n_name}, value))
            fault(r, word, "they stand in qmp-shim(1) under LIMITS", "there is no such limit");
    }
    return 0;
}

static int set_handshake(struct reading *r, struct case_dialogue *d, struct words w) {
    d->has_no_handshake = is_same(w, "none");
    d->is_oob = is_same(w, "oob");
    if (!d->has_no_handshake && !d->is_oob)
        fault(r, w, "oob: the client enables it; none: there is none",
              "the handshake is oob or none");
    return 0;
}

static int set_probe(struct reading *r, struct case_dialogue *d, struct words w) {
    if (w.n > 0)
        fault(r, w, NULL, "nothing follows no-probe");
    d->options.no_probe = true;
    return 0;
}

static const struct {
    const char *name;
    int (*set)(struct reading *r, struct case_dialogue *d, struct words w);
} setting_table[] = {
    {"rules:", set_rules},
    {"client:", set_client},
    {"client-version:", set_client_version},
    {"server-version:", set_server_version},
    {"server-commands:", set_server_commands},
    {"limits:", set_limits},
    {"handshake:", set_handshake},
    {"no-probe", set_probe},
};

/* Return: 0, -ENOMEM; *ret_is: it was one */
static int read_setting(struct reading *r, struct words line, bool *ret_is) {
    struct case_dialogue *d = r->dialogue ? r->dialogue : &r->shared;
    struct words w;

    for (size_t i = 0; i < ARRAY_SIZE(setting_table); i++) {
        if (!begins(line, setting_table[i].name, &w))
            continue;
        *ret_is = true;
        if (d->first)
            fault(r, line, "before the first line of the dialogue", "settings come first");
        return setting_table[i].set(r, d, w);
    }
    *ret_is = false;
    return 0;
}

/* --- steps ----------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* one character behind a backslash; *at is behind it then */
static bool read_escape(struct words w, size_t *at, char *ret) {
    static const char letters[] = "nrt\\\"", meanings[] = "\n\r\t\\\"";
    const char *letter = *at < w.n ? strchr(letters, w.text[*at]) : NULL;

    if (letter) {
        *ret = meanings[letter - letters];
        ++*at;
        return true;
    }
    if (*at + 2 >= w.n || w.text[*at] != 'x' || hex_digit(w.text[*at + 1]) < 0 ||
        hex_digit(w.text[*at + 2]) < 0)
        return false;
    *ret = (char)(hex_digit(w.text[*at + 1]) * 16 + hex_digit(w.text[*at + 2]));
    *at += 3;
    return true;
}

/* "…" with \n \r \t \\ \" \xHH; the string ends where @w does */
static int read_quoted(struct reading *r, struct words w, struct case_step *step) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    size_t at = 1;
    char c;

    if (w.n < 2 || w.text[0] != '"' || w.text[w.n - 1] != '"') {
        fault(r, w, "with \\n \\r \\t \\\\ \\\" \\xHH in it", "write the bytes in quotation marks");
        return 0;
    }
    while (at < w.n - 1) {
        c = w.text[at++];
        if (c == '\\' && !read_escape(w, &at, &c)) {
            fault(r, (struct words){w.text + at - 1, 2}, "\\n \\r \\t \\\\ \\\" and \\xHH are",
                  "this is no escape");
            return 0;
        }
        buffer_append(&b, &c, 1);
    }
    if (b.failed)
        return -ENOMEM;
    step->text = arena_copy(r->arena, b.data ? b.data : "", b.n);
    step->n_text = b.n;
    return step->text ? 0 : -ENOMEM;
}

static int read_json(struct reading *r, struct words w, struct case_step *step) {
    struct json_fault where;
    struct json *value;
    int x;

    x = json_read(r->arena, w.text, w.n, false, &value, &where);
    if (x < 0)
        return x;
    if (x > 0)
        fault(r,
              (struct words){w.text + where.at, size_min(where.n, w.n - size_min(where.at, w.n))},
              "write raw \"…\" for what is no JSON", where.message);
    else
        step->value = value;
    return 0;
}

/* the last " with " in @w.  Return: where; NULL: it has none */
static const char *find_with(const struct words *w) {
    static const char with[] = " with ";
    const char *found = NULL;

    for (size_t i = 0; i + strlen(with) < w->n; i++)
        if (memcmp(w->text + i, with, strlen(with)) == 0)
            found = w->text + i;
    return found;
}

/* a KIND, for reading|writing, at OFFSET */
static bool read_fd(struct words rest, struct fdlook *ret) {
    struct words word;
    uint64_t n;

    *ret = (struct fdlook){.access = FDLOOK_ANY};
    if (!next_word(&rest, &word))
        return false;
    for (size_t i = 0; fdlook_kinds[i]; i++)
        if (is_same(word, fdlook_kinds[i]))
            ret->kind = fdlook_kinds[i];
    while (ret->kind && next_word(&rest, &word)) {
        bool is_offset = is_same(word, "at");

        if ((!is_offset && !is_same(word, "for")) || !next_word(&rest, &word))
            return false;
        if (is_offset && read_number(word, &n)) {
            ret->has_offset = true;
            ret->offset = (int64_t)n;
        } else if (!is_offset && is_same(word, "reading")) {
            ret->access = FDLOOK_READ;
        } else if (!is_offset && is_same(word, "writing")) {
            ret->access = FDLOOK_WRITE;
        } else {
            return false;
        }
    }
    return ret->kind != NULL;
}

/* " with N fds", or " with a file …", at the end of @w goes */
static void take_fds(struct words *w, struct case_step *step) {
    const char *found = find_with(w);
    struct words rest, word;
    uint64_t n;

    if (!found)
        return;
    rest = trimmed(found + strlen(" with "), w->n - (size_t)(found - w->text) - strlen(" with "));
    if (!next_word(&rest, &word))
        return;
    rest = trimmed(rest.text, rest.n);
    if (read_number(word, &n) && (is_same(rest, "fd") || is_same(rest, "fds")))
        step->n_fds = (size_t)n;
    else if (is_same(word, "a") && read_fd(rest, &step->fd))
        step->n_fds = 1;
    else
        return;
    *w = trimmed(w->text, (size_t)(found - w->text));
}

static int read_content(struct reading *r, struct words w, struct case_step *step) {
    struct words bytes;

    take_fds(&w, step);
    if (step->kind == CASE_RECEIVE_EXACTLY)
        return read_quoted(r, w, step);
    if (step->kind == CASE_SEND && begins(w, "raw", &bytes))
        return read_quoted(r, bytes, step);
    return read_json(r, w, step);
}

static int read_wait(struct reading *r, struct words w, struct case_step *step) {
    struct words number = w;
    uint64_t unit = 1;

    while (number.n > 0 && (number.text[number.n - 1] < '0' || number.text[number.n - 1] > '9'))
        number.n--;
    if (is_same((struct words){w.text + number.n, w.n - number.n}, "s"))
        unit = 1000;
    else if (!is_same((struct words){w.text + number.n, w.n - number.n}, "ms"))
        number.n = 0;
    if (!read_number(number, &step->ms))
        fault(r, w, "for example 200ms or 5s", "this is no time");
    step->ms *= unit;
    return 0;
}

static const struct {
    const char *start;
    enum case_step_kind kind;
    enum side side;
    int (*read)(struct reading *r, struct words w,
                struct case_step *step); /* NULL: nothing follows */
} step_table[] = {
    {"client>", CASE_SEND, SIDE_CLIENT, read_content},
    {"client<=", CASE_RECEIVE_EXACTLY, SIDE_CLIENT, read_content},
    {"client<", CASE_RECEIVE, SIDE_CLIENT, read_content},
    {"client closes", CASE_CLOSE, SIDE_CLIENT, NULL},
    {"client sees end", CASE_SEE_END, SIDE_CLIENT, NULL},
    {"qemu>", CASE_SEND, SIDE_SERVER, read_content},
    {"qemu<=", CASE_RECEIVE_EXACTLY, SIDE_SERVER, read_content},
    {"qemu<", CASE_RECEIVE, SIDE_SERVER, read_content},
    {"qemu closes", CASE_CLOSE, SIDE_SERVER, NULL},
    {"qemu sees end", CASE_SEE_END, SIDE_SERVER, NULL},
    {"after", CASE_WAIT, SIDE_CLIENT, read_wait},
};

static int add_step(struct reading *r, struct words line, size_t row, struct words w) {
    struct case_step *step = arena_alloc(r->arena, sizeof(*step));
    int x;

    if (!step)
        return -ENOMEM;
    step->kind = step_table[row].kind;
    step->side = step_table[row].side;
    step->at = (size_t)(line.text - r->source->text);
    step->n_at = line.n;
    if (!r->dialogue) {
        x = begin_dialogue(r, step->at);
        if (x < 0)
            return x;
    }
    *r->dialogue->last = step;
    r->dialogue->last = &step->next;
    if (!step_table[row].read) {
        if (w.n > 0)
            fault(r, w, NULL, "nothing follows here");
        return 0;
    }
    return step_table[row].read(r, w, step);
}

static int read_step(struct reading *r, struct words line) {
    struct words w;

    for (size_t i = 0; i < ARRAY_SIZE(step_table); i++)
        if (begins(line, step_table[i].start, &w))
            return add_step(r, line, i, w);
    fault(r, line, "qmp-shim-rules(5) tells what a case file can say", "this line says nothing");
    return 0;
}

/* --- lines ------------------------------------------------------------------------------------------ */

static int read_title(struct reading *r, struct words line, struct words title) {
    int x;

    if (r->dialogue && !r->is_titled)
        fault(r, line, "put \"case:\" before its first line too",
              "the dialogue above has no title");
    r->is_titled = true;
    x = begin_dialogue(r, (size_t)(line.text - r->source->text));
    if (x < 0)
        return x;
    r->dialogue->title = arena_copy(r->arena, title.text, title.n);
    return r->dialogue->title ? 0 : -ENOMEM;
}

/* the first comment says what the file shows */
static int read_comment(struct reading *r, struct words comment) {
    if (r->shared.title || r->dialogue)
        return 0;
    r->shared.title = arena_copy(r->arena, comment.text, comment.n);
    return r->shared.title ? 0 : -ENOMEM;
}

static int read_line(struct reading *r, struct words line) {
    struct words w;
    bool is_setting;
    int x;

    if (line.n == 0)
        return 0;
    if (begins(line, "#", &w))
        return read_comment(r, w);
    if (begins(line, "case:", &w))
        return read_title(r, line, w);
    x = read_setting(r, line, &is_setting);
    return x < 0 || is_setting ? x : read_step(r, line);
}

int case_read(struct arena *arena, const struct diag_source *source,
              struct case_dialogue **ret_first, struct diag_set *diags) {
    struct reading r = {
        .arena = arena,
        .source = source,
        .diags = diags,
        .shared = {.source = source,
                   .limits = LIMITS_DEFAULT,
                   .greeting = "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}"},
        .last = &r.first,
    };
    int x;

    for (size_t at = 0; at < source->n_text;) {
        const char *newline = memchr(source->text + at, '\n', source->n_text - at);
        size_t n = newline ? (size_t)(newline - source->text) - at : source->n_text - at;

        x = read_line(&r, trimmed(source->text + at, n));
        if (x < 0)
            return x;
        at += n + 1;
    }
    if (!r.first && !r.is_invalid)
        fault(&r, (struct words){source->text, 0},
              "for example: client> {\"execute\": \"query-version\"}", "there is no dialogue here");
    *ret_first = r.first;
    return r.is_invalid ? CASE_E_INVALID : 0;
}
