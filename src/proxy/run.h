#pragma once

/* Runs: messages of a server that go to the client as they come.  For session.c */

#include "proxy/flow.h"

/* what was taken and stands together, and was not given out yet */
struct run {
    const char *text;
    size_t n;
    bool is_copied; /* a part before it was */
};

enum { RUN_TAKEN, RUN_NOT_TAKEN };

/*
 * run_take() - a piece of the server's input, if it can go at once
 * @n:      of the piece; @n_left: of all there is at @text
 *
 * Only while nothing is under way.  What follows a piece must be the next
 * one that is taken, or run_end() comes between.
 * Return: RUN_TAKEN, RUN_NOT_TAKEN, -ENOMEM.
 */
int run_take(struct session *s, struct run *run, enum frame_scan scan, const char *text, size_t n,
             size_t n_left);

/* give out what was taken.  Return: 0 or -ENOMEM */
int run_end(struct session *s, struct run *run);
