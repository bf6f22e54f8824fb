#pragma once

/*
 * Facts: what `remember` keeps for one session, by table and key.  Bounded;
 * values outlive the message they came from, so they are copied.  A file
 * descriptor among them is kept open as long as its fact.
 */

#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/list.h"
#include "json/value.h"
#include "rule/fdtable.h"

struct facts {
    struct list all;
    size_t n, max;
    size_t n_bytes, max_bytes; /* of tables, keys and values as text */
    uint64_t n_changes;        /* so far */
};

enum {
    _FACTS_E_SUCCESS,
    FACTS_E_FULL, /* facts.max values are kept already, or facts.max_bytes, or as many fds as may be */
    FACTS_E_NONE, /* there is no such fact */
};

void facts_init(struct facts *f, size_t max, size_t max_bytes);
void facts_deinit(struct facts *f);

/*
 * facts_remember() - keep @value, an object, under @table and @key
 * @fd: that @value speaks of; NULL: none, and the one it had before stays
 *
 * Members it had before and @value does not mention stay.
 * Return: 0, -ENOMEM, FACTS_E_FULL; then all is as before.
 */
int facts_remember(struct facts *f, const char *table, const struct json *key,
                   const struct json *value, struct fdtable_entry *fd);

/* Return: 0, -ENOMEM, FACTS_E_NONE; @ret_value lives in @arena */
int facts_recall(const struct facts *f, struct arena *arena, const char *table,
                 const struct json *key, const struct json **ret_value);

void facts_forget(struct facts *f, const char *table, const struct json *key);

/* call @visit for each, oldest first, as texts: for a session that is handed on.  @fd: NULL when it has none */
typedef int (*facts_visit_fn)(void *userdata, const char *table, const char *key_text,
                              const char *value_text, const struct fdtable_entry *fd);
int facts_visit(const struct facts *f, facts_visit_fn visit, void *userdata);
