/*
 * Messages: framing and reading agree on what an object is, and another id
 * changes nothing but the id.
 */

#include <string.h>

#include "fuzz.h"
#include "json/reader.h"
#include "qmp/message.h"

static const char new_id[] = "\"qmp-shim:1\"";

/* Return: is @text one object and nothing else? */
static bool frame_of(enum frame_source source, const char *text, size_t n, struct frame *ret) {
    struct frame_reader reader;
    size_t n_done;

    frame_reader_init(&reader, source);
    if (n == 0 || frame_scan(&reader, text, n, &n_done) != FRAME_OBJECT || n_done != n)
        return false;
    *ret = *frame_reader_frame(&reader);
    return true;
}

static bool has_id_key(const struct message *m) {
    return json_member(m->root, "id") != NULL;
}

static void check_members(const struct message *a, const struct message *b) {
    for (size_t i = 0; i < a->root->n_items; i++) {
        const struct json *member = &a->root->items[i],
                          *other = json_member_n(b->root, member->key, member->n_key);

        if (!json_key_is(member, "id"))
            FUZZ_CHECK(other && json_equal(member, other));
    }
}

/* the same message, under an id of the shim's own, and back */
static void check_put_id(enum frame_source source, const struct message *m, const char *text,
                         size_t n, const struct frame *frame) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    _cleanup_(buffer_deinit) struct buffer put = BUFFER_INIT, back = BUFFER_INIT;
    struct message changed;

    if (frame->is_escaped || has_id_key(m) != (frame->id.n > 0))
        return; /* the session leaves those alone */
    FUZZ_CHECK(message_put_id(&put, source, text, n, new_id, strlen(new_id)) == 0);
    FUZZ_CHECK(message_read(&arena, put.data, put.n, &changed) == 0);
    FUZZ_CHECK(json_is_string(json_member(changed.root, "id"), "qmp-shim:1"));
    FUZZ_CHECK(changed.kind == m->kind);
    check_members(m, &changed);
    FUZZ_CHECK(message_put_id(&back, source, put.data, put.n,
                              frame->id.n > 0 ? text + frame->id.at : NULL, frame->id.n) == 0);
    FUZZ_CHECK(message_read(&arena, back.data, back.n, &changed) == 0);
    FUZZ_CHECK(has_id_key(&changed) == has_id_key(m));
    check_members(m, &changed);
    if (frame->id.n > 0)
        FUZZ_CHECK(back.n == n && memcmp(back.data, text, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const char *text = (const char *)data;
    struct message m;
    struct frame frame;

    for (int source = FRAME_CLIENT; source <= FRAME_SERVER; source++) {
        if (!frame_of((enum frame_source)source, text, n, &frame))
            continue;
        if (message_read(&arena, text, n, &m) == 0)
            check_put_id((enum frame_source)source, &m, text, n, &frame);
    }
    FUZZ_CHECK(message_read(&arena, text, n, &m) >= 0);
    return 0;
}
