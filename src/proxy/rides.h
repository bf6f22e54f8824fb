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

void rides_deinit(struct rides *r);

static inline bool rides_is_empty(const struct rides *r) {
    return r->n == 0;
}

/* Return: 0 or -ENOMEM; @fds is consumed whatever is returned; an empty set adds nothing */
int rides_add_take(struct rides *r, size_t at, struct fds *fds);

/* Return: all of them; @r is empty afterwards */
struct rides rides_steal(struct rides *r);

/* @text goes to @o with the fds on the bytes they came with; @r is empty afterwards.  Return: 0 or -ENOMEM */
int rides_push(struct rides *r, struct out *o, const char *text, size_t n, bool is_borrowed);

/*
 * rides_last() - the fds for a message that was rewritten
 * The newest batch, because the receiver closes an older one when the next
 * comes (QEMU: tcp_chr_recv); the others are closed.
 */
struct fds rides_last(struct rides *r);
