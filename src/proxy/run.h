#pragma once

/* Runs: messages of a server that go to the client as they come.  For session.c */

#include "proxy/flow.h"

/*
 * run_feed() - as much of the server's input as can go at once
 * @text, @n:  all there is, which must stay as session_feed() says; more than 0
 * @ret_piece: what comes next, read already, for others; its n is 0: nothing is left
 *
 * Only while nothing is under way.  Return: 0 or -ENOMEM.
 */
int run_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece);
