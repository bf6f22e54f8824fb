#pragma once

/*
 * Alignment: what was sent then beside what is sent now.  Messages that are
 * the same settle each other; those that are in one of the two only are told,
 * as late as it takes to be sure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"

enum {
    ALIGNMENT_MAX_APART =
        64, /* messages that the two may be apart before they are called different */
};

enum alignment_time { ALIGNMENT_THEN, ALIGNMENT_NOW };

/* what is in one of the two only; @then or @now is NULL, or they stand at the same place */
typedef void (*alignment_fn)(void *userdata, const char *then, const char *now, uint64_t ms);

struct alignment {
    struct list messages[2]; /* by enum alignment_time; not settled yet */
    size_t n[2];
    bool is_starved; /* memory ran out while messages were compared */
    alignment_fn tell;
    void *userdata;
};

void alignment_init(struct alignment *a, alignment_fn tell, void *userdata);
void alignment_deinit(struct alignment *a);

/*
 * alignment_add()
 * @text: a message; copied
 * @ms:   since the session began
 *
 * Return: 0 or -ENOMEM
 */
int alignment_add(struct alignment *a, enum alignment_time time, const char *text, uint64_t ms);

/* settle what can be; at the end, all.  Calls tell().  Return: 0 or -ENOMEM */
int alignment_settle(struct alignment *a, bool is_end);

/*
 * the same message, but for the id, and of an event for the time at which it was sent?
 * @is_starved is set when memory ran out
 */
bool alignment_is_same(const char *a, const char *b, bool *is_starved);
