#pragma once

/*
 * Loose types: the scalars of a command's arguments as the server's own word
 * wants them, "1" as 1 and "on" as true.  What does not fit stays as it is.
 */

#include "base/arena.h"
#include "base/buffer.h"
#include "qmp/message.h"
#include "rule/rule.h"

enum {
    _CONFORM_E_SUCCESS,
    CONFORM_E_NOTHING, /* nothing to change */
};

/*
 * conform_by_schema() - to the types of a query-qmp-schema reply
 * @schema: the whole reply
 * @text:   appended to: the command
 *
 * Return: 0, -ENOMEM, CONFORM_E_NOTHING.
 */
int conform_by_schema(struct arena *arena, const struct json *schema, const struct message *command,
                      struct buffer *text);

/*
 * conform_by_list() - to the types that a list in a reply tells by name
 * @rule:  its conform_types and conform_except
 * @reply: the whole reply
 */
int conform_by_list(struct arena *arena, const struct rule *rule, const struct json *reply,
                    const struct message *command, struct buffer *text);
