#include "qmp/message.h"

#include <errno.h>
#include <string.h>

#include "json/reader.h"
#include "json/span.h"

static const struct {
    const char *key;
    size_t n_key;
    enum frame_kind kind;
    bool has_name;
} kinds[] = {
    {"execute", 7, FRAME_COMMAND, true}, {"exec-oob", 8, FRAME_COMMAND_OOB, true},
    {"return", 6, FRAME_RETURN, false},  {"error", 5, FRAME_ERROR, false},
    {"event", 5, FRAME_EVENT, true},     {"QMP", 3, FRAME_GREETING, false},
};

/* rules know "execute" only */
static void unify_oob(const struct json *member) {
    struct json *m = (struct json *)member;

    m->key = "execute";
    m->n_key = strlen("execute");
}

/* Return: the first of kinds[] that @root has a member for; ARRAY_SIZE(kinds): none */
static size_t first_kind(const struct json *root, const struct json **ret_member) {
    size_t first = ARRAY_SIZE(kinds);

    for (size_t k = 0; k < root->n_items; k++)
        for (size_t i = 0; i < first; i++)
            if (root->items[k].n_key == kinds[i].n_key &&
                memcmp(root->items[k].key, kinds[i].key, kinds[i].n_key) == 0) {
                *ret_member = &root->items[k];
                first = i;
            }
    return first;
}

static int find_kind(struct message *m) {
    const struct json *member = NULL;
    size_t i = first_kind(m->root, &member);

    if (i == ARRAY_SIZE(kinds))
        return MESSAGE_E_INVALID;
    m->kind = kinds[i].kind;
    if (m->kind == FRAME_COMMAND && json_member(m->root, "exec-oob"))
        return MESSAGE_E_INVALID;
    if (!kinds[i].has_name)
        return 0;
    if (member->type != JSON_STRING)
        return MESSAGE_E_INVALID;
    m->name = member->string;
    m->n_name = member->n_string;
    if (m->kind == FRAME_COMMAND_OOB)
        unify_oob(member);
    return 0;
}

static int unquoted(struct arena *arena, const char *text, size_t n, struct message *ret) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    int r;

    if (memchr(text, '\'', n)) {
        r = json_unquote(text, n, &b);
        if (r < 0)
            return r;
        text = b.data;
        n = b.n;
    }
    ret->text = arena_copy(arena, text, n);
    ret->n_text = n;
    return ret->text ? 0 : -ENOMEM;
}

static int read_to(struct arena *arena, const char *text, size_t n, size_t depth,
                   struct message *ret) {
    struct message m = {0};
    struct json *root;
    int r;

    r = unquoted(arena, text, n, &m);
    if (r < 0)
        return r;
    r = span_outline(arena, m.text, m.n_text, depth, &root);
    if (r < 0)
        return r;
    if (r > 0 || root->type != JSON_OBJECT)
        return MESSAGE_E_INVALID;
    m.root = root;
    r = find_kind(&m);
    if (r)
        return r;
    *ret = m;
    return 0;
}

int message_read(struct arena *arena, const char *text, size_t n, struct message *ret) {
    return read_to(arena, text, n, SIZE_MAX, ret);
}

int message_outline(struct arena *arena, const char *text, size_t n, struct message *ret) {
    enum { MESSAGE_OUTLINE_DEPTH = 3 }; /* the message, its list, an element */
    int r;

    r = read_to(arena, text, n, MESSAGE_OUTLINE_DEPTH, ret);
    if (r || ret->root->is_neat)
        return r;
    return message_read(arena, text, n, ret); /* it has to be written anew, item by item */
}

enum frame_kind message_kind(const char *text, size_t n) {
    enum { MESSAGE_FIRST_BYTES = 256 }; /* mostly it is among those */
    struct frame_reader reader;
    size_t n_first = size_min(n, MESSAGE_FIRST_BYTES), n_scanned;

    frame_reader_init(&reader, FRAME_SERVER);
    if (frame_scan(&reader, text, n_first, &n_scanned) == FRAME_PART && n > n_first &&
        frame_reader_frame(&reader)->kind == FRAME_UNKNOWN)
        frame_scan(&reader, text + n_first, n - n_first, &n_scanned);
    return frame_reader_frame(&reader)->kind;
}

/* --- the id ----------------------------------------------------------------------------------- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* where the member with the value at @at begins: its name's opening quote */
static size_t member_start(const char *text, size_t at) {
    while (is_blank(text[at - 1]) || text[at - 1] == ':')
        at--;
    at--; /* the closing quote */
    return at - strlen("id") - 1;
}

/* without the id, and without one of the commas beside it */
static void without_id(struct buffer *b, const char *text, size_t n, struct frame_slice id) {
    size_t from = member_start(text, id.at), to = id.at + id.n, before = from, after = to;

    while (before > 0 && is_blank(text[before - 1]))
        before--;
    while (after < n && is_blank(text[after]))
        after++;
    if (text[before - 1] == ',') {
        from = before - 1;
    } else if (text[after] == ',') {
        to = after + 1;
        while (is_blank(text[to]))
            to++;
    }
    buffer_append(b, text, from);
    buffer_append(b, text + to, n - to);
}

static void added_id(struct buffer *b, const char *text, size_t n, const char *id, size_t n_id) {
    size_t end = n - 1; /* the closing brace */

    while (is_blank(text[end - 1]))
        end--;
    buffer_append(b, text, end);
    buffer_append_string(b, text[end - 1] == '{' ? "\"id\": " : ", \"id\": ");
    buffer_append(b, id, n_id);
    buffer_append(b, text + end, n - end);
}

/* Return: where the plain string or number that ends before @end begins; 0: there is none */
static size_t scalar_start(const char *text, size_t end) {
    size_t at = end;

    if (text[end - 1] == '"') {
        for (at = end - 1; at > 0 && text[at - 1] != '"'; at--)
            if (text[at - 1] == '\\')
                return 0;
        return at > 0 ? at - 1 : 0;
    }
    while (at > 0 && text[at - 1] >= '0' && text[at - 1] <= '9')
        at--;
    return at < end ? at : 0;
}

/*
 * Mostly the id is the last member, and then found from the end: which of
 * the quotes there open and which close is certain from there, and the last
 * brace is that of the top level.
 */
static bool find_last_id(const char *text, size_t n, struct frame_slice *ret) {
    static const char name[] = ", \"id\": ";
    size_t n_name = sizeof(name) - 1, at;

    if (n < 2)
        return false;
    at = scalar_start(text, n - 1);
    if (at < n_name || memcmp(text + at - n_name, name, n_name) != 0)
        return false;
    *ret = (struct frame_slice){at, n - 1 - at};
    return true;
}

static struct frame_slice find_id(enum frame_source source, const char *text, size_t n) {
    struct frame_reader reader;
    struct frame_slice id;
    size_t n_scanned;

    /* a client may say it twice, and then the first one counts */
    if (source == FRAME_SERVER && find_last_id(text, n, &id))
        return id;
    frame_reader_init(&reader, source);
    frame_scan(&reader, text, n, &n_scanned);
    return frame_reader_frame(&reader)->id;
}

int message_put_id(struct buffer *b, enum frame_source source, const char *text, size_t n,
                   const char *id, size_t n_id) {
    struct frame_slice old = find_id(source, text, n);

    if (old.n == 0 && id) {
        added_id(b, text, n, id, n_id);
    } else if (old.n == 0) {
        buffer_append(b, text, n);
    } else if (!id) {
        without_id(b, text, n, old);
    } else {
        buffer_append(b, text, old.at);
        buffer_append(b, id, n_id);
        buffer_append(b, text + old.at + old.n, n - old.at - old.n);
    }
    return buffer_status(b);
}
