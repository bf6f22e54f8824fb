#include "cmd/asking.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/util.h"
#include "io/address.h"

enum {
    ASKING_TIMEOUT_S = 10,
    ASKING_MAX_BYTES = 64 << 20, /* of an answer; more is surely something else */
};

#define ASKING_INSTANCES "/run/qmp-shim/%s/control"

/* to connect failed: with a way out for those who mistook the name */
static int cannot_connect(const struct asking *a, int error) {
    if (error != ENOENT && error != ECONNREFUSED)
        return asking_cannot(a, strerror(error));
    return asking_cannot(a, error == ENOENT
                                ? "it is not there; has the shim been started with --control?"
                                : "nobody listens there; the shim has ended");
}

int asking_cannot(const struct asking *a, const char *why) {
    fprintf(stderr, "qmp-shim %s: cannot ask %s: %s\n", a->command->name,
            a->path ? a->path : "an instance", why);
    return COMMAND_FAILED;
}

/* Return: 0 or an exit status */
static int find_only(struct asking *a) {
    glob_t found;
    size_t n;
    char *all;

    if (asprintf(&all, ASKING_INSTANCES, "*") < 0)
        return asking_cannot(a, strerror(ENOMEM));
    n = glob(all, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    if (n == 1)
        a->path = strdup(found.gl_pathv[0]);
    globfree(&found);
    free(all);
    if (a->path)
        return 0;
    fprintf(stderr, "qmp-shim %s: there %s: name one, or its control socket\n", a->command->name,
            n == 0 ? "is no instance of the service" : "are several instances");
    return COMMAND_USAGE;
}

static int find_path(struct asking *a, const char *argument) {
    if (!argument)
        return find_only(a);
    if (!strchr(argument, '/'))
        return asprintf(&a->path, ASKING_INSTANCES, argument) < 0 ? COMMAND_FAILED : 0;
    if (asprintf(&a->path, "%s.ctl", argument) < 0)
        return COMMAND_FAILED;
    if (access(a->path, F_OK) == 0)
        return 0;
    free(a->path);
    a->path = strdup(argument);
    return a->path ? 0 : COMMAND_FAILED;
}

static int connect_to(struct asking *a) {
    const struct timeval timeout = {.tv_sec = ASKING_TIMEOUT_S};
    struct sockaddr_un address;

    if (address_from_path(a->path, &address))
        return asking_cannot(a, "a socket's path has 1 to 107 bytes");
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return asking_cannot(a, strerror(errno));
    setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(a->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); /* connect(), too */
    if (connect(a->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return cannot_connect(a, errno);
    return 0;
}

int asking_open(struct asking *a, const struct command *command, const char *argument,
                const char *request) {
    int status;

    *a = (struct asking){.command = command, .fd = -1};
    status = find_path(a, argument);
    if (status == 0)
        status = connect_to(a);
    /* one that has too many askers closes at once; that shows when its answer is read */
    if (status == 0)
        send(a->fd, request, strlen(request), MSG_NOSIGNAL);
    return status;
}

int asking_read(struct asking *a) {
    struct buffer *b = &a->answer;
    ssize_t n;

    do {
        if (buffer_reserve(b, 64 << 10) < 0)
            return asking_cannot(a, strerror(ENOMEM));
        n = read(a->fd, b->data + b->n, b->cap - b->n);
        if (n > 0)
            b->n += (size_t)n;
        if (b->n > ASKING_MAX_BYTES)
            return asking_cannot(a, "its answer is too long; is it a control socket?");
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0 && errno != ECONNRESET)
        return asking_cannot(a, errno == EAGAIN
                                    ? "there is no end of its answer; is it a control socket?"
                                    : strerror(errno));
    return b->n > 0 ? 0 : asking_cannot(a, "it has too many askers; try again");
}

void asking_close(struct asking *a) {
    if (a->fd >= 0)
        close(a->fd);
    buffer_deinit(&a->answer);
    free(a->path);
}
