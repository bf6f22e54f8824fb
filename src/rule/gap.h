#pragma once

/*
 * Gaps: what a client written for one server misses at another, from what
 * the two say of themselves (schema.h).  Whether a rule bridges a gap is
 * bridge.h's business, what a client really uses uses.h's.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "json/value.h"
#include "rule/schema.h"

enum gap_kind {
    GAP_COMMAND,  /* the server has not got it */
    GAP_EVENT,    /* it never comes */
    GAP_ARGUMENT, /* the server does not take it */
    GAP_NEEDED, /* an argument that must be there, and need not be, or is not known, at the client's */
    GAP_MEMBER,     /* of a reply or an event: it does not come */
    GAP_MAYBE,      /* likewise: it was always there, and may be absent */
    GAP_TYPE,       /* it is of another type */
    GAP_VALUE,      /* a word that the server does not take */
    GAP_WORD,       /* a word that may come, and is not known to the client */
    GAP_DEPRECATED, /* it is to go */
    _GAP_KIND_N
};

struct gap {
    enum gap_kind kind;
    bool is_event;
    const char *of;       /* the command or event */
    const char *path;     /* "arguments.file.driver", "return[].name"; "": the whole */
    const char *variant;  /* "driver=qcow2": only then; "": always */
    const char *word;     /* GAP_VALUE, GAP_WORD, GAP_DEPRECATED of a word; NULL: none */
    const char *was, *is; /* GAP_TYPE: the client's type and the server's */
};

struct gap_list {
    struct gap *gap; /* by name, commands before events */
    size_t n, max;
};

/*
 * gap_find()
 * @client: of the server that the client was written for
 * @ret:    lives in @arena, as its texts do
 *
 * Return: 0 or -ENOMEM
 */
int gap_find(struct arena *arena, const struct schema *client, const struct schema *server,
             struct gap_list *ret);

/* "command", "argument", …: for people and programs */
const char *gap_kind_name(enum gap_kind kind);

/* the type of a member or an element in a few words, as "str" or "list of object" */
const char *gap_type_name(const struct schema *s, const struct json *type);
