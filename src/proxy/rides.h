#pragma once

/*
 * Which fds came with which bytes of a piece of input, so that they leave
 * with the same bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/fds.h"
#include "base/out.h"

struct ride {
    size_t at; /* the byte they came with */
    struct fds fds;
};

struct rides {
    struct ride *ride; /* by at */
    size_t n;
};

#define RIDES_INIT                                                                                 \
    { 0 }

void rides_close(struct rides *r); /* private: there may be some */

static inline void rides_deinit(struct rides *r) {
    if (r->ride)
        rides_close(r);
}

static inline bool rides_is_empty(const struct rides *r) {
    return r->n == 0;
}

int rides_add_more(struct rides *r, size_t at, struct fds *fds); /* private: the set is not empty */

/* Return: 0 or -ENOMEM; @fds is consumed whatever is returned; an empty set adds nothing */
static inline int rides_add_take(struct rides *r, size_t at, struct fds *fds) {
    return !fds || fds_is_empty(fds) ? 0 : rides_add_more(r, at, fds);
}

/* Return: all of them; @r is empty afterwards */
static inline struct rides rides_steal(struct rides *r) {
    struct rides taken = *r;

    *r = (struct rides)RIDES_INIT;
    return taken;
}

/* @text goes to @o with the fds on the bytes they came with; @r is empty afterwards.  Return: 0 or -ENOMEM */
int rides_push(struct rides *r, struct out *o, const char *text, size_t n, bool is_borrowed);

/*
 * rides_last() - the fds for a message that was rewritten
 * The newest batch, because the receiver closes an older one when the next
 * comes (QEMU: tcp_chr_recv); the others are closed.
 */
struct fds rides_last(struct rides *r);
