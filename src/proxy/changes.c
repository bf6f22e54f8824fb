#include "proxy/changes.h"

#include <string.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/util.h"
#include "json/reader.h"

struct finding {
    struct buffer path; /* NUL-terminated when it is told */
    changes_fn tell;
    void *userdata;
};

static void tell(struct finding *f, const struct json *was, const struct json *is) {
    struct change c = {.was = was, .is = is};

    buffer_append(&f->path, "", 1);
    if (f->path.failed)
        return;
    c.path = f->path.data;
    f->tell(f->userdata, &c);
    f->path.n--;
}

/* Return: the length to go back to */
static size_t enter(struct finding *f, const char *key, size_t n_key) {
    size_t n = f->path.n;

    if (n > 0)
        buffer_append(&f->path, ".", 1);
    buffer_append(&f->path, key, n_key);
    return n;
}

static size_t enter_index(struct finding *f, size_t index) {
    size_t n = f->path.n;

    buffer_printf(&f->path, "%s%zu", n > 0 ? "." : "", index);
    return n;
}

static void leave(struct finding *f, size_t n) {
    if (!f->path.failed)
        f->path.n = n;
}

static void find(struct finding *f, const struct json *was, const struct json *is);

static void find_in_objects(struct finding *f, const struct json *was, const struct json *is) {
    for (size_t i = 0; i < was->n_items; i++) {
        const struct json *m = &was->items[i], *other = json_member_n(is, m->key, m->n_key);
        size_t n = enter(f, m->key, m->n_key);

        if (other)
            find(f, m, other);
        else
            tell(f, m, NULL);
        leave(f, n);
    }
    for (size_t i = 0; i < is->n_items; i++) {
        const struct json *m = &is->items[i];
        size_t n;

        if (json_member_n(was, m->key, m->n_key))
            continue;
        n = enter(f, m->key, m->n_key);
        tell(f, NULL, m);
        leave(f, n);
    }
}

static void find_in_arrays(struct finding *f, const struct json *was, const struct json *is) {
    for (size_t i = 0; i < size_max(was->n_items, is->n_items); i++) {
        size_t n = enter_index(f, i);

        if (i < was->n_items && i < is->n_items)
            find(f, &was->items[i], &is->items[i]);
        else
            tell(f, i < was->n_items ? &was->items[i] : NULL,
                 i < is->n_items ? &is->items[i] : NULL);
        leave(f, n);
    }
}

/* the depth is that of JSON, which the reader limits */
static void find(struct finding *f, const struct json *was, const struct json *is) {
    if (was->type == JSON_OBJECT && is->type == JSON_OBJECT)
        find_in_objects(f, was, is);
    else if (was->type == JSON_ARRAY && is->type == JSON_ARRAY)
        find_in_arrays(f, was, is);
    else if (!json_equal(was, is))
        tell(f, was, is);
}

static struct json *without_id(struct json *root) {
    for (size_t i = 0; i < root->n_items; i++)
        if (root->type == JSON_OBJECT && json_key_is(&root->items[i], "id")) {
            memmove(&root->items[i], &root->items[i + 1],
                    (root->n_items - i - 1) * sizeof(*root->items));
            root->n_items--;
        }
    return root;
}

int changes_find(const char *was, const char *is, changes_fn tell_change, void *userdata) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct finding f = {.path = BUFFER_INIT, .tell = tell_change, .userdata = userdata};
    struct json *a, *b;
    int r;

    r = json_read(&arena, was, strlen(was), false, &a, NULL);
    if (r == 0)
        r = json_read(&arena, is, strlen(is), false, &b, NULL);
    if (r)
        return r < 0 ? r : 0;
    if (a->type == JSON_OBJECT && b->type == JSON_OBJECT)
        find_in_objects(&f, without_id(a), without_id(b));
    r = buffer_status(&f.path);
    buffer_deinit(&f.path);
    return r;
}
