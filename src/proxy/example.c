#include "proxy/example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "json/reader.h"
#include "json/writer.h"
#include "proxy/compare.h"
#include "proxy/player.h"
#include "proxy/playfd.h"

#define EXAMPLE_ID "\"example\""

/* sent where a rule for errors takes any command */
#define EXAMPLE_COMMAND "qmp-shim-example"

struct play {
    const struct rule *rule;
    const struct json *example;
    const char *client, *server; /* "old" and "new", or the reverse */
    struct player player;
    struct compare compare;
    struct diag_set *diags;
    char id[64]; /* as it came, of the command that is to be answered; empty: it had none */
};

static const char *const reply_keys[] = {"return", "error", "id", "fd", "until", NULL};
static const char *const id_key[] = {"id", NULL};

/* --- findings ----------------------------------------------------------------------------------- */

static int failed(struct play *p, const struct json *value, struct buffer *detail,
                  const char *message) {
    const struct diag_source *source = p->rule->file->source;
    char *way_out = buffer_steal_string(detail);

    if (!way_out)
        return -ENOMEM;
    diag_add(p->diags, DIAG_ERROR, source, (size_t)(value->text - source->text), value->n_text,
             way_out[0] ? way_out : NULL, "%s (client: %s, server: %s)", message, p->client,
             p->server);
    free(way_out);
    return EXAMPLE_E_FAILED;
}

static int unexpected(struct play *p, enum side side, const struct json *value, const char *message,
                      const char *where) {
    _cleanup_(buffer_deinit) struct buffer detail = BUFFER_INIT;
    struct player_item item;

    if (!player_peek(&p->player, side, &item))
        buffer_append_string(&detail, "nothing came");
    else
        buffer_printf(&detail, "came: %.*s", (int)item.n, item.text);
    if (where && where[0])
        buffer_printf(&detail, " (it differs at %s)", where);
    return failed(p, value, &detail, message);
}

/* --- what is sent ---------------------------------------------------------------------------------- */

/* @value without the members of a reply, with the id @id (NULL: without one) */
static int send_message(struct play *p, enum side from, const struct json *value, const char *id) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct fdlook fd;

    buffer_append_string(&b, "{");
    for (size_t i = 0; i < value->n_items; i++) {
        const struct json *m = &value->items[i];

        if (id && (json_key_is(m, "return") || json_key_is(m, "error") || json_key_is(m, "id") ||
                   json_key_is(m, "fd") || json_key_is(m, "until")))
            continue;
        buffer_append_string(&b, b.n > 1 ? ", " : "");
        buffer_append(&b, m->key_text, m->n_key_text);
        buffer_append_string(&b, ": ");
        json_write(&b, m);
    }
    if (id)
        buffer_printf(&b, ", \"id\": %s", id);
    buffer_append_string(&b, "}\r\n");
    playfd_read(json_member(value, "fd"), &fd);
    return b.failed
               ? -ENOMEM
               : player_send(&p->player, from, b.data, b.n, json_member(value, "fd") != NULL, &fd);
}

/* the server's answer, as @command shows it; success without a value when it shows none */
static int send_reply(struct play *p, const struct json *command) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const struct json *m = json_member(command, "error");

    if (!m)
        m = json_member(command, "return");
    buffer_append_string(&b, "{");
    if (m) {
        buffer_append(&b, m->key_text, m->n_key_text);
        buffer_append_string(&b, ": ");
        json_write(&b, m);
    } else {
        buffer_append_string(&b, "\"return\": {}");
    }
    buffer_append_string(&b, "}");
    if (b.failed)
        return -ENOMEM;
    return player_send_reply(&p->player, b.data, b.n, p->id[0] ? p->id : NULL, strlen(p->id));
}

/* --- what has to arrive ------------------------------------------------------------------------------ */

/* did the fd that @value shows come with @item, or none if it shows none? */
static bool has_fd_as_shown(const struct play *p, enum side side, const struct json *value,
                            const struct player_item *item) {
    const struct json *shown = json_member(value, "fd");
    struct fdlook want;

    playfd_read(shown, &want);
    return item->n_fds == (shown != NULL) &&
           (!shown || playfd_fits(&want, &p->player.inbox[side].fd));
}

/* a message that has to come to @side, but for the members @ignored */
static int expect(struct play *p, enum side side, const struct json *value,
                  const char *const *ignored, const char *message) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct player_item item;
    struct json *came;
    int r;

    if (!player_peek(&p->player, side, &item) || !item.is_message)
        return unexpected(p, side, value, message, NULL);
    r = json_read(&arena, item.text, item.n, false, &came, NULL);
    if (r == 0)
        r = compare_members(&p->compare, value, came, ignored);
    if (r)
        return r < 0 ? r : unexpected(p, side, value, message, p->compare.where);
    if (side == SIDE_SERVER && !has_fd_as_shown(p, side, value, &item))
        return unexpected(p, side, value, message, "its file descriptor");
    snprintf(p->id, sizeof(p->id), "%.*s", (int)item.frame.id.n, item.text + item.frame.id.at);
    player_take(&p->player, side, item.end);
    return 0;
}

/* one value or a list of them */
static const struct json *items_of(const struct json *value, size_t *ret_n) {
    *ret_n = !value || value->type == JSON_NULL ? 0
             : value->type == JSON_ARRAY        ? value->n_items
                                                : 1;
    return value && value->type == JSON_ARRAY ? value->items : value;
}

static int expect_events(struct play *p, const struct json *list, const char *message) {
    static const char *const ignored[] = {"timestamp", NULL};
    size_t n;
    const struct json *event = items_of(list, &n);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = expect(p, SIDE_CLIENT, &event[i], json_member(&event[i], "timestamp") ? NULL : ignored,
                   message);
    return r;
}

/* events that the server sends, and the client gets unless the rule hides them */
static int happen(struct play *p, const struct json *events) {
    size_t n;
    const struct json *event = items_of(events, &n);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = send_message(p, SIDE_SERVER, &event[i], NULL);
    return r || p->rule->hide ? r : expect_events(p, events, "the client did not get this event");
}

/* a command has to come to the server, which answers it */
static int expect_command(struct play *p, const struct json *command, const char *message) {
    int r;

    r = expect(p, SIDE_SERVER, command, reply_keys, message);
    if (r == 0)
        r = send_reply(p, command);
    return r ? r : happen(p, json_member(command, "until"));
}

static int expect_commands(struct play *p, const struct json *list, const char *message) {
    size_t n;
    const struct json *command = items_of(list, &n);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = expect_command(p, &command[i], message);
    return r;
}

static int expect_nothing(struct play *p) {
    struct player_item item;

    for (size_t side = 0; side < 2; side++)
        if (player_peek(&p->player, (enum side)side, &item))
            return unexpected(p, (enum side)side, p->example,
                              side == SIDE_CLIENT ? "the client got more than this"
                                                  : "the server got more than this",
                              NULL);
    return 0;
}

/* the reply the client gets; what it says counts only if @command shows it */
static int expect_reply(struct play *p, const struct json *command) {
    static const char *const all[] = {"return", "error", NULL}, *const execute[] = {
                                                                    "execute",   "exec-oob",
                                                                    "arguments", "control",
                                                                    "fd",        "id",
                                                                    NULL};
    bool is_shown = json_member(command, "return") || json_member(command, "error");
    char id[sizeof(p->id)];
    int r;

    if (!is_shown) {
        _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
        struct json *nothing;

        r = json_read(&arena, "{\"id\": " EXAMPLE_ID "}", strlen("{\"id\": " EXAMPLE_ID "}"), false,
                      &nothing, NULL);
        if (r)
            return error_fold(r);
        nothing->text = command->text; /* where a finding points to */
        nothing->n_text = command->n_text;
        return expect(p, SIDE_CLIENT, nothing, all, "the client did not get a reply to this");
    }
    r = expect(p, SIDE_CLIENT, command, execute, "the client did not get this reply");
    snprintf(id, sizeof(id), "%s", p->id);
    return r == 0 && strcmp(id, EXAMPLE_ID) != 0
               ? unexpected(p, SIDE_CLIENT, command, "the reply has another id than its command",
                            NULL)
               : r;
}

/* --- kinds of examples --------------------------------------------------------------------------------- */

/* the event that the reply waits for, or the time after which it comes without */
static int play_until(struct play *p, const struct json *ex) {
    size_t n;

    items_of(json_member(ex, "until"), &n);
    if (p->rule->until.n == 0)
        return 0;
    if (n == 0)
        return error_fold(player_wait(&p->player, UINT64_C(3600) * 1000));
    return happen(p, json_member(ex, "until"));
}

static int play_command(struct play *p, const struct json *ex, const struct json *from,
                        const struct json *to) {
    int r;

    r = send_message(p, SIDE_CLIENT, from, EXAMPLE_ID);
    if (r == 0)
        r = expect_commands(p, json_member(ex, "ask"), "the server was not asked this");
    if (r == 0)
        r = expect_commands(p, to, "the server did not get this command");
    if (r == 0)
        r = play_until(p, ex);
    if (r == 0)
        r = expect_events(p, json_member(ex, "emit-before"), "the client did not get this event");
    if (r == 0)
        r = expect_reply(p, from);
    return r;
}

static int play_event(struct play *p, const struct json *ex, const struct json *from,
                      const struct json *to) {
    int r;

    r = send_message(p, SIDE_SERVER, from, NULL);
    if (r == 0)
        r = expect_commands(p, json_member(ex, "ask"), "the server was not asked this");
    if (r == 0)
        r = expect_events(p, json_member(ex, "emit-before"), "the client did not get this event");
    if (r == 0 && to && to->type != JSON_NULL)
        r = expect(p, SIDE_CLIENT, to, NULL, "the client did not get this event");
    return r;
}

static int play_error(struct play *p, const struct json *from, const struct json *to) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct player_item item;
    int r;

    buffer_printf(&b, "{\"execute\": \"%s\", \"id\": " EXAMPLE_ID "}\r\n",
                  p->rule->commands ? p->rule->commands[0] : EXAMPLE_COMMAND);
    if (b.failed)
        return -ENOMEM;
    r = player_send(&p->player, SIDE_CLIENT, b.data, b.n, 0, NULL);
    if (r < 0)
        return r;
    if (!player_peek(&p->player, SIDE_SERVER, &item) || !item.is_message)
        return unexpected(p, SIDE_SERVER, from, "the server got no command that it could answer so",
                          NULL);
    snprintf(p->id, sizeof(p->id), "%.*s", (int)item.frame.id.n, item.text + item.frame.id.at);
    player_take(&p->player, SIDE_SERVER, item.end);
    r = send_reply(p, from);
    return r < 0 ? r : expect(p, SIDE_CLIENT, to, id_key, "the client did not get this reply");
}

static int play_greeting(struct play *p, const struct json *from, const struct json *to) {
    int r;

    r = send_message(p, SIDE_SERVER, from, NULL);
    return r < 0 ? r : expect(p, SIDE_CLIENT, to, NULL, "the client did not get this greeting");
}

static bool is_message(const struct json *value) {
    return value && value->type == JSON_OBJECT;
}

/* one exchange, and what the rule does afterwards */
static int play_exchange(struct play *p, const struct json *ex) {
    const struct json *client = json_member(ex, p->client), *server = json_member(ex, p->server);
    int r;

    if (is_message(client) && (json_member(client, "execute") || json_member(client, "exec-oob")))
        r = play_command(p, ex, client, server);
    else if (is_message(server) && json_member(server, "event"))
        r = play_event(p, ex, server, client);
    else if (is_message(server) && is_message(client) && json_member(server, "QMP"))
        r = play_greeting(p, server, client);
    else if (is_message(server) && is_message(client) && json_member(server, "error"))
        r = play_error(p, server, client);
    else
        return EXAMPLE_E_NONE;
    if (r == 0)
        r = expect_events(p, json_member(ex, "emit"), "the client did not get this event");
    if (r == 0)
        r = expect_commands(p, json_member(ex, "then"), "the server did not get this command");
    if (r == 0)
        r = expect_commands(p, json_member(ex, "finally"), "the server did not get this command");
    return r ? r : expect_nothing(p);
}

static int play_all(struct play *p) {
    const struct json *server = json_member(p->example, p->server);
    struct player_handshake how = {.greeting =
                                       "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}"};
    size_t n;
    const struct json *before = items_of(json_member(p->example, "first"), &n);
    int r = 0;

    how.is_oob = memmem(p->example->text, p->example->n_text, "\"exec-oob\"",
                        strlen("\"exec-oob\"")) != NULL;
    if (!is_message(server) || !json_member(server, "QMP"))
        r = player_shake_hands(&p->player, &how);
    if (r > 0)
        return unexpected(p, SIDE_CLIENT, p->example, "the handshake before this went wrong", NULL);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = play_exchange(p, &before[i]);
    return r ? r : play_exchange(p, p->example);
}

/* does the example say that it is not for this kind of client? */
static bool is_for_others(const struct rule *rule, const struct json *example,
                          enum dialect client) {
    const struct json *one_way = json_member(example, "one-way");
    enum rule_for other = client == DIALECT_OLD ? RULE_FOR_NEW_CLIENT : RULE_FOR_OLD_CLIENT;

    if (rule->for_client != RULE_FOR_BOTH || !one_way)
        return rule->for_client == other;
    if (one_way->type == JSON_BOOL)
        return one_way->boolean && client == DIALECT_NEW;
    return json_is_string(one_way, client == DIALECT_OLD ? "new-client" : "old-client");
}

int example_play(struct program *program, const struct rule *rule, const struct json *example,
                 struct diag_set *diags) {
    struct limits limits = LIMITS_DEFAULT;
    enum dialect client = program_options(program)->client;
    struct play p = {.rule = rule, .example = example, .diags = diags};
    int r;

    if (is_for_others(rule, example, client))
        return EXAMPLE_E_NONE;
    p.client = client == DIALECT_OLD ? "old" : "new";
    p.server = client == DIALECT_OLD ? "new" : "old";
    compare_init(&p.compare);
    r = player_init(&p.player, program, &limits, false, NULL, NULL);
    if (r == 0)
        r = play_all(&p);
    player_deinit(&p.player);
    compare_deinit(&p.compare);
    return r;
}
