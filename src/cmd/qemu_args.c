#include "cmd/qemu_args.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/util.h"
#include "json/reader.h"
#include "json/writer.h"

enum { QEMU_ARGS_MAX_IDS = 64 }; /* of chardevs that monitors are on */

/* what is said of a socket */
struct address {
    const char *id, *type, *path, *fd;
    bool is_server, is_abstract, is_json;
    size_t path_at, n_path; /* in the argument */
};

struct finder {
    struct arena *arena;
    const char *ids[QEMU_ARGS_MAX_IDS];
    size_t n_ids;
    struct qemu_args *args;
};

/* ---- KEY=VALUE,FLAG,… with commas doubled inside values ---- */

struct option {
    const char *key; /* NULL: the first one, without its name */
    size_t n_key;
    const char *value; /* as it is meant */
    size_t at, n;      /* as it stands */
};

static char *option_unescape(struct arena *arena, const char *text, size_t n) {
    char *value = arena_copy(arena, text, n);
    size_t n_value = 0;

    if (!value)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        value[n_value++] = text[i];
        if (text[i] == ',')
            i++; /* the second one */
    }
    value[n_value] = '\0';
    return value;
}

/* Return: 0, -ENOMEM; @at moves to the next option, to the end at last */
static int option_next(struct arena *arena, const char *text, size_t *at, bool is_first,
                       struct option *ret) {
    const char *p = text + *at;
    size_t n_key = strcspn(p, "=,"), n;
    bool is_named = p[n_key] == '=', has_value = is_named || is_first;

    if (is_named)
        p += n_key + 1;
    for (n = 0; p[n] && (p[n] != ',' || p[n + 1] == ','); n++)
        if (p[n] == ',')
            n++;
    *ret = (struct option){
        .key = has_value && !is_named ? NULL : text + *at,
        .n_key = n_key,
        .at = (size_t)(p - text),
        .n = n,
        .value = has_value ? option_unescape(arena, p, n) : "on",
    };
    *at = (size_t)(p - text) + n + (p[n] == ',');
    return ret->value ? 0 : -ENOMEM;
}

static bool option_is(const struct option *o, const char *key, const char *first) {
    const char *name = o->key ? o->key : first;
    size_t n = o->key ? o->n_key : strlen(first);

    return n == strlen(key) && memcmp(name, key, n) == 0;
}

static bool option_is_on(const char *value) {
    static const char *const words[] = {"on", "yes", "true", "y"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

static void address_set(struct address *a, const struct option *o, const char *first) {
    if (option_is(o, "backend", first))
        a->type = o->value;
    else if (option_is(o, "id", first))
        a->id = o->value;
    else if (option_is(o, "fd", first))
        a->fd = o->value;
    else if (option_is(o, "server", first))
        a->is_server = option_is_on(o->value);
    else if (option_is(o, "noserver", first))
        a->is_server = false;
    else if (option_is(o, "abstract", first))
        a->is_abstract = option_is_on(o->value);
    else if (option_is(o, "path", first)) {
        a->path = o->value;
        a->path_at = o->at;
        a->n_path = o->n;
    }
}

/* @first: the key of a value at the start that has none */
static int address_from_options(struct arena *arena, const char *text, size_t at, const char *first,
                                struct address *ret) {
    struct option o;
    bool is_first = true;

    *ret = (struct address){0};
    while (text[at]) {
        int r = option_next(arena, text, &at, is_first, &o);

        if (r < 0)
            return r;
        address_set(ret, &o, first);
        is_first = false;
    }
    return 0;
}

/* ---- JSON ---- */

static const char *json_text(struct arena *arena, const struct json *value) {
    return value && value->type == JSON_STRING ? arena_copy(arena, value->string, value->n_string)
                                               : NULL;
}

/* QAPI wraps the members of some unions into "data" */
static const struct json *json_inside(const struct json *object) {
    const struct json *data = json_member(object, "data");

    return data ? data : object;
}

static void address_from_json(struct arena *arena, const char *text, const struct json *chardev,
                              struct address *ret) {
    const struct json *backend = json_member(chardev, "backend");
    const struct json *socket = json_inside(backend), *where = json_member(socket, "addr");
    const struct json *server = json_member(socket, "server");
    const struct json *path = json_member(json_inside(where), "path");
    const struct json *abstract = json_member(json_inside(where), "abstract");

    *ret = (struct address){
        .id = json_text(arena, json_member(chardev, "id")),
        .type = json_text(arena, json_member(backend, "type")),
        .path = json_text(arena, path),
        .is_server = !server || (server->type == JSON_BOOL && server->boolean), /* QAPI's default */
        .is_abstract = abstract && abstract->type == JSON_BOOL && abstract->boolean,
        .is_json = true,
    };
    if (json_is_string(json_member(where, "type"), "fd"))
        ret->fd = json_text(arena, json_member(json_inside(where), "str"));
    if (path) {
        ret->path_at = (size_t)(path->text - text);
        ret->n_path = path->n_text;
    }
}

/* Return: 0 or -ENOMEM; NULL in @ret_value for what is no JSON */
static int read_json(struct arena *arena, const char *text, const struct json **ret_value) {
    struct json *value;
    int r = json_read(arena, text, strlen(text), false, &value, NULL);

    *ret_value = r == 0 ? value : NULL;
    return r < 0 ? r : 0;
}

/* ---- which chardevs monitors are on ---- */

static void finder_add_id(struct finder *f, const char *id) {
    if (id && f->n_ids < QEMU_ARGS_MAX_IDS)
        f->ids[f->n_ids++] = id;
}

/* @key has to be @wanted, then "chardev" is it */
static int finder_read_user(struct finder *f, const char *text, const char *first, const char *key,
                            const char *wanted) {
    const char *id = NULL;
    bool is_meant = false;
    struct option o;
    size_t at = 0;

    if (text[0] == '{') {
        const struct json *value;
        int r = read_json(f->arena, text, &value);

        if (r == 0 && json_is_string(json_member(value, key), wanted))
            finder_add_id(f, json_text(f->arena, json_member(value, "chardev")));
        return r;
    }
    while (text[at]) {
        int r = option_next(f->arena, text, &at, at == 0, &o);

        if (r < 0)
            return r;
        if (option_is(&o, key, first))
            is_meant = strcmp(o.value, wanted) == 0;
        else if (option_is(&o, "chardev", first))
            id = o.value;
    }
    if (is_meant)
        finder_add_id(f, id);
    return 0;
}

static int finder_read_mon(struct finder *f, const char *text, size_t index) {
    (void)index;
    return finder_read_user(f, text, "chardev", "mode", "control");
}

static int finder_read_object(struct finder *f, const char *text, size_t index) {
    (void)index;
    return finder_read_user(f, text, "qom-type", "qom-type", "monitor-qmp");
}

static int finder_read_qmp_id(struct finder *f, const char *text, size_t index) {
    (void)index;
    if (strncmp(text, "chardev:", strlen("chardev:")) == 0)
        finder_add_id(f, text + strlen("chardev:"));
    return 0;
}

/* ---- where they listen ---- */

static bool is_number(const char *text) {
    size_t n = strspn(text, "0123456789");

    return n > 0 && n < 9 && text[n] == '\0';
}

static int finder_add(struct finder *f, const struct address *a, size_t index) {
    struct qemu_args *args = f->args;
    bool is_fd = a->fd && is_number(a->fd);

    if (!a->is_server || a->is_abstract || !(a->path || is_fd))
        return 0;
    if (args->n == QEMU_ARGS_MAX_MONITORS)
        return QEMU_ARGS_E_TOO_MANY;
    args->monitors[args->n++] = (struct qemu_monitor){
        .index = index,
        .path = is_fd ? NULL : a->path,
        .fd = is_fd ? atoi(a->fd) : -1,
        .is_json = a->is_json,
        .at = a->path_at,
        .n = a->n_path,
    };
    return 0;
}

static int finder_read_qmp(struct finder *f, const char *text, size_t index) {
    struct address a;
    int r;

    if (strncmp(text, "unix:", strlen("unix:")) != 0)
        return 0;
    r = address_from_options(f->arena, text, strlen("unix:"), "path", &a);
    return r < 0 ? r : finder_add(f, &a, index);
}

static bool finder_has_id(const struct finder *f, const char *id) {
    for (size_t i = 0; i < f->n_ids; i++)
        if (strcmp(f->ids[i], id) == 0)
            return true;
    return false;
}

static int finder_read_chardev(struct finder *f, const char *text, size_t index) {
    const struct json *value;
    struct address a;
    int r;

    if (text[0] == '{') {
        r = read_json(f->arena, text, &value);
        if (r == 0)
            address_from_json(f->arena, text, value, &a);
    } else {
        r = address_from_options(f->arena, text, 0, "backend", &a);
    }
    if (r < 0 || !a.id || !a.type || strcmp(a.type, "socket") != 0 || !finder_has_id(f, a.id))
        return r;
    return finder_add(f, &a, index);
}

/* ---- the whole ---- */

struct reader {
    const char *option;
    int (*read)(struct finder *f, const char *text, size_t index);
};

/* the first pass tells which chardevs are meant in the second: they may come in any order */
static const struct reader passes[][4] = {
    {{"mon", finder_read_mon},
     {"object", finder_read_object},
     {"qmp", finder_read_qmp_id},
     {"qmp-pretty", finder_read_qmp_id}},
    {{"chardev", finder_read_chardev}, {"qmp", finder_read_qmp}, {"qmp-pretty", finder_read_qmp}},
};

static int finder_read(struct finder *f, const struct reader *readers, const char *option,
                       const char *text, size_t index) {
    option += option[1] == '-' ? 2 : 1;
    for (size_t i = 0; i < ARRAY_SIZE(passes[0]) && readers[i].option; i++)
        if (strcmp(readers[i].option, option) == 0)
            return readers[i].read(f, text, index);
    return 0;
}

int qemu_args_find(struct arena *arena, int argc, char **argv, struct qemu_args *ret_args) {
    struct finder f = {.arena = arena, .args = ret_args};

    *ret_args = (struct qemu_args){.n = 0};
    for (size_t pass = 0; pass < ARRAY_SIZE(passes); pass++) {
        for (int i = 0; i + 1 < argc; i++) {
            int r = argv[i][0] == '-'
                        ? finder_read(&f, passes[pass], argv[i], argv[i + 1], (size_t)i + 1)
                        : 0;

            if (r)
                return r;
        }
    }
    return 0;
}

char *qemu_args_move(const struct qemu_monitor *m, const char *argument, const char *path) {
    struct buffer b = BUFFER_INIT;

    buffer_append(&b, argument, m->at);
    if (m->is_json)
        json_write_string(&b, path, strlen(path));
    for (const char *p = path; !m->is_json && *p; p++)
        buffer_append(&b, *p == ',' ? ",," : p, *p == ',' ? 2 : 1);
    buffer_append_string(&b, argument + m->at + m->n);
    return buffer_steal_string(&b);
}
