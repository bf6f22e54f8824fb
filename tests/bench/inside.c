/*
 * inside: what a message costs inside of a session, without sockets.  Its
 * figures are of the code alone and, under "valgrind --tool=callgrind", the
 * same on every machine.  What comes out is compared with what must come out.
 *
 *   inside SCENE RULES [COUNT [SCHEMA]]
 *
 * RULES are those of bench.py, or others with the same two first ones; SCHEMA
 * is a reply to query-qmp-schema, one with a list, for the scenes with large
 * replies.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/util.h"
#include "proxy/session.h"

#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "              \
    "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"

#define CAPABILITIES "{\"execute\": \"qmp_capabilities\", \"id\": 0}\r\n"

#define EVENT_HEAD                                                                                 \
    "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \""
#define EVENT_TAIL "\", \"data\": {\"status\": \"running\", \"number\": 1000000000}}\r\n"
#define EVENT(name) EVENT_HEAD name EVENT_TAIL

enum { INSIDE_BATCH_BYTES = 65536 };

static const struct session_time now;
static char room_text[16 << 10];
static struct buffer room; /* as the program lends it */

static void fail(const char *what, const char *text, size_t n) {
    fprintf(stderr, "inside: %s: %.*s\n", what, (int)(n > 300 ? 300 : n), text);
    exit(1);
}

static void feed(struct session *s, enum side from, const char *text, size_t n) {
    struct fds none = FDS_INIT;

    if (out_is_empty(session_out(s, SIDE_CLIENT)) && out_is_empty(session_out(s, SIDE_SERVER)))
        buffer_clear(&room);
    if (session_feed(s, from, text, n, &none, now) < 0)
        fail("the session cannot go on", text, n);
}

/* what @to gets is @text; NULL: anything.  Return: how many bytes it gets */
static size_t take(struct session *s, enum side to, const char *text, size_t n) {
    struct out *out = session_out(s, to);
    size_t n_taken = 0;

    while (!out_is_empty(out)) {
        const struct fds *fds;
        struct iovec iov[64];
        size_t n_iov = out_peek(out, iov, ARRAY_SIZE(iov), &fds), n_sent = 0;

        for (size_t i = 0; i < n_iov; i++) {
            const char *piece = iov[i].iov_base;

            if (text && (n_taken + n_sent + iov[i].iov_len > n ||
                         memcmp(text + n_taken + n_sent, piece, iov[i].iov_len) != 0))
                fail("this is not what was to come out", piece, iov[i].iov_len);
            n_sent += iov[i].iov_len;
        }
        out_sent(out, n_sent);
        n_taken += n_sent;
    }
    if (text && n_taken != n)
        fail("too little came out", text, n);
    return n_taken;
}

static void round_trip(struct session *s, const char *command, const char *sent, const char *reply,
                       const char *told) {
    feed(s, SIDE_CLIENT, command, strlen(command));
    take(s, SIDE_SERVER, sent, sent ? strlen(sent) : 0);
    feed(s, SIDE_SERVER, reply, strlen(reply));
    take(s, SIDE_CLIENT, told, told ? strlen(told) : 0);
}

/* ---- scenes; each takes @n messages, or round trips ---- */

static void ping_pong(struct session *s, size_t n, const char *schema) {
    static const char command[] = "{\"execute\": \"query-status\", \"id\": 1000000000}\r\n";
    static const char reply[] = "{\"return\": {\"status\": \"running\"}, \"id\": 1000000000}\r\n";

    (void)schema;
    while (n-- > 0)
        round_trip(s, command, command, reply, reply);
}

/* the reply has the id of the command that was sent */
static void answer_sent(struct session *s, const char *head, const char *told) {
    char sent[1024], reply[1024];
    const char *id, *end;
    struct out *out = session_out(s, SIDE_SERVER);
    const struct fds *fds;
    struct iovec iov[8];
    size_t n_iov = out_peek(out, iov, ARRAY_SIZE(iov), &fds), n = 0;

    for (size_t i = 0; i < n_iov; i++) {
        memcpy(sent + n, iov[i].iov_base, iov[i].iov_len);
        n += iov[i].iov_len;
    }
    sent[n] = '\0';
    out_sent(out, n);
    id = strstr(sent, "\"id\": ");
    end = id ? strchr(id, '}') : NULL;
    if (!end)
        fail("no id", sent, n);
    n = (size_t)snprintf(reply, sizeof(reply), "%s, %.*s}\r\n", head, (int)(end - id), id);
    feed(s, SIDE_SERVER, reply, n);
    take(s, SIDE_CLIENT, told, strlen(told));
}

static void ping_pong_rewritten(struct session *s, size_t n, const char *schema) {
    static const char command[] = "{\"execute\": \"x-bench-old\", \"id\": 1000000000}\r\n";

    (void)schema;
    while (n-- > 0) {
        feed(s, SIDE_CLIENT, command, sizeof(command) - 1);
        answer_sent(s, "{\"return\": {\"status\": \"running\"}",
                    "{\"return\": {\"old-status\": \"running\"}, \"id\": 1000000000}\r\n");
    }
}

static void pipelined(struct session *s, size_t n, const char *schema) {
    static const char command[] = "{\"execute\": \"query-status\", \"id\": 1000000000}\r\n";
    struct buffer b = BUFFER_INIT;

    (void)schema;
    for (size_t i = 0; i < 64; i++)
        buffer_append_string(&b, command);
    for (; n >= 64; n -= 64) {
        feed(s, SIDE_CLIENT, b.data, b.n);
        take(s, SIDE_SERVER, b.data, b.n);
    }
    buffer_deinit(&b);
}

static void stream(struct session *s, size_t n, size_t n_batch, const char *in, const char *out) {
    struct buffer bi = BUFFER_INIT, bo = BUFFER_INIT;

    for (size_t i = 0; i < n_batch; i++) {
        buffer_append_string(&bi, in);
        buffer_append_string(&bo, out);
    }
    for (; n >= n_batch; n -= n_batch) {
        feed(s, SIDE_SERVER, bi.data, bi.n);
        take(s, SIDE_CLIENT, bo.data, bo.n);
    }
    buffer_deinit(&bi);
    buffer_deinit(&bo);
}

static void events(struct session *s, size_t n, const char *schema) {
    (void)schema;
    stream(s, n, 1, EVENT("X_BENCH"), EVENT("X_BENCH"));
}

static void events_renamed(struct session *s, size_t n, const char *schema) {
    (void)schema;
    stream(s, n, 1, EVENT("X_BENCH_NEW"), EVENT("X_BENCH_OLD"));
}

static void events_batched(struct session *s, size_t n, const char *schema) {
    (void)schema;
    stream(s, n, INSIDE_BATCH_BYTES / strlen(EVENT("X_BENCH")), EVENT("X_BENCH"), EVENT("X_BENCH"));
}

static void events_batched_renamed(struct session *s, size_t n, const char *schema) {
    (void)schema;
    stream(s, n, INSIDE_BATCH_BYTES / strlen(EVENT("X_BENCH_NEW")), EVENT("X_BENCH_NEW"),
           EVENT("X_BENCH_OLD"));
}

static void large(struct session *s, size_t n, const char *schema, const char *name) {
    char command[256];
    struct buffer reply = BUFFER_INIT;

    for (size_t i = 0; i < n; i++) {
        const char *id, *end;
        struct out *out = session_out(s, SIDE_SERVER);
        const struct fds *fds;
        struct iovec iov[4];

        feed(s, SIDE_CLIENT, command,
             (size_t)snprintf(command, sizeof(command),
                              "{\"execute\": \"%s\", \"id\": 1000000000}\r\n", name));
        if (out_peek(out, iov, ARRAY_SIZE(iov), &fds) == 0)
            fail("nothing is asked", name, strlen(name));
        id = memmem(iov[0].iov_base, iov[0].iov_len, "\"id\": ", 6);
        end = memchr(id, '}', (size_t)((char *)iov[0].iov_base + iov[0].iov_len - id));
        buffer_clear(&reply);
        buffer_append(&reply, schema, (size_t)(strrchr(schema, ']') + 1 - schema));
        buffer_append_string(&reply, ", ");
        buffer_append(&reply, id, (size_t)(end - id));
        buffer_append_string(&reply, "}\r\n");
        out_sent(out, out->n_bytes);
        for (size_t at = 0; at < reply.n; at += INSIDE_BATCH_BYTES) {
            feed(s, SIDE_SERVER, reply.data + at, size_min(INSIDE_BATCH_BYTES, reply.n - at));
            take(s, SIDE_CLIENT, NULL, 0);
        }
    }
    buffer_deinit(&reply);
}

static void large_passing(struct session *s, size_t n, const char *schema) {
    large(s, n, schema, "x-bench-large");
}

static void large_doctored(struct session *s, size_t n, const char *schema) {
    large(s, n, schema, "query-qmp-schema");
}

/* the rule of x-bench-member adds a member to its reply */
static void large_rewritten(struct session *s, size_t n, const char *schema) {
    large(s, n, schema, "x-bench-member");
}

static const struct {
    const char *name;
    void (*run)(struct session *s, size_t n, const char *schema);
} scenes[] = {
    {"ping-pong", ping_pong},
    {"ping-pong-rewritten", ping_pong_rewritten},
    {"pipelined", pipelined},
    {"events", events},
    {"events-renamed", events_renamed},
    {"events-batched", events_batched},
    {"events-batched-renamed", events_batched_renamed},
    {"large", large_passing},
    {"large-doctored", large_doctored},
    {"large-rewritten", large_rewritten},
};

/* ---- */

/* Return: the file, with a NUL behind it */
static char *file_text(const char *path, size_t *ret_n) {
    FILE *f = fopen(path, "rb");
    struct buffer b = BUFFER_INIT;
    char chunk[65536];
    size_t n;

    if (!f)
        fail(strerror(errno), path, strlen(path));
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buffer_append(&b, chunk, n);
    fclose(f);
    *ret_n = b.n;
    return buffer_steal_string(&b);
}

static struct program *load(const char *path) {
    const struct program_options options = {.client = DIALECT_OLD};
    struct program_source source = {.path = path};
    struct program *program = NULL;
    struct diag_set diags;

    diag_set_init(&diags);
    source.text = file_text(path, &source.n_text);
    if (program_load(&source, 1, &options, &program, &diags))
        fail("the rules cannot be loaded", path, strlen(path));
    diag_set_deinit(&diags);
    free((char *)source.text);
    return program;
}

static void run(const char *rules, void (*scene)(struct session *, size_t, const char *), size_t n,
                const char *schema) {
    const struct limits limits = LIMITS_DEFAULT;
    struct program *program = load(rules);
    struct timespec begin, end;
    struct session *s;
    double ns;

    if (session_new(program, &limits, NULL, NULL, &s) < 0)
        fail("no session", rules, strlen(rules));
    room = buffer_in(room_text, sizeof(room_text));
    session_lend(s, &room);
    feed(s, SIDE_SERVER, GREETING, strlen(GREETING));
    take(s, SIDE_CLIENT, GREETING, strlen(GREETING));
    feed(s, SIDE_CLIENT, CAPABILITIES, strlen(CAPABILITIES));
    answer_sent(s, "{\"return\": {}", "{\"return\": {}, \"id\": 0}\r\n");
    take(s, SIDE_SERVER, NULL, 0);
    scene(s, n / 10 + 1, schema); /* to warm up */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    scene(s, n, schema);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    printf("%.1f ns\n", ns / (double)n);
    session_free(s);
    program_unref(program);
}

int main(int argc, char **argv) {
    size_t n = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 100000, n_schema = 0;
    char *schema = argc > 4 ? file_text(argv[4], &n_schema) : NULL;

    for (size_t i = 0; argc > 2 && i < ARRAY_SIZE(scenes); i++)
        if (strcmp(argv[1], scenes[i].name) == 0) {
            run(argv[2], scenes[i].run, n, schema ? schema : "{\"return\": {}}");
            free(schema);
            return 0;
        }
    fputs("usage: inside SCENE RULES [COUNT [SCHEMA]]\n", stderr);
    return 2;
}
