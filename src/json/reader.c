/*
 * Trees from yajl's callbacks.  yajl says what a token is and where it ends;
 * where it begins, and its text, is found in the source between the end of
 * the token before and its own.
 *
 * What yajl lets pass and is no JSON is refused here: form feed and vertical
 * tab as blanks, an unfinished token behind the value, names twice, bad UTF-8.
 */

#include "json/reader.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/error.h"
#include "base/list.h"
#include "base/util.h"
#include "json/fault.h"
#include "json/names.h"
#include "json/quoted.h"

enum {
    READER_FIRST_VALUES = 64,
};

/* no container is open */
#define READER_OUTSIDE SIZE_MAX

/*
 * Values stand on one stack until their container closes; then its elements,
 * which are the values behind it, move to the arena in one piece.  While a
 * container is open, its n_items is the place of the container around it.
 */
struct reader {
    struct arena *arena;
    const char *text;
    size_t n;
    bool is_comments;

    struct json *values;
    size_t n_values, cap_values;
    size_t open;     /* the innermost open container, or READER_OUTSIDE */
    size_t depth;    /* open containers */
    struct json key; /* the name read last, until its value comes: key, key_text */
    size_t end;      /* behind the last token */

    int status; /* why reading stopped: 0, -ENOMEM, JSON_E_… */
    struct json_fault fault;

    yajl_handle yajl;
    bool is_last_chunk; /* yajl_complete_parse() runs, and what it counts is not our text */
    struct list blocks; /* yajl's memory */
    jmp_buf out_of_memory;
};

/* one piece of yajl's memory */
struct block {
    struct list in_reader;
    max_align_t data[];
};

/*
 * yajl never looks whether it got memory.  So its allocator does not return
 * without: it leaves yajl altogether, and the list of blocks is freed in its
 * place.  No frame of ours is between the setjmp() and yajl that owns anything.
 */
static void *reader_realloc(void *ctx, void *data, size_t n_bytes) {
    struct reader *r = ctx;
    struct block *old = data ? container_of(data, struct block, data) : NULL;
    struct block *b;

    if (old)
        list_remove(&old->in_reader);
    b = n_bytes < SIZE_MAX - sizeof(*b) ? realloc(old, sizeof(*b) + n_bytes) : NULL;
    if (b || old)
        list_append(&r->blocks, b ? &b->in_reader : &old->in_reader);
    if (!b)
        longjmp(r->out_of_memory, 1);
    return b->data;
}

static void *reader_malloc(void *ctx, size_t n_bytes) {
    return reader_realloc(ctx, NULL, n_bytes);
}

static void reader_free(void *ctx, void *data) {
    struct block *b;

    (void)ctx;
    if (!data)
        return;
    b = container_of(data, struct block, data);
    list_remove(&b->in_reader);
    free(b);
}

static void reader_deinit(struct reader *r) {
    list_for_each_safe(i, &r->blocks)
        free(list_entry(i, struct block, in_reader));
    free(r->values);
}

/* Return: 0, which stops yajl */
static int reader_stop(struct reader *r, int status) {
    r->status = status;
    return 0;
}

static bool is_between_tokens(char c) {
    return c == ' ' || c == ',' || c == ':' || c == '\n' || c == '\r' || c == '\t';
}

/* Return: where the token begins that yajl just told of: yajl has checked what is skipped here */
static size_t reader_token_start(const struct reader *r) {
    size_t at = r->end;

    for (;;) {
        while (is_between_tokens(r->text[at]))
            at++;
        if (r->text[at] != '/')
            break;
        at = fault_blank_end(r->text, r->n, at, r->is_comments);
    }
    assert(at < r->n); /* the token is still to come */
    return at;
}

/* Return: whether to go on; the token that yajl just told of stands in @ret_text */
static bool reader_token(struct reader *r, const char **ret_text, size_t *ret_n) {
    size_t at = reader_token_start(r);

    if (r->text[at] == '\v' || r->text[at] == '\f') {
        fault_set(&r->fault, at, 1, "form feed or vertical tab, which is no white space in JSON");
        return reader_stop(r, JSON_E_INVALID);
    }
    r->end = r->is_last_chunk ? r->n : yajl_get_bytes_consumed(r->yajl);
    assert(r->end > at && r->end <= r->n);
    *ret_text = r->text + at;
    *ret_n = r->end - at;
    return true;
}

/* Return: whether to go on; decodes a token with its quotes */
static bool reader_decode(struct reader *r, const char *text, size_t n, const char **ret_string,
                          size_t *ret_n_string) {
    size_t at;
    int q;

    assert(n >= 2); /* yajl calls nothing a string that has not two quotes */
    q = quoted_decode(r->arena, text + 1, n - 2, ret_string, ret_n_string, &at);
    switch (q) {
    case 0:
        return true;
    case QUOTED_E_INVALID:
        fault_set(&r->fault, (size_t)(text - r->text) + 1 + at, 1, "not UTF-8");
        return reader_stop(r, JSON_E_INVALID);
    default:
        return reader_stop(r, error_fold(q));
    }
}

/* Return: the new last value, without text; NULL when out of memory */
static struct json *reader_push(struct reader *r, enum json_type type) {
    struct json *v;

    if (r->n_values == r->cap_values) {
        size_t cap = size_max(r->cap_values * 2, READER_FIRST_VALUES);
        struct json *values = reallocarray(r->values, cap, sizeof(*values));

        if (!values) {
            reader_stop(r, -ENOMEM);
            return NULL;
        }
        r->values = values;
        r->cap_values = cap;
    }
    v = &r->values[r->n_values++];
    *v = r->key;
    v->type = type;
    r->key = (struct json){0};
    return v;
}

/* Return: the value that begins with the token yajl just told of; NULL when reading stops */
static struct json *reader_add(struct reader *r, enum json_type type) {
    const char *text;
    struct json *v;
    size_t n;

    if (!reader_token(r, &text, &n))
        return NULL;
    v = reader_push(r, type);
    if (v) {
        v->text = text;
        v->n_text = n;
    }
    return v;
}

static int on_null(void *ctx) {
    return reader_add(ctx, JSON_NULL) != NULL;
}

static int on_boolean(void *ctx, int boolean) {
    struct json *v = reader_add(ctx, JSON_BOOL);

    if (v)
        v->boolean = boolean;
    return v != NULL;
}

static int on_number(void *ctx, const char *text, size_t n) {
    (void)text;
    (void)n;
    return reader_add(ctx, JSON_NUMBER) != NULL;
}

static int on_string(void *ctx, const unsigned char *text, size_t n) {
    struct json *v = reader_add(ctx, JSON_STRING);

    (void)text;
    (void)n;
    return v && reader_decode(ctx, v->text, v->n_text, &v->string, &v->n_string);
}

static int on_key(void *ctx, const unsigned char *text, size_t n) {
    struct reader *r = ctx;
    struct json *k = &r->key;

    (void)text;
    (void)n;
    return reader_token(r, &k->key_text, &k->n_key_text) &&
           reader_decode(r, k->key_text, k->n_key_text, &k->key, &k->n_key);
}

static int reader_open(struct reader *r, enum json_type type) {
    struct json *v = reader_add(r, type);

    if (!v)
        return 0;
    if (r->depth == JSON_MAX_DEPTH) {
        fault_set(&r->fault, (size_t)(v->text - r->text), 1, "more than %d brackets deep",
                  JSON_MAX_DEPTH);
        return reader_stop(r, JSON_E_TOO_DEEP);
    }
    r->depth++;
    v->n_items = r->open;
    r->open = (size_t)(v - r->values);
    return 1;
}

static int on_start_object(void *ctx) {
    return reader_open(ctx, JSON_OBJECT);
}

static int on_start_array(void *ctx) {
    return reader_open(ctx, JSON_ARRAY);
}

/* Return: whether to go on */
static bool reader_check_names(struct reader *r, const struct json *members, size_t n) {
    const struct json *twice;
    int q;

    q = names_find_twice(members, n, &twice);
    if (q < 0)
        return reader_stop(r, q);
    if (!twice)
        return true;
    fault_set(&r->fault, (size_t)(twice->key_text - r->text), twice->n_key_text,
              "%.*s twice in one object", (int)size_min(twice->n_key_text, 60), twice->key_text);
    return reader_stop(r, JSON_E_DUPLICATE);
}

static int reader_close(struct reader *r) {
    struct json *v = &r->values[r->open];
    struct json *items = v + 1;
    size_t n_items = r->n_values - r->open - 1;
    const char *text;
    size_t n;

    if (!reader_token(r, &text, &n))
        return 0;
    if (v->type == JSON_OBJECT && !reader_check_names(r, items, n_items))
        return 0;
    r->depth--;
    r->open = v->n_items;
    r->n_values -= n_items;
    v->n_text = (size_t)(text + n - v->text);
    v->n_items = n_items;
    if (n_items == 0)
        return 1;
    v->items = arena_alloc(r->arena, n_items * sizeof(*items));
    if (!v->items)
        return reader_stop(r, -ENOMEM);
    memcpy(v->items, items, n_items * sizeof(*items));
    return 1;
}

static int on_end(void *ctx) {
    return reader_close(ctx);
}

static const yajl_callbacks reader_callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

static enum fault_after reader_after(const struct reader *r) {
    bool is_empty = r->open + 1 == r->n_values; /* the open container */

    if (r->n_values == 0)
        return FAULT_AFTER_NOTHING;
    if (r->open == READER_OUTSIDE)
        return FAULT_AFTER_ALL;
    if (r->key.key_text)
        return FAULT_AFTER_NAME;
    if (r->values[r->open].type == JSON_OBJECT)
        return is_empty ? FAULT_AFTER_BRACE : FAULT_AFTER_MEMBER;
    return is_empty ? FAULT_AFTER_BRACKET : FAULT_AFTER_ELEMENT;
}

static int reader_refuse(struct reader *r) {
    fault_explain(r->text, r->n, r->end, reader_after(r), r->is_comments, &r->fault);
    return JSON_E_INVALID;
}

/*
 * @text is what yajl sees: as long as r->text, and different in the digits of
 * surrogates only.
 */
static int reader_run(struct reader *r, const char *text) {
    yajl_alloc_funcs memory = {reader_malloc, reader_realloc, reader_free, r};
    yajl_status status;

    if (setjmp(r->out_of_memory))
        return -ENOMEM;
    r->yajl = yajl_alloc(&reader_callbacks, &memory, r);
    yajl_config(r->yajl, yajl_allow_comments, r->is_comments);
    yajl_config(r->yajl, yajl_dont_validate_strings, 1); /* quoted_decode() does, and better */
    status = yajl_parse(r->yajl, (const unsigned char *)text, r->n);
    if (status == yajl_status_ok) {
        r->is_last_chunk = true;
        status = yajl_complete_parse(r->yajl);
    }
    if (r->status)
        return r->status;
    if (status != yajl_status_ok || r->n_values == 0 || r->open != READER_OUTSIDE)
        return reader_refuse(r);
    /* yajl takes {} "x for a whole value */
    if (fault_blank_end(r->text, r->n, r->end, r->is_comments) < r->n)
        return reader_refuse(r);
    return 0;
}

/* Return: whether these six bytes escape a surrogate; with less than four digits they escape nothing */
static bool is_surrogate(const char *text) {
    return text[1] == 'u' && (text[2] == 'd' || text[2] == 'D') && text[3] != '\0' &&
           strchr("89abAB", text[3]) && isxdigit((unsigned char)text[4]) &&
           isxdigit((unsigned char)text[5]);
}

/* Return: where the next escaped surrogate is at or behind @text; NULL when there is none */
static char *find_surrogate(char *text, const char *end) {
    while (end - text >= 6 && (text = memchr(text, '\\', (size_t)(end - text) - 5))) {
        if (is_surrogate(text))
            return text;
        text++;
    }
    return NULL;
}

/*
 * yajl 2.1.0 aborts on "\uD800\\uZZZZ" (CVE-2017-16516; distributions have
 * mended it, upstream never did): the half of a pair makes it take the second
 * backslash for an escape.  As nothing is made of what yajl decodes, it gets
 * to see blanks (\u0020) instead of high surrogates.
 */
static int hide_surrogates(const char *text, size_t n, char **ret_hidden) {
    static const char blank[] = {'0', '0', '2', '0'};
    char *at = find_surrogate((char *)text, text + n); /* only looks */
    char *hidden;

    *ret_hidden = NULL;
    if (!at)
        return 0;
    hidden = malloc(n);
    if (!hidden)
        return -ENOMEM;
    memcpy(hidden, text, n);
    at = hidden + (at - text);
    do
        memcpy(at + 2, blank, sizeof(blank));
    while ((at = find_surrogate(at, hidden + n)));
    *ret_hidden = hidden;
    return 0;
}

int json_read(struct arena *arena, const char *text, size_t n, bool is_comments,
              struct json **ret_value, struct json_fault *reterr_fault) {
    struct reader reader = {
        .arena = arena,
        .text = n > 0 ? text : "", /* an empty buffer has NULL */
        .n = n,
        .is_comments = is_comments,
        .open = READER_OUTSIDE,
        .blocks = LIST_INIT(reader.blocks),
    };
    _cleanup_(freep) char *hidden = NULL;
    struct json *value = NULL;
    int r;

    r = hide_surrogates(reader.text, n, &hidden);
    if (r < 0)
        return r;
    r = reader_run(&reader, hidden ? hidden : reader.text);
    if (r == 0) {
        value = arena_alloc(arena, sizeof(*value));
        if (value)
            *ret_value = memcpy(value, reader.values, sizeof(*value));
        else
            r = -ENOMEM;
    }
    if (r > 0 && reterr_fault)
        *reterr_fault = reader.fault;
    reader_deinit(&reader);
    return r;
}
