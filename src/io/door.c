#include "io/door.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

static void door_free(struct door *d) {
    list_remove(&d->in_server);
    free(d->connect_path);
    free(d->name);
    free(d);
}

static void door_on_closed(struct listener *l) {
    door_free(container_of(l, struct door, listener));
}

void door_close(struct door *d) {
    list_remove(&d->in_server);
    listener_close(&d->listener, door_on_closed);
}

struct door *door_new(const char *connect_path, const char *name) {
    struct door *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    list_init(&d->in_server);
    d->listener = (struct listener)LISTENER_INIT;
    d->connect_path = strdup(connect_path);
    d->name = name ? strdup(name) : NULL;
    if (d->connect_path && (d->name || !name))
        return d;
    door_free(d);
    return NULL;
}

static void door_on_accepted(struct listener *l, int fd) {
    struct door *d = container_of(l, struct door, listener);

    d->came(d, fd);
}

int door_open(struct door *d, uv_loop_t *loop, const struct log *log, door_came_fn came,
              void *userdata) {
    d->came = came;
    d->userdata = userdata;
    return listener_start(&d->listener, loop, log, door_on_accepted);
}

void door_enter(struct door *d) {
    d->n_sessions++;
    d->n_open++;
    if (d->max_open > 0 && d->n_open >= d->max_open)
        listener_pause(&d->listener);
}

void door_leave(struct door *d) {
    d->n_open--;
    if (d->n_open < d->max_open)
        listener_resume(&d->listener);
}

static void door_tell(struct door *d, const struct log *log, const char *why) {
    if (!d->is_upset)
        log_write(log, LOG_LEVEL_WARNING, "clients cannot connect",
                  LOG_STRING("path", d->listener.path), LOG_STRING("reason", why));
    d->is_upset = true;
}

static void door_restore(struct door *d, const struct log *log) {
    int r, error = 0;

    r = listener_restore(&d->listener, d->has_permit ? &d->permit : NULL, &error);
    if (r) {
        door_tell(d, log, listener_explain(r, r < 0 ? -r : error));
        return;
    }
    d->is_upset = false;
    log_write(log, LOG_LEVEL_WARNING, "somebody removed the socket, it is there again",
              LOG_STRING("path", d->listener.path));
}

void door_guard(struct door *d, const struct log *log) {
    if (!d->is_guarded)
        return;
    switch (listener_look(&d->listener)) {
    case LISTENER_AT_HOME:
        d->is_upset = false;
        break;
    case LISTENER_GONE:
        door_restore(d, log);
        break;
    case LISTENER_REPLACED:
        door_tell(d, log, "something else stands there now");
        break;
    }
}

int door_redirect(struct door *d, const char *connect_path) {
    char *path = strdup(connect_path);

    if (!path)
        return -ENOMEM;
    free(d->connect_path);
    d->connect_path = path;
    return 0;
}
