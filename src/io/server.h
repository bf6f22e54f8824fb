#pragma once

/*
 * Server: the event loop, the places where clients come in, and the pairs
 * that are under way.  The only one to decide what is fatal to whom, and to
 * say in the log how a pair ended.
 */

#include <stddef.h>
#include "io/log.h"
#include "proxy/limits.h"
#include "rule/program.h"

struct server;

/*
 * server_new() - from now on SIGTERM and SIGINT stop the server, not the process
 * @log:    must outlive the server
 * @limits: of each session; copied
 *
 * Return: 0 or negative (out of memory or fds).
 */
int server_new(const struct log *log, const struct limits *limits, struct server **ret_server);

/* ends all pairs, if server_run() has not.  Return: NULL */
struct server *server_free(struct server *s);

/*
 * server_set_program() - the rules of the sessions that begin from now on
 * @program: a reference is taken; NULL: no rules.  Sessions under way keep theirs
 */
void server_set_program(struct server *s, struct program *program);

/*
 * server_listen() - let clients come in at @listen_path, to the server at @connect_path
 * @reterr_errno: of the outcome, for listener_explain()
 *
 * Return: 0, negative (out of memory), or LISTENER_E_… (io/listener.h).
 */
int server_listen(struct server *s, const char *listen_path, const char *connect_path,
                  int *reterr_errno);

/* relay until SIGTERM, SIGINT or server_stop() */
void server_run(struct server *s);

/* end all pairs, take the sockets out of the file system, let server_run() return */
void server_stop(struct server *s);
