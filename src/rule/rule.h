#pragma once

/*
 * A rule and a rule file, as loaded.  Read-only once made; load.h makes
 * them, engine.h applies them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "json/diag.h"
#include "json/value.h"
#include "rule/pattern.h"
#include "rule/vars.h"
#include "rule/version.h"

enum picture_kind { PICTURE_COMMAND, PICTURE_EVENT, PICTURE_ERROR, PICTURE_GREETING };

struct picture;

struct picture_list {
    struct picture *picture;
    size_t n;
    bool is_list; /* written as a list: steps */
    bool is_null; /* this side has nothing like it */
};

/* what one message (and, of a command, its reply) looks like on one side */
struct picture {
    enum picture_kind kind;
    const char *name; /* of the command or event; NULL for the others */
    size_t n_name;
    struct pattern message; /* the whole object, without "return" and "error" of a command */
    struct pattern *fd;     /* COMMAND: the file descriptor that comes with it; NULL: not shown */
    struct pattern
        *reply[2]; /* COMMAND: the whole reply object, by enum reply_kind; NULL: not shown */
    struct picture_list until; /* COMMAND, a step: the next one waits for one of these events */
    size_t at, n_at;           /* its place in the file */
};

enum reply_kind { REPLY_RETURN, REPLY_ERROR };

/* what one reply looks like on both sides */
struct reply_pair {
    enum reply_kind kind[2]; /* by enum vars_side */
    struct pattern *side[2]; /* the whole reply object */
};

/* {"TABLE": {"$key": {…}}} */
struct fact_picture {
    const char *table;
    struct pattern key;
    struct pattern value; /* an object; unused by `forget` */
    bool has_fd;
    size_t fd_var; /* the number of a file descriptor, which is kept open */
};

struct fact_list {
    struct fact_picture *fact;
    size_t n;
};

enum rule_for { RULE_FOR_BOTH, RULE_FOR_OLD_CLIENT, RULE_FOR_NEW_CLIENT };

enum conform_by { CONFORM_NONE, CONFORM_SCHEMA, CONFORM_ASK };

struct rule_file;
struct shortcut;

struct rule {
    const struct rule_file *file;
    const char *name;
    size_t index; /* in the program */
    size_t at, n_at;
    enum rule_for for_client;
    bool has_new_since, has_old_until;
    struct version new_since, old_until;
    const char
        *new_with; /* a command that every server with the new form has; NULL: none is known */

    enum picture_kind kind;
    struct picture_list side[2]; /* by enum vars_side */
    struct reply_pair
        *replies; /* COMMAND: in place of those in its pictures; the first that fits */
    size_t n_replies;
    struct vars vars;
    const char *
        *commands; /* ERROR: replies to these commands only; NULL-terminated; NULL: to any */

    struct picture_list ask, then;         /* the server's dialect */
    struct picture_list finally;           /* likewise: after the reply, whatever it says */
    struct picture_list emit, emit_before; /* the client's dialect */
    struct picture_list until;             /* the server's dialect */
    bool hide;
    uint32_t timeout_ms; /* of until; 0: the default */
    const char **
        after_reply; /* an event waits for the replies to these commands in flight; NULL-terminated; NULL: no */
    struct fact_list remember, recall, forget;
    size_t *needs; /* variables without which, once all is recalled and asked, it does not apply */
    size_t n_needs;

    enum conform_by conform;
    struct picture conform_ask; /* CONFORM_ASK: the command whose reply lists the types */
    const char *conform_name,
        *conform_type;                 /* CONFORM_ASK: the members of its list that tell them */
    const struct json *conform_except; /* CONFORM_ASK: a list of arguments that stay; NULL: none */

    const struct json *examples; /* a list; NULL: none */

    size_t n_text;          /* of the whole rule, from @at on */
    size_t todo_at, n_todo; /* what its author has left to be decided; n_todo 0: nothing */
    bool is_rename;         /* it only gives an event another name (rename.h) */
    const struct shortcut
        *shortcut[2]; /* by the client's side; NULL: it takes the engine (shortcut.h) */
};

struct rule_file {
    const struct diag_source *source;
    const char *name;
    const char *summary;
    struct rule *rules;
    size_t n_rules;
    bool has_new_since, has_old_until;
    struct version new_since, old_until;
    const char *new_with; /* as the rules' own */
    bool is_deny;         /* "default": "deny" */
};
