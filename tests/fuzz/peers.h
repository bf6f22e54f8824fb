#pragma once

/*
 * The peers of the session targets that keep to the protocol: what they say,
 * and what must hold of what they hear.
 */

#include "world.h"

/* at what came out; for world.look */
void peers_look(struct world *w);

void peers_say_command(struct world *w, uint8_t which, uint8_t how);
void peers_say_event(struct world *w, uint8_t which);

/* the server answers one that it heard, if there is one that it may answer */
void peers_say_reply(struct world *w, uint8_t how);

/* the greeting, and the capabilities */
void peers_greet(struct world *w);
