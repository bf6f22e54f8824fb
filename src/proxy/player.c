#include "proxy/player.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/checkpoint.h"
#include "proxy/playfd.h"
#include "qmp/message.h"

/* 2012-03-04 05:06:07, for events that rules make; any time would do, but it must always be the same */
#define PLAYER_WALL_US INT64_C(1330837567000000)

enum { PLAYER_START_MS = 1000, PLAYER_MAX_TICKS = 10000 };

int player_init(struct player *p, struct program *program, const struct limits *limits,
                bool is_bytewise, trace_fn trace, void *userdata) {
    *p = (struct player){.time = {PLAYER_START_MS, PLAYER_WALL_US}, .is_bytewise = is_bytewise};
    return session_new(program, limits, trace, userdata, &p->session);
}

void player_deinit(struct player *p) {
    p->session = session_free(p->session);
    for (size_t side = 0; side < 2; side++) {
        buffer_deinit(&p->inbox[side].text);
        buffer_deinit(&p->inbox[side].n_fds);
    }
}

/* --- what arrives -------------------------------------------------------------------------------- */

static int receive_one(struct player_inbox *in, const struct iovec *iov, size_t n_fds) {
    if (buffer_reserve(&in->n_fds, iov->iov_len) < 0)
        return -ENOMEM;
    memset(in->n_fds.data + in->n_fds.n, 0, iov->iov_len);
    in->n_fds.data[in->n_fds.n] = (char)n_fds;
    in->n_fds.n += iov->iov_len;
    buffer_append(&in->text, iov->iov_base, iov->iov_len);
    return buffer_status(&in->text);
}

static int receive_all(struct player *p) {
    for (size_t side = 0; side < 2; side++) {
        struct out *out = session_out(p->session, (enum side)side);

        while (!out_is_empty(out)) {
            const struct fds *fds;
            struct iovec iov;
            int r;

            out_peek(out, &iov, 1, &fds);
            if (fds && fds->n > 0)
                fdlook_at(fds->fd[0], &p->inbox[side].fd);
            r = receive_one(&p->inbox[side], &iov, fds ? fds->n : 0);
            if (r < 0)
                return r;
            out_sent(out, iov.iov_len);
        }
    }
    return 0;
}

static int receive(struct player *p) {
    int r = receive_all(p);

    return r == 0 && p->is_bytewise && checkpoint_is_due(p->session) ? checkpoint_renew(&p->session)
                                                                     : r;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Return: how many blanks without fds there are from @at on */
static size_t skip_blanks(const struct player_inbox *in, size_t at) {
    size_t n = 0;

    while (at + n < in->text.n && is_blank(in->text.data[at + n]) && in->n_fds.data[at + n] == 0)
        n++;
    return n;
}

size_t player_count_fds(const struct player *p, enum side side, size_t n) {
    size_t n_fds = 0;

    for (size_t i = 0; i < n; i++)
        n_fds += (unsigned char)p->inbox[side].n_fds.data[i];
    return n_fds;
}

bool player_peek(const struct player *p, enum side side, struct player_item *ret) {
    const struct player_inbox *in = &p->inbox[side];
    struct frame_reader reader;
    size_t at = skip_blanks(in, 0), n;

    if (at == in->text.n)
        return false;
    *ret = (struct player_item){.text = in->text.data + at, .n = in->text.n - at};
    /* what the server hears is what a client says */
    frame_reader_init(&reader, side == SIDE_SERVER ? FRAME_CLIENT : FRAME_SERVER);
    if (frame_scan(&reader, ret->text, ret->n, &n) == FRAME_OBJECT) {
        ret->is_message = true;
        ret->frame = *frame_reader_frame(&reader);
        ret->n = n;
    }
    ret->end = at + ret->n;
    ret->n_fds = player_count_fds(p, side, ret->end);
    ret->end += skip_blanks(in, ret->end);
    return true;
}

void player_take(struct player *p, enum side side, size_t n) {
    buffer_consume(&p->inbox[side].text, n);
    buffer_consume(&p->inbox[side].n_fds, n);
}

/* --- what is sent ---------------------------------------------------------------------------------- */

static int open_fds(struct fds *fds, size_t n, const struct fdlook *look) {
    static const struct fdlook any = {"device", FDLOOK_READ, false, 0};

    for (size_t i = 0; i < n; i++) {
        int fd, r;

        r = playfd_open(look ? look : &any, &fd);
        if (r == 0)
            r = fds_push_take(fds, fd);
        if (r < 0)
            return r;
    }
    return 0;
}

/* from memory of its own: what a session borrows longer than it may is found by a sanitizer */
static int feed(struct player *p, enum side from, const char *text, size_t n, struct fds *fds) {
    char *copy = malloc(n);
    int r;

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, n);
    r = session_feed(p->session, from, copy, n, fds, p->time);
    if (r == 0)
        r = receive(p);
    free(copy);
    return r;
}

int player_send(struct player *p, enum side from, const char *text, size_t n, size_t n_fds,
                const struct fdlook *fd) {
    struct fds fds = FDS_INIT;
    size_t n_part;
    int r;

    r = open_fds(&fds, n_fds, fd);
    for (size_t at = 0; r == 0 && at < n; at += n_part) {
        n_part = p->is_bytewise ? 1 : n;
        r = feed(p, from, text + at, n_part, &fds);
    }
    fds_deinit(&fds);
    return r;
}

int player_send_reply(struct player *p, const char *text, size_t n, const char *id, size_t n_id) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    int r;

    r = message_put_id(&b, FRAME_SERVER, text, n, id, n_id);
    buffer_append_string(&b, "\r\n");
    if (r == 0)
        r = buffer_status(&b);
    return r < 0 ? r : player_send(p, SIDE_SERVER, b.data, b.n, 0, NULL);
}

static void set_time(struct player *p, uint64_t now_ms) {
    p->time.wall_us += (int64_t)(now_ms - p->time.now_ms) * 1000;
    p->time.now_ms = now_ms;
}

int player_wait(struct player *p, uint64_t ms) {
    uint64_t end_ms = p->time.now_ms + ms, due_ms;
    int r;

    for (size_t i = 0; i < PLAYER_MAX_TICKS; i++) {
        due_ms = session_deadline_ms(p->session);
        if (due_ms > end_ms) {
            set_time(p, end_ms);
            return 0;
        }
        set_time(p, due_ms > p->time.now_ms ? due_ms : p->time.now_ms);
        r = session_tick(p->session, p->time);
        if (r == 0)
            r = receive(p);
        if (r < 0)
            return r;
    }
    return PLAYER_E_STUCK;
}

int player_close(struct player *p, enum side side) {
    int r;

    p->has_closed[side] = true;
    r = session_end(p->session, side, p->time);
    return r < 0 ? r : receive(p);
}

/* --- the handshake ---------------------------------------------------------------------------------- */

static bool is_named(const struct player_item *item, const char *name) {
    return item->frame.name.n == strlen(name) &&
           memcmp(item->text + item->frame.name.at, name, item->frame.name.n) == 0;
}

static bool is_own_id(const struct player_item *item) {
    static const char prefix[] = "\"qmp-shim:";

    return item->frame.id.n > strlen(prefix) &&
           memcmp(item->text + item->frame.id.at, prefix, strlen(prefix)) == 0;
}

/* the server's reply to the command that has come */
static int answer(struct player *p, const char *reply) {
    _cleanup_(buffer_deinit) struct buffer id = BUFFER_INIT;
    struct player_item item;

    if (!player_peek(p, SIDE_SERVER, &item))
        return PLAYER_E_UNEXPECTED;
    buffer_append(&id, item.text + item.frame.id.at, item.frame.id.n);
    player_take(p, SIDE_SERVER, item.end);
    if (id.failed)
        return -ENOMEM;
    return player_send_reply(p, reply, strlen(reply), id.n > 0 ? id.data : NULL, id.n);
}

static int send_line(struct player *p, enum side from, const char *text) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, text);
    buffer_append_string(&b, "\r\n");
    return b.failed ? -ENOMEM : player_send(p, from, b.data, b.n, 0, NULL);
}

/* one message that has to come to the client */
static int expect(struct player *p, enum frame_kind kind) {
    struct player_item item;

    if (!player_peek(p, SIDE_CLIENT, &item) || item.frame.kind != kind)
        return PLAYER_E_UNEXPECTED;
    player_take(p, SIDE_CLIENT, item.end);
    return 0;
}

/* what the shim asks of itself */
static int answer_questions(struct player *p, const char *commands) {
    _cleanup_(buffer_deinit) struct buffer list = BUFFER_INIT;
    struct player_item item;
    int r = 0;

    buffer_printf(&list, "{\"return\": %s}", commands ? commands : "[]");
    if (list.failed)
        return -ENOMEM;
    while (r == 0 && player_peek(p, SIDE_SERVER, &item) && is_own_id(&item))
        r = answer(
            p,
            commands && is_named(&item, "query-commands")
                ? list.data
                : "{\"error\": {\"class\": \"GenericError\", \"desc\": \"The command has not been found\"}}");
    return r;
}

int player_shake_hands(struct player *p, const struct player_handshake *how) {
    struct player_item item;
    int r;

    r = send_line(p, SIDE_SERVER, how->greeting);
    if (r == 0)
        r = expect(p, FRAME_GREETING);
    if (r == 0)
        r = send_line(
            p, SIDE_CLIENT,
            how->is_oob
                ? "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}"
                : "{\"execute\": \"qmp_capabilities\"}");
    if (r == 0 && (!player_peek(p, SIDE_SERVER, &item) || !is_named(&item, "qmp_capabilities")))
        r = PLAYER_E_UNEXPECTED;
    if (r == 0)
        r = answer(p, "{\"return\": {}}");
    if (r == 0)
        r = expect(p, FRAME_RETURN);
    if (r == 0)
        r = answer_questions(p, how->commands);
    if (r == 0 && (player_peek(p, SIDE_CLIENT, &item) || player_peek(p, SIDE_SERVER, &item)))
        r = PLAYER_E_UNEXPECTED;
    return r;
}
