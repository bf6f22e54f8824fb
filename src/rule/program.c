#include "rule/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rule/check.h"
#include "rule/load.h"
#include "rule/rename.h"
#include "rule/shortcut.h"
#include "rule/selection.h"

struct name_entry {
    uint32_t hash;
    enum program_role role;
    const char *name;
    size_t n_name;
    struct program_use *use;
    size_t n_use;
    bool is_used; /* of this slot of the table */
};

struct program {
    unsigned int n_refs;
    struct arena arena;
    struct rule_file *files;
    size_t n_files;
    const struct rule **rules; /* by struct rule.index */
    size_t n_rules;
    struct program_options options;
    bool has_client_version;
    struct version client_version;
    struct name_entry *table; /* a power of two of slots, at most half full */
    size_t n_slots;
    uint8_t *mentioned; /* as many: a bit for each name, whatever its role */
    size_t n_uses[_PROGRAM_ROLE_N];
    bool has_fds;
    bool has_events;
    struct list selections; /* struct selection.in_program */
};

/* --- the index of names ------------------------------------------------------------------------ */

/* so that all bits of the outcome depend on all of @h */
static uint64_t mix(uint64_t h) {
    h *= 0x9E3779B97F4A7C15u; /* odd, and without a pattern: 2^64 over the golden ratio */
    return h ^ h >> 32;
}

/* eight bytes at a time, the last ones perhaps once more, because it is done for every message */
static uint32_t hash_name(const char *name, size_t n) {
    uint64_t h = n, word = 0;

    if (n < sizeof(word)) {
        for (size_t i = 0; i < n; i++)
            word = word << 8 | (unsigned char)name[i];
        return (uint32_t)mix(h ^ word);
    }
    for (size_t i = 0; i < n - sizeof(word); i += sizeof(word)) {
        memcpy(&word, name + i, sizeof(word));
        h = mix(h ^ word);
    }
    memcpy(&word, name + n - sizeof(word), sizeof(word));
    return (uint32_t)mix(h ^ word);
}

static struct name_entry *find_slot(const struct program *p, enum program_role role,
                                    const char *name, size_t n_name) {
    uint32_t hash = hash_name(name, n_name);

    for (size_t i = hash + (size_t)role;; i++) {
        struct name_entry *e = &p->table[i & (p->n_slots - 1)];

        if (!e->is_used)
            return e;
        if (e->hash == hash && e->role == role && e->n_name == n_name &&
            memcmp(e->name, name, n_name) == 0)
            return e;
    }
}

/* the low bits of a hash say which byte, the highest ones which bit of it */
static uint8_t *mentioned_byte(const struct program *p, uint32_t hash) {
    return &p->mentioned[hash & (p->n_slots - 1)];
}

static uint8_t mentioned_bit(uint32_t hash) {
    return (uint8_t)(1u << (hash >> 29));
}

static int add_use(struct program *p, enum program_role role, const char *name, size_t n_name,
                   const struct rule *rule, enum vars_side side) {
    struct name_entry *e = find_slot(p, role, name, n_name);
    uint32_t hash = hash_name(name, n_name);

    if (e->n_use > 0 && e->use[e->n_use - 1].rule == rule && e->use[e->n_use - 1].side == side)
        return 0;
    if ((e->n_use & (e->n_use - 1)) == 0) { /* full: 0, 1, 2, 4, … */
        struct program_use *more =
            arena_alloc(&p->arena, (e->n_use > 0 ? e->n_use * 2 : 1) * sizeof(*more));

        if (!more)
            return -ENOMEM;
        if (e->n_use > 0)
            memcpy(more, e->use, e->n_use * sizeof(*more));
        e->use = more;
    }
    e->use[e->n_use++] = (struct program_use){rule, side};
    e->hash = hash;
    e->role = role;
    e->name = name;
    e->n_name = n_name;
    e->is_used = true;
    *mentioned_byte(p, hash) |= mentioned_bit(hash);
    p->n_uses[role]++;
    return 0;
}

static int index_names(struct program *p, enum program_role role, const char *const *names,
                       const struct rule *rule) {
    int r;

    for (; names && *names; names++) {
        r = add_use(p, role, *names, strlen(*names), rule, VARS_OLD);
        if (r < 0)
            return r;
    }
    return 0;
}

static int index_side(struct program *p, const struct rule *rule, enum vars_side side) {
    static const enum program_role roles[] = {
        [PICTURE_COMMAND] = PROGRAM_COMMAND,
        [PICTURE_EVENT] = PROGRAM_EVENT,
        [PICTURE_ERROR] = PROGRAM_ERROR,
        [PICTURE_GREETING] = PROGRAM_GREETING,
    };
    int r;

    if (rule->kind == PICTURE_ERROR && rule->commands)
        return side == VARS_OLD ? index_names(p, PROGRAM_REPLY_OF, rule->commands, rule) : 0;
    for (size_t i = 0; i < rule->side[side].n; i++) {
        const struct picture *picture = &rule->side[side].picture[i];

        r = add_use(p, roles[rule->kind], picture->name ? picture->name : "", picture->n_name, rule,
                    side);
        if (r < 0)
            return r;
    }
    return 0;
}

static int index_until(struct program *p, const struct rule *rule,
                       const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        int r = add_use(p, PROGRAM_UNTIL, list->picture[i].name, list->picture[i].n_name, rule,
                        VARS_OLD);

        if (r < 0)
            return r;
    }
    return 0;
}

static bool shows_fd(const struct picture_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (list->picture[i].fd)
            return true;
    return false;
}

static int index_rule(struct program *p, const struct rule *rule) {
    int r;

    for (size_t side = 0; side < 2; side++) {
        r = index_side(p, rule, (enum vars_side)side);
        if (r < 0)
            return r;
    }
    p->has_fds = p->has_fds || shows_fd(&rule->side[VARS_OLD]) || shows_fd(&rule->side[VARS_NEW]);
    p->has_events = p->has_events || rule->emit.n > 0 || rule->emit_before.n > 0;
    r = index_until(p, rule, &rule->until);
    for (size_t side = 0; r == 0 && side < 2; side++)
        for (size_t i = 0; r == 0 && i < rule->side[side].n; i++)
            r = index_until(p, rule, &rule->side[side].picture[i].until);
    if (r < 0)
        return r;
    return index_names(p, PROGRAM_REPLY_OF, rule->after_reply, rule);
}

static size_t count_names(const struct rule *rule) {
    size_t n = rule->side[VARS_OLD].n + rule->side[VARS_NEW].n + rule->until.n + 1;

    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < rule->side[side].n; i++)
            n += rule->side[side].picture[i].until.n;
    for (size_t i = 0; rule->commands && rule->commands[i]; i++)
        n++;
    for (size_t i = 0; rule->after_reply && rule->after_reply[i]; i++)
        n++;
    return n;
}

static int index_all(struct program *p) {
    size_t n_names = 0;
    int r;

    for (size_t i = 0; i < p->n_rules; i++)
        n_names += count_names(p->rules[i]);
    for (p->n_slots = 16; p->n_slots < n_names * 2;)
        p->n_slots *= 2;
    p->table = calloc(p->n_slots, sizeof(*p->table));
    p->mentioned = calloc(p->n_slots, sizeof(*p->mentioned));
    if (!p->table || !p->mentioned)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_rules; i++) {
        r = index_rule(p, p->rules[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

struct program_uses program_find(const struct program *p, enum program_role role, const char *name,
                                 size_t n_name) {
    const struct name_entry *e;

    if (p->n_uses[role] == 0)
        return (struct program_uses){NULL, 0};
    e = find_slot(p, role, name, n_name);
    return (struct program_uses){e->use, e->is_used ? e->n_use : 0};
}

const char *program_name(const struct program *p, enum program_role role, const char *name,
                         size_t n_name) {
    const struct name_entry *e = find_slot(p, role, name, n_name);

    return e->is_used ? e->name : NULL;
}

bool program_may_mention(const struct program *p, const char *name, size_t n_name) {
    uint32_t hash = hash_name(name, n_name);

    return *mentioned_byte(p, hash) & mentioned_bit(hash);
}

bool program_has_fds(const struct program *p) {
    return p->has_fds;
}

bool program_has_events(const struct program *p) {
    return p->has_events;
}

bool program_has(const struct program *p, enum program_role role) {
    return p->n_uses[role] > 0;
}

/* --- loading ------------------------------------------------------------------------------------- */

/* the version that says where in the chain a file stands: its own "old-until", or the last of its rules' */
static bool file_until(const struct rule_file *file, struct version *ret) {
    bool has = file->has_old_until;

    *ret = file->old_until;
    for (size_t i = 0; !file->has_old_until && i < file->n_rules; i++)
        if (file->rules[i].has_old_until &&
            (!has || version_compare(file->rules[i].old_until, *ret) > 0)) {
            *ret = file->rules[i].old_until;
            has = true;
        }
    return has;
}

/* files that name no version stand last, as given */
static int compare_files(const struct rule_file *a, const struct rule_file *b) {
    struct version va, vb;
    bool has_a = file_until(a, &va), has_b = file_until(b, &vb);

    if (has_a != has_b)
        return has_a ? -1 : 1;
    return has_a ? version_compare(va, vb) : 0;
}

/* insertion, because the order given must stay among equals */
static void sort_files(struct rule_file *files, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct rule_file file = files[i];
        size_t k = i;

        for (; k > 0 && compare_files(&files[k - 1], &file) > 0; k--)
            files[k] = files[k - 1];
        files[k] = file;
    }
}

static int load_source(struct program *p, const struct program_source *source,
                       struct diag_set *diags, bool *ret_invalid) {
    struct diag_source *ds = arena_alloc(&p->arena, sizeof(*ds));
    int r;

    if (!ds)
        return -ENOMEM;
    ds->path = arena_copy(&p->arena, source->path, strlen(source->path));
    ds->text = arena_copy(&p->arena, source->text, source->n_text);
    ds->n_text = source->n_text;
    if (!ds->path || !ds->text)
        return -ENOMEM;
    r = load_file(&p->arena, ds, &p->files[p->n_files], diags);
    if (r < 0)
        return r;
    *ret_invalid = *ret_invalid || r > 0;
    if (p->options.no_deny && p->files[p->n_files].is_deny)
        return 0;
    return check_file(&p->files[p->n_files++], diags);
}

static int number_rules(struct program *p) {
    size_t n = 0;

    for (size_t i = 0; i < p->n_files; i++)
        n += p->files[i].n_rules;
    p->rules = arena_alloc(&p->arena, (n + 1) * sizeof(*p->rules));
    if (!p->rules)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_files; i++)
        for (size_t k = 0; k < p->files[i].n_rules; k++) {
            struct rule *rule = &p->files[i].rules[k];

            rule->file = &p->files[i];
            rule->index = p->n_rules;
            rule->is_rename = rename_is_all(rule);
            p->rules[p->n_rules++] = rule;
            for (enum vars_side side = VARS_OLD; side <= VARS_NEW; side++) {
                int r = shortcut_make(&p->arena, rule, side, &rule->shortcut[side]);

                if (r < 0)
                    return r;
            }
        }
    return 0;
}

static int take_options(struct program *p, const struct program_options *options) {
    const char *version = options->client_version;

    p->options = *options;
    p->options.client_version = NULL;
    if (!version)
        return 0;
    if (version_read(version, strlen(version), &p->client_version))
        return PROGRAM_E_VERSION;
    p->has_client_version = true;
    p->options.client_version = arena_copy(&p->arena, version, strlen(version));
    return p->options.client_version ? 0 : -ENOMEM;
}

static int load_all(struct program *p, const struct program_source *sources, size_t n,
                    struct diag_set *diags) {
    size_t n_errors = diags->n_errors;
    bool is_invalid = false;
    int r;

    p->files = arena_alloc(&p->arena, (n + 1) * sizeof(*p->files));
    if (!p->files)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = load_source(p, &sources[i], diags, &is_invalid);
        if (r < 0)
            return r;
    }
    check_together(p->files, p->n_files, diags);
    if (is_invalid || diags->n_errors > n_errors)
        return PROGRAM_E_INVALID;
    sort_files(p->files, p->n_files);
    r = number_rules(p);
    return r < 0 ? r : index_all(p);
}

int program_load(const struct program_source *sources, size_t n_sources,
                 const struct program_options *options, struct program **ret_program,
                 struct diag_set *diags) {
    struct program *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->n_refs = 1;
    list_init(&p->selections);
    r = take_options(p, options);
    if (r == 0)
        r = load_all(p, sources, n_sources, diags);
    if (r) {
        arena_join(&diags->arena, &p->arena); /* the findings point into it */
        program_unref(p);
        return r;
    }
    *ret_program = p;
    return 0;
}

struct program *program_ref(struct program *p) {
    if (p)
        p->n_refs++;
    return p;
}

struct program *program_unref(struct program *p) {
    if (!p || --p->n_refs > 0)
        return NULL;
    while (!list_is_empty(&p->selections)) {
        struct selection *s = list_entry(p->selections.next, struct selection, in_program);

        list_remove(&s->in_program);
        selection_unref(s);
    }
    free(p->table);
    free(p->mentioned);
    arena_deinit(&p->arena);
    free(p);
    return NULL;
}

struct list *program_selections(struct program *p) {
    return &p->selections;
}

size_t program_n_rules(const struct program *p) {
    return p->n_rules;
}

const struct rule *program_rule(const struct program *p, size_t index) {
    return p->rules[index];
}

size_t program_n_files(const struct program *p) {
    return p->n_files;
}

const struct rule_file *program_file(const struct program *p, size_t index) {
    return &p->files[index];
}

size_t program_file_index(const struct program *p, const struct rule_file *file) {
    return (size_t)(file - p->files);
}

const struct program_options *program_options(const struct program *p) {
    return &p->options;
}

bool program_is_deny(const struct program *p) {
    for (size_t i = 0; i < p->n_files; i++)
        if (p->files[i].is_deny)
            return true;
    return false;
}

bool program_client_version(const struct program *p, struct version *ret) {
    *ret = p->client_version;
    return p->has_client_version;
}
