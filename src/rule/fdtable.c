#include "rule/fdtable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void fdtable_init(struct fdtable *t, size_t max_kept) {
    *t = (struct fdtable){.max_kept = max_kept};
    list_init(&t->all);
}

void fdtable_deinit(struct fdtable *t) {
    assert(list_is_empty(&t->all)); /* exchanges and facts end before the engine does */
}

int fdtable_add_take(struct fdtable *t, int fd, struct fdtable_entry **ret_entry) {
    struct fdtable_entry *e = calloc(1, sizeof(*e));

    if (!e) {
        close(fd);
        return -ENOMEM;
    }
    e->table = t;
    e->number = ++t->last_number;
    e->fd = fd;
    e->n_refs = 1;
    fdlook_at(fd, &e->look);
    list_append(&t->all, &e->in_table);
    *ret_entry = e;
    return 0;
}

struct fdtable_entry *fdtable_find(const struct fdtable *t, uint64_t number) {
    list_for_each(i, &t->all) {
        struct fdtable_entry *e = list_entry(i, struct fdtable_entry, in_table);

        if (e->number == number)
            return e;
    }
    return NULL;
}

struct fdtable_entry *fdtable_ref(struct fdtable_entry *e) {
    if (e)
        e->n_refs++;
    return e;
}

struct fdtable_entry *fdtable_unref(struct fdtable_entry *e) {
    if (!e || --e->n_refs > 0)
        return NULL;
    list_remove(&e->in_table);
    close(e->fd);
    free(e);
    return NULL;
}

int fdtable_keep(struct fdtable_entry *e) {
    if (e->n_keeps == 0 && e->table->n_kept >= e->table->max_kept)
        return FDTABLE_E_FULL;
    if (e->n_keeps++ == 0)
        e->table->n_kept++;
    fdtable_ref(e);
    return 0;
}

struct fdtable_entry *fdtable_unkeep(struct fdtable_entry *e) {
    if (e && --e->n_keeps == 0)
        e->table->n_kept--;
    return fdtable_unref(e);
}
