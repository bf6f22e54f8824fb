#include "proxy/redact.h"

#include <errno.h>
#include <string.h>

#include "json/reader.h"
#include "qmp/frame.h"
#include "qmp/message.h"

#define REDACT_BLANK "\"***\""

/* --- the file ------------------------------------------------------------------------------------- */

static int fault(struct diag_set *diags, const struct diag_source *source, const struct json *v,
                 const char *message) {
    diag_add(diags, DIAG_ERROR, source, (size_t)(v->text - source->text), v->n_text,
             "qmp-shim-trace(5) tells what it can say", "%s", message);
    return REDACT_E_INVALID;
}

static int check_members(const struct diag_source *source, const struct json *list,
                         struct diag_set *diags) {
    if (list->type != JSON_ARRAY)
        return fault(diags, source, list, "this is no list of members");
    for (size_t i = 0; i < list->n_items; i++)
        if (list->items[i].type != JSON_STRING)
            return fault(diags, source, &list->items[i], "this is no name of a member");
    return 0;
}

/* nearly all commands are told apart from those with secrets by this */
static uint64_t mark_of(const char *name, size_t n) {
    return n == 0
               ? 1
               : 1ULL << ((n * 5 + (unsigned char)name[0] * 3 + (unsigned char)name[n - 1]) & 63);
}

int redact_load(struct redact *r, const struct diag_source *source, struct diag_set *diags) {
    struct json_fault where;
    struct json *root;
    int x;

    x = json_read(&r->arena, source->text, source->n_text, true, &root, &where);
    if (x < 0)
        return x;
    if (x > 0) {
        diag_add(diags, DIAG_ERROR, source, where.at, where.n, NULL, "%s", where.message);
        return REDACT_E_INVALID;
    }
    r->commands = json_member(root, "commands");
    if (!json_member(root, "qmp-shim-redact") || !r->commands || r->commands->type != JSON_OBJECT)
        return fault(diags, source, root, "this is no list of secrets");
    for (size_t i = 0; x == 0 && i < r->commands->n_items; i++) {
        r->marks |= mark_of(r->commands->items[i].key, r->commands->items[i].n_key);
        x = check_members(source, &r->commands->items[i], diags);
    }
    return x;
}

void redact_deinit(struct redact *r) {
    arena_deinit(&r->arena);
    *r = (struct redact)REDACT_INIT;
}

bool redact_has(const struct redact *r, const char *name, size_t n_name) {
    return r->marks & mark_of(name, n_name) && json_member_n(r->commands, name, n_name);
}

/* --- a message ---------------------------------------------------------------------------------------- */

struct blanking {
    const struct json *secrets;
    const char *from; /* what is copied next */
    struct buffer *text;
    bool has_blanked;
};

static bool is_secret(const struct json *secrets, const struct json *member) {
    for (size_t i = 0; member->key && i < secrets->n_items; i++)
        if (secrets->items[i].n_string == member->n_key &&
            memcmp(secrets->items[i].string, member->key, member->n_key) == 0)
            return true;
    return false;
}

/* @depth is that of JSON, which the reader limits */
static void blank(struct blanking *b, const struct json *v) {
    for (size_t i = 0; i < v->n_items; i++) {
        const struct json *member = &v->items[i];

        if (member->type == JSON_ARRAY || member->type == JSON_OBJECT) {
            blank(b, member);
        } else if (is_secret(b->secrets, member)) {
            buffer_append(b->text, b->from, (size_t)(member->text - b->from));
            buffer_append_string(b->text, REDACT_BLANK);
            b->from = member->text + member->n_text;
            b->has_blanked = true;
        }
    }
}

static bool is_blank(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!memchr(" \t\r\n", text[i], 4))
            return false;
    return true;
}

/* a name may be written with escapes */
static bool may_have_secret(const struct redact *r, const char *text, size_t n) {
    if (memchr(text, '\\', n))
        return true;
    for (size_t i = 0; r->commands && i < r->commands->n_items; i++)
        if (memmem(text, n, r->commands->items[i].key, r->commands->items[i].n_key))
            return true;
    return false;
}

static int copy(struct buffer *b, const char *text, size_t n) {
    buffer_append(b, text, n);
    return buffer_status(b);
}

int redact_text(const struct redact *r, const char *text, size_t n, bool is_whole,
                struct buffer *ret_text, bool *ret_is_blanked) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct blanking b = {.text = ret_text};
    struct message m;
    int x = MESSAGE_E_INVALID;

    buffer_clear(ret_text);
    *ret_is_blanked = false;
    if (is_blank(text, n) || (is_whole && !may_have_secret(r, text, n)))
        return copy(ret_text, text, n);
    if (is_whole)
        x = message_read(&arena, text, n, &m);
    if (x < 0)
        return x;
    if (x > 0) {
        *ret_is_blanked = true;
        return copy(ret_text, "", 0);
    }
    b.secrets = m.name ? json_member_n(r->commands, m.name, m.n_name) : NULL;
    if (!b.secrets)
        return copy(ret_text, text, n);
    b.from = m.text;
    blank(&b, m.root);
    *ret_is_blanked = b.has_blanked;
    if (!b.has_blanked)
        return copy(ret_text, text, n);
    buffer_append(ret_text, b.from, (size_t)(m.text + m.n_text - b.from));
    return buffer_status(ret_text);
}
