#include "io/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/address.h"

/* Return: @name's value as a number; 0 when there is none */
static uint64_t notify_number(const char *name) {
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : 0;
}

/* Return: false when @text is no address of a socket */
static bool notify_address(struct notify *n, const char *text) {
    if (address_from_path(text, &n->address))
        return false;
    n->n_address = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text));
    if (text[0] == '@') /* a name in no file system; it has no NUL at its end */
        n->address.sun_path[0] = '\0';
    else
        n->n_address++;
    return text[0] == '@' || text[0] == '/';
}

void notify_open(struct notify *n) {
    const char *text = getenv("NOTIFY_SOCKET");
    uint64_t watchdog_pid = notify_number("WATCHDOG_PID");

    *n = (struct notify)NOTIFY_INIT;
    if (text && notify_address(n, text))
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (watchdog_pid == 0 || watchdog_pid == (uint64_t)getpid())
        n->watchdog_ms = notify_number("WATCHDOG_USEC") / 1000 / 2;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
}

static void notify_send(struct notify *n, const char *text, size_t n_text) {
    /*
     * It may wait, as sd_notify() does: a sign of life that got lost would
     * cost all sessions, and who does not read it is the service manager.
     */
    if (n->fd >= 0)
        sendto(n->fd, text, n_text, MSG_NOSIGNAL, (const struct sockaddr *)&n->address,
               n->n_address);
}

static void notify_say(struct notify *n, const char *text) {
    notify_send(n, text, strlen(text));
}

static void notify_on_watchdog(uv_timer_t *timer) {
    notify_say(timer->data, "WATCHDOG=1");
}

static void notify_tell_status(struct notify *n) {
    struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, "STATUS=");
    n->describe(n->userdata, &b);
    if (buffer_status(&b) < 0 || (b.n == n->said.n && memcmp(b.data, n->said.data, b.n) == 0)) {
        buffer_deinit(&b);
        return;
    }
    notify_send(n, b.data, b.n);
    buffer_deinit(&n->said);
    n->said = b;
}

static void notify_on_status(uv_timer_t *timer) {
    notify_tell_status(timer->data);
}

void notify_start(struct notify *n, uv_loop_t *loop, notify_describe_fn describe, void *userdata) {
    if (n->fd < 0)
        return;
    n->is_started = true;
    n->describe = describe;
    n->userdata = userdata;
    uv_timer_init(loop, &n->watchdog);
    uv_timer_init(loop, &n->status);
    n->watchdog.data = n->status.data = n;
    uv_timer_start(&n->status, notify_on_status, NOTIFY_STATUS_MS, NOTIFY_STATUS_MS);
    if (n->watchdog_ms > 0)
        uv_timer_start(&n->watchdog, notify_on_watchdog, 0, n->watchdog_ms);
}

void notify_ready(struct notify *n) {
    notify_say(n, "READY=1");
    if (n->is_started)
        notify_tell_status(n);
}

void notify_reloading(struct notify *n) {
    struct buffer b = BUFFER_INIT;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer_printf(&b, "RELOADING=1\nMONOTONIC_USEC=%ju",
                  (uintmax_t)now.tv_sec * 1000000 + (uintmax_t)now.tv_nsec / 1000);
    if (buffer_status(&b) == 0)
        notify_send(n, b.data, b.n);
    buffer_deinit(&b);
}

void notify_stopping(struct notify *n) {
    notify_say(n, "STOPPING=1");
    if (n->is_started)
        notify_tell_status(n);
}

static void notify_attach(struct msghdr *m, void *control, size_t n_control, int fd) {
    struct cmsghdr *h;

    m->msg_control = control;
    m->msg_controllen = n_control;
    h = CMSG_FIRSTHDR(m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
}

bool notify_tell(struct notify *n, const char *text, int fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
    struct msghdr m = {
        .msg_name = &n->address, .msg_namelen = n->n_address, .msg_iov = &iov, .msg_iovlen = 1};

    if (n->fd < 0)
        return false;
    if (fd >= 0)
        notify_attach(&m, &control, sizeof(control), fd);
    return sendmsg(n->fd, &m, MSG_NOSIGNAL) >= 0;
}

void notify_close(struct notify *n) {
    if (n->is_started) {
        uv_close((uv_handle_t *)&n->watchdog, NULL);
        uv_close((uv_handle_t *)&n->status, NULL);
    }
    n->is_started = false;
    buffer_deinit(&n->said);
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}
