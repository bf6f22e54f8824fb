#include "io/doors.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

void doors_init(struct doors *doors, uv_loop_t *loop, const struct log *log) {
    *doors = (struct doors){.loop = loop, .log = log};
    list_init(&doors->all);
}

static void doors_drop(struct doors *doors, struct door *d) {
    doors->left(doors, d);
    door_close(d);
}

/* @d is gone on failure */
static int doors_open(struct doors *doors, struct door *d) {
    int r;

    d->max_open = doors->max_open;
    r = door_open(d, doors->loop, doors->log, doors->came, doors->userdata);
    if (r < 0) {
        door_close(d);
        return r;
    }
    list_append(&doors->all, &d->in_server);
    log_write(doors->log, LOG_LEVEL_INFO, "listening", LOG_STRING("path", d->listener.path),
              LOG_STRING("connect", d->connect_path));
    return 0;
}

/* Return: as listener_bind(); @ret_door is for doors_open() or door_close() */
static int doors_bind(const char *listen_path, const char *connect_path, const char *name,
                      const struct listener_permit *permit, struct door **ret_door,
                      int *reterr_errno) {
    struct door *d = door_new(connect_path, name);
    int r;

    if (!d)
        return -ENOMEM;
    r = listener_bind(&d->listener, listen_path, reterr_errno);
    if (r == 0 && permit)
        r = listener_set_permit(&d->listener, permit, reterr_errno);
    if (r) {
        door_close(d);
        return r;
    }
    d->is_guarded = true;
    d->has_permit = permit != NULL;
    if (permit)
        d->permit = *permit;
    *ret_door = d;
    return 0;
}

/* ---- single ones ---- */

static void doors_guard(struct watch *w) {
    struct doors *doors = w->userdata;

    list_for_each(i, &doors->all)
        door_guard(list_entry(i, struct door, in_server), doors->log);
}

int doors_listen(struct doors *doors, const char *listen_path, const char *connect_path,
                 const struct listener_permit *permit, int *reterr_errno) {
    struct door *d;
    int r;

    r = doors_bind(listen_path, connect_path, NULL, permit, &d, reterr_errno);
    if (r == 0)
        r = doors_open(doors, d);
    if (r || doors->front.path)
        return r;
    return watch_start(&doors->front, doors->loop, doors->log, listen_path, DOORS_PERIOD_MS,
                       doors_guard, doors);
}

int doors_adopt_take(struct doors *doors, int fd, const char *connect_path, bool is_own) {
    struct door *d = door_new(connect_path, NULL);

    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    listener_adopt_take(&d->listener, fd);
    if (is_own && listener_own(&d->listener) < 0) {
        door_close(d);
        return -ENOMEM;
    }
    return doors_open(doors, d);
}

/* ---- those of a folder ---- */

static int doors_on_guest(void *userdata, const char *name, const char *front_path,
                          const char *back_path, struct door **ret_door, int *reterr_errno) {
    struct doors *doors = userdata;
    struct door *d;
    int r;

    r = doors_bind(front_path, back_path, name, &doors->permit, &d, reterr_errno);
    if (r == 0)
        r = doors_open(doors, d);
    if (r == 0)
        *ret_door = d;
    return r;
}

static void doors_on_guest_gone(void *userdata, struct door *d) {
    doors_drop(userdata, d);
}

static void doors_scan(struct watch *w) {
    struct doors *doors = w->userdata;

    folder_scan(&doors->folder);
}

/* Return: 0, LISTENER_E_IMPOSSIBLE */
static int doors_check_folders(const char *front, const char *back, int *reterr_errno) {
    struct stat st[2];

    if (stat(front, &st[0]) < 0 || stat(back, &st[1]) < 0)
        *reterr_errno = errno;
    else if (!S_ISDIR(st[0].st_mode) || !S_ISDIR(st[1].st_mode))
        *reterr_errno = ENOTDIR;
    else if (st[0].st_dev == st[1].st_dev && st[0].st_ino == st[1].st_ino)
        *reterr_errno = ELOOP; /* its front sockets would be guests */
    else
        return 0;
    return LISTENER_E_IMPOSSIBLE;
}

int doors_serve(struct doors *doors, const char *front, const char *back,
                const struct listener_permit *permit, size_t max_guests, int *reterr_errno) {
    int r;

    r = doors_check_folders(front, back, reterr_errno);
    if (r)
        return r;
    doors->permit = *permit;
    r = folder_init(&doors->folder, doors->log, front, back, max_guests);
    if (r < 0)
        return r;
    doors->folder.open = doors_on_guest;
    doors->folder.close = doors_on_guest_gone;
    doors->folder.userdata = doors;
    folder_sweep(&doors->folder);
    /* watched before it is read, so that nothing comes in between unseen */
    r = watch_start(&doors->back, doors->loop, doors->log, back, DOORS_PERIOD_MS, doors_scan,
                    doors);
    if (r == 0)
        r = watch_start(&doors->front, doors->loop, doors->log, front, DOORS_PERIOD_MS, doors_guard,
                        doors);
    if (r == 0)
        folder_scan(&doors->folder);
    return r;
}

/* ---- one that was taken over ---- */

static void doors_end_taken(struct doors *doors, const char *server_path) {
    doors_drop(doors, steal(doors->taken));
    doors->over(doors, server_path);
}

/* the server ended without its last clean-up, which would have been for its own name */
static void doors_clear_back(const char *back) {
    struct stat st;

    if (lstat(back, &st) == 0 && S_ISSOCK(st.st_mode) && !listener_is_held(back))
        unlink(back);
}

static void doors_look_after_taken(struct watch *w) {
    struct doors *doors = w->userdata;
    struct door *d = doors->taken;
    const char *front;

    if (!d)
        return;
    front = d->listener.path;
    if (listener_is_held(d->connect_path)) {
        if (listener_look(&d->listener) == LISTENER_GONE)
            watch_hurry(w, DOORS_SOON_MS); /* QEMU removes it a moment before it ends */
        door_guard(d, doors->log);
        return;
    }
    if (access(d->connect_path, F_OK) < 0 && listener_look(&d->listener) == LISTENER_REPLACED &&
        listener_is_held(front)) {
        if (door_redirect(d, front) == 0)
            listener_accept_all(&d->listener);
        doors_end_taken(doors, w->path);
        return;
    }
    doors_clear_back(d->connect_path);
    doors_end_taken(doors, NULL);
}

/* Return: 0, negative, TAKEOVER_E_…; @d is gone on failure */
static int doors_put_in_front(struct door *d, const char *front, bool may_gap, int *reterr_errno) {
    int r;

    r = takeover_exchange(front, d->connect_path, may_gap, reterr_errno);
    if (r == 0)
        r = listener_move(&d->listener, front);
    if (r)
        door_close(d); /* not moved: its socket goes from where it was made */
    return r;
}

int doors_take_over(struct doors *doors, const char *front, const char *back,
                    const struct listener_permit *permit, bool is_resumed, bool may_gap,
                    int *ret_listener, int *reterr_errno) {
    struct door *d;
    int r;

    *ret_listener = 0;
    r = doors_bind(is_resumed ? front : back, back, NULL, permit, &d, reterr_errno);
    if (r > 0) {
        *ret_listener = r;
        return TAKEOVER_E_IMPOSSIBLE;
    }
    if (r == 0 && !is_resumed)
        r = doors_put_in_front(d, front, may_gap, reterr_errno);
    if (r == 0)
        r = doors_open(doors, d);
    if (r)
        return r;
    doors->taken = d;
    doors->is_taking = true;
    return watch_start(&doors->front, doors->loop, doors->log, front, DOORS_TAKEN_PERIOD_MS,
                       doors_look_after_taken, doors);
}

const char *doors_give_back(struct doors *doors) {
    struct door *d = doors->taken;
    int r, error = 0;

    if (!d)
        return NULL;
    r = takeover_return(d->listener.path, d->connect_path, &error);
    if (r) {
        log_write(doors->log, LOG_LEVEL_ERROR, "the server's socket cannot be put back",
                  LOG_STRING("path", d->listener.path),
                  LOG_STRING("reason", takeover_explain(r, error)));
        return NULL;
    }
    log_write(doors->log, LOG_LEVEL_INFO, "the server's socket is in its place again",
              LOG_STRING("path", d->listener.path));
    doors->taken = NULL;
    d->is_guarded = false;
    return door_redirect(d, d->listener.path) < 0 ? NULL : d->connect_path;
}

/* ---- the end ---- */

void doors_close(struct doors *doors) {
    watch_close(&doors->front);
    watch_close(&doors->back);
    list_for_each_safe(i, &doors->all)
        doors_drop(doors, list_entry(i, struct door, in_server));
    doors->taken = NULL;
    folder_deinit(&doors->folder);
}
