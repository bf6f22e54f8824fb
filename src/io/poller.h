#pragma once

/*
 * Poller: waits for sockets, and for all that libuv does.  A message that
 * passes costs three system calls and little else, so what libuv does around
 * them shows; its loop is asked only when it has something to do.  The loop's
 * time (uv_now()) is right in every callback, to a tick of the kernel's coarse
 * clock (1 to 10 ms).
 *
 * It does not read, write or close anything.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>
#include "base/list.h"

struct poller_watch;

/*
 * @events: EPOLLIN, EPOLLOUT, EPOLLRDHUP, and whatever was asked for, EPOLLHUP
 * and EPOLLERR.  Each is told once, when it comes (epoll(7): edge-triggered;
 * else epoll looks at every ready socket twice).
 */
typedef void (*poller_ready_fn)(struct poller_watch *w, uint32_t events);
typedef void (*poller_removed_fn)(struct poller_watch *w);

/* private: a socket that is watched */
struct poller_watch {
    int fd;          /* -1: none */
    uint16_t events; /* that are asked for */
    bool is_known;   /* to epoll */
    poller_ready_fn ready;
    poller_removed_fn removed;
    struct poller_watch *next_removed;
};

struct poller_alarm;
typedef void (*poller_ring_fn)(struct poller_alarm *a);

/* a uv_timer_t in small, for there may be very many; without a handle that must be closed */
struct poller_alarm {
    struct list in_poller;
    uint64_t due_ms; /* by uv_now(); UINT64_MAX: never */
    poller_ring_fn ring;
};

struct poller {
    uv_loop_t *loop;
    int fd, timer_fd;
    uint64_t tick;      /* of the coarse clock, in ns, at which the loop's time was right */
    uint64_t timer_ms;  /* what it is set to; UINT64_MAX: nothing */
    struct list alarms; /* struct poller_alarm.in_poller, in no order */
    uint64_t alarm_ms;  /* none of them is due sooner; UINT64_MAX: there are none */
    size_t n_watches;   /* removed() was not called yet */
    struct poller_watch *removed; /* the first of those whose removed() is to be called */
};

/* @loop: outlives it.  Return: 0 or -errno */
int poller_init(struct poller *p, uv_loop_t *loop);

/* nothing is watched any more */
void poller_deinit(struct poller *p);

/* begin to watch; nothing is told before poller_ask() */
void poller_add(struct poller *p, struct poller_watch *w, int fd, poller_ready_fn ready);

/*
 * poller_ask() - say what to be called for
 * @events: EPOLLIN (and EPOLLRDHUP with it), EPOLLOUT; 0: only to be told of a
 *          hang-up.  If they change, what is there already is told, too.
 *
 * Return: 0 or -errno (out of memory).
 */
int poller_ask(struct poller *p, struct poller_watch *w, uint32_t events);

/* likewise, and what was told before is told again if it is there still */
int poller_ask_again(struct poller *p, struct poller_watch *w, uint32_t events);

/* be told of nothing until the next poller_ask() */
void poller_rest(struct poller *p, struct poller_watch *w);

/* watch it no more, while the socket is still open; @removed is called later, from the loop: @w must stay until then */
void poller_remove(struct poller *p, struct poller_watch *w, poller_removed_fn removed);

void poller_alarm_init(struct poller_alarm *a, poller_ring_fn ring);

/*
 * poller_set_alarm() - ring() is called once, from the loop, not before @due_ms
 * @due_ms: by uv_now(); UINT64_MAX: never, which is what an alarm that goes must be set to
 */
void poller_set_alarm(struct poller *p, struct poller_alarm *a, uint64_t due_ms);

/* wait, if there is nothing to do and @may_wait, and do it.  Return: may there be more? */
bool poller_turn(struct poller *p, bool may_wait);

/* until there is nothing left to wait for */
void poller_run(struct poller *p);
