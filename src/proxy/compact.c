#include "proxy/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* what the reply to a command under way gets back */
struct compact_id {
    struct list in_compact;
    char short_id; /* a digit, which is its own JSON text; 0: it gave no id, and gets none */
    size_t n;
    char text[];
};

void compact_init(struct compact *c) {
    *c = (struct compact){.is_on = false};
    list_init(&c->ids);
}

static void id_free(struct compact *c, struct compact_id *id) {
    list_remove(&id->in_compact);
    c->n_ids--;
    free(id);
}

void compact_deinit(struct compact *c) {
    list_for_each_safe(i, &c->ids)
        id_free(c, list_entry(i, struct compact_id, in_compact));
}

/* --- commands ------------------------------------------------------------------------------------ */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Return: bytes of the string that begins @text, with both quotes */
static size_t string_length(const char *text, size_t n) {
    size_t i = 1;

    while (i < n && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return size_min(i + 1, n);
}

static void append_dense(struct buffer *b, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t n_piece = text[i] == '"' ? string_length(text + i, n - i) : 1;

        if (!is_blank(text[i]))
            buffer_append(b, text + i, n_piece);
        i += n_piece;
    }
}

void compact_text(const char *text, size_t n, const struct frame *frame, char id,
                  struct buffer *b) {
    size_t rest = 0;

    if (frame->id.n > 0) {
        append_dense(b, text, frame->id.at);
        buffer_append(b, &id, 1);
        rest = frame->id.at + frame->id.n;
    }
    append_dense(b, text + rest, n - rest);
}

/* one command with one reply, which has the id that we see, or none; as JSON text, for the client gets it back */
static bool is_plain_command(const struct frame *f) {
    return f->kind == FRAME_COMMAND && f->has_name && !f->is_escaped && !f->is_ambiguous &&
           !f->is_single_quoted;
}

static int id_add(struct compact *c, const char *text, size_t n, char short_id) {
    struct compact_id *id = malloc(sizeof(*id) + n);

    if (!id)
        return -ENOMEM;
    id->short_id = short_id;
    id->n = n;
    memcpy(id->text, text, n);
    list_append(&c->ids, &id->in_compact);
    c->n_ids++;
    return 0;
}

int compact_command(struct compact *c, const char *text, size_t n, size_t max_ids,
                    struct buffer *b) {
    struct frame_reader reader;
    const struct frame *frame = frame_reader_frame(&reader);
    char short_id;
    enum frame_scan kind;
    size_t n_scanned;
    int r;

    if (!c->is_on)
        return COMPACT_E_AS_IT_IS;
    frame_reader_init(&reader, FRAME_CLIENT);
    kind = frame_scan(&reader, text, n, &n_scanned);
    if (kind != FRAME_OBJECT || !is_plain_command(frame) || c->n_ids >= max_ids) {
        c->is_on = false;
        return COMPACT_E_AS_IT_IS;
    }
    short_id = (char)(frame->id.n > 0 ? '0' + c->n_sent++ % 10 : 0);
    r = id_add(c, text + frame->id.at, frame->id.n, short_id);
    compact_text(text, n_scanned, frame, short_id, b);
    return r < 0 ? r : buffer_status(b);
}

/* --- replies -------------------------------------------------------------------------------------- */

static struct compact_id *find_id(struct compact *c, char short_id) {
    list_for_each(i, &c->ids) {
        struct compact_id *id = list_entry(i, struct compact_id, in_compact);

        if (id->short_id == short_id)
            return id;
    }
    return NULL;
}

/* those before it were answered, by whatever */
static void forget_before(struct compact *c, const struct compact_id *id) {
    while (c->ids.next != &id->in_compact)
        id_free(c, list_entry(c->ids.next, struct compact_id, in_compact));
}

int compact_reply(struct compact *c, const char *text, size_t n, const struct frame *frame,
                  struct buffer *b, struct frame *ret_frame) {
    struct compact_id *id;

    if (list_is_empty(&c->ids) || (frame->kind != FRAME_RETURN && frame->kind != FRAME_ERROR))
        return COMPACT_E_AS_IT_IS;
    if (frame->id.n == 0) { /* as it was sent, or the server is one that loses ids */
        id_free(c, list_entry(c->ids.next, struct compact_id, in_compact));
        return COMPACT_E_AS_IT_IS;
    }
    id = frame->id.n == 1 ? find_id(c, text[frame->id.at]) : NULL;
    if (!id)
        return COMPACT_E_AS_IT_IS;
    forget_before(c, id);
    buffer_append(b, text, frame->id.at);
    buffer_append(b, id->text, id->n);
    buffer_append(b, text + frame->id.at + 1, n - frame->id.at - 1);
    *ret_frame = *frame;
    ret_frame->id.n = id->n;
    ret_frame->n_bytes += id->n - 1;
    id_free(c, id);
    return buffer_status(b);
}
