#pragma once

/*
 * Engine: one message's way through the chain of rule files.  Message in,
 * orders out: it sends nothing, waits for nothing and knows no session.
 *
 * A hop is a place in the chain, counted from the client's end; at each hop
 * the first rule that matches, and no other, applies.  A command goes from
 * hop 0 up and its reply back through the rules the command went through;
 * an event comes from the last hop down.  What a rule at hop H asks the
 * server goes from hop H + 1 up, and an event that it makes goes from hop
 * H - 1 down: each file knows one step only.
 *
 * A rule that cannot finish leaves the message as it came.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "qmp/message.h"
#include "rule/bindings.h"
#include "rule/facts.h"
#include "rule/fdtable.h"
#include "rule/program.h"
#include "rule/selection.h"

/* what the exchanges of one session share */
struct engine {
    const struct program *program;
    struct selection *selection;
    bool has_server;
    struct version server; /* its version, from the greeting */
    struct fdtable fds;
    struct facts facts;
    struct list waits; /* struct exchange.in_waits: commands with an "until" that was not met yet */
    int64_t wall_us;   /* now, for the timestamp of an event made here */
    struct buffer schema; /* the server's reply to query-qmp-schema, once a rule has asked for it */
};

enum engine_outcome {
    ENGINE_PASS,   /* send message.text on */
    ENGINE_DROP,   /* send nothing */
    ENGINE_ANSWER, /* a command: reply.text is the reply, without an id; send nothing to the server */
    ENGINE_WAIT,   /* for an event, until engine_has_met() or engine_wait_ms() have passed */
    ENGINE_ASK, /* send ask to the server, from ask_hop on, and give its reply to engine_answer() */
};

/* a message of the shim's own that a rule ordered */
enum engine_own_kind { ENGINE_OWN_COMMAND, ENGINE_OWN_EVENT_BEFORE, ENGINE_OWN_EVENT };

struct engine_own {
    struct engine_own *next;
    enum engine_own_kind kind;
    const char *text;
    size_t n_text;
    size_t hop; /* where it enters the chain; past its end: it only has to be sent */
    const struct rule *rule;
};

/* a rule the message went through */
struct applied {
    struct applied *next; /* the one before it */
    const struct rule *rule;
    size_t hop;
    enum vars_side client_side;
    struct bindings *bindings;
    const struct picture *client, *server; /* NULL: this side has none */
    bool is_until_met;
};

/* a file descriptor that goes with a command */
struct engine_fd {
    struct fdtable_entry *entry; /* NULL: none that a rule speaks of */
    struct fdlook_wish wish;
};

enum engine_stage {
    ENGINE_FIND,
    ENGINE_ASKING,
    ENGINE_CONFORMING,
    ENGINE_WRITING,
    ENGINE_STEPPING
};

struct exchange {
    struct list in_waits;
    struct engine *engine;
    struct arena arena;
    bool from_client;
    bool is_changed; /* message.text is not what came */
    bool is_hidden;  /* an event that an "until" keeps from the client */
    bool is_awaited; /* an event that something waits for, which then comes right behind it */
    struct message message, reply;
    struct fdtable_entry *fd;    /* came with the command; NULL: none, or no rule wants to know */
    struct engine_fd message_fd; /* goes with it, in the place of those that came */
    bool is_reply_changed;
    size_t first_hop, hop;
    struct applied *applied; /* the latest first */
    const char *names[8];    /* of a command, on its way: for rules on replies to commands */
    size_t n_names;

    size_t n_tried; /* rules at hop that were looked at: the next ones may still apply */

    /* the rule at hop that is being applied */
    enum engine_stage stage;
    const struct rule *rule;
    enum vars_side client_side;
    const struct picture *read;
    struct bindings *bindings;
    size_t i;                   /* of its asks or steps */
    struct message types;       /* what its arguments are conformed to; root is NULL: nothing */
    const struct picture *step; /* the last one that was sent */
    bool is_step_met;           /* the event of its own "until" has come */
    bool is_waiting;            /* for that */

    const char *ask;
    size_t n_ask, ask_hop;
    struct engine_fd ask_fd;

    struct engine_own *own, **own_last;
    const struct rule
        *failed_rule; /* the last rule that could not finish, until the caller has taken note */
    const char *failed_why;
};

struct engine_limits {
    size_t max_facts, max_facts_bytes, max_kept_fds;
};

void engine_init(struct engine *e, const struct program *program,
                 const struct engine_limits *limits);
void engine_deinit(struct engine *e);

enum {
    _ENGINE_E_SUCCESS,
    ENGINE_E_INVALID, /* no QMP message: the peer's to judge */
};

/*
 * exchange_new() - a message enters the chain
 * @from_client: a command; otherwise an event, a greeting or a reply to an untracked command
 * @hop:         where it enters; at the client's end 0, at the server's program_n_files() - 1;
 *               past either end: no rule sees it
 *
 * Return: 0, -ENOMEM, ENGINE_E_INVALID.
 */
int exchange_new(struct engine *e, bool from_client, size_t hop, const char *text, size_t n,
                 struct exchange **ret_exchange);
struct exchange *exchange_free(struct exchange *x);

/* the dialect of the server, as the rule at hand has it */
static inline enum vars_side exchange_server_side(const struct exchange *x) {
    return x->client_side == VARS_OLD ? VARS_NEW : VARS_OLD;
}

/* go on until an order is due.  Return: 0 or -ENOMEM */
int engine_run(struct exchange *x, enum engine_outcome *ret_outcome);

/*
 * engine_answer() - the reply to what ENGINE_ASK ordered; then engine_run() goes on
 * @text: NULL: there was none in time
 */
int engine_answer(struct exchange *x, const char *text, size_t n);

/*
 * engine_reply() - the server's reply to a command that passed goes back
 * Its text is then in reply.text.  Return: 0, -ENOMEM, ENGINE_E_INVALID.
 */
int engine_reply(struct exchange *x, const char *text, size_t n);

/* must the reply to this command be seen? */
bool engine_wants_reply(const struct exchange *x);

/* is the reply to be held for an event that has not come yet?  @ret_timeout_ms: for how long */
bool engine_is_holding(const struct exchange *x, uint32_t *ret_timeout_ms);

/* how long a step waits for its event */
uint32_t engine_wait_ms(const struct exchange *x);

/* has the event come for which the step waits?  Then engine_run() goes on */
bool engine_has_met(const struct exchange *x);

/* it did not come in time; then engine_run() goes on.  Return: 0 or -ENOMEM */
int engine_stop_waiting(struct exchange *x);

/* is the command, under any of its names, one of @names (NULL-terminated)? */
bool engine_is_named(const struct exchange *x, const char *const *names);

/* the commands after whose replies this event is to come; NULL: at once */
const char *const *engine_after_reply(const struct exchange *x, uint32_t *ret_timeout_ms);
