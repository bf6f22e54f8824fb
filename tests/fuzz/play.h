#pragma once

/*
 * A whole session: what a client and a server may say, in whatever pieces, at
 * whatever times, with fds and ends in between, and an oracle for each way in
 * which it is played.
 *
 *   WORLD_BARE   no rules, any bytes.  What comes out is what went in, byte for
 *               byte, and fds come out on the bytes they went in with.
 *   WORLD_WILD   rules, any bytes.  Limits hold, it ends when it is told to, and
 *               under a policy the server hears nothing that is not allowed.
 *   WORLD_GOOD   rules, a client and a server that keep to the protocol.  Each
 *               command gets one reply, in its turn; what no rule mentions
 *               comes unchanged and in order.
 *
 * The first three bytes choose the play, the rules and the limits; the rest
 * are orders, see play_order().
 */

#include "world.h"

struct play_orders {
    const uint8_t *data;
    size_t n;
};

/* Return: the next byte; 0 at the end */
uint8_t play_take(struct play_orders *o);

void play_init(struct world *w, const struct ways *ways, struct play_orders *o);
void play_deinit(struct world *w);

/* one order */
void play_order(struct world *w, struct play_orders *o);

/* all of them, the end, and what must hold there */
void play_whole(struct world *w, struct play_orders *o);
