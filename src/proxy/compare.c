#include "proxy/compare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "json/reader.h"

void compare_init(struct compare *c) {
    *c = (struct compare){.arena = ARENA_INIT};
}

void compare_deinit(struct compare *c) {
    arena_deinit(&c->arena);
}

/* Return: the number that the string "$N" has; 0 when it is none */
static size_t number_of(const struct json *value) {
    size_t number = 0;

    if (value->type != JSON_STRING || value->n_string < 2 || value->n_string > 3 ||
        value->string[0] != '$')
        return 0;
    for (size_t i = 1; i < value->n_string; i++) {
        if (value->string[i] < '0' || value->string[i] > '9')
            return 0;
        number = number * 10 + (size_t)(value->string[i] - '0');
    }
    return number;
}

static int bind(struct compare *c, size_t number, const struct json *came) {
    const char *text = arena_copy(&c->arena, came->text, came->n_text);
    struct json *value;
    int r;

    if (!text)
        return -ENOMEM;
    r = json_read(&c->arena, text, came->n_text, false, &value, NULL);
    if (r)
        return error_fold(r);
    c->value[number] = value;
    return 0;
}

/* the place is known from the inside out */
static int different_in(struct compare *c, const char *step, size_t n_step) {
    char rest[sizeof(c->where)];

    memcpy(rest, c->where, sizeof(rest));
    snprintf(c->where, sizeof(c->where), "%.*s%s%.80s", (int)size_min(n_step, 60), step,
             rest[0] ? "." : "", rest);
    return COMPARE_E_DIFFERENT;
}

static int compare_array(struct compare *c, const struct json *expected, const struct json *came) {
    char step[24];
    int r;

    if (expected->n_items != came->n_items)
        return COMPARE_E_DIFFERENT;
    for (size_t i = 0; i < expected->n_items; i++) {
        r = compare_value(c, &expected->items[i], &came->items[i]);
        if (r == COMPARE_E_DIFFERENT)
            return different_in(c, step, (size_t)snprintf(step, sizeof(step), "%zu", i));
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_ignored(const struct json *member, const char *const *ignored) {
    for (; ignored && *ignored; ignored++)
        if (json_key_is(member, *ignored))
            return true;
    return false;
}

int compare_members(struct compare *c, const struct json *expected, const struct json *came,
                    const char *const *ignored) {
    int r;

    for (size_t i = 0; i < expected->n_items; i++) {
        const struct json *m = &expected->items[i], *other = json_member_n(came, m->key, m->n_key);

        if (is_ignored(m, ignored))
            continue;
        c->where[0] = '\0';
        r = other ? compare_value(c, m, other) : COMPARE_E_DIFFERENT;
        if (r == COMPARE_E_DIFFERENT)
            return different_in(c, m->key, m->n_key);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < came->n_items; i++) {
        const struct json *m = &came->items[i];

        if (!is_ignored(m, ignored) && !json_member_n(expected, m->key, m->n_key))
            return different_in(c, m->key, m->n_key);
    }
    return 0;
}

int compare_value(struct compare *c, const struct json *expected, const struct json *came) {
    size_t number = number_of(expected);

    c->where[0] = '\0';
    if (number > 0 && !c->value[number])
        return bind(c, number, came);
    if (number > 0)
        expected = c->value[number];
    if (expected->type != came->type)
        return COMPARE_E_DIFFERENT;
    if (expected->type == JSON_ARRAY)
        return compare_array(c, expected, came);
    if (expected->type == JSON_OBJECT)
        return compare_members(c, expected, came, NULL);
    return json_equal(expected, came) ? 0 : COMPARE_E_DIFFERENT;
}

/* the source of @value from *at on; *at is then behind it */
static int fill(const struct compare *c, const struct json *value, struct buffer *b,
                const char **at) {
    size_t number = number_of(value);
    int r;

    if (number > 0) {
        if (!c->value[number])
            return COMPARE_E_UNKNOWN;
        buffer_append(b, *at, (size_t)(value->text - *at));
        buffer_append(b, c->value[number]->text, c->value[number]->n_text);
        *at = value->text + value->n_text;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        r = fill(c, &value->items[i], b, at);
        if (r)
            return r;
    }
    return 0;
}

int compare_fill(const struct compare *c, const struct json *value, struct buffer *b) {
    const char *at = value->text;
    int r;

    r = fill(c, value, b, &at);
    if (r)
        return r;
    buffer_append(b, at, (size_t)(value->text + value->n_text - at));
    return buffer_status(b);
}
