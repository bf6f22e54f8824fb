#pragma once

/*
 * Messages: what a framed JSON object says as QMP (docs/interop/qmp-spec.rst).
 * Kind, name and values; and the one edit that needs no rule: its id.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "json/value.h"
#include "qmp/frame.h"

struct message {
    enum frame_kind kind;
    const char *name; /* of a command or event, decoded; else NULL */
    size_t n_name;
    const struct json
        *root;        /* "exec-oob" is found as "execute" in it; its text says which it was */
    const char *text; /* one object, nothing around it */
    size_t n_text;
};

enum {
    _MESSAGE_E_SUCCESS,
    MESSAGE_E_INVALID, /* no JSON, a key twice, or no kind of QMP message: the peer's to judge */
};

/*
 * message_read()
 * @text: copied into @arena (single quotes as JSON has them)
 *
 * Return: 0, -ENOMEM, MESSAGE_E_INVALID.
 */
int message_read(struct arena *arena, const char *text, size_t n, struct message *ret);

/* Return: which kind of message @text, a whole one of the server, is; it is not read for that */
enum frame_kind message_kind(const char *text, size_t n);

/*
 * message_outline() - the same, without what is below the members of a list's elements
 *
 * Those values have no items (span.h), but can be written.  For a long reply
 * of which only names are of interest.
 */
int message_outline(struct arena *arena, const char *text, size_t n, struct message *ret);

/*
 * message_put_id() - the same message with another id
 * @id: its JSON text; NULL: without one
 *
 * Every other byte stays.  A message that had none gets its id as the last
 * member.  Return: 0 or -ENOMEM.
 */
int message_put_id(struct buffer *b, enum frame_source source, const char *text, size_t n,
                   const char *id, size_t n_id);
