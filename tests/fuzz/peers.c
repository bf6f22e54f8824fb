#include "peers.h"

#include <string.h>

#include "qmp/message.h"

/* --- a policy ------------------------------------------------------------------------------------------------ */

static bool is_allowed(const struct world *w, const struct message *m) {
    for (const char *const *name = w->rules->allowed; *name; name++)
        if (strlen(*name) == m->n_name && memcmp(*name, m->name, m->n_name) == 0)
            return true;
    return false;
}

static void check_policy(const struct world *w, enum frame_scan scan, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct message m;

    if (!w->rules->allowed || scan == FRAME_BLANK)
        return;
    FUZZ_CHECK(scan == FRAME_OBJECT);
    FUZZ_CHECK(message_read(&arena, text, n, &m) == 0);
    FUZZ_CHECK(m.kind == FRAME_COMMAND || m.kind == FRAME_COMMAND_OOB);
    FUZZ_CHECK(is_allowed(w, &m));
}

/* --- what a good server hears ----------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, const char *text, size_t n) {
    FUZZ_CHECK(n < room);
    memcpy(to, text, n);
    to[n] = '\0';
}

static size_t n_fds_within(const struct stream *s, size_t from, size_t to) {
    size_t n_fds = 0;

    for (size_t i = 0; i < s->n_marks; i++)
        if (s->mark[i].at >= from && s->mark[i].at < to)
            n_fds += s->mark[i].n_fds;
    return n_fds;
}

/* a command that no rule mentions came: it must be the next one of its kind, as it was sent */
static void check_plain(struct world *w, const char *text, size_t n, size_t end_at) {
    for (size_t i = 0; i < w->n_sent; i++) {
        struct sent *c = &w->sent[i];

        if (!c->is_plain || c->has_arrived)
            continue;
        c->has_arrived = true;
        FUZZ_CHECK(strlen(c->text) == n && memcmp(c->text, text, n) == 0);
        FUZZ_CHECK(n_fds_within(&w->out[SIDE_SERVER], end_at - n, end_at) == c->n_fds);
        return;
    }
    FUZZ_CHECK(!"a command that nobody sent");
}

static void hear(struct world *w, const char *text, size_t n, size_t end_at) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct heard *h = &w->heard[w->n_heard++];
    const struct json *id;
    struct message m;

    FUZZ_CHECK(w->n_heard < ARRAY_SIZE(w->heard));
    FUZZ_CHECK(message_read(&arena, text, n, &m) == 0);
    FUZZ_CHECK(m.kind == FRAME_COMMAND || m.kind == FRAME_COMMAND_OOB);
    *h = (struct heard){.is_oob = m.kind == FRAME_COMMAND_OOB};
    copy_text(h->name, sizeof(h->name), m.name, m.n_name);
    id = json_member(m.root, "id");
    if (id)
        copy_text(h->id, sizeof(h->id), id->text, id->n_text);
    if (strcmp(h->name, "plain") == 0 && !h->is_oob && !w->is_oob)
        check_plain(w, text, n, end_at);
}

/* --- what a good client hears ------------------------------------------------------------------------------------- */

static void check_order(const struct world *w, const struct sent *c) {
    for (const struct sent *before = w->sent; before < c; before++)
        FUZZ_CHECK(c->is_oob || before->is_oob || before->is_replied);
}

static struct sent *find_sent(struct world *w, const char *id, size_t n) {
    for (size_t i = 0; i < w->n_sent; i++) {
        struct sent *c = &w->sent[i];

        if (n == 0 && !c->is_oob && !c->is_replied)
            return c; /* without an id, as some servers answer: it is the next one's */
        if (n > 0 && strlen(c->id) == n && memcmp(c->id, id, n) == 0)
            return c;
    }
    return NULL;
}

static void hear_reply(struct world *w, const char *text, const struct frame *frame) {
    struct sent *c = find_sent(w, text + frame->id.at, frame->id.n);

    FUZZ_CHECK(c);
    FUZZ_CHECK(!c->is_replied);
    c->is_replied = true;
    check_order(w, c);
}

/* those that no rule mentions are all there, in order */
static void hear_event(struct world *w, const char *text, const struct frame *frame) {
    char expected[100];

    if (frame->name.n != 5 || memcmp(text + frame->name.at, "PLAIN", 5) != 0)
        return;
    snprintf(expected, sizeof(expected), "{\"event\":\"PLAIN\",  \"data\": {\"n\": %zu}}",
             ++w->n_events_seen);
    FUZZ_CHECK(frame->n_bytes == strlen(expected) && memcmp(text, expected, frame->n_bytes) == 0);
}

static void hear_message(struct world *w, const char *text, const struct frame *frame) {
    switch (frame->kind) {
    case FRAME_RETURN:
    case FRAME_ERROR:
        hear_reply(w, text, frame);
        break;
    case FRAME_EVENT:
        hear_event(w, text, frame);
        break;
    default:
        FUZZ_CHECK(frame->kind == FRAME_GREETING);
    }
}

/* --- looking at what came out ---------------------------------------------------------------------------------------- */

static void look_at_piece(struct world *w, enum side to, enum frame_scan scan, const char *text,
                          size_t n, size_t end_at) {
    if (to == SIDE_SERVER)
        check_policy(w, scan, text, n);
    if (w->play != WORLD_GOOD || scan == FRAME_BLANK)
        return;
    FUZZ_CHECK(scan == FRAME_OBJECT);
    if (to == SIDE_SERVER)
        hear(w, text, n, end_at);
    else
        hear_message(w, text, frame_reader_frame(&w->at_client));
}

static void look_at(struct world *w, enum side to) {
    struct frame_reader *reader = to == SIDE_SERVER ? &w->at_server : &w->at_client;
    const struct buffer *out = &w->out[to].text;
    struct buffer *half = &w->half[to];
    size_t n;

    while (w->n_seen[to] < out->n) {
        enum frame_scan scan =
            frame_scan(reader, out->data + w->n_seen[to], out->n - w->n_seen[to], &n);

        buffer_append(half, out->data + w->n_seen[to], n);
        w->n_seen[to] += n;
        if (scan == FRAME_PART)
            continue;
        look_at_piece(w, to, scan, half->data, half->n, w->n_seen[to]);
        buffer_clear(half);
    }
}

void peers_look(struct world *w) {
    if (w->play == WORLD_BARE)
        return;
    look_at(w, SIDE_SERVER);
    if (w->play == WORLD_GOOD)
        look_at(w, SIDE_CLIENT);
}

/* --- what good peers say ------------------------------------------------------------------------------------------- */

void peers_say_command(struct world *w, uint8_t which, uint8_t how) {
    const char *name = session_rules_command(w->rules, which);
    struct sent *c = &w->sent[w->n_sent];

    if (w->n_sent == WORLD_MAX_COMMANDS || w->has_ended[SIDE_CLIENT] ||
        !session_wants(w->session, SIDE_CLIENT))
        return;
    *c = (struct sent){.is_oob = w->is_oob && how % 8 == 7, .n_fds = w->n_next_fds};
    snprintf(c->id, sizeof(c->id),
             how & 8    ? "\"c%zu\""
             : how & 16 ? "[%zu]"
                        : "%zu.0",
             w->n_sent + 1);
    snprintf(
        c->text, sizeof(c->text),
        !(how & 32) ? "{ \"id\":%s,\"%s\":\"%s\"}"
        : w->rules->is_newest
            ? "{\"id\": %s, \"%s\": \"%s\", \"arguments\": {\"id\": \"%c\", \"tag\": 1, \"line\": \"delete x\"}}"
            : "{\"id\": %s, \"%s\": \"%s\" ,\"arguments\":{\"id\": \"%c\"}}",
        c->id, c->is_oob ? "exec-oob" : "execute", name, 'a' + how % 2);
    c->is_plain = strcmp(name, "plain") == 0 && !c->is_oob;
    w->n_sent++;
    world_feed_string(w, SIDE_CLIENT, c->text);
    if (how & 64)
        world_feed_string(w, SIDE_CLIENT, "\r\n");
}

static const char *reply_for(const struct world *w, const struct heard *h, uint8_t how) {
    const char *own = how & 32 ? NULL : session_rules_reply(w->rules, h->name, how);

    if (own)
        return own;
    if (strcmp(h->name, "query-things") == 0 && how % 4)
        return "\"return\": [{\"id\": \"a\", \"size\": 1}, {\"id\": \"b\", \"size\": 2}]";
    switch (how % 8) {
    case 0:
        return "\"error\": {\"class\": \"NewError\", \"desc\": \"no\"}";
    case 1:
        return "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"the new text\"}";
    case 2:
        return "\"return\": []";
    default:
        return "\"return\": {}";
    }
}

void peers_say_reply(struct world *w, uint8_t how) {
    bool seen_in_band = false;
    char text[500];

    for (size_t i = 0; i < w->n_heard; i++) {
        struct heard *h = &w->heard[i];

        if (h->is_answered || (!h->is_oob && seen_in_band))
            continue;
        if (h->is_oob && how & 8) /* later */
            continue;
        if (w->has_ended[SIDE_SERVER] || !session_wants(w->session, SIDE_SERVER))
            return;
        seen_in_band = true;
        h->is_answered = true;
        if (h->id[0] == '\0' || (how % 8 == 1 && w->has_old_errors))
            snprintf(text, sizeof(text), "{%s}\r\n", reply_for(w, h, how));
        else if (how & 16)
            snprintf(text, sizeof(text), "{\"id\": %s, %s}\r\n", h->id, reply_for(w, h, how));
        else
            snprintf(text, sizeof(text), "{%s, \"id\": %s}\r\n", reply_for(w, h, how), h->id);
        world_feed_string(w, SIDE_SERVER, text);
        return;
    }
}

void peers_say_event(struct world *w, uint8_t which) {
    const char *name = session_rules_event(w->rules, which);
    bool is_plain = strcmp(name, "PLAIN") == 0;
    char text[100];

    if (w->has_ended[SIDE_SERVER] || !session_wants(w->session, SIDE_SERVER))
        return;
    if (is_plain)
        snprintf(text, sizeof(text), "{\"event\":\"PLAIN\",  \"data\": {\"n\": %zu}}\r\n",
                 ++w->n_events);
    else
        snprintf(text, sizeof(text), "{\"event\": \"%s\", \"data\": {\"id\": \"%c\"}}\r\n", name,
                 'a' + which / 16 % 2);
    world_feed_string(w, SIDE_SERVER, text);
}

void peers_greet(struct world *w) {
    world_feed_string(
        w, SIDE_SERVER,
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, "
        "\"capabilities\": [\"oob\"]}}\r\n");
    w->sent[w->n_sent++] = (struct sent){.id = "0"};
    world_feed_string(
        w, SIDE_CLIENT,
        w->is_oob
            ? "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}, \"id\": 0}"
            : "{\"execute\": \"qmp_capabilities\", \"id\": 0}");
    peers_say_reply(w, 7);
}
