#pragma once

/* Commands that go to the server as they come.  For session.c */

#include "proxy/run.h"

/* as run_take(), of the client's input.  Return: RUN_TAKEN, RUN_NOT_TAKEN */
int commands_take(struct session *s, struct run *run, enum frame_scan scan, const char *text,
                  size_t n, size_t n_left, size_t *ret_n);
