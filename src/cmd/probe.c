#include "cmd/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "io/address.h"
#include "qmp/frame.h"
#include "qmp/message.h"
#include "rule/introspect.h"

enum {
    PROBE_TIMEOUT_S = 10, /* for each piece of an answer */
    PROBE_MAX_ANSWER_BYTES = 64 << 20,
};

struct connection {
    struct arena *arena;
    const char *path;
    int fd;
    struct frame_reader reader;
    struct buffer in; /* read and not looked at yet; what is before at was */
    size_t at;
    struct buffer object; /* so far */
};

static int probe_failed(const struct connection *c, const char *why) {
    fprintf(stderr, "qmp-shim: %s: %s\n", c->path, why);
    return PROBE_E_FAILED;
}

static int probe_connect(struct connection *c) {
    const struct timeval timeout = {.tv_sec = PROBE_TIMEOUT_S};
    struct sockaddr_un address;

    if (address_from_path(c->path, &address))
        return probe_failed(c, strerror(ENAMETOOLONG));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return probe_failed(c, strerror(errno));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return probe_failed(c, strerror(errno));
    return 0;
}

static int probe_fill(struct connection *c) {
    ssize_t n;

    buffer_clear(&c->in);
    c->at = 0;
    if (buffer_reserve(&c->in, 64 << 10) < 0)
        return -ENOMEM;
    do
        n = recv(c->fd, c->in.data, c->in.cap, 0);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return probe_failed(c, "the server closed the connection");
    if (n < 0)
        return probe_failed(c, errno == EAGAIN
                                   ? "the server does not answer; does it serve another client?"
                                   : strerror(errno));
    c->in.n = (size_t)n;
    return 0;
}

/* the next message that is no event */
static int probe_receive(struct connection *c, struct message *ret) {
    for (;;) {
        int r = c->at == c->in.n ? probe_fill(c) : 0;
        enum frame_scan scan;
        size_t n;

        if (r)
            return r;
        scan = frame_scan(&c->reader, c->in.data + c->at, c->in.n - c->at, &n);
        if (scan == FRAME_OBJECT || scan == FRAME_PART)
            buffer_append(&c->object, c->in.data + c->at, n);
        c->at += n;
        if (c->object.n > PROBE_MAX_ANSWER_BYTES)
            return probe_failed(c, "the answer is too long");
        if (scan != FRAME_OBJECT)
            continue;
        r = message_read(c->arena, c->object.data, c->object.n, ret);
        buffer_clear(&c->object);
        if (r)
            return r < 0 ? r : probe_failed(c, "this is no QMP server");
        if (ret->kind != FRAME_EVENT)
            return 0;
    }
}

static int probe_ask(struct connection *c, const char *command, struct message *ret) {
    size_t n = strlen(command);
    int r;

    if (send(c->fd, command, n, MSG_NOSIGNAL) != (ssize_t)n)
        return probe_failed(c, strerror(errno));
    r = probe_receive(c, ret);
    if (r)
        return r;
    if (ret->kind != FRAME_RETURN) {
        fprintf(stderr, "qmp-shim: %s: the server refused %s: %.*s\n", c->path, command,
                (int)ret->n_text, ret->text);
        return PROBE_E_FAILED;
    }
    return 0;
}

static int probe_talk(struct connection *c, struct probe *ret) {
    struct message m;
    int r;

    r = probe_connect(c);
    if (r)
        return r;
    r = probe_receive(c, &m);
    if (r)
        return r;
    if (m.kind != FRAME_GREETING)
        return probe_failed(c, "this is no QMP server");
    ret->has_version = version_read_greeting(m.root, &ret->version) == 0;
    r = probe_ask(c, "{\"execute\": \"qmp_capabilities\"}", &m);
    if (r)
        return r;
    r = probe_ask(c, INTROSPECT_ASK_SCHEMA, &m);
    if (r)
        return r;
    ret->schema = m.root;
    return 0;
}

int probe_server(struct arena *arena, const char *path, struct probe *ret) {
    struct connection c = {.arena = arena, .path = path, .fd = -1};
    int r;

    *ret = (struct probe){0};
    frame_reader_init(&c.reader, FRAME_SERVER);
    r = probe_talk(&c, ret);
    buffer_deinit(&c.in);
    buffer_deinit(&c.object);
    if (c.fd >= 0)
        close(c.fd);
    return r;
}
