#pragma once

/*
 * File descriptors of one session that rules speak of: those of commands
 * under way, and those that `remember` keeps.  Rules know them by number;
 * each is closed when nobody refers to it any more.
 */

#include <stddef.h>
#include <stdint.h>
#include "base/fdlook.h"
#include "base/list.h"

struct fdtable {
    struct list all; /* struct fdtable_entry.in_table */
    uint64_t last_number;
    size_t n_kept, max_kept;
};

struct fdtable_entry {
    struct list in_table;
    struct fdtable *table;
    uint64_t number; /* from 1 on, never used twice */
    int fd;
    struct fdlook look; /* as it came */
    size_t n_refs;
    size_t n_keeps; /* how many facts hold it */
};

void fdtable_init(struct fdtable *t, size_t max_kept);

/* every entry must have been given back.  Until then the table must stay */
void fdtable_deinit(struct fdtable *t);

/* Return: 0 or -ENOMEM; @fd is consumed on failure too.  The entry has one reference */
int fdtable_add_take(struct fdtable *t, int fd, struct fdtable_entry **ret_entry);

/* Return: NULL when it is closed, or never was */
struct fdtable_entry *fdtable_find(const struct fdtable *t, uint64_t number);

struct fdtable_entry *fdtable_ref(struct fdtable_entry *e);
struct fdtable_entry *fdtable_unref(struct fdtable_entry *e);

enum {
    _FDTABLE_E_SUCCESS,
    FDTABLE_E_FULL, /* max_kept are kept already */
};

/* a reference that outlives the command.  Return: 0, FDTABLE_E_FULL */
int fdtable_keep(struct fdtable_entry *e);
struct fdtable_entry *fdtable_unkeep(struct fdtable_entry *e);
