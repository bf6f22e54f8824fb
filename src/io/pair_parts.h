#pragma once

/*
 * What pair.c and pair_life.c have of each other.  For them only.
 */

#include "io/pair.h"

/* --- pair.c --- */
struct session_time pair_time(struct pair *p);
/* say what both connections are to be watched for.  Return: 0 or negative (out of memory) */
int pair_wait(struct pair *p);
/* UINT64_MAX: none */
void pair_set_alarm(struct pair *p, uint64_t due_ms);
/* the server has taken the connection */
void pair_open_server(struct pair *p);
void pair_on_client(struct conn *c, bool is_readable);
void pair_on_server(struct conn *c, bool is_readable);
void pair_on_alarm(struct poller_alarm *a);

/* --- pair_life.c --- */
/* record it from now on, as soon as that is no midst of a message.  Return: 0 or -ENOMEM */
int pair_join_record(struct pair *p);
