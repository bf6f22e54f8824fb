#pragma once

/* Commands that go to the server as they come.  For session.c */

#include "proxy/flow.h"

/* as run_feed(), of the client's input */
int commands_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece);
