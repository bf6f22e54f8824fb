#include "rule/facts.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "json/span.h"
#include "json/writer.h"

struct fact {
    struct list in_facts;
    char *table, *key, *value; /* JSON texts but for the table; value is NULL: it is being made */
    struct fdtable_entry *fd;  /* NULL: none */
};

static void *fact_free(struct fact *fact) {
    if (!fact)
        return NULL;
    list_remove(&fact->in_facts);
    fdtable_unkeep(fact->fd);
    free(fact->table);
    free(fact->key);
    free(fact->value);
    free(fact);
    return NULL;
}

void facts_init(struct facts *f, size_t max, size_t max_bytes) {
    *f = (struct facts){.max = max, .max_bytes = max_bytes};
    list_init(&f->all);
}

void facts_deinit(struct facts *f) {
    list_for_each_safe(i, &f->all)
        fact_free(list_entry(i, struct fact, in_facts));
    f->n = f->n_bytes = 0;
}

static size_t size_of(const struct fact *fact) {
    return strlen(fact->table) + strlen(fact->key) + strlen(fact->value);
}

/* keys are compared as strings decoded, so a key is written anew */
static char *key_text(const struct json *key) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    if (key->type == JSON_STRING)
        json_write_string(&b, key->string, key->n_string);
    else
        json_write(&b, key);
    return buffer_steal_string(&b);
}

static struct fact *find(const struct facts *f, const char *table, const char *key) {
    list_for_each(i, &f->all) {
        struct fact *fact = list_entry(i, struct fact, in_facts);

        if (strcmp(fact->table, table) == 0 && strcmp(fact->key, key) == 0)
            return fact;
    }
    return NULL;
}

static void write_member(struct buffer *b, const struct json *m) {
    buffer_append_string(b, b->n > 1 ? ", " : "");
    buffer_append(b, m->key_text, m->n_key_text);
    buffer_append_string(b, ": ");
    json_write(b, m);
}

/* @value over what was kept before */
static char *merged(const struct json *before, const struct json *value) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, "{");
    for (size_t i = 0; before && i < before->n_items; i++)
        if (!json_member_n(value, before->items[i].key, before->items[i].n_key))
            write_member(&b, &before->items[i]);
    for (size_t i = 0; i < value->n_items; i++)
        write_member(&b, &value->items[i]);
    buffer_append_string(&b, "}");
    return buffer_steal_string(&b);
}

/* a fact without a value yet, in no list */
static struct fact *new_fact(const char *table, char **key) {
    struct fact *fact = calloc(1, sizeof(*fact));

    if (!fact)
        return NULL;
    list_init(&fact->in_facts);
    fact->table = strdup(table);
    if (!fact->table)
        return fact_free(fact);
    fact->key = steal(*key);
    return fact;
}

/* @fd takes the place of what @fact holds.  Return: 0, FACTS_E_FULL */
static int set_fd(struct fact *fact, struct fdtable_entry *fd) {
    struct fdtable_entry *before = fdtable_ref(fact->fd);
    bool is_full;

    fdtable_unkeep(fact->fd); /* first: the new one may have its place */
    is_full = fdtable_keep(fd) != 0;
    fact->fd = is_full ? before : fd;
    if (is_full && before)
        fdtable_keep(before); /* there is room: what was full had it among the others */
    fdtable_unref(before);
    return is_full ? FACTS_E_FULL : 0;
}

/* @text, consumed, becomes the value of @fact, if there is room.  Return: 0, FACTS_E_FULL */
static int set_value(struct facts *f, struct fact *fact, char *text, struct fdtable_entry *fd) {
    bool is_new = list_is_empty(&fact->in_facts);
    size_t n_before = is_new ? 0 : size_of(fact);
    size_t n = strlen(fact->table) + strlen(fact->key) + strlen(text);

    if ((is_new && f->n >= f->max) || f->n_bytes - n_before + n > f->max_bytes ||
        (fd && fd != fact->fd && set_fd(fact, fd))) {
        free(text);
        return FACTS_E_FULL;
    }
    free(fact->value);
    fact->value = text;
    f->n_bytes = f->n_bytes - n_before + n;
    f->n_changes++;
    if (is_new) {
        list_append(&f->all, &fact->in_facts);
        f->n++;
    }
    return 0;
}

int facts_remember(struct facts *f, const char *table, const struct json *key,
                   const struct json *value, struct fdtable_entry *fd) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    _cleanup_(freep) char *k = key_text(key);
    struct json *before = NULL;
    struct fact *fact;
    char *text;
    int r = 0;

    if (!k)
        return -ENOMEM;
    fact = find(f, table, k);
    if (fact)
        r = span_read(&arena, fact->value, strlen(fact->value), &before);
    else
        fact = new_fact(table, &k);
    if (r)
        return error_fold(r);
    text = fact ? merged(before, value) : NULL;
    r = text ? set_value(f, fact, text, fd) : -ENOMEM;
    if (r && fact && list_is_empty(&fact->in_facts))
        fact_free(fact);
    return r;
}

int facts_recall(const struct facts *f, struct arena *arena, const char *table,
                 const struct json *key, const struct json **ret_value) {
    _cleanup_(freep) char *k = key_text(key);
    const struct fact *fact;
    struct json *value;
    char *text;
    int r;

    if (!k)
        return -ENOMEM;
    fact = find(f, table, k);
    if (!fact)
        return FACTS_E_NONE;
    text = arena_copy(arena, fact->value, strlen(fact->value));
    if (!text)
        return -ENOMEM;
    r = span_read(arena, text, strlen(text), &value);
    if (r)
        return error_fold(r);
    *ret_value = value;
    return 0;
}

void facts_forget(struct facts *f, const char *table, const struct json *key) {
    _cleanup_(freep) char *k = key_text(key);
    struct fact *fact = k ? find(f, table, k) : NULL;

    if (fact) {
        f->n--;
        f->n_changes++;
        f->n_bytes -= size_of(fact);
        fact_free(fact);
    }
}

int facts_visit(const struct facts *f, facts_visit_fn visit, void *userdata) {
    list_for_each(i, &f->all) {
        const struct fact *fact = list_entry(i, struct fact, in_facts);
        int r = visit(userdata, fact->table, fact->key, fact->value, fact->fd);

        if (r)
            return r;
    }
    return 0;
}
