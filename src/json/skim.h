#pragma once

/*
 * Reading past JSON: it checks what span_read() (span.h) checks, but makes
 * no values and takes no memory.  For a message of which only a few members
 * are of interest, and the rest is carried over as text.
 *
 * It does not read everything: of names with escapes, very many names, and
 * brackets very deep it leaves the judgement to span_read().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

enum {
    SKIM_MAX_NAMES = 192, /* of all open objects together */
    SKIM_MAX_DEPTH = 64,  /* brackets */
};

struct skim_name {
    const char *text; /* between the quotes; without escapes */
    size_t n;
};

struct skim {
    const char *begin, *at, *end; /* the text, and the next byte of it */
    bool has_failed;              /* this is no JSON, or not for this reader: nothing goes on */
    bool is_neat; /* what was read since somebody set it: as json_write() would write it */
    size_t n_names;
    struct skim_name *names; /* so that none comes twice in one object: room for SKIM_MAX_NAMES */
};

/* an object whose members are read one by one */
struct skim_object {
    size_t first_name;
    uint64_t seen; /* see skim.c */
    bool is_begun;
};

struct skim_value {
    const char *text;
    size_t n;
    bool is_neat; /* as struct json has it */
};

/* @names: room for SKIM_MAX_NAMES, which need not be set */
static inline void skim_init(struct skim *s, const char *text, size_t n, struct skim_name *names) {
    s->names = names;
    s->begin = s->at = text;
    s->end = text + n;
    s->has_failed = false;
    s->is_neat = true;
    s->n_names = 0;
}

/* Return: whether an object begins at s->at; then its members are next */
static inline bool skim_open(struct skim *s, struct skim_object *o) {
    if (s->at == s->end || *s->at != '{')
        return false;
    s->at++;
    o->first_name = s->n_names;
    o->seen = 0;
    o->is_begun = false;
    return true;
}

/* at the closing brace of @o: go behind it.  skim_member() does so, too */
static inline void skim_close(struct skim *s, const struct skim_object *o) {
    s->at++;
    s->n_names = o->first_name;
}

/*
 * skim_member() - the next member's name; s->at is where its value begins, which is to be read next
 *
 * Return: false when there is none, and s->at is behind the object; or when it has failed.
 */
bool skim_member(struct skim *s, struct skim_object *o, struct skim_name *ret_name);

/* the value that begins at s->at.  Return: false when it has failed */
bool skim_value(struct skim *s, struct skim_value *ret);

/*
 * skim_list() - like skim_open() and skim_member(), of a list
 * @is_begun: false for the first one, then left alone
 */
bool skim_open_list(struct skim *s);
bool skim_item(struct skim *s, bool *is_begun);

/* Return: whether all went well, and nothing is left */
bool skim_is_over(const struct skim *s);

/* a value that was read, as json_write() would write it */
void skim_write(struct buffer *b, const char *text, size_t n);
