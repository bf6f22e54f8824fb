#include "rule/uses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

enum { USES_MAX_KEY_BYTES = 512 }; /* no path or word of a protocol is that long */

struct use {
    const char *key; /* NULL: free */
    size_t n_key, n;
};

/* where in a message we are */
struct walk {
    struct uses *uses;
    struct buffer key;
    int error;
};

void uses_init(struct uses *u) {
    *u = (struct uses){.arena = ARENA_INIT};
}

void uses_deinit(struct uses *u) {
    free(u->table);
    arena_deinit(&u->arena);
}

/* Return: its place, or the free one where it belongs; there is always one */
static struct use *find(struct use *table, size_t max, const char *key, size_t n_key) {
    size_t hash = 2166136261U;

    for (size_t i = 0; i < n_key; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619U;
    for (size_t i = hash;; i++) {
        struct use *use = &table[i & (max - 1)];

        if (!use->key || (use->n_key == n_key && memcmp(use->key, key, n_key) == 0))
            return use;
    }
}

static int grow(struct uses *u) {
    size_t max = u->max ? u->max * 2 : 256;
    struct use *table = calloc(max, sizeof(*table));

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < u->max; i++)
        if (u->table[i].key)
            *find(table, max, u->table[i].key, u->table[i].n_key) = u->table[i];
    free(u->table);
    u->table = table;
    u->max = max;
    return 0;
}

static int count(struct uses *u, const char *key, size_t n_key) {
    struct use *use;
    int r;

    if (n_key > USES_MAX_KEY_BYTES)
        return 0;
    r = u->n * 2 >= u->max ? grow(u) : 0;
    if (r < 0)
        return r;
    use = find(u->table, u->max, key, n_key);
    if (!use->key) {
        if (u->n == USES_MAX)
            return 0;
        use->key = arena_copy(&u->arena, key, n_key);
        if (!use->key)
            return -ENOMEM;
        use->n_key = n_key;
        u->n++;
    }
    use->n++;
    return 0;
}

static void count_here(struct walk *w) {
    if (w->error == 0)
        w->error = w->key.failed ? -ENOMEM : count(w->uses, w->key.data, w->key.n);
}

static void walk_value(struct walk *w, const struct json *v) {
    size_t n = w->key.n;

    if (v->type == JSON_STRING) {
        buffer_append_string(&w->key, "=");
        buffer_append(&w->key, v->string, v->n_string);
        count_here(w);
        w->key.n = n;
    }
    for (size_t i = 0; (v->type == JSON_OBJECT || v->type == JSON_ARRAY) && i < v->n_items; i++) {
        const struct json *m = &v->items[i];

        if (v->type == JSON_ARRAY) {
            buffer_append_string(&w->key, "[]");
        } else {
            buffer_append_string(&w->key, ".");
            buffer_append(&w->key, m->key, m->n_key);
            count_here(w);
        }
        walk_value(w, m);
        w->key.n = n;
    }
}

int uses_add(struct uses *u, const struct message *m) {
    bool is_event = m->kind == FRAME_EVENT;
    struct walk w = {.uses = u, .key = BUFFER_INIT};
    const struct json *arguments = json_member(m->root, "arguments");

    if (!is_event && m->kind != FRAME_COMMAND && m->kind != FRAME_COMMAND_OOB)
        return 0;
    buffer_append_string(&w.key, is_event ? "event " : "");
    buffer_append(&w.key, m->name, m->n_name);
    count_here(&w);
    if (!is_event && arguments) {
        buffer_append_string(&w.key, " arguments");
        walk_value(&w, arguments);
    }
    buffer_deinit(&w.key);
    return w.error;
}

static bool is_about_arguments(const struct gap *gap) {
    return strncmp(gap->path, "arguments", strlen("arguments")) == 0;
}

size_t uses_count(const struct uses *u, const struct gap *gap) {
    _cleanup_(buffer_deinit) struct buffer key = BUFFER_INIT;
    const char *path = gap->path;
    size_t n_path = strlen(path);
    struct use *use;

    buffer_printf(&key, "%s%s", gap->is_event ? "event " : "", gap->of);
    if (gap->kind == GAP_NEEDED) { /* whoever says what it stands in lacks it */
        const char *dot = strrchr(path, '.');

        n_path = dot ? (size_t)(dot - path) : 0;
        if (n_path == strlen("arguments"))
            n_path = 0;
    }
    if (is_about_arguments(gap) && n_path > 0)
        buffer_printf(&key, " %.*s%s%s", (int)n_path, path, gap->word ? "=" : "",
                      gap->word ? gap->word : "");
    if (key.failed || u->max == 0)
        return 0;
    use = find(u->table, u->max, key.data, key.n);
    return use->key ? use->n : 0;
}
