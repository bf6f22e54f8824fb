/*
 * proxy/planned: what plans make of commands and replies is what the engine
 * makes of them.  Sessions whose rules have no plans go the other way with
 * all of it, so that the two can be compared: with rules made up for the
 * places where they might part, and with those that are shipped.
 */

#include "proxy/planned.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "json/diag.h"
#include "rule/shortcut.h"
#include "test.h"

static const char made_up[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"made-up\", \"rules\": ["
    "{\"name\": \"renamed\", \"old\": {\"execute\": \"a\"}, \"new\": {\"execute\": \"b\"}},"
    "{\"name\": \"reply\", \"old\": {\"execute\": \"c\", \"return\": {\"x\": \"$x\"}}, \"new\": {\"execute\": \"d\", \"return\": {\"y\": \"$x\"}}},"
    "{\"name\": \"reply-2\", \"old\": {\"execute\": \"c2\", \"return\": {\"x\": \"$x\"}}, \"new\": {\"execute\": \"d2\", \"return\": {\"y\": \"$x\"}}},"
    "{\"name\": \"arguments\", \"old\": {\"execute\": \"e\", \"arguments\": {\"p\": \"$p\", \"*q\": \"$q\", \"mode\": \"one\"}, \"return\": {\"n\": 1, \"s\": {\"t\": \"$t\"}}}, "
    "\"new\": {\"execute\": \"f\", \"arguments\": {\"pp\": \"$p\", \"*qq\": \"$q\", \"kind\": 2}, \"return\": {\"s\": {\"u\": \"$t\"}, \"more\": {\"v\": \"$t\"}}}},"
    "{\"name\": \"typed\", \"old\": {\"execute\": \"g\", \"arguments\": {\"i\": \"$i:int\", \"s\": \"$s:str\"}}, \"new\": {\"execute\": \"g\", \"arguments\": {\"j\": \"$i\", \"s\": \"$s\", \"l\": {\"m\": \"$s\"}}}},"
    "{\"name\": \"optional\", \"old\": {\"execute\": \"h\", \"arguments\": {\"*a\": \"$a\"}, \"return\": {\"*r\": \"$r\"}}, \"new\": {\"execute\": \"h2\", \"arguments\": {\"*b\": \"$a\"}, \"return\": {\"*r2\": \"$r\"}}},"
    "{\"name\": \"same\", \"old\": {\"execute\": \"k\", \"arguments\": {\"a\": \"$a\"}}, \"new\": {\"execute\": \"k\", \"arguments\": {\"a\": \"$a\"}}},"
    "{\"name\": \"swap\", \"old\": {\"execute\": \"l\", \"arguments\": {\"a\": \"$a\", \"b\": \"$b\"}}, \"new\": {\"execute\": \"l\", \"arguments\": {\"a\": \"$b\", \"b\": \"$a\"}}},"
    "{\"name\": \"twice\", \"old\": {\"execute\": \"m\", \"arguments\": {\"a\": \"$a\", \"b\": \"$a\"}}, \"new\": {\"execute\": \"m2\", \"arguments\": {\"c\": \"$a\"}}},"
    "{\"name\": \"flat\", \"old\": {\"execute\": \"n\", \"return\": {\"o\": {\"p\": \"$p\", \"q\": \"$q\"}}}, \"new\": {\"execute\": \"n2\", \"return\": {\"p\": \"$p\", \"q\": \"$q\"}}},"
    "{\"name\": \"bound\", \"old\": {\"execute\": \"o\", \"arguments\": {\"a\": \"$a\"}, \"return\": {\"a\": \"$a\"}}, \"new\": {\"execute\": \"o2\", \"arguments\": {\"b\": \"$a\"}, \"return\": {}}},"
    "{\"name\": \"chosen-1\", \"old\": {\"execute\": \"q\", \"arguments\": {\"a\": 1}}, \"new\": {\"execute\": \"q1\", \"arguments\": {}}},"
    "{\"name\": \"chosen-2\", \"old\": {\"execute\": \"q\", \"arguments\": {\"a\": 2}}, \"new\": {\"execute\": \"q2\", \"arguments\": {}}},"
    "{\"name\": \"after\", \"old\": {\"event\": \"OLD\"}, \"new\": {\"event\": \"NEW\"}, \"after-reply\": [\"c\"]},"
    "{\"name\": \"error\", \"old\": {\"error\": {\"class\": \"OldClass\"}}, \"new\": {\"error\": {\"class\": \"NewClass\"}}}]}";

static const char behind[] =
    "{\"qmp-shim-rules\": 1, \"name\": \"behind\", \"rules\": ["
    "{\"name\": \"on\", \"old\": {\"execute\": \"b\"}, \"new\": {\"execute\": \"bb\"}},"
    "{\"name\": \"back\", \"old\": {\"execute\": \"zz\", \"return\": {\"one\": \"$a\"}}, \"new\": {\"execute\": \"z\", \"return\": {\"two\": \"$a\"}}}]}";

/* --- programs --- */

static struct program *load(const struct program_source *sources, size_t n, enum dialect client,
                            bool has_plans) {
    const struct program_options options = {.client = client, .no_deny = true};
    struct program *program = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(sources, n, &options, &program, &diags);
    diag_set_deinit(&diags);
    if (r)
        return NULL;
    for (size_t i = 0; !has_plans && i < program_n_rules(program); i++) {
        struct rule *rule = (struct rule *)program_rule(program, i);

        rule->shortcut[VARS_OLD] = rule->shortcut[VARS_NEW] = NULL;
    }
    return program;
}

enum { ROOM_BYTES = 700 }; /* for one message, mostly */

static uint64_t chance;

static size_t pick(size_t n) {
    chance = chance * 6364136223846793005 + 1442695040888963407;
    return (size_t)(chance >> 33) % n;
}

/* --- two sessions --- */

struct way {
    struct session *s;
    struct buffer room;
    struct buffer told, out[2];
};

struct pair {
    struct way way[2]; /* with plans, without */
};

static void on_trace(void *userdata, const struct trace_item *item) {
    struct way *w = userdata;

    buffer_printf(&w->told, "%d %d %s %s ", (int)item->kind, item->from,
                  item->rule ? item->rule : "-", item->note ? item->note : "-");
    buffer_append(&w->told, item->text, item->n_text);
    buffer_append_string(&w->told, " -> ");
    buffer_append(&w->told, item->to_text, item->n_to_text);
    buffer_append_string(&w->told, "\n");
}

static void drain(struct way *w, enum side to) {
    struct out *out = session_out(w->s, to);

    buffer_clear(&w->out[to]);
    while (!out_is_empty(out)) {
        const struct fds *fds;
        struct iovec iov;

        out_peek(out, &iov, 1, &fds);
        buffer_append(&w->out[to], iov.iov_base, iov.iov_len);
        out_sent(out, iov.iov_len);
    }
}

static void assert_same(const struct buffer *a, const struct buffer *b, const struct buffer *fed) {
    cr_assert(a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n) == 0),
              "of %.*s\nplan:\n%.*s\nengine:\n%.*s", (int)fed->n, fed->data, (int)a->n, a->data,
              (int)b->n, b->data);
}

static void feed(struct pair *p, enum side from, const struct buffer *text) {
    for (size_t i = 0; i < 2; i++) {
        struct way *w = &p->way[i];
        size_t n_room = i == 0 ? pick(3) * ROOM_BYTES : 0;
        char *copy = malloc(text->n + n_room);

        cr_assert(ne(ptr, copy, NULL));
        memcpy(copy, text->data, text->n);
        w->room = buffer_in(copy + text->n, n_room);
        session_lend(w->s, n_room > 0 ? &w->room : NULL);
        cr_assert(
            eq(int, session_feed(w->s, from, copy, text->n, NULL, (struct session_time){1, 0}), 0));
        drain(w, SIDE_SERVER);
        drain(w, SIDE_CLIENT);
        free(copy);
    }
    assert_same(&p->way[0].out[SIDE_SERVER], &p->way[1].out[SIDE_SERVER], text);
    assert_same(&p->way[0].out[SIDE_CLIENT], &p->way[1].out[SIDE_CLIENT], text);
    assert_same(&p->way[0].told, &p->way[1].told, text);
    buffer_clear(&p->way[0].told);
    buffer_clear(&p->way[1].told);
    cr_assert(eq(int,
                 memcmp(session_stats(p->way[0].s), session_stats(p->way[1].s),
                        sizeof(struct session_stats)),
                 0));
    cr_assert(eq(sz, p->way[0].s->n_in_flight, p->way[1].s->n_in_flight));
}

static void feed_string(struct pair *p, enum side from, const char *text) {
    struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, text);
    feed(p, from, &b);
    buffer_deinit(&b);
}

/* the id of what went to the server; n is 0: it has none */
static struct buffer sent_id(const struct pair *p) {
    const struct buffer *sent = &p->way[0].out[SIDE_SERVER];
    struct buffer id = BUFFER_INIT;
    struct frame_reader reader;
    size_t n;

    frame_reader_init(&reader, FRAME_CLIENT);
    if (sent->n > 0 && frame_scan(&reader, sent->data, sent->n, &n) == FRAME_OBJECT)
        buffer_append(&id, sent->data + frame_reader_frame(&reader)->id.at,
                      frame_reader_frame(&reader)->id.n);
    return id;
}

static void put_reply(struct pair *p, struct buffer *reply, const struct buffer *id) {
    reply->n--; /* the brace */
    if (id->n > 0) {
        buffer_append_string(reply, ", \"id\": ");
        buffer_append(reply, id->data, id->n);
    }
    buffer_append_string(reply, "}\r\n");
    feed(p, SIDE_SERVER, reply);
}

static void begin(struct pair *p, struct program *planned, struct program *engine,
                  const char *version) {
    struct limits limits = LIMITS_DEFAULT;
    struct buffer id, reply = BUFFER_INIT;

    memset(p, 0, sizeof(*p));
    for (size_t i = 0; i < 2; i++)
        cr_assert(
            eq(int,
               session_new(i == 0 ? planned : engine, &limits, on_trace, &p->way[i], &p->way[i].s),
               0));
    feed_string(p, SIDE_SERVER, version);
    feed_string(p, SIDE_CLIENT, "{\"execute\": \"qmp_capabilities\", \"id\": 0}\r\n");
    id = sent_id(p);
    buffer_append_string(&reply, "{\"return\": {}}");
    put_reply(p, &reply, &id);
    buffer_deinit(&id);
    buffer_deinit(&reply);
}

static void end(struct pair *p) {
    for (size_t i = 0; i < 2; i++) {
        session_free(p->way[i].s);
        buffer_deinit(&p->way[i].told);
        buffer_deinit(&p->way[i].out[0]);
        buffer_deinit(&p->way[i].out[1]);
    }
}

/* --- messages --- */

static void put_any_value(struct buffer *b) {
    static const char *const values[] = {
        "1",
        "-20",
        "1.0",
        "1e2",
        "true",
        "null",
        "\"\"",
        "\"drive0\"",
        "\"a \\\"b\\\" \\u0041\"",
        "\"it's\"",
        "\"\xc3\xa9\"",
        "{}",
        "[]",
        "{\"a\": 1, \"b\": [1, 2]}",
        "{\"a\":1,\"b\":[1,2 ]}",
        "[ {\"x\": \"y\"},\"z\"]",
        "{\"a\": 1, \"a\": 2}",
        "{\"\\u0061\": 1}",
        "\"a string that is longer than sixteen bytes, and then some\"",
        "18446744073709551615",
    };

    buffer_append_string(b, values[pick(ARRAY_SIZE(values))]);
}

static void put_blank(struct buffer *b, const char *neat) {
    static const char *const blanks[] = {"", " ", "\t", " \r\n "};

    buffer_append_string(b, pick(30) ? neat : blanks[pick(ARRAY_SIZE(blanks))]);
}

static void put_name(struct buffer *b, size_t *n, const char *name, size_t n_name) {
    if ((*n)++ > 0) {
        buffer_append_string(b, ",");
        put_blank(b, " ");
    }
    put_blank(b, "");
    buffer_append_string(b, "\"");
    buffer_append(b, name, n_name);
    buffer_append_string(b, pick(200) ? "\"" : "\\u0061\"");
    put_blank(b, "");
    buffer_append_string(b, ":");
    put_blank(b, " ");
}

static void put_pattern(struct buffer *b, const struct pattern *p, const char *id);

static void put_object(struct buffer *b, const struct pattern *p, const char *id) {
    static const char *const names[] = {"x",         "id",     "y",     "a",    "pp",
                                        "arguments", "return", "error", "event"};
    size_t n = 0, first = p->n_members ? pick(3) ? 0 : pick(p->n_members) : 0;

    buffer_append_string(b, "{");
    if (id && pick(5) == 0) {
        put_name(b, &n, "id", 2);
        buffer_append_string(b, id);
        id = NULL;
    }
    for (size_t k = 0; k < p->n_members; k++) {
        const struct pattern_member *m = &p->members[(first + k) % p->n_members];

        if (pick(m->is_optional ? 2 : 20) == 0)
            continue;
        put_name(b, &n, m->key, m->n_key);
        put_pattern(b, &m->pattern, NULL);
        if (pick(12) == 0) {
            const char *name = names[pick(pick(10) ? 1 : ARRAY_SIZE(names))];

            put_name(b, &n, name, strlen(name));
            put_any_value(b);
        }
    }
    if (id && *id) {
        put_name(b, &n, "id", 2);
        buffer_append_string(b, id);
    }
    put_blank(b, "");
    buffer_append_string(b, "}");
}

static void put_pattern(struct buffer *b, const struct pattern *p, const char *id) {
    if (p->kind == PATTERN_CONST && pick(25))
        buffer_append(b, p->value->text, p->value->n_text);
    else if (p->kind == PATTERN_OBJECT && pick(40))
        put_object(b, p, id);
    else
        put_any_value(b);
}

/* a byte or two become others */
static void mutate(struct buffer *b) {
    static const char bytes[] = "{}[]:,\"\\ \t'-+.eE01utf\x01\x7f\xc3\xff";

    for (size_t n = pick(2) + 1; n > 0; n--)
        b->data[pick(b->n)] = bytes[pick(sizeof(bytes) - 1)];
}

/* of a rule that reads commands */
static const struct picture *any_command(const struct program *program, size_t side,
                                         const struct rule **ret) {
    for (size_t tries = 0; tries < 50 && program_n_rules(program) > 0; tries++) {
        const struct rule *rule = program_rule(program, pick(program_n_rules(program)));

        *ret = rule;
        if (rule->kind == PICTURE_COMMAND && rule->side[side].n > 0 &&
            (rule->shortcut[side] || pick(5) == 0))
            return &rule->side[side].picture[pick(rule->side[side].n)];
    }
    return NULL;
}

static void put_any_reply(struct buffer *b, const struct rule *rule, size_t server) {
    const struct picture_list *list = &rule->side[server];
    const struct pattern *p = list->n > 0 ? list->picture[0].reply[pick(5) ? 0 : 1] : NULL;

    if (p && p->kind == PATTERN_OBJECT && pick(10)) {
        put_object(b, p, NULL);
        if (pick(15) == 0)
            b->data[pick(b->n)] = ' ';
        b->data[0] = '{';
        b->data[b->n - 1] = '}';
    } else {
        buffer_append_string(b, pick(2)
                                    ? "{\"return\": {\"x\": 1}}"
                                    : "{\"error\": {\"class\": \"NewClass\", \"desc\": \"d\"}}");
    }
}

/* a command, and mostly its reply.  Return: whether a plan took it */
static bool exchange_messages(struct pair *p, const struct program *program, size_t client) {
    static const char *const ids[] = {"1", "\"libvirt-12\"", "{\"a\":1}", "null",
                                      "",  "\"qmp-shim:3\"", "-1.50"};
    const struct rule *rule;
    const struct picture *command = any_command(program, client, &rule);
    struct buffer b = BUFFER_INIT, id, reply = BUFFER_INIT;
    bool is_planned = false;

    if (!command)
        return false;
    put_object(&b, &command->message, ids[pick(ARRAY_SIZE(ids))]);
    if (pick(30) == 0)
        mutate(&b);
    buffer_append_string(&b, "\r\n");
    feed(p, SIDE_CLIENT, &b);
    id = sent_id(p);
    list_for_each(i, &p->way[0].s->tasks)
        is_planned = is_planned || list_entry(i, struct task, in_session)->shortcut;
    if (pick(8) == 0)
        feed_string(p, SIDE_SERVER, "{\"event\": \"NEW\", \"data\": {}}\r\n");
    if (pick(12)) {
        put_any_reply(&reply, rule, 1 - client);
        put_reply(p, &reply, &id);
    }
    buffer_deinit(&b);
    buffer_deinit(&id);
    buffer_deinit(&reply);
    return is_planned;
}

/* Return: how many commands a plan took */
static size_t compare(const struct program_source *sources, size_t n_sources, enum dialect client,
                      size_t n) {
    static const char *const versions[] = {
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n",
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 99}, \"package\": \"\"}, \"capabilities\": []}}\r\n",
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 9, \"major\": 0}, \"package\": \"\"}, \"capabilities\": []}}\r\n"};
    struct program *planned = load(sources, n_sources, client, true),
                   *engine = load(sources, n_sources, client, false);
    size_t n_planned = 0;

    for (size_t i = 0; planned && i < ARRAY_SIZE(versions); i++) {
        struct pair p;

        begin(&p, planned, engine, versions[i]);
        for (size_t k = 0; k < n; k++) {
            n_planned +=
                exchange_messages(&p, planned, client == DIALECT_OLD ? VARS_OLD : VARS_NEW);
            if (pick(40) == 0) /* other rules may work from now on */
                feed_string(&p, SIDE_SERVER, versions[pick(ARRAY_SIZE(versions))]);
            if (p.way[0].s->n_in_flight > 20 || p.way[0].s->is_uncertain || pick(100) == 0) {
                end(&p);
                begin(&p, planned, engine, versions[i]);
            }
        }
        end(&p);
    }
    program_unref(planned);
    program_unref(engine);
    return n_planned;
}

/* --- */

TEST(planned, comes_to_what_the_engine_comes_to) {
    const struct program_source sources[] = {{"made-up.jsonc", made_up, sizeof(made_up) - 1},
                                             {"behind.jsonc", behind, sizeof(behind) - 1}};

    chance = 1;
    cr_assert(gt(sz, compare(sources, 1, DIALECT_OLD, 6000), 1000));
    cr_assert(gt(sz, compare(sources, 1, DIALECT_NEW, 6000), 1000));
    cr_assert(gt(sz, compare(sources, 2, DIALECT_OLD, 3000), 500));
    cr_assert(gt(sz, compare(sources, 2, DIALECT_NEW, 3000), 500));
}

static char *read_file(const char *folder, const char *name, size_t *ret_n) {
    struct buffer path = BUFFER_INIT, b = BUFFER_INIT;
    char chunk[4096];
    char *text;
    FILE *f;

    buffer_printf(&path, "%s/%s", folder, name);
    text = buffer_steal_string(&path);
    f = fopen(text, "rb");
    cr_assert(ne(ptr, f, NULL), "%s", text);
    free(text);
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        buffer_append(&b, chunk, n);
    fclose(f);
    *ret_n = b.n;
    return buffer_steal_string(&b);
}

TEST(planned, comes_to_it_with_the_rules_that_are_shipped) {
    const char *folder = getenv("QMP_SHIM_RULES_PATH");
    DIR *dir = opendir(folder ? folder : "rules");
    struct dirent *entry;
    size_t n_planned = 0;

    if (!dir)
        cr_skip_test("no rules here");
    chance = 2;
    while ((entry = readdir(dir))) {
        size_t n_name = strlen(entry->d_name), n;
        struct program_source source = {.path = entry->d_name};

        if (n_name < 6 || strcmp(entry->d_name + n_name - 6, ".jsonc") != 0)
            continue;
        source.text = read_file(folder ? folder : "rules", entry->d_name, &n);
        source.n_text = n;
        n_planned += compare(&source, 1, DIALECT_OLD, 200);
        n_planned += compare(&source, 1, DIALECT_NEW, 200);
        free((char *)source.text);
    }
    closedir(dir);
    cr_assert(gt(sz, n_planned, 500), "%zu", n_planned);
}

TEST(planned, leaves_to_the_engine_a_command_that_an_event_waits_for) {
    static const char greeting[] =
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
    static const char heard[] =
        "{\"return\": {\"x\": [1, 2]}, \"id\": 7}\r\n{\"event\": \"OLD\"}\r\n";
    const struct program_source source = {"made-up.jsonc", made_up, sizeof(made_up) - 1};
    struct program *planned = load(&source, 1, DIALECT_OLD, true),
                   *engine = load(&source, 1, DIALECT_OLD, false);
    struct pair p;

    begin(&p, planned, engine, greeting);
    feed_string(&p, SIDE_CLIENT, "{\"execute\": \"c\", \"id\": 7}\r\n");
    feed_string(&p, SIDE_SERVER, "{\"event\": \"NEW\"}\r\n");
    cr_assert(eq(sz, p.way[0].out[SIDE_CLIENT].n, 0));
    feed_string(&p, SIDE_SERVER, "{\"return\": {\"y\": [1,2]}, \"id\": \"qmp-shim:2\"}\r\n");
    cr_assert(eq(sz, p.way[0].out[SIDE_CLIENT].n, sizeof(heard) - 1));
    cr_assert(eq(int, memcmp(p.way[0].out[SIDE_CLIENT].data, heard, sizeof(heard) - 1), 0));
    end(&p);
    program_unref(planned);
    program_unref(engine);
}

/* a command with @n arguments besides those of its rule, each @depth brackets deep */
static void put_large(struct buffer *b, size_t n, size_t depth) {
    buffer_append_string(b, "{\"execute\": \"e\", \"arguments\": {\"p\": 1, \"mode\": \"one\"");
    for (size_t i = 0; i < n; i++) {
        buffer_printf(b, ", \"m%zu\": ", i);
        for (size_t k = 0; k < depth; k++)
            buffer_append_string(b, k % 2 ? "{\"a\": " : "[");
        buffer_append_string(b, "0");
        for (size_t k = depth; k > 0; k--)
            buffer_append_string(b, k % 2 ? "]" : "}");
    }
    buffer_append_string(b, "}, \"id\": 1}\r\n");
}

TEST(planned, leaves_to_the_engine_what_has_very_much_in_it) {
    static const char greeting[] =
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
    const struct program_source source = {"made-up.jsonc", made_up, sizeof(made_up) - 1};
    struct program *planned = load(&source, 1, DIALECT_OLD, true),
                   *engine = load(&source, 1, DIALECT_OLD, false);
    struct pair p;

    begin(&p, planned, engine, greeting);
    for (size_t n = 0; n < 300; n += n < 80 || n > 100 ? 10 : 1)
        for (size_t depth = n % 20 == 0 ? 70 : 2; depth > 0; depth--) {
            struct buffer b = BUFFER_INIT, id, reply = BUFFER_INIT;

            put_large(&b, n, depth);
            feed(&p, SIDE_CLIENT, &b);
            id = sent_id(&p);
            buffer_append_string(&reply, "{\"return\": {\"s\": {\"u\": 1}, \"more\": {\"v\": 1}}}");
            put_reply(&p, &reply, &id);
            buffer_deinit(&b);
            buffer_deinit(&id);
            buffer_deinit(&reply);
        }
    end(&p);
    program_unref(planned);
    program_unref(engine);
}
