#include "rule/rename.h"

#include <string.h>

/* does the picture show the name and nothing else? */
static bool is_name_alone(const struct picture_list *list) {
    const struct pattern *p;

    if (list->n != 1 || list->is_list)
        return false;
    p = &list->picture[0].message;
    return p->kind == PATTERN_OBJECT && p->rest == PATTERN_REST_STAYS && p->n_members == 1 &&
           p->members[0].pattern.kind == PATTERN_CONST && !p->members[0].is_optional &&
           p->members[0].n_key == 5 && memcmp(p->members[0].key, "event", 5) == 0;
}

bool rename_is_all(const struct rule *rule) {
    return rule->kind == PICTURE_EVENT && is_name_alone(&rule->side[VARS_OLD]) &&
           is_name_alone(&rule->side[VARS_NEW]) && rule->ask.n == 0 && rule->then.n == 0 &&
           rule->emit.n == 0 && rule->emit_before.n == 0 && rule->until.n == 0 &&
           !rule->after_reply && rule->remember.n == 0 && rule->recall.n == 0 &&
           rule->forget.n == 0 && rule->conform == CONFORM_NONE;
}

/* the only rule that reads it.  NULL: there is none; ret_is_one: there are no more */
static const struct rule *reader_of(const struct engine *e, const char *name, size_t n_name,
                                    bool *ret_is_one) {
    struct program_uses uses = program_find(e->program, PROGRAM_EVENT, name, n_name);
    const struct rule *rule = NULL;
    size_t n = 0;

    for (size_t i = 0; i < uses.n; i++)
        if (selection_is_working(e->selection, uses.use[i].rule) &&
            !selection_is_client_side(e->selection, uses.use[i].rule, uses.use[i].side)) {
            rule = uses.use[i].rule;
            n++;
        }
    *ret_is_one = n == 1;
    return rule;
}

int rename_find(const struct engine *e, const char *name, size_t n_name, struct rename *ret) {
    const struct picture *write;
    const struct rule *rule;
    const struct json *value;
    bool is_one;

    if (!list_is_empty(&e->waits))
        return RENAME_E_READ; /* it may be what one of them waits for */
    rule = reader_of(e, name, n_name, &is_one);
    if (!rule || !is_one || !rule->is_rename)
        return RENAME_E_READ;
    write = &rule->side[selection_client_side(e->selection, rule)].picture[0];
    /* the next file of the chain may have its own view of the new name */
    if (program_n_files(e->program) > 1 && reader_of(e, write->name, write->n_name, &is_one))
        return RENAME_E_READ;
    value = write->message.members[0].pattern.value;
    *ret = (struct rename){rule, value->text + 1, value->n_text - 2};
    return 0;
}
