/*
 * serial: a client that sends one command after the other, as libvirt does at
 * a guest's start, and says how long that took, in all and mostly.  Which commands is its
 * caller's business; each stands in a line of a file and ends in "id":"…"}.
 *
 *   serial SOCKET FILE
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { SERIAL_LINE_BYTES = 1 << 20 };

struct serial {
    int fd;
    char text[SERIAL_LINE_BYTES + 1];
    size_t n;
};

static void fail(const char *what) {
    fprintf(stderr, "serial: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        fail(path);
    return fd;
}

/* Return: the end of the first line */
static char *wait_line(struct serial *s) {
    char *end;

    while (!(end = memchr(s->text, '\n', s->n))) {
        ssize_t n = recv(s->fd, s->text + s->n, SERIAL_LINE_BYTES - s->n, 0);

        if (n <= 0)
            fail("the server closed");
        s->n += (size_t)n;
    }
    *end = '\0';
    return end;
}

static void drop_line(struct serial *s, const char *end) {
    s->n -= (size_t)(end + 1 - s->text);
    memmove(s->text, end + 1, s->n);
}

/* the id stands at the end of a reply, or before an error */
static int has_id(const char *line, const char *end, const char *id, size_t n_id) {
    static const char before[] = "{\"id\": ";
    size_t n_before = sizeof(before) - 1, n_line = (size_t)(end - line);

    if (n_line < n_before + n_id + 2)
        return 0;
    return strncmp(end - 2 - n_id, id, n_id) == 0 || /* }\r */
           (strncmp(line, before, n_before) == 0 && strncmp(line + n_before, id, n_id) == 0);
}

/* events and the greeting are passed over */
static void command(struct serial *s, const char *line) {
    const char *id = strstr(line, "\"libvirt-");
    size_t n_id = id ? strcspn(id + 1, "\"") + 2 : 0;
    char *end;
    int is_reply;

    if (!id || send(s->fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
        fail("a command");
    do {
        end = wait_line(s);
        is_reply = has_id(s->text, end, id, n_id);
        drop_line(s, end);
    } while (!is_reply);
}

static double now_us(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static char *lines[4096];
static double us[4096];

static int compare_us(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static size_t read_lines(const char *path) {
    FILE *file = fopen(path, "r");
    size_t n = 0, n_line = 0;

    if (!file)
        fail(path);
    while (n < sizeof(lines) / sizeof(lines[0]) && getline(&lines[n], &n_line, file) > 0) {
        n++;
        n_line = 0;
    }
    fclose(file);
    return n;
}

int main(int argc, char **argv) {
    static struct serial s;
    double begin;
    size_t n;

    if (argc != 3)
        return 2;
    n = read_lines(argv[2]);
    s.fd = open_socket(argv[1]);
    begin = now_us();
    for (size_t i = 0; i < n; i++) {
        double t = now_us();

        command(&s, lines[i]);
        us[i] = now_us() - t;
    }
    printf("{\"n\": %zu, \"us\": %.1f, ", n, now_us() - begin);
    qsort(us, n, sizeof(*us), compare_us);
    printf("\"p50_us\": %.2f}\n", us[n / 2]);
    return 0;
}
