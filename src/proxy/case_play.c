/*
 * Playing case files: a dialogue over a real session.
 */

#include "proxy/case_parts.h"
#include "proxy/playfd.h"

#include <errno.h>
#include <stdlib.h>

#include "json/reader.h"
#include "proxy/compare.h"
#include "proxy/player.h"

struct play {
    const struct case_dialogue *dialogue;
    struct player player;
    struct compare names;
    struct diag_set *diags;
    bool has_seen_end[2];
};

static const char *const side_names[] = {[SIDE_CLIENT] = "client", [SIDE_SERVER] = "qemu"};

/* bytes of a peer as one line */
static void append_shown(struct buffer *b, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '\n')
            buffer_append_string(b, "\\n");
        else if (c == '\r')
            buffer_append_string(b, "\\r");
        else if (c < ' ' || c == 0x7f)
            buffer_printf(b, "\\x%02x", c);
        else
            buffer_append(b, text + i, 1);
    }
}

static int failed(struct play *p, const struct case_step *step, struct buffer *detail,
                  const char *who, const char *what) {
    char *way_out;

    if (p->player.is_bytewise)
        buffer_append_string(detail, detail->n > 0 ? " (sent byte by byte)" : "sent byte by byte");
    way_out = buffer_steal_string(detail);
    if (!way_out)
        return -ENOMEM;
    diag_add(p->diags, DIAG_ERROR, p->dialogue->source,
             step ? step->at : p->dialogue->source->n_text, step ? step->n_at : 0,
             way_out[0] ? way_out : NULL, "%s %s", who, what);
    free(way_out);
    return CASE_E_FAILED;
}

static void append_fds(const struct play *p, enum side side, size_t n, struct buffer *detail) {
    const struct fdlook *fd = &p->player.inbox[side].fd;
    const char *access = fdlook_access_name(fd->access);

    buffer_printf(detail, " with %zu fd%s: %s, %s", n, n > 1 ? "s" : "", fd->kind,
                  access ? access : "");
    if (fd->has_offset)
        buffer_printf(detail, ", at %lld", (long long)fd->offset);
}

/* what stands in the inbox of @side, for a finding */
static void append_inbox(struct play *p, enum side side, struct buffer *detail) {
    struct player_item item;

    if (!player_peek(&p->player, side, &item)) {
        buffer_append_string(detail, "nothing came");
        return;
    }
    buffer_append_string(detail, "came: ");
    append_shown(detail, item.text, item.n);
    if (item.n_fds > 0)
        append_fds(p, side, item.n_fds, detail);
}

/* before anything else happens all that arrived must have been mentioned */
static int check_inboxes(struct play *p, const struct case_step *next) {
    for (size_t side = 0; side < 2; side++) {
        _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;
        struct player_item item;
        bool is_finished =
            session_is_finished(p->player.session, (enum side)side) && !p->player.has_closed[side];

        if (player_peek(&p->player, (enum side)side, &item)) {
            append_inbox(p, (enum side)side, &detail);
            return failed(p, next, &detail, side_names[side],
                          "got, before this line, what no line tells of");
        }
        if (is_finished && !p->has_seen_end[side])
            return failed(p, next, &detail, side_names[side],
                          "saw the end before this line, and no line tells of it");
        player_take(&p->player, (enum side)side, p->player.inbox[side].text.n);
    }
    return 0;
}

static int play_send(struct play *p, const struct case_step *step) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT, detail = BUFFER_INIT;
    int r;

    if (!step->value)
        return player_send(&p->player, step->side, step->text, step->n_text, step->n_fds,
                           &step->fd);
    r = compare_fill(&p->names, step->value, &b);
    if (r == COMPARE_E_UNKNOWN)
        return failed(p, step, &detail, side_names[step->side],
                      "cannot say this: a number in it stands for nothing yet");
    buffer_append_string(&b, "\r\n");
    if (r < 0 || b.failed)
        return -ENOMEM;
    return player_send(&p->player, step->side, b.data, b.n, step->n_fds, &step->fd);
}

static int not_as_expected(struct play *p, const struct case_step *step, const char *where) {
    _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;

    append_inbox(p, step->side, &detail);
    if (where && where[0])
        buffer_printf(&detail, " (it differs at %s)", where);
    return failed(p, step, &detail, side_names[step->side], "did not get this");
}

static bool has_fd_as_told(const struct play *p, const struct case_step *step) {
    return step->n_fds == 0 || playfd_fits(&step->fd, &p->player.inbox[step->side].fd);
}

static int play_receive(struct play *p, const struct case_step *step) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct player_item item;
    struct json *came;
    int r;

    if (!player_peek(&p->player, step->side, &item) || !item.is_message)
        return not_as_expected(p, step, NULL);
    r = json_read(&arena, item.text, item.n, false, &came, NULL);
    if (r == 0)
        r = compare_value(&p->names, step->value, came);
    if (r < 0)
        return r;
    if (r > 0 || item.n_fds != step->n_fds || !has_fd_as_told(p, step))
        return not_as_expected(p, step, r > 0 ? p->names.where : "its fds");
    player_take(&p->player, step->side, item.end);
    return 0;
}

static int play_receive_exactly(struct play *p, const struct case_step *step) {
    _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;
    const struct buffer *inbox = &p->player.inbox[step->side].text;

    if (inbox->n >= step->n_text &&
        (step->n_text == 0 || memcmp(inbox->data, step->text, step->n_text) == 0) &&
        player_count_fds(&p->player, step->side, step->n_text) == step->n_fds &&
        has_fd_as_told(p, step)) {
        player_take(&p->player, step->side, step->n_text);
        return 0;
    }
    buffer_append_string(&detail, "came: ");
    append_shown(&detail, inbox->data, inbox->n);
    return failed(p, step, &detail, side_names[step->side], "did not get just these bytes");
}

static int play_see_end(struct play *p, const struct case_step *step) {
    _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;

    if (!session_is_finished(p->player.session, step->side))
        return failed(p, step, &detail, side_names[step->side], "does not see the end");
    p->has_seen_end[step->side] = true;
    return 0;
}

static int play_wait(struct play *p, const struct case_step *step) {
    _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;
    int r;

    r = player_wait(&p->player, step->ms);
    return r == PLAYER_E_STUCK ? failed(p, step, &detail, "the shim", "does not let time pass") : r;
}

static int play_step(struct play *p, const struct case_step *step) {
    switch (step->kind) {
    case CASE_SEND:
        return play_send(p, step);
    case CASE_RECEIVE:
        return play_receive(p, step);
    case CASE_RECEIVE_EXACTLY:
        return play_receive_exactly(p, step);
    case CASE_WAIT:
        return play_wait(p, step);
    case CASE_CLOSE:
        return player_close(&p->player, step->side);
    default:
        return play_see_end(p, step);
    }
}

static bool is_receiving(const struct case_step *step) {
    return step->kind == CASE_RECEIVE || step->kind == CASE_RECEIVE_EXACTLY ||
           step->kind == CASE_SEE_END;
}

static int play_handshake(struct play *p) {
    _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;
    const struct case_dialogue *d = p->dialogue;
    struct player_handshake how = {
        .greeting = d->greeting, .is_oob = d->is_oob, .commands = d->commands};
    int r;

    if (d->has_no_handshake)
        return 0;
    r = player_shake_hands(&p->player, &how);
    if (r <= 0)
        return r;
    append_inbox(p, SIDE_CLIENT, &detail);
    buffer_append_string(&detail, " to the client, ");
    append_inbox(p, SIDE_SERVER, &detail);
    return failed(p, d->first, &detail, "the handshake",
                  "went wrong before this; write it in the file, after \"handshake: none\"");
}

static int play_all(struct play *p) {
    int r;

    r = play_handshake(p);
    for (const struct case_step *step = p->dialogue->first; r == 0 && step; step = step->next) {
        r = is_receiving(step) ? 0 : check_inboxes(p, step);
        if (r == 0)
            r = play_step(p, step);
    }
    return r ? r : check_inboxes(p, NULL);
}

int case_play(const struct case_dialogue *d, struct program *program, bool is_bytewise,
              struct diag_set *diags) {
    struct play p = {.dialogue = d, .diags = diags};
    int r;

    compare_init(&p.names);
    r = player_init(&p.player, program, &d->limits, is_bytewise, NULL, NULL);
    if (r == 0)
        r = play_all(&p);
    player_deinit(&p.player);
    compare_deinit(&p.names);
    return r;
}
