#pragma once

/*
 * Selection: which rules of a program work for one client and one server,
 * from their versions and from what the server itself says it has.  The
 * others rest, each for a reason.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "base/list.h"
#include "rule/program.h"

enum selection_state {
    SELECTION_RESTS,
    SELECTION_OLD_CLIENT, /* the client is on the old side, the server on the new one */
    SELECTION_NEW_CLIENT, /* the reverse */
};

enum selection_reason {
    SELECTION_WORKS,
    SELECTION_FOR,            /* the rule is for the other kind of client */
    SELECTION_BOTH_KNOW,      /* client and server understand each other without it */
    SELECTION_SERVER_LACKS,   /* the server has not got the form it would write */
    SELECTION_SERVER_HAS,     /* the server itself has the command the client sends */
    SELECTION_COMMAND_LACKED, /* the server has not got the command it would send */
};

/* the names of the commands a server has, from its reply to query-commands */
struct selection_commands {
    const struct json *list; /* [{"name": …}, …] */
};

struct selection {
    unsigned int n_refs;
    struct list in_program; /* those that sessions share */
    const struct program *program;
    bool has_server;
    struct version server;
    bool is_ascending; /* the client stands at the old end of the chain */
    size_t n_working;
    unsigned char *state;  /* by struct rule.index: enum selection_state */
    unsigned char *reason; /* likewise: enum selection_reason */
    struct buffer names;   /* of those that work, for selection_tell(); empty until then */
};

/*
 * selection_new()
 * @server:   its version; NULL: not known (no greeting yet)
 * @commands: what it has; NULL: not asked
 *
 * Return: 0 or -ENOMEM.
 */
int selection_new(const struct program *program, const struct version *server,
                  const struct selection_commands *commands, struct selection **ret_selection);
struct selection *selection_ref(struct selection *s);
struct selection *selection_unref(struct selection *s);

/*
 * selection_share() - the same, chosen once for all sessions with such a server
 *
 * It must not outlive @program, which keeps the latest of them.
 * Return: 0 or -ENOMEM.
 */
int selection_share(struct program *program, const struct version *server,
                    struct selection **ret_selection);

/*
 * selection_tell() - the rules that work, by their files, in words
 * @ret_text: NUL-terminated, borrowed; "none" when there are none
 *
 * Return: 0 or -ENOMEM.
 */
int selection_tell(struct selection *s, const char **ret_text);

/* does a picture of @side read messages from the client? */
static inline bool selection_is_client_side(const struct selection *s, const struct rule *rule,
                                            enum vars_side side) {
    return s->state[rule->index] ==
           (side == VARS_OLD ? SELECTION_OLD_CLIENT : SELECTION_NEW_CLIENT);
}

static inline bool selection_is_working(const struct selection *s, const struct rule *rule) {
    return s->state[rule->index] != SELECTION_RESTS;
}

/* the side whose dialect the client speaks, by a rule that works */
static inline enum vars_side selection_client_side(const struct selection *s,
                                                   const struct rule *rule) {
    return s->state[rule->index] == SELECTION_OLD_CLIENT ? VARS_OLD : VARS_NEW;
}

/*
 * Is the server to be asked for its commands?  Only when versions decide,
 * because distributions backport; an operator who names the client's dialect
 * has decided.
 */
bool selection_wants_probe(const struct program *program);

/* one phrase, for `list` and the log */
const char *selection_reason_text(enum selection_reason reason);
