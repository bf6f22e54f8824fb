#include "io/tally.h"

#include <stdlib.h>
#include <string.h>

void tally_deinit(struct tally *t) {
    for (size_t i = 0; i < t->n_rules; i++)
        free(t->rules[i].name);
    free(t->rules);
    *t = (struct tally)TALLY_INIT;
}

void tally_add(struct session_stats *sum, const struct session_stats *more) {
    for (size_t side = 0; side < 2; side++) {
        sum->n_messages[side] += more->n_messages[side];
        sum->n_bytes[side] += more->n_bytes[side];
    }
    sum->n_rewritten += more->n_rewritten;
    sum->n_dropped += more->n_dropped;
    sum->n_answered += more->n_answered;
    sum->n_asked += more->n_asked;
    sum->n_held += more->n_held;
    sum->n_failed += more->n_failed;
    sum->n_timed_out += more->n_timed_out;
}

static struct tally_rule *tally_find(struct tally *t, const char *rule) {
    struct tally_rule *more;

    for (size_t i = 0; i < t->n_rules; i++)
        if (strcmp(t->rules[i].name, rule) == 0)
            return &t->rules[i];
    more = reallocarray(t->rules, t->n_rules + 1, sizeof(*more));
    if (!more)
        return NULL;
    t->rules = more;
    more[t->n_rules] = (struct tally_rule){.name = strdup(rule)};
    return more[t->n_rules].name ? &more[t->n_rules++] : NULL;
}

void tally_note_failure(struct tally *t, const char *rule) {
    struct tally_rule *r = rule ? tally_find(t, rule) : NULL;

    if (r)
        r->n_failed++;
}
