#pragma once

/*
 * Exchanges: the records of a session (record.h) put together again: which
 * message became which, by what rule, and how long that took.  Messages that
 * are not settled yet are kept, up to a limit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"
#include "proxy/record.h"
#include "qmp/frame.h"

enum { /* what is not settled; the oldest is told as it is when there is more */
       EXCHANGES_MAX_OPEN = 1000,
       EXCHANGES_MAX_OPEN_BYTES = 32 << 20,
};

enum exchange_kind {
    EXCHANGE_OPEN, /* it came, and what became of it is not known */
    EXCHANGE_PASSED,
    EXCHANGE_REWRITTEN,
    EXCHANGE_DROPPED,
    EXCHANGE_ANSWERED,  /* the shim's own reply: to_text */
    EXCHANGE_ASKED,     /* the shim's own command: to_text */
    EXCHANGE_SWALLOWED, /* and the reply to it */
    EXCHANGE_EMITTED,   /* the shim's own event: to_text */
    EXCHANGE_NOTE,      /* no message: to_text says what happened */
};

/* a message, and what became of it */
struct exchanged {
    struct list in_exchanges;
    enum exchange_kind kind;
    uint64_t session, number; /* it is the so-many-th that came from its side */
    int from;                 /* enum side; -1: the shim */
    int to;                   /* enum side; -1: nobody */
    uint64_t ms;              /* when it came */
    int64_t us;               /* likewise, since 1970 */
    uint64_t sent_ms;         /* when it went on */
    char *text;               /* as it came, without blanks around it; NULL: it is the shim's own */
    char *to_text;            /* as it went on; NULL: it did not */
    char *rule;               /* NULL: none */
    char *note;               /* NULL: none */
    char *fds;                /* kinds; NULL: none */
    size_t n_bytes;           /* of the record that it began with */
    bool is_held, is_failed, is_blanked;
    bool is_active; /* EXCHANGE_NOTE: note names the rules that were chosen */
};

typedef void (*exchanges_fn)(void *userdata, const struct exchanged *x);

/* of one session */
struct exchanges {
    struct list open; /* oldest first */
    size_t n_open, n_open_bytes;
    bool is_starved; /* memory ran out while messages were compared */
    uint64_t n_came[2];
    exchanges_fn tell;
    void *userdata;
};

void exchanges_init(struct exchanges *e, exchanges_fn tell, void *userdata);

/* Return: 0 or -ENOMEM */
int exchanges_add(struct exchanges *e, const struct record *r);

/* tell what is open and forget it */
void exchanges_deinit(struct exchanges *e);

/* its name, or "return", "error", …; never NULL.  Not decoded */
struct exchange_label {
    enum frame_kind kind;
    const char *text;
    int n;
};
struct exchange_label exchange_label(const char *text, int from);

/* Return: a copy without the blanks around it, to be freed; NULL: none or out of memory */
char *exchange_trimmed(const char *text, size_t n);

/* its id as it stands there; empty: none.  Return: to be freed; NULL when out of memory */
char *exchange_id(const char *text, int from);

/* are these the same, but for blanks around them and the id?  @is_starved is set when memory ran out */
bool exchange_is_same(const char *a, const char *b, bool *is_starved);
