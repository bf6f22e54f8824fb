/*
 * Framing: what both scanners have in common, and which one reads.  Not a
 * parser: nothing is built, nothing is kept.
 */
#include "qmp/frame.h"

#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "qmp/frame_parts.h"
#include "qmp/lexer.h"

void frame_key_end(struct frame_reader *r) {
    static const struct {
        char text[8]; /* padded with NUL, which no key contains */
        enum frame_kind kind;
        enum key key;
    } table[] = {
        {"execute", FRAME_COMMAND, KEY_NAME},
        {{'e', 'x', 'e', 'c', '-', 'o', 'o', 'b'}, FRAME_COMMAND_OOB, KEY_NAME},
        {"return", FRAME_RETURN, KEY_OTHER},
        {"error", FRAME_ERROR, KEY_OTHER},
        {"event", FRAME_EVENT, KEY_NAME},
        {"QMP", FRAME_GREETING, KEY_OTHER},
        {"id", FRAME_UNKNOWN, KEY_ID},
    };
    struct frame *f = &r->frame;
    size_t i = 0;

    r->key = KEY_OTHER;
    while (i < ARRAY_SIZE(table) && memcmp(r->key_text, table[i].text, sizeof(r->key_text)))
        i++;
    if (i == ARRAY_SIZE(table) || r->n_key_text > sizeof(r->key_text))
        return;
    if (table[i].key == KEY_ID ? f->has_id : f->kind != FRAME_UNKNOWN) {
        f->is_ambiguous = true;
        return;
    }
    if (table[i].key != KEY_ID)
        f->kind = table[i].kind;
    r->key = table[i].key;
}

void frame_reader_init(struct frame_reader *r, enum frame_source source) {
    *r = (struct frame_reader){.source = source, .lexer = LEXER_START};
}

bool frame_reader_is_fresh(const struct frame_reader *r) {
    if (r->is_inside)
        return false;
    /* a server's objects begin afresh whatever stood between them */
    return r->source == FRAME_SERVER ||
           (r->lexer == LEXER_START && r->n_braces == 0 && r->n_brackets == 0);
}

enum frame_scan frame_scan(struct frame_reader *r, const char *text, size_t n, size_t *ret_n) {
    assert(n > 0); /* a caller asks only with bytes in hand */
    return r->source == FRAME_CLIENT ? frame_client_scan(r, text, n, ret_n)
                                     : frame_server_scan(r, text, n, ret_n);
}
