#pragma once

/*
 * Doctored introspection: a client that asks a server what it has must find
 * what the rules give it.  The replies to query-commands, query-events and
 * query-qmp-schema get the client-side names of the working rules, worked
 * out from the rules.  The only file of the engine that knows commands by name.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "qmp/message.h"
#include "rule/selection.h"

enum introspect_kind { INTROSPECT_NONE, INTROSPECT_COMMANDS, INTROSPECT_EVENTS, INTROSPECT_SCHEMA };

/* which of the three @name is */
enum introspect_kind introspect_find(const char *name, size_t n_name);

/* the commands that the shim itself sends */
#define INTROSPECT_ASK_SCHEMA "{\"execute\": \"query-qmp-schema\"}"
#define INTROSPECT_ASK_COMMANDS "{\"execute\": \"query-commands\"}"
/* answered by every server in every state, in its turn, with the id it was sent with: tells that what came before is answered */
#define INTROSPECT_ASK_TURN "{\"execute\": \"query-version\"}"

enum {
    _INTROSPECT_E_SUCCESS,
    INTROSPECT_E_NOTHING, /* there is nothing to add */
};

/*
 * introspect_doctor() - a reply with what the rules add
 * @reply: a return to the command of @kind
 * @text:  appended to
 *
 * Return: 0, -ENOMEM, INTROSPECT_E_NOTHING.
 */
int introspect_doctor(const struct selection *selection, enum introspect_kind kind,
                      const struct message *reply, struct buffer *text);
