#pragma once

/*
 * Compact commands: QEMU reads its monitor a byte at a time, at some
 * microseconds each, so a command arrives sooner without its blanks, and
 * with an id of one character.  The client's own id is put back into the
 * reply, digit for digit.
 *
 * Replies must come in the order of the commands: not while out-of-band
 * execution is enabled.  What is no plain command ends it for good, because
 * the reply to that, and whether there is one, cannot be told.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "base/list.h"
#include "qmp/frame.h"

struct compact {
    struct list ids; /* of the commands under way, the oldest first */
    size_t n_ids;
    unsigned int n_sent; /* the next one's id is its last digit */
    bool is_on;
};

void compact_init(struct compact *c);
void compact_deinit(struct compact *c);

enum {
    _COMPACT_E_SUCCESS,
    COMPACT_E_AS_IT_IS, /* nothing was appended: use the text as it is */
};

/*
 * compact_command() - a command on its way to the server
 * @max_ids: this many commands may be under way
 * @b:       the short text is appended to it
 *
 * Return: 0, -ENOMEM, COMPACT_E_AS_IT_IS.  After the last, it is off.
 */
int compact_command(struct compact *c, const char *text, size_t n, size_t max_ids,
                    struct buffer *b);

/*
 * compact_reply() - a reply on its way to the client
 * @frame:     of @text
 * @b:         the text with the client's id is appended to it
 * @ret_frame: of that text
 *
 * Return: 0, -ENOMEM, COMPACT_E_AS_IT_IS.
 */
int compact_reply(struct compact *c, const char *text, size_t n, const struct frame *frame,
                  struct buffer *b, struct frame *ret_frame);

/* is a reply to come that may need its id put back? */
static inline bool compact_is_waiting(const struct compact *c) {
    return c->n_ids > 0;
}

/*
 * compact_text() - a command without what it does not need
 * @frame: of @text
 * @id:    goes in place of its id, if it has one
 */
void compact_text(const char *text, size_t n, const struct frame *frame, char id, struct buffer *b);
