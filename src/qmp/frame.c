/*
 * Framing: which of the scanners reads.  Not a parser: nothing is built,
 * nothing is kept.
 */
#include "qmp/frame.h"

#include <assert.h>

#include "qmp/frame_parts.h"
#include "qmp/frame_quick.h"
#include "qmp/lexer.h"

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

/* Return: bytes of the object of a client that begins here; 0: frame_client_scan() must read */
static size_t scan_quickly(struct frame_reader *r, const char *text, size_t n) {
    size_t n_object = 0;

    if (*text == '{' && frame_reader_is_fresh(r))
        n_object = frame_quick(text, n, &r->frame);
    r->at += n_object;
    return n_object;
}

enum frame_scan frame_scan(struct frame_reader *r, const char *text, size_t n, size_t *ret_n) {
    assert(n > 0); /* a caller asks only with bytes in hand */
    if (r->source == FRAME_SERVER)
        return frame_server_scan(r, text, n, ret_n);
    *ret_n = scan_quickly(r, text, n);
    return *ret_n > 0 ? FRAME_OBJECT : frame_client_scan(r, text, n, ret_n);
}
