#include "io/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "io/address.h"

#define REASON_LINK "a symbolic link is not followed"
#define REASON_FILE "it is no socket"
#define REASON_DEAD "nobody holds this socket"
#define REASON_LONG "the path is longer than the 107 bytes of a socket address"
#define REASON_MANY "there are too many guests (--max-guests)"

/* ---- the names ---- */

struct names {
    char **item;
    size_t n, cap;
};

static void names_deinit(struct names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->item[i]);
    free(names->item);
}

static int names_add(struct names *names, const char *name) {
    char *copy;

    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 64;
        char **more = realloc(names->item, cap * sizeof(*more));

        if (!more)
            return -ENOMEM;
        names->item = more;
        names->cap = cap;
    }
    copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    names->item[names->n++] = copy;
    return 0;
}

static int names_compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Return: 0 or negative; @ret_names is for names_deinit() either way */
static int names_read(const char *folder, struct names *ret_names) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int r = 0;

    *ret_names = (struct names){0};
    if (!dir)
        return -errno;
    while (r == 0 && ret_names->n < FOLDER_MAX_NAMES && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            r = names_add(ret_names, entry->d_name);
    closedir(dir);
    if (ret_names->n > 0)
        qsort(ret_names->item, ret_names->n, sizeof(*ret_names->item), names_compare);
    return r;
}

/* ---- one guest ---- */

/* @ret_path has room for it, be it an address or not.  Return: is it one? */
static bool join(const char *folder, const char *name, char ret_path[ADDRESS_MAX_PATH_BYTES + 1]) {
    int n = snprintf(ret_path, ADDRESS_MAX_PATH_BYTES + 1, "%s/%s", folder, name);

    return n <= ADDRESS_MAX_PATH_BYTES;
}

/* Return: why it cannot be served, as it is now; NULL: it can */
static const char *guest_fault(const struct folder *f, const char *name) {
    char front[ADDRESS_MAX_PATH_BYTES + 1], back[ADDRESS_MAX_PATH_BYTES + 1];
    struct stat st;

    if (!join(f->back, name, back) || !join(f->front, name, front))
        return REASON_LONG;
    if (lstat(back, &st) < 0)
        return REASON_DEAD; /* it went just now; the next scan does not see it */
    if (S_ISLNK(st.st_mode))
        return REASON_LINK;
    if (!S_ISSOCK(st.st_mode))
        return REASON_FILE;
    return listener_is_held(back) ? NULL : REASON_DEAD;
}

static void guest_pass_over(const struct folder *f, struct folder_guest *g, const char *reason) {
    enum log_level level = strcmp(reason, REASON_FILE) == 0 || strcmp(reason, REASON_DEAD) == 0
                               ? LOG_LEVEL_INFO
                               : LOG_LEVEL_WARNING;

    if (strcmp(g->reason, reason) == 0)
        return;
    snprintf(g->reason, sizeof(g->reason), "%s", reason);
    log_write(f->log, level, "not served", LOG_STRING("guest", g->name),
              LOG_STRING("reason", g->reason));
}

static void guest_close(struct folder *f, struct folder_guest *g) {
    if (!g->door)
        return;
    f->close(f->userdata, steal(g->door));
    f->n_served--;
    log_write(f->log, LOG_LEVEL_INFO, "guest gone", LOG_STRING("guest", g->name));
}

static void guest_open(struct folder *f, struct folder_guest *g) {
    char front[ADDRESS_MAX_PATH_BYTES + 1], back[ADDRESS_MAX_PATH_BYTES + 1];
    int r, error = 0;

    join(f->front, g->name, front); /* guest_fault() says that there is room */
    join(f->back, g->name, back);
    r = f->open(f->userdata, g->name, front, back, &g->door, &error);
    if (r) {
        g->door = NULL;
        guest_pass_over(f, g, listener_explain(r, r < 0 ? -r : error));
        return;
    }
    f->n_served++;
    g->reason[0] = '\0';
}

/* ---- all ---- */

/* what was known stays what it is, by name.  Return: 0 or -ENOMEM, then nothing is changed */
static int folder_merge(struct folder *f, struct names *names) {
    struct folder_guest *now = calloc(names->n + 1, sizeof(*now));
    size_t old = 0;

    if (!now)
        return -ENOMEM;
    for (size_t i = 0; i < names->n; i++) {
        while (old < f->n_guests && strcmp(f->guests[old].name, names->item[i]) < 0)
            old++;
        if (old < f->n_guests && strcmp(f->guests[old].name, names->item[i]) == 0) {
            now[i] = f->guests[old];
            f->guests[old].door = NULL;
            f->guests[old].name = NULL;
            old++;
        } else {
            now[i].name = steal(names->item[i]);
        }
    }
    for (size_t i = 0; i < f->n_guests; i++) {
        guest_close(f, &f->guests[i]);
        free(f->guests[i].name);
    }
    free(f->guests);
    f->guests = now;
    f->n_guests = names->n;
    return 0;
}

/* those who go make room for those who come */
static void folder_settle(struct folder *f) {
    for (size_t i = 0; i < f->n_guests; i++) {
        const char *fault = guest_fault(f, f->guests[i].name);

        f->guests[i].is_wanted = !fault;
        if (!fault)
            continue;
        guest_close(f, &f->guests[i]);
        guest_pass_over(f, &f->guests[i], fault);
    }
    for (size_t i = 0; i < f->n_guests; i++) {
        struct folder_guest *g = &f->guests[i];

        if (!g->is_wanted || g->door)
            continue;
        if (f->n_served < f->max_guests)
            guest_open(f, g);
        else
            guest_pass_over(f, g, REASON_MANY);
    }
}

void folder_scan(struct folder *f) {
    struct names names;
    int r;

    r = names_read(f->back, &names);
    if (r < 0 && r != -ENOENT && r != -ENOTDIR) {
        if (!f->is_unreadable)
            log_write(f->log, LOG_LEVEL_ERROR, "cannot read a folder", LOG_STRING("path", f->back),
                      LOG_STRING("reason", strerror(-r)));
        f->is_unreadable = true;
        names_deinit(&names);
        return;
    }
    f->is_unreadable = false;
    if (folder_merge(f, &names) == 0) /* else the next scan may have the memory */
        folder_settle(f);
    names_deinit(&names);
}

void folder_sweep(const struct folder *f) {
    char path[ADDRESS_MAX_PATH_BYTES + 1];
    struct names names;
    struct stat st;

    if (names_read(f->front, &names) == 0)
        for (size_t i = 0; i < names.n; i++)
            if (join(f->front, names.item[i], path) && lstat(path, &st) == 0 &&
                S_ISSOCK(st.st_mode) && !listener_is_held(path))
                unlink(path);
    names_deinit(&names);
}

int folder_init(struct folder *f, const struct log *log, const char *front, const char *back,
                size_t max_guests) {
    *f = (struct folder){
        .log = log,
        .front = strdup(front),
        .back = strdup(back),
        .max_guests = max_guests,
    };
    return f->front && f->back ? 0 : -ENOMEM;
}

void folder_deinit(struct folder *f) {
    for (size_t i = 0; i < f->n_guests; i++)
        free(f->guests[i].name);
    free(f->guests);
    free(f->front);
    free(f->back);
    *f = (struct folder){0};
}
