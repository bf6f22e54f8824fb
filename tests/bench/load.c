/*
 * load: a stand-in for a QMP server, and clients that measure.  Every reply
 * and every event is compared with what it must be, byte by byte, and a
 * difference ends the run.  A client says when it is connected, and waits for
 * a line before it begins, and before it goes.  It measures; what is measured
 * against what is bench.py's business.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "              \
    "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"

/* the number is of one width, so that an event is made by writing into the last */
#define EVENT                                                                                      \
    "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \"%s\", "     \
    "\"data\": {\"status\": \"running\", \"number\": %zu}}\r\n"

#define LOAD_FIRST ((size_t)1000000000)

enum { LOAD_STREAM_BYTES = 1 << 20, LOAD_MAX_TEXT = 512, LOAD_MAX_SAMPLES = 1 << 20 };

static void fail(const char *what, const char *text, size_t n) {
    fprintf(stderr, "load: %s: %.*s\n", what, (int)(n > 300 ? 300 : n), text);
    exit(1);
}

static int open_socket(const char *path, int (*act)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || act(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        fail(strerror(errno), path, strlen(path));
    return fd;
}

static void send_all(int fd, const char *text, size_t n) {
    while (n > 0) {
        ssize_t n_sent = send(fd, text, n, MSG_NOSIGNAL);

        if (n_sent < 0)
            return; /* the reader will notice */
        text += n_sent;
        n -= (size_t)n_sent;
    }
}

/* ---- bytes to lines ---- */

struct stream {
    int fd;
    char *text;
    size_t at, n, cap;
};

static struct stream stream_open(int fd, size_t cap) {
    struct stream s = {.fd = fd, .text = malloc(cap), .cap = cap};

    if (!s.text)
        fail("out of memory", "", 0);
    return s;
}

static void stream_close(struct stream *s) {
    close(s->fd);
    free(s->text);
}

/* Return: false at the end */
static bool stream_fill(struct stream *s) {
    ssize_t n;

    if (s->at == s->n)
        s->at = s->n = 0;
    if (s->n == s->cap) {
        memmove(s->text, s->text + s->at, s->n - s->at);
        s->n -= s->at;
        s->at = 0;
    }
    n = read(s->fd, s->text + s->n, s->cap - s->n);
    if (n > 0)
        s->n += (size_t)n;
    return n > 0;
}

/* the next line, with its end */
static const char *stream_line(struct stream *s, size_t *ret_n) {
    size_t n_seen = 0;

    for (;;) {
        const char *line = s->text + s->at;
        const char *end = memchr(line + n_seen, '\n', s->n - s->at - n_seen);

        if (end) {
            *ret_n = (size_t)(end - line) + 1;
            s->at += *ret_n;
            return line;
        }
        n_seen = s->n - s->at;
        if (!stream_fill(s))
            fail("the connection ended", line, n_seen);
    }
}

static void stream_expect(struct stream *s, const char *text, size_t n) {
    size_t n_line;
    const char *line = stream_line(s, &n_line);

    if (n_line != n || memcmp(line, text, n) != 0)
        fail("not what was expected", line, n_line);
}

/* ---- server ---- */

struct server {
    const char *status; /* the return to other commands */
    struct large {      /* and to these; without the last brace */
        const char *command;
        char *text;
        size_t n;
    } large[2];
    char *out;
    size_t n_out;
};

static void server_put(struct server *s, int fd, const char *text, size_t n) {
    if (s->n_out + n > LOAD_STREAM_BYTES) {
        send_all(fd, s->out, s->n_out);
        s->n_out = 0;
    }
    memcpy(s->out + s->n_out, text, n);
    s->n_out += n;
}

static void server_flush(struct server *s, int fd) {
    send_all(fd, s->out, s->n_out);
    s->n_out = 0;
}

static size_t number_after(const char *text, const char *key) {
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* the text of the next event, in place */
static void count_event(char *event, size_t n) {
    char *digit = event + n - 5; /* the last, before }}CRLF */

    while (*digit == '9')
        *digit-- = '0';
    ++*digit;
}

static void server_flood(struct server *s, int fd, const char *command) {
    size_t n_events = number_after(command, "\"n\": "),
           n_batch = number_after(command, "\"batch\": ");
    char event[LOAD_MAX_TEXT], name[64] = "";
    const char *at = strstr(command, "\"name\": \"");
    size_t n;

    if (at)
        sscanf(at + 9, "%63[^\"]", name);
    n = (size_t)snprintf(event, sizeof(event), EVENT, name, LOAD_FIRST);
    server_flush(s, fd);
    for (size_t i = 0; i < n_events; i++) {
        server_put(s, fd, event, n);
        if (s->n_out >= n_batch)
            server_flush(s, fd);
        count_event(event, n);
    }
    server_flush(s, fd);
}

static const struct large *server_large(const struct server *s, const char *command, size_t n) {
    for (size_t i = 0; i < sizeof(s->large) / sizeof(s->large[0]); i++)
        if (memmem(command, n, s->large[i].command, strlen(s->large[i].command)))
            return &s->large[i];
    return NULL;
}

static void server_command(struct server *s, int fd, const char *command, size_t n) {
    const struct large *large = server_large(s, command, n);
    const char *id = memmem(command, n, "\"id\":", 5);
    const char *end = command + n - 1;

    if (large)
        server_put(s, fd, large->text, large->n);
    else if (memmem(command, n, "qmp_capabilities", 16) || memmem(command, n, "x-bench-flood", 13))
        server_put(s, fd, "{\"return\": {}", 13);
    else
        server_put(s, fd, s->status, strlen(s->status));
    if (id) {
        id += 5 + strspn(id + 5, " ");
        server_put(s, fd, ", \"id\": ", 8);
        server_put(s, fd, id, (size_t)(end - id));
    }
    server_put(s, fd, "}\r\n", 3);
    if (memmem(command, n, "x-bench-flood", 13))
        server_flood(s, fd, command);
}

/* commands end at their last brace: a line end is not needed */
static void server_read(struct server *s, struct stream *in) {
    int depth = 0;

    for (size_t i = in->at; i < in->n; i++) {
        depth += in->text[i] == '{';
        if (in->text[i] != '}' || --depth > 0)
            continue;
        server_command(s, in->fd, in->text + in->at, i + 1 - in->at);
        in->at = i + 1;
        in->at += strspn(in->text + in->at, "\r\n");
        i = in->at - 1;
    }
    server_flush(s, in->fd);
}

static void server_take(int epoll, int listener) {
    struct stream *in = malloc(sizeof(*in));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = in};

    *in = stream_open(accept(listener, NULL, NULL), 16 << 10);
    in->text = realloc(in->text, in->cap + 1); /* always NUL behind it, for strspn() */
    epoll_ctl(epoll, EPOLL_CTL_ADD, in->fd, &event);
    send_all(in->fd, GREETING, strlen(GREETING));
}

static void server_run(struct server *s, const char *path) {
    int epoll = epoll_create1(0), listener = open_socket(path, bind);
    struct epoll_event event = {.events = EPOLLIN};

    listen(listener, 1024);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    while (epoll_wait(epoll, &event, 1, -1) == 1) {
        struct stream *in = event.data.ptr;

        if (!in) {
            server_take(epoll, listener);
            continue;
        }
        if (stream_fill(in)) {
            in->text[in->n] = '\0';
            server_read(s, in);
            continue;
        }
        stream_close(in);
        free(in);
    }
}

/* ---- clients ---- */

struct client {
    const char *path, *command, *expect;
    size_t n_expect; /* of @expect */
    double seconds;
    size_t n_in_flight, n_events, n_batch, n_connections;
    const char *event, *sent; /* as it comes, and as the server is to send it */
    size_t n_done, n_bytes;
    uint64_t n_id;
    float *us; /* samples */
    size_t n_us;
};

static double now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* whoever measures the others can look now, for as long as they like */
static void client_wait(void) {
    fflush(stdout);
    getchar();
}

static double client_begin(void) {
    puts("ready");
    client_wait();
    return now();
}

static int compare_us(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* what was measured, while all is still open */
static void client_report(struct client *c, double begin) {
    double seconds = now() - begin, p50 = 0, p99 = 0;

    qsort(c->us, c->n_us, sizeof(*c->us), compare_us);
    if (c->n_us > 0) {
        p50 = (double)c->us[c->n_us / 2];
        p99 = (double)c->us[c->n_us - 1 - c->n_us / 100];
    }
    printf("{\"n\": %zu, \"bytes\": %zu, \"seconds\": %.6f, \"p50_us\": %.3f, \"p99_us\": %.3f}\n",
           c->n_done, c->n_bytes, seconds, p50, p99);
    client_wait();
}

static void client_sample(struct client *c, double begin) {
    if (c->n_us < LOAD_MAX_SAMPLES)
        c->us[c->n_us++] = (float)((now() - begin) * 1e6);
}

static size_t client_write(struct client *c, char *text, uint64_t id) {
    return (size_t)sprintf(text, "{\"execute\": \"%s\", \"id\": \"load-%010llu\"}\r\n", c->command,
                           (unsigned long long)id);
}

static void client_check(struct client *c, struct stream *s, uint64_t id) {
    char end[64];
    size_t n_line, n_end;
    const char *line = stream_line(s, &n_line);

    n_end = (size_t)sprintf(end, ", \"id\": \"load-%010llu\"}\r\n", (unsigned long long)id);
    if (n_line != c->n_expect + n_end || memcmp(line, c->expect, c->n_expect) != 0 ||
        memcmp(line + c->n_expect, end, n_end) != 0)
        fail("wrong reply", line, n_line);
    c->n_bytes += n_line;
    c->n_done++;
}

static struct stream client_open(const struct client *c) {
    static const char capabilities[] = "{\"execute\": \"qmp_capabilities\"}\r\n";
    struct stream s = stream_open(open_socket(c->path, connect), LOAD_STREAM_BYTES);

    stream_expect(&s, GREETING, strlen(GREETING));
    send_all(s.fd, capabilities, strlen(capabilities));
    stream_expect(&s, "{\"return\": {}}\r\n", 16);
    return s;
}

/* @c->n_in_flight commands go by one write, and then their replies are read */
static void client_batches(struct client *c) {
    struct stream s = client_open(c);
    char *text = malloc(c->n_in_flight * LOAD_MAX_TEXT);
    double begin = client_begin(), t = begin;

    do {
        size_t n = 0;

        for (size_t i = 0; i < c->n_in_flight; i++)
            n += client_write(c, text + n, c->n_id + i);
        t = now();
        send_all(s.fd, text, n);
        for (size_t i = 0; i < c->n_in_flight; i++)
            client_check(c, &s, c->n_id + i);
        client_sample(c, t);
        c->n_id += c->n_in_flight;
    } while (t - begin < c->seconds);
    client_report(c, begin);
    free(text);
    stream_close(&s);
}

static void client_events(struct client *c) {
    struct stream s = client_open(c);
    char text[LOAD_MAX_TEXT], event[LOAD_MAX_TEXT];
    double begin = client_begin();

    do {
        int n = snprintf(text, sizeof(text),
                         "{\"execute\": \"x-bench-flood\", \"arguments\": {\"n\": %zu, \"batch\": "
                         "%zu, \"name\": \"%s\"}}\r\n",
                         c->n_events, c->n_batch, c->sent);

        send_all(s.fd, text, (size_t)n);
        stream_expect(&s, "{\"return\": {}}\r\n", 16);
        n = snprintf(event, sizeof(event), EVENT, c->event, LOAD_FIRST);
        for (size_t i = 0; i < c->n_events; i++) {
            stream_expect(&s, event, (size_t)n);
            count_event(event, (size_t)n);
        }
        c->n_done += c->n_events;
        c->n_bytes += c->n_events * (size_t)n;
    } while (now() - begin < c->seconds);
    client_report(c, begin);
    stream_close(&s);
}

/* each connection has one command under way */
static void client_many(struct client *c) {
    struct stream *s = calloc(c->n_connections, sizeof(*s));
    uint64_t *ids = calloc(c->n_connections, sizeof(*ids));
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    char text[LOAD_MAX_TEXT];
    double begin;

    for (size_t i = 0; i < c->n_connections; i++) {
        s[i] = client_open(c);
        event.data.u64 = i;
        epoll_ctl(epoll, EPOLL_CTL_ADD, s[i].fd, &event);
    }
    begin = client_begin();
    for (size_t i = 0; i < c->n_connections; i++)
        send_all(s[i].fd, text, client_write(c, text, ids[i]));
    while (c->n_done % 64 != 0 || now() - begin < c->seconds) {
        size_t i;

        if (epoll_wait(epoll, &event, 1, 10000) != 1)
            fail("no reply", "", 0);
        i = event.data.u64;
        client_check(c, &s[i], ids[i]++);
        send_all(s[i].fd, text, client_write(c, text, ids[i]));
    }
    client_report(c, begin);
    for (size_t i = 0; i < c->n_connections; i++)
        stream_close(&s[i]);
    free(s);
    free(ids);
}

static void client_setups(struct client *c) {
    double begin = client_begin(), t = begin;

    do {
        struct stream s = client_open(c);

        client_sample(c, t);
        stream_close(&s);
        c->n_done++;
        t = now();
    } while (t - begin < c->seconds);
    client_report(c, begin);
}

/* open them, and have each of them say something */
static void client_idle(struct client *c) {
    struct stream *s = calloc(c->n_connections, sizeof(*s));
    char text[LOAD_MAX_TEXT];

    for (size_t i = 0; i < c->n_connections; i++) {
        s[i] = client_open(c);
        send_all(s[i].fd, text, client_write(c, text, i));
        client_check(c, &s[i], i);
        s[i].text = realloc(s[i].text, 1); /* it is not read any more */
    }
    client_begin();
    for (size_t i = 0; i < c->n_connections; i++)
        stream_close(&s[i]);
    free(s);
}

/* ---- the command line: WHAT KEY=VALUE… ---- */

static const char *value_of(char **argv, const char *key, const char *otherwise) {
    size_t n = strlen(key);

    for (; *argv; argv++)
        if (strncmp(*argv, key, n) == 0 && (*argv)[n] == '=')
            otherwise = *argv + n + 1;
    return otherwise; /* the last one counts */
}

static size_t number_of(char **argv, const char *key, size_t otherwise) {
    const char *value = value_of(argv, key, NULL);

    return value ? strtoull(value, NULL, 10) : otherwise;
}

/*
 * make_large() - a reply of about @n bytes that looks like the schema's: many small objects
 * @form: list; object: it is in an object; added: likewise, beside a member that the server
 *        does not send; each: a list, in each of whose elements is such a member
 *
 * Return: its text without the last brace.
 */
static char *make_large(size_t n, const char *form, size_t *ret_n) {
    int is_list = strcmp(form, "list") == 0 || strcmp(form, "each") == 0;
    const char *more = strcmp(form, "each") == 0 ? ", \"added\": true" : "";
    size_t at, n_element, n_plain = 0;
    char *text = malloc(2 * n + LOAD_MAX_TEXT), element[LOAD_MAX_TEXT];

    n_element = (size_t)sprintf(element,
                                "{\"name\": \"device-list-properties\", \"meta-type\": \"object\", "
                                "\"members\": [{\"name\": \"type\", \"type\": \"0\"}]%s}",
                                more);
    at = (size_t)sprintf(text, "{\"return\": %s[%s", is_list ? "" : "{\"list\": ", element);
    for (; n_plain < n; n_plain += n_element - strlen(more) + 2)
        at += (size_t)sprintf(text + at, ", %s", element);
    at += (size_t)sprintf(text + at, "]%s%s", strcmp(form, "added") == 0 ? ", \"added\": true" : "",
                          is_list ? "" : "}");
    *ret_n = at;
    return text;
}

static int run_server(char **argv) {
    struct server s = {
        .status = value_of(argv, "return", "{\"return\": {\"status\": \"running\"}"),
        .large = {{.command = "x-bench-large"}, {.command = "x-bench-object"}},
        .out = malloc(LOAD_STREAM_BYTES),
    };

    s.large[0].text = make_large(number_of(argv, "large", 0), "list", &s.large[0].n);
    s.large[1].text = make_large(number_of(argv, "large", 0), "object", &s.large[1].n);
    server_run(&s, value_of(argv, "listen", "load.sock"));
    return 0;
}

static int run_client(const char *what, char **argv) {
    static const struct {
        const char *name;
        void (*run)(struct client *c);
    } modes[] = {
        {"batches", client_batches}, {"events", client_events}, {"many", client_many},
        {"setups", client_setups},   {"idle", client_idle},
    };
    size_t n_large = number_of(argv, "large", 0);
    struct client c = {
        .path = value_of(argv, "connect", "load.sock"),
        .command = value_of(argv, "command", "query-status"),
        .expect = value_of(argv, "return", "{\"return\": {\"status\": \"running\"}"),
        .event = value_of(argv, "event", "X_BENCH"),
        .sent = value_of(argv, "sent", value_of(argv, "event", "X_BENCH")),
        .seconds = (double)number_of(argv, "ms", 200) / 1000,
        .n_in_flight = number_of(argv, "in-flight", 1),
        .n_events = number_of(argv, "events", 20000),
        .n_batch = number_of(argv, "batch", 0),
        .n_connections = number_of(argv, "connections", 1),
        .us = malloc(LOAD_MAX_SAMPLES * sizeof(float)),
    };

    c.n_expect = strlen(c.expect);
    if (n_large > 0)
        c.expect = make_large(n_large, value_of(argv, "form", "list"), &c.n_expect);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(modes[i].name, what) == 0) {
            modes[i].run(&c);
            return 0;
        }
    fail("no such mode", what, strlen(what));
    return 2;
}

int main(int argc, char **argv) {
    struct rlimit limit;

    if (argc < 2) {
        fputs("usage: load server|batches|events|many|setups|idle KEY=VALUE…\n", stderr);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return strcmp(argv[1], "server") == 0 ? run_server(argv + 2) : run_client(argv[1], argv + 2);
}
