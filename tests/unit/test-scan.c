/*
 * qmp/scan: every way that this machine has, against a scanner that is too
 * simple to be wrong, at every split of every text.
 */
#include "qmp/scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "test.h"

enum { MAX_TEXT = 512 };

/* the reference of the references: one byte, one look at it */
static size_t skip_simply(struct scan *s, const char *text, size_t n) {
    size_t i = 0;

    for (; i < n && s->depth > 0; i++) {
        if (s->is_escaped)
            s->is_escaped = false;
        else if (s->is_in_string && text[i] == '\\')
            s->is_escaped = true;
        else if (text[i] == '"')
            s->is_in_string = !s->is_in_string;
        else if (!s->is_in_string && strchr("{[", text[i]))
            s->depth++;
        else if (!s->is_in_string && strchr("}]", text[i]))
            s->depth--;
    }
    return i;
}

/* one call, in an exactly sized copy so that reading beyond is seen, behind @n_before other bytes */
static void skip_behind(const struct scan_way *way, struct scan *s, const char *text, size_t n,
                        size_t n_before) {
    struct scan expected = *s;
    size_t n_expected = skip_simply(&expected, text, n);
    char *copy = malloc(n_before + n + !(n_before + n));

    memset(copy, n_before % 2 ? '"' : '}', n_before);
    memcpy(copy + n_before, text, n);
    cr_assert(eq(sz, way->nested(s, copy, n_before, n_before + n), n_before + n_expected),
              "%s: %.*s", way->name, (int)n, text);
    cr_assert(eq(sz, s->depth, expected.depth), "%s: %.*s", way->name, (int)n, text);
    cr_assert(s->is_in_string == expected.is_in_string, "%s: %.*s", way->name, (int)n, text);
    cr_assert(s->is_escaped == expected.is_escaped, "%s: %.*s", way->name, (int)n, text);
    free(copy);
}

static void skip_once(const struct scan_way *way, struct scan *s, const char *text, size_t n) {
    for (size_t n_before = 0; n_before <= 64; n_before += 13) {
        struct scan same = *s;

        skip_behind(way, &same, text, n, n_before);
    }
    skip_behind(way, s, text, n, 0);
}

static void skip_split(const struct scan_way *way, size_t depth, const char *text, size_t n,
                       size_t split) {
    struct scan s = {.depth = depth};

    skip_once(way, &s, text, split);
    if (s.depth > 0)
        skip_once(way, &s, text + split, n - split);
}

static void skip_all(const char *text, size_t n, size_t depth) {
    for (const struct scan_way *way = scan_ways; way->name; way++)
        for (size_t split = 0; way->is_there() && split <= n; split++)
            skip_split(way, depth, text, n, split);
}

/* numbers that look random and are the same every time */
static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* what trusted JSON has: a backslash is in a string only */
static size_t make_text(uint32_t *state, char *text, size_t n) {
    static const char outside[] = "{{[[}}]]\"\"\":, a1";
    static const char inside[] = "\"\\\\{[}]xyz 0123456789abcdefghijkl";
    bool is_in_string = false;
    size_t i = 0;

    while (i < n) {
        const char *from = is_in_string ? inside : outside;

        text[i] = from[next_random(state) % strlen(from)];
        if (is_in_string && text[i] == '\\' && i + 1 < n)
            text[++i] = "\"\\nu"[next_random(state) % 4];
        else if (text[i] == '"')
            is_in_string = !is_in_string;
        i++;
    }
    return n;
}

TEST(scan, every_way_agrees_at_every_split) {
    char text[MAX_TEXT];
    uint32_t state = 1;

    for (size_t i = 0; i < 400; i++) {
        size_t n = make_text(&state, text, next_random(&state) % 300);

        skip_all(text, n, 1 + next_random(&state) % 40);
    }
}

TEST(scan, runs_of_backslashes_across_blocks) {
    char text[MAX_TEXT];

    for (size_t n_before = 50; n_before < 70; n_before++)
        for (size_t n_run = 0; n_run < 12; n_run++) {
            size_t n = n_before + n_run + 8;

            memset(text, 'x', sizeof(text));
            text[0] = '"';
            memset(text + n_before, '\\', n_run);
            memcpy(text + n_before + n_run, "\"}]\"}]\"]", 8);
            skip_all(text, n, 2);
        }
}

TEST(scan, ends_at_the_bracket_that_closes_all) {
    for (const struct scan_way *way = scan_ways; way->name; way++) {
        struct scan s = {.depth = 1};
        const char *text = "\"a\": [{}, \"]}\"]}, \"b\": 1}";

        if (!way->is_there())
            continue;
        cr_assert(eq(sz, way->nested(&s, text, 0, strlen(text)), 16));
        cr_assert(eq(sz, s.depth, 0));
    }
}

TEST(scan, a_backslash_outside_of_strings_takes_nothing_with_it) {
    const char text[] =
        "\\{\\\"a\\\"\\\\}]\\{}                                                     \\\"]}\"}";

    skip_all(text, strlen(text), 1);
}

TEST(scan, every_depth_around_the_size_of_a_block) {
    char text[MAX_TEXT];

    for (size_t depth = 1; depth < 140; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth + 1);
        skip_all(text, 2 * depth + 1, 1);
    }
}

TEST(scan, strings_end_at_a_quote_or_a_backslash) {
    char text[MAX_TEXT];

    for (size_t n = 0; n < 70; n++)
        for (size_t at = 0; at <= n; at++) {
            char *copy = malloc(n ? n : 1);

            memset(text, 'x', n);
            if (at < n)
                text[at] = n % 2 ? '"' : '\\';
            memcpy(copy, text, n);
            cr_assert(eq(sz, scan_string(copy, n), at));
            free(copy);
        }
}
