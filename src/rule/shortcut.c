#include "rule/shortcut.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "rule/introspect.h"

/* --- which rules ---------------------------------------------------------------------------- */

static const struct picture *only_picture(const struct rule *rule, enum vars_side side) {
    const struct picture_list *list = &rule->side[side];

    return list->n == 1 && !list->is_list && !list->is_null ? &list->picture[0] : NULL;
}

/* nothing is asked, made, kept or waited for */
static bool is_rewriting_alone(const struct rule *rule) {
    return rule->kind == PICTURE_COMMAND && rule->n_replies == 0 && !rule->commands &&
           rule->ask.n == 0 && rule->then.n == 0 && rule->finally.n == 0 && rule->emit.n == 0 &&
           rule->emit_before.n == 0 && rule->until.n == 0 && !rule->after_reply &&
           rule->remember.n == 0 && rule->recall.n == 0 && rule->forget.n == 0 &&
           rule->n_needs == 0 && rule->conform == CONFORM_NONE;
}

static bool is_plain_picture(const struct picture *p) {
    return p && p->name && !p->fd && p->until.n == 0;
}

static void mark_visit(void *userdata, const struct pattern *p, size_t var, bool is_optional) {
    (void)p, (void)is_optional;
    *(uint64_t *)userdata |= var < 64 ? (uint64_t)1 << var : 0;
}

static uint64_t vars_of(const struct pattern *p) {
    uint64_t vars = 0;

    pattern_visit(p, false, mark_visit, &vars);
    return vars;
}

/* Return: 0, -ENOMEM, PLAN_E_READ */
static int plan_reply(struct arena *arena, const struct picture *client,
                      const struct picture *server, struct shortcut *s) {
    const struct pattern *read = server->reply[REPLY_RETURN], *write = client->reply[REPLY_RETURN];

    s->wants_reply = read || write || server->reply[REPLY_ERROR] || client->reply[REPLY_ERROR];
    if (!read && !write)
        return 0;
    /* what the command has bound is not known any more when the reply comes */
    if (!read || !write || vars_of(&client->message) & (vars_of(read) | vars_of(write)))
        return PLAN_E_READ;
    return plan_make(arena, &s->rule->vars, read, write, &s->reply);
}

int shortcut_make(struct arena *arena, const struct rule *rule, enum vars_side client,
                  const struct shortcut **ret_shortcut) {
    const struct picture *from = only_picture(rule, client),
                         *to = only_picture(rule, client == VARS_OLD ? VARS_NEW : VARS_OLD);
    struct shortcut *s;
    int r;

    *ret_shortcut = NULL;
    if (!is_rewriting_alone(rule) || !is_plain_picture(from) || !is_plain_picture(to) ||
        introspect_find(from->name, from->n_name) != INTROSPECT_NONE)
        return 0;
    s = arena_alloc(arena, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->rule = rule;
    s->from = from->name;
    s->n_from = from->n_name;
    s->to = to->name;
    s->n_to = to->n_name;
    r = plan_make(arena, &rule->vars, &from->message, &to->message, &s->command);
    if (r == 0)
        r = plan_reply(arena, from, to, s);
    if (r == 0)
        *ret_shortcut = s;
    return r < 0 ? r : 0;
}

/* --- when they work ------------------------------------------------------------------------- */

static bool reads_commands(const struct selection *s, const struct program_use *use) {
    return selection_is_working(s, use->rule) && selection_is_client_side(s, use->rule, use->side);
}

/* does a rule of another file read what @s writes? */
static bool is_read_on(const struct engine *e, const struct shortcut *s) {
    struct program_uses uses = program_find(e->program, PROGRAM_COMMAND, s->to, s->n_to);

    for (size_t i = 0; i < uses.n; i++)
        if (uses.use[i].rule->file != s->rule->file && reads_commands(e->selection, &uses.use[i]))
            return true;
    return false;
}

static bool has_other_reply_rules(const struct engine *e, const struct shortcut *s) {
    return program_has(e->program, PROGRAM_REPLY_OF) &&
           (program_find(e->program, PROGRAM_REPLY_OF, s->from, s->n_from).n > 0 ||
            program_find(e->program, PROGRAM_REPLY_OF, s->to, s->n_to).n > 0);
}

const struct shortcut *shortcut_find(const struct engine *e, const char *name, size_t n_name) {
    struct program_uses uses = program_find(e->program, PROGRAM_COMMAND, name, n_name);
    const struct program_use *use = NULL;
    const struct shortcut *s;

    for (size_t i = 0; i < uses.n; i++) {
        if (!reads_commands(e->selection, &uses.use[i]))
            continue;
        if (use)
            return NULL; /* what the message says decides between them */
        use = &uses.use[i];
    }
    s = use ? use->rule->shortcut[use->side] : NULL;
    if (!s || (program_n_files(e->program) > 1 && is_read_on(e, s)) || has_other_reply_rules(e, s))
        return NULL;
    return s;
}
