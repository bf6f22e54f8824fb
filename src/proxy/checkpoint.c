#include "proxy/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/packed.h"
#include "json/reader.h"
#include "proxy/flow.h"

_Static_assert((int)_CHECKPOINT_N <= (int)CHECKPOINT_ROOM, "there is room for all numbers");

/* bits of CHECKPOINT_FLAGS; their places stay, as the numbers' do */
enum {
    FLAG_COMPACT = 1 << 0,
    FLAG_CLIENT_SKIPS_EOL = 1 << 1,
    FLAG_SERVER_SKIPS_EOL = 1 << 2,
    FLAG_CLIENT_ENDED = 1 << 3,
    FLAG_SERVER_ENDED = 1 << 4,
    FLAG_OOB = 1 << 5,
    FLAG_FDS_UPSTREAM = 1 << 6,
    FLAG_TOLD_RULES = 1 << 7,
    FLAG_REFUSING = 1 << 8,
    FLAG_UNCERTAIN = 1 << 9,
};

/* --- rest ---------------------------------------------------------------------------------------- */

static bool input_is_at_rest(const struct input *in) {
    return in->tail.n == 0 && !in->is_streaming && rides_is_empty(&in->rides) &&
           frame_reader_is_fresh(&in->reader);
}

static bool out_is_at_rest(const struct out *o) {
    return out_is_empty(o) && fds_is_empty(&o->next);
}

bool checkpoint_is_due(const struct session *s) {
    return list_is_empty(&s->tasks) && list_is_empty(&s->queue) && list_is_empty(&s->deferred) &&
           input_is_at_rest(&s->input[SIDE_CLIENT]) && input_is_at_rest(&s->input[SIDE_SERVER]) &&
           out_is_at_rest(&s->out[SIDE_CLIENT]) && out_is_at_rest(&s->out[SIDE_SERVER]) &&
           !s->is_streaming && !compact_is_waiting(&s->compact) && fds_is_empty(&s->blank_fds) &&
           list_is_empty(&s->engine.fds.all); /* those that rules keep come again as they came */
}

/* --- numbers -------------------------------------------------------------------------------------- */

static uint64_t flags(const struct session *s) {
    return (s->compact.is_on ? FLAG_COMPACT : 0u) |
           (s->input[SIDE_CLIENT].skips_eol ? FLAG_CLIENT_SKIPS_EOL : 0u) |
           (s->input[SIDE_SERVER].skips_eol ? FLAG_SERVER_SKIPS_EOL : 0u) |
           (s->input[SIDE_CLIENT].has_ended ? FLAG_CLIENT_ENDED : 0u) |
           (s->input[SIDE_SERVER].has_ended ? FLAG_SERVER_ENDED : 0u) |
           (s->is_oob ? FLAG_OOB : 0u) | (s->has_fds_upstream ? FLAG_FDS_UPSTREAM : 0u) |
           (s->has_told_rules ? FLAG_TOLD_RULES : 0u) | (s->is_refusing ? FLAG_REFUSING : 0u) |
           (s->is_uncertain ? FLAG_UNCERTAIN : 0u);
}

static void set_flags(struct session *s, uint64_t f) {
    s->compact.is_on = f & FLAG_COMPACT;
    s->input[SIDE_CLIENT].skips_eol = f & FLAG_CLIENT_SKIPS_EOL;
    s->input[SIDE_SERVER].skips_eol = f & FLAG_SERVER_SKIPS_EOL;
    s->input[SIDE_CLIENT].has_ended = f & FLAG_CLIENT_ENDED;
    s->input[SIDE_SERVER].has_ended = f & FLAG_SERVER_ENDED;
    s->is_oob = f & FLAG_OOB;
    s->has_fds_upstream = f & FLAG_FDS_UPSTREAM;
    s->has_told_rules = f & FLAG_TOLD_RULES;
    s->is_refusing = f & FLAG_REFUSING;
    s->is_uncertain = f & FLAG_UNCERTAIN;
}

void checkpoint_take(const struct session *s, struct checkpoint *ret) {
    uint64_t *number = ret->number;

    number[CHECKPOINT_CLIENT_MESSAGES] = s->stats.n_messages[SIDE_CLIENT];
    number[CHECKPOINT_SERVER_MESSAGES] = s->stats.n_messages[SIDE_SERVER];
    number[CHECKPOINT_CLIENT_BYTES] = s->stats.n_bytes[SIDE_CLIENT];
    number[CHECKPOINT_SERVER_BYTES] = s->stats.n_bytes[SIDE_SERVER];
    number[CHECKPOINT_REWRITTEN] = s->stats.n_rewritten;
    number[CHECKPOINT_DROPPED] = s->stats.n_dropped;
    number[CHECKPOINT_ANSWERED] = s->stats.n_answered;
    number[CHECKPOINT_ASKED] = s->stats.n_asked;
    number[CHECKPOINT_HELD] = s->stats.n_held;
    number[CHECKPOINT_FAILED] = s->stats.n_failed;
    number[CHECKPOINT_TIMED_OUT] = s->stats.n_timed_out;
    number[CHECKPOINT_LAST_NUMBER] = s->last_number;
    number[CHECKPOINT_N_SENT] = s->n_sent;
    number[CHECKPOINT_N_ANSWERED] = s->n_answered;
    number[CHECKPOINT_COMPACT_SENT] = s->compact.n_sent;
    number[CHECKPOINT_NEGOTIATION] = s->negotiation;
    number[CHECKPOINT_FLAGS] = flags(s);
    number[CHECKPOINT_LAST_FD] = s->engine.fds.last_number;
}

static void restore_numbers(struct session *s, const uint64_t *number) {
    s->stats.n_messages[SIDE_CLIENT] = number[CHECKPOINT_CLIENT_MESSAGES];
    s->stats.n_messages[SIDE_SERVER] = number[CHECKPOINT_SERVER_MESSAGES];
    s->stats.n_bytes[SIDE_CLIENT] = number[CHECKPOINT_CLIENT_BYTES];
    s->stats.n_bytes[SIDE_SERVER] = number[CHECKPOINT_SERVER_BYTES];
    s->stats.n_rewritten = number[CHECKPOINT_REWRITTEN];
    s->stats.n_dropped = number[CHECKPOINT_DROPPED];
    s->stats.n_answered = number[CHECKPOINT_ANSWERED];
    s->stats.n_asked = number[CHECKPOINT_ASKED];
    s->stats.n_held = number[CHECKPOINT_HELD];
    s->stats.n_failed = number[CHECKPOINT_FAILED];
    s->stats.n_timed_out = number[CHECKPOINT_TIMED_OUT];
    s->last_number = number[CHECKPOINT_LAST_NUMBER];
    s->n_sent = number[CHECKPOINT_N_SENT];
    s->n_answered = number[CHECKPOINT_N_ANSWERED];
    s->compact.n_sent = (unsigned int)number[CHECKPOINT_COMPACT_SENT];
    s->negotiation = (enum negotiation)number[CHECKPOINT_NEGOTIATION];
    set_flags(s, number[CHECKPOINT_FLAGS]);
    s->engine.fds.last_number = number[CHECKPOINT_LAST_FD];
}

/* --- the large part: the server's version, the rules that work, what failed, schema, facts ---------- */

uint64_t checkpoint_large_version(const struct session *s) {
    /* each only grows, and the schema is read once */
    return s->n_changes + s->engine.facts.n_changes + (s->engine.schema.n > 0);
}

static void put_text(struct buffer *b, const void *text, size_t n) {
    packed_put_number(b, n);
    buffer_append(b, text, n);
}

static int put_fact(void *userdata, const char *table, const char *key, const char *value,
                    const struct fdtable_entry *fd) {
    struct buffer *b = userdata;

    (void)fd; /* there is none at rest */
    put_text(b, table, strlen(table) + 1);
    put_text(b, key, strlen(key));
    put_text(b, value, strlen(value));
    return 0;
}

int checkpoint_take_large(const struct session *s, struct buffer *b) {
    size_t n_rules = s->program ? program_n_rules(s->program) : 0;
    const struct engine *e = &s->engine;

    packed_put_number(b, n_rules);
    packed_put_number(b, e->has_server);
    put_text(b, &e->server, sizeof(e->server));
    if (s->program) {
        packed_put_number(b, e->selection->is_ascending);
        put_text(b, e->selection->state, n_rules);
        put_text(b, e->selection->reason, n_rules);
    }
    put_text(b, s->has_failed, s->has_failed ? n_rules : 0);
    put_text(b, e->schema.data, e->schema.n);
    packed_put_number(b, e->facts.n);
    facts_visit(&e->facts, put_fact, b);
    return buffer_status(b);
}

static const char *get_text(struct packed *l, size_t *ret_n) {
    *ret_n = packed_number(l);
    return packed_bytes(l, *ret_n);
}

/* Return: false when it has not @n bytes */
static bool get_into(struct packed *l, void *to, size_t n) {
    size_t n_text;
    const char *text = get_text(l, &n_text);

    if (!text || n_text != n)
        return false;
    if (n > 0)
        memcpy(to, text, n);
    return true;
}

static int restore_selection(struct session *s, struct packed *l, size_t n_rules) {
    struct selection *selection;
    bool is_good;
    int r;

    if (!s->program)
        return 0;
    r = session_select(s, NULL, NULL);
    if (r < 0)
        return r;
    selection = s->engine.selection;
    selection->is_ascending = packed_number(l);
    is_good = get_into(l, selection->state, n_rules) && get_into(l, selection->reason, n_rules);
    selection->n_working = 0;
    for (size_t i = 0; i < n_rules; i++)
        selection->n_working += selection->state[i] != SELECTION_RESTS;
    return is_good ? 0 : CHECKPOINT_E_INVALID;
}

static int restore_failed(struct session *s, struct packed *l, size_t n_rules) {
    size_t n;
    const char *text = get_text(l, &n);

    if (!text || (n != 0 && n != n_rules))
        return CHECKPOINT_E_INVALID;
    if (n == 0)
        return 0;
    s->has_failed = calloc(n, 1);
    if (!s->has_failed)
        return -ENOMEM;
    memcpy(s->has_failed, text, n);
    return 0;
}

static int restore_schema(struct session *s, struct packed *l) {
    size_t n;
    const char *text = get_text(l, &n);

    if (!text)
        return CHECKPOINT_E_INVALID;
    buffer_append(&s->engine.schema, text, n);
    return buffer_status(&s->engine.schema);
}

static int restore_fact(struct session *s, struct packed *l) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    size_t n_table, n_key, n_value;
    const char *table = get_text(l, &n_table);
    const char *key = get_text(l, &n_key), *value = get_text(l, &n_value);
    struct json *json_key, *json_value;
    int r;

    if (!value || n_table == 0 || table[n_table - 1] != '\0')
        return CHECKPOINT_E_INVALID;
    r = json_read(&arena, key, n_key, false, &json_key, NULL);
    if (r == 0)
        r = json_read(&arena, value, n_value, false, &json_value, NULL);
    if (r == 0)
        r = facts_remember(&s->engine.facts, table, json_key, json_value, NULL);
    return r > 0 ? CHECKPOINT_E_INVALID : r;
}

static int restore_facts(struct session *s, struct packed *l) {
    uint64_t n = packed_number(l);
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < n; i++)
        r = restore_fact(s, l);
    return r;
}

int checkpoint_restore(struct session *s, const struct checkpoint *c, const char *large,
                       size_t n_large) {
    struct packed l = {.text = large, .n = n_large};
    size_t n_rules = packed_number(&l);
    int r = 0;

    if (n_rules != (s->program ? program_n_rules(s->program) : 0))
        return CHECKPOINT_E_INVALID;
    s->engine.has_server = packed_number(&l);
    if (!get_into(&l, &s->engine.server, sizeof(s->engine.server)))
        return CHECKPOINT_E_INVALID;
    r = restore_selection(s, &l, n_rules);
    if (r == 0)
        r = restore_failed(s, &l, n_rules);
    if (r == 0)
        r = restore_schema(s, &l);
    if (r == 0)
        r = restore_facts(s, &l);
    if (r)
        return r;
    restore_numbers(s, c->number);
    return l.is_short || l.n > 0 ? CHECKPOINT_E_INVALID : 0;
}

int checkpoint_renew(struct session **session) {
    _cleanup_(buffer_deinit) struct buffer large = BUFFER_INIT;
    struct session *old = *session, *new;
    struct checkpoint c = {.number = {0}};
    int r;

    checkpoint_take(old, &c);
    r = checkpoint_take_large(old, &large);
    if (r == 0)
        r = session_new(old->program, &old->limits, old->trace, old->userdata, &new);
    if (r)
        return error_fold(r);
    new->tells_passed = old->tells_passed;
    new->tells_traffic = old->tells_traffic;
    r = checkpoint_restore(new, &c, large.data, large.n);
    if (r) {
        session_free(new);
        return error_fold(r);
    }
    session_free(old);
    *session = new;
    return 0;
}
