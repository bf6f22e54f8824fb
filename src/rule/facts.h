#pragma once

/*
 * Facts: what `remember` keeps for one session, by table and key.  Bounded;
 * values outlive the message they came from, so they are copied.
 */

#include <stddef.h>
#include "base/arena.h"
#include "base/list.h"
#include "json/value.h"

struct facts {
    struct list all;
    size_t n, max;
};

enum {
    _FACTS_E_SUCCESS,
    FACTS_E_FULL, /* facts.max values are kept already */
    FACTS_E_NONE, /* there is no such fact */
};

void facts_init(struct facts *f, size_t max);
void facts_deinit(struct facts *f);

/*
 * facts_remember() - keep @value, an object, under @table and @key
 * Members it had before and @value does not mention stay.
 * Return: 0, -ENOMEM, FACTS_E_FULL.
 */
int facts_remember(struct facts *f, const char *table, const struct json *key,
                   const struct json *value);

/* Return: 0, -ENOMEM, FACTS_E_NONE; @ret_value lives in @arena */
int facts_recall(const struct facts *f, struct arena *arena, const char *table,
                 const struct json *key, const struct json **ret_value);

void facts_forget(struct facts *f, const char *table, const struct json *key);

/* call @visit for each, oldest first, as texts: for a session that is handed on */
typedef int (*facts_visit_fn)(void *userdata, const char *table, const char *key_text,
                              const char *value_text);
int facts_visit(const struct facts *f, facts_visit_fn visit, void *userdata);
