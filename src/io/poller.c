#include "io/poller.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

enum { POLLER_MAX_EVENTS = 64 }; /* of one wait; the others come with the next */

/* @data: of its events; it is no watch, so it is for the loop */
static int poller_know(struct poller *p, int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};

    return epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int poller_init(struct poller *p, uv_loop_t *loop) {
    int r;

    *p = (struct poller){
        .loop = loop, .timer_fd = -1, .timer_ms = UINT64_MAX, .alarm_ms = UINT64_MAX};
    list_init(&p->alarms);
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0)
        return -errno;
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    r = p->timer_fd < 0 ? -errno : poller_know(p, p->timer_fd, EPOLLIN | EPOLLET, &p->timer_fd);
    if (r == 0)
        r = poller_know(p, uv_backend_fd(loop), EPOLLIN, NULL);
    if (r < 0)
        poller_deinit(p);
    return r;
}

void poller_deinit(struct poller *p) {
    assert(p->n_watches == 0); /* poller_run() has returned */
    if (p->timer_fd >= 0)
        close(p->timer_fd);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = p->timer_fd = -1;
}

void poller_add(struct poller *p, struct poller_watch *w, int fd, poller_ready_fn ready) {
    *w = (struct poller_watch){.fd = fd, .ready = ready};
    p->n_watches++;
}

int poller_ask_again(struct poller *p, struct poller_watch *w, uint32_t events) {
    uint32_t closing = events & EPOLLIN ? EPOLLRDHUP : 0;
    struct epoll_event event = {.events = EPOLLET | events | closing, .data.ptr = w};

    if (epoll_ctl(p->fd, w->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &event) < 0)
        return -errno;
    w->is_known = true;
    w->events = (uint16_t)events;
    return 0;
}

int poller_ask(struct poller *p, struct poller_watch *w, uint32_t events) {
    return w->is_known && w->events == events ? 0 : poller_ask_again(p, w, events);
}

/* the socket may have another fd somewhere, so that closing ours would not do */
void poller_rest(struct poller *p, struct poller_watch *w) {
    if (w->is_known)
        epoll_ctl(p->fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->is_known = false;
}

void poller_remove(struct poller *p, struct poller_watch *w, poller_removed_fn removed) {
    poller_rest(p, w);
    w->fd = -1;
    w->removed = removed;
    w->next_removed = p->removed;
    p->removed = w;
}

/* not before events of the same wait can refer to it any more */
static void poller_finish_removed(struct poller *p) {
    while (p->removed) {
        struct poller_watch *w = p->removed;

        p->removed = w->next_removed;
        p->n_watches--;
        w->removed(w);
    }
}

static bool poller_is_alive(const struct poller *p) {
    return p->n_watches > 0 || !list_is_empty(&p->alarms) || uv_loop_alive(p->loop);
}

void poller_alarm_init(struct poller_alarm *a, poller_ring_fn ring) {
    *a = (struct poller_alarm){.due_ms = UINT64_MAX, .ring = ring};
    list_init(&a->in_poller);
}

void poller_set_alarm(struct poller *p, struct poller_alarm *a, uint64_t due_ms) {
    list_remove(&a->in_poller);
    a->due_ms = due_ms;
    if (due_ms == UINT64_MAX)
        return;
    list_append(&p->alarms, &a->in_poller);
    if (due_ms < p->alarm_ms)
        p->alarm_ms = due_ms;
}

/* those that are due are set aside first: ring() may set any alarm anew, or stop it */
static void poller_ring(struct poller *p, uint64_t now_ms) {
    struct list due;

    list_init(&due);
    p->alarm_ms = UINT64_MAX;
    list_for_each_safe(i, &p->alarms) {
        struct poller_alarm *a = list_entry(i, struct poller_alarm, in_poller);

        if (a->due_ms <= now_ms) {
            list_remove(&a->in_poller);
            list_append(&due, &a->in_poller);
        } else if (a->due_ms < p->alarm_ms) {
            p->alarm_ms = a->due_ms;
        }
    }
    while (!list_is_empty(&due)) {
        struct poller_alarm *a = list_entry(due.next, struct poller_alarm, in_poller);

        list_remove(&a->in_poller);
        a->due_ms = UINT64_MAX;
        a->ring(a);
    }
}

/*
 * A wait with an end costs much more than one without: the kernel sets a
 * timer each time.  So one is set here, and only when it must go off sooner.
 */
static void poller_set_timer(struct poller *p, uint64_t now_ms, uint64_t ms) {
    struct itimerspec when = {.it_value = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L}};

    if (now_ms + ms >= p->timer_ms)
        return;
    timerfd_settime(p->timer_fd, 0, &when, NULL);
    p->timer_ms = now_ms + ms;
}

/* Return: in how many ms the loop or an alarm is due; UINT64_MAX: no one knows */
static uint64_t poller_due_in_ms(const struct poller *p, uint64_t now_ms) {
    /* of a loop with nothing in it, libuv says 0 */
    int loop_ms = uv_loop_alive(p->loop) ? uv_backend_timeout(p->loop) : -1;
    uint64_t ms = loop_ms < 0 ? UINT64_MAX : (uint64_t)loop_ms;

    if (p->alarm_ms == UINT64_MAX)
        return ms;
    if (p->alarm_ms <= now_ms)
        return 0;
    return p->alarm_ms - now_ms < ms ? p->alarm_ms - now_ms : ms;
}

/* Return: 0: do not wait; -1: until something happens */
static int poller_timeout(struct poller *p, bool may_wait) {
    uint64_t now_ms = uv_now(p->loop), ms;

    if (!may_wait || p->removed)
        return 0;
    ms = poller_due_in_ms(p, now_ms);
    if (ms > 0 && ms < UINT64_MAX)
        poller_set_timer(p, now_ms, ms);
    return ms == 0 ? 0 : -1;
}

/* Return: has the loop something to do? */
static bool poller_tell(struct poller *p, const struct epoll_event *events, int n) {
    bool is_loop = n <= 0; /* a signal came */

    for (int i = 0; i < n; i++) {
        struct poller_watch *w = events[i].data.ptr;

        if (!w) {
            is_loop = true;
        } else if (events[i].data.ptr == &p->timer_fd) {
            is_loop = true;
            p->timer_ms = UINT64_MAX;
        } else if (w->fd >= 0) { /* else it was removed just now */
            w->ready(w, events[i].events);
        }
    }
    return is_loop;
}

/*
 * A clock that is exact costs as much as all else that is done here in a turn;
 * one that ticks (CLOCK_MONOTONIC_COARSE) tells when to ask it.
 */
static void poller_update_time(struct poller *p) {
    struct timespec now;
    uint64_t tick;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    tick = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    if (tick == p->tick)
        return;
    p->tick = tick;
    uv_update_time(p->loop);
}

bool poller_turn(struct poller *p, bool may_wait) {
    struct epoll_event events[POLLER_MAX_EVENTS];
    int timeout = poller_timeout(p, may_wait), n;

    n = epoll_wait(p->fd, events, ARRAY_SIZE(events), timeout);
    poller_update_time(p);
    /* it is due if it was before, however many sockets are ready all the time */
    if (poller_tell(p, events, n) || timeout == 0)
        uv_run(p->loop, UV_RUN_NOWAIT);
    if (p->alarm_ms <= uv_now(p->loop))
        poller_ring(p, uv_now(p->loop));
    poller_finish_removed(p);
    return poller_is_alive(p);
}

void poller_run(struct poller *p) {
    bool is_alive = poller_is_alive(p);

    while (is_alive)
        is_alive = poller_turn(p, true);
}
