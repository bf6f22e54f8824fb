#pragma once

/*
 * Server: the event loop, the places where clients come in, and the pairs
 * that are under way.  The only one to decide what is fatal to whom, and to
 * say in the log how a pair ended.
 *
 *   SIGTERM, SIGINT  no more clients; the end, once there is no session or the
 *                    time for that (server_set_drain()) is over; at once when
 *                    it comes again
 *                    (sessions in the fd store do not end: server_set_store())
 *   SIGHUP           reload
 */

#include <stdbool.h>
#include <stddef.h>
#include "io/access.h"
#include "io/activation.h"
#include "io/doors.h"
#include "io/log.h"
#include "io/recording.h"
#include "proxy/limits.h"
#include "rule/program.h"

struct server;

/* read the configuration again (server_set_…()).  Return: was it good? */
typedef bool (*server_reload_fn)(struct server *s, void *userdata);

/*
 * server_new() - from now on the signals above stop the server, not the process
 * @log:    must outlive the server
 * @limits: of each session; copied
 *
 * The service manager's variables are taken out of the environment.
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

/* who may connect from now on; @access is consumed */
void server_set_access_take(struct server *s, struct access *access);

/* send the commands of the sessions that begin from now on in short (proxy/compact.h), or not */
void server_set_compact(struct server *s, bool is_compact);

/* where what sessions say is recorded; nothing is before somebody begins */
struct recording *server_recording(struct server *s);

/* how long sessions may go on after a signal to end; 0: not at all */
void server_set_drain(struct server *s, uint64_t drain_ms);

void server_set_reload(struct server *s, server_reload_fn reload, void *userdata);

/*
 * server_set_store() - hand sessions to the service manager's fd store (io/fdstore.h)
 * @room: fds that it keeps for us; 0: it keeps none
 *
 * Then a signal to end leaves them to the process that comes next.  It does
 * nothing without a service manager.
 */
void server_set_store(struct server *s, size_t room);

/* go on with the sessions that an earlier process has left in @a.  Those that cannot be gone on with end; that is logged */
void server_resume(struct server *s, struct activation *a);

/* as doors_listen() (io/doors.h) */
int server_listen(struct server *s, const char *listen_path, const char *connect_path,
                  const struct listener_permit *permit, int *reterr_errno);

/* a client's socket that listens already; @fd is consumed.  Return: 0 or negative */
int server_adopt_take(struct server *s, int fd, const char *connect_path);

/* all of them, for what is rarer.  A server that was taken over and has ended is the end of @s */
struct doors *server_doors(struct server *s);

/*
 * server_hang_on_take() - live as long as the server's process does
 * @fd: a lifeline (io/lifeline.h), consumed
 *
 * Once it is cut, what the server still said goes to the clients, and that is
 * the end.  Until then, clients wait for a server that is not there yet.
 * Return: 0 or negative (out of memory).
 */
int server_hang_on_take(struct server *s, int fd);

/* tell how we are to whoever connects there (io/control.h), once in a server.  Return: as server_listen() */
int server_control(struct server *s, const char *path, int *reterr_errno);
int server_control_take(struct server *s, int fd);

/* keep a file of metrics (io/metrics.h).  Return: 0 or negative */
int server_write_metrics(struct server *s, const char *path);

/* relay until a signal or server_stop() ends it */
void server_run(struct server *s);

/* end all pairs, take the sockets out of the file system, let server_run() return */
void server_stop(struct server *s);
