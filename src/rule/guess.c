#include "rule/guess.h"

#include <string.h>
#include <strings.h>

#include "json/diag.h"
#include "rule/gap.h"

enum {
    GUESS_MIN = 50,   /* of 100, for names that are taken for one thing */
    GUESS_NEAR = 60,  /* what a slip of the pen counts */
    GUESS_KNOWN = 65, /* for one that stood beside it at the client's server */
};

/* words of a name: "query-cpus" has two */
static size_t next_word(const char *text, size_t n, size_t *at) {
    size_t end;

    while (*at < n && strchr("-_.", text[*at]))
        ++*at;
    for (end = *at; end < n && !strchr("-_.", text[end]);)
        end++;
    return end - *at;
}

static bool has_word(const char *text, size_t n, const char *word, size_t n_word) {
    size_t n_here;

    for (size_t at = 0; (n_here = next_word(text, n, &at)) > 0; at += n_here)
        if (n_here == n_word && strncasecmp(text + at, word, n_word) == 0)
            return true;
    return false;
}

static size_t count_words(const char *text, size_t n) {
    size_t n_words = 0, n_here;

    for (size_t at = 0; (n_here = next_word(text, n, &at)) > 0; at += n_here)
        n_words++;
    return n_words;
}

/* Return: how much alike, of 100 */
static size_t likeness(const char *a, const struct json *name) {
    const char *b = name->string;
    const char *word[2] = {a, NULL};
    size_t n_a = strlen(a), n_b = name->n_string, n_common = 0, n_all, n_here, score;

    for (size_t at = 0; (n_here = next_word(a, n_a, &at)) > 0; at += n_here)
        n_common += has_word(b, n_b, a + at, n_here);
    n_all = count_words(a, n_a) + count_words(b, n_b) - n_common;
    score = n_all > 0 ? n_common * 100 / n_all : 0;
    return score < GUESS_NEAR && diag_suggest(b, n_b, word) ? GUESS_NEAR : score;
}

const struct json *guess_entry(const struct schema *client, const struct schema *server,
                               const char *meta_type, const char *name) {
    const struct json *best = NULL;
    size_t most = GUESS_MIN - 1;

    for (size_t i = 0; i < server->entries->n_items; i++) {
        const struct json *e = &server->entries->items[i], *n = json_member(e, "name");
        size_t score = schema_is(e, meta_type) ? likeness(name, n) : 0;

        if (score > most &&
            (score > GUESS_KNOWN || !schema_find(client, meta_type, n->string, n->n_string))) {
            most = score;
            best = e;
        }
    }
    return best;
}

struct member_search {
    const struct schema *s, *t;
    const struct json *client; /* a type */
    const char *name, *type;
    size_t most;
    const struct json *best;
};

static void find_visit(void *userdata, const struct json *member) {
    struct member_search *search = userdata;

    if (!search->best && json_is_string(json_member(member, "name"), search->name))
        search->best = member;
}

const struct json *guess_find(const struct schema *s, const struct json *type, const char *name) {
    struct member_search search = {.name = name};

    schema_visit(s, type, NULL, find_visit, &search);
    return search.best;
}

static bool is_known(const struct member_search *search, const struct json *name) {
    char text[200];

    if (name->n_string >= sizeof(text))
        return true;
    memcpy(text, name->string, name->n_string);
    text[name->n_string] = '\0';
    return guess_find(search->s, search->client, text) != NULL;
}

static void member_visit(void *userdata, const struct json *member) {
    struct member_search *search = userdata;
    const struct json *name = json_member(member, "name");
    size_t score = name ? likeness(search->name, name) : 0;

    if (score <= search->most || is_known(search, name) ||
        strcmp(search->type, gap_type_name(search->t, schema_type(search->t, member, "type"))) != 0)
        return;
    search->most = score;
    search->best = member;
}

const struct json *guess_member(const struct schema *s, const struct json *client,
                                const struct schema *t, const struct json *server,
                                const char *name) {
    const struct json *member = guess_find(s, client, name);
    struct member_search search = {
        .s = s, .t = t, .client = client, .name = name, .most = GUESS_MIN - 1};

    if (!member)
        return NULL;
    search.type = gap_type_name(s, schema_type(s, member, "type"));
    schema_visit(t, server, NULL, member_visit, &search);
    return search.best;
}
