#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "json/reader.h"
#include "rule/version.h"

enum conf_type {
    CONF_TEXT,    /* const char * */
    CONF_WORD,    /* const char *, one of words */
    CONF_VERSION, /* const char * */
    CONF_FLAG,    /* bool */
    CONF_NUMBER,  /* uint64_t */
    CONF_MODE,    /* uint64_t, written in octal */
    CONF_LIST,    /* struct conf_list of texts */
    CONF_IDS,     /* struct conf_list of names or numbers */
};

struct conf_key {
    const char *name;
    enum conf_type type;
    size_t at; /* in struct conf */
    const char *const *words;
};

static const char *const client_words[] = {"old", "new", NULL};
static const char *const level_words[] = {"error", "warning", "info", "debug", NULL};

#define KEY(name, type, field)                                                                     \
    { name, type, offsetof(struct conf, field), NULL }
#define KEY_WORD(name, field, words)                                                               \
    { name, CONF_WORD, offsetof(struct conf, field), words }

static const struct conf_key keys[] = {
    KEY("listen", CONF_TEXT, listen),
    KEY("connect", CONF_TEXT, connect),
    KEY("dir", CONF_TEXT, dir),
    KEY("upstream-dir", CONF_TEXT, upstream_dir),
    KEY("max-guests", CONF_NUMBER, max_guests),
    KEY("max-sessions", CONF_NUMBER, max_sessions),
    KEY_WORD("client", client, client_words),
    KEY("client-version", CONF_VERSION, client_version),
    KEY("rules", CONF_LIST, rules),
    KEY("no-rules", CONF_FLAG, no_rules),
    KEY("no-probe", CONF_FLAG, no_probe),
    KEY("compact", CONF_FLAG, compact),
    KEY_WORD("log-level", log_level, level_words),
    KEY("control", CONF_TEXT, control),
    KEY("metrics", CONF_TEXT, metrics),
    KEY("trace", CONF_TEXT, trace),
    KEY("trace-size", CONF_NUMBER, trace_size),
    KEY("redact", CONF_TEXT, redact),
    KEY("no-redact", CONF_FLAG, no_redact),
    KEY("drain-timeout", CONF_NUMBER, drain_timeout),
    KEY("fd-store", CONF_NUMBER, fd_store),
    KEY("socket-mode", CONF_MODE, socket_mode),
    KEY("socket-owner", CONF_TEXT, socket_owner),
    KEY("socket-group", CONF_TEXT, socket_group),
    KEY("allow-uid", CONF_IDS, allow_uid),
    KEY("allow-gid", CONF_IDS, allow_gid),
};

/* by enum conf_limit */
static const struct conf_key limits[] = {
    KEY("max-message-bytes", CONF_NUMBER, limit[CONF_MAX_MESSAGE_BYTES]),
    KEY("max-pending", CONF_NUMBER, limit[CONF_MAX_PENDING]),
    KEY("max-held", CONF_NUMBER, limit[CONF_MAX_HELD]),
    KEY("max-held-bytes", CONF_NUMBER, limit[CONF_MAX_HELD_BYTES]),
    KEY("max-facts", CONF_NUMBER, limit[CONF_MAX_FACTS]),
    KEY("max-facts-bytes", CONF_NUMBER, limit[CONF_MAX_FACTS_BYTES]),
    KEY("max-kept-fds", CONF_NUMBER, limit[CONF_MAX_KEPT_FDS]),
    KEY("max-out-bytes", CONF_NUMBER, limit[CONF_MAX_OUT_BYTES]),
    KEY("ask-timeout-ms", CONF_NUMBER, limit[CONF_ASK_TIMEOUT_MS]),
    KEY("fd-timeout-ms", CONF_NUMBER, limit[CONF_FD_TIMEOUT_MS]),
};

/* what only a file has */
static const char *const file_keys[] = {"qmp-shim-config", "limits", "$schema"};
enum { FILE_LANGUAGE, FILE_LIMITS, FILE_SCHEMA };

#define FILE_BEGINS "a configuration file begins {\"qmp-shim-config\": 1, …"

const char *conf_key_name(size_t index) {
    return index < ARRAY_SIZE(keys) ? keys[index].name : NULL;
}

/* ---- one value, from text ---- */

static bool is_made_of(const char *text, const char *characters) {
    return *text && text[strspn(text, characters)] == '\0';
}

static bool read_number(const char *text, int base, unsigned long long max, uint64_t *ret) {
    unsigned long long number;

    if (!is_made_of(text, base == 8 ? "01234567" : "0123456789"))
        return false;
    errno = 0;
    number = strtoull(text, NULL, base);
    if (errno || number > max)
        return false;
    *ret = number;
    return true;
}

static bool is_word(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static void advise_words(const char *text, const char *const *words, struct conf_advice *advice) {
    const char *near = diag_suggest(text, strlen(text), words);
    size_t n = 0;

    if (near) {
        snprintf(advice->text, sizeof(advice->text), "did you mean \"%s\"?", near);
        return;
    }
    for (size_t i = 0; words[i] && n < sizeof(advice->text); i++)
        n += (size_t)snprintf(advice->text + n, sizeof(advice->text) - n, "%s \"%s\"",
                              i == 0 ? "it is one of" : ",", words[i]);
}

static int advise(struct conf_advice *advice, const char *text) {
    snprintf(advice->text, sizeof(advice->text), "%s", text);
    return CONF_E_INVALID;
}

static int list_push(struct arena *arena, struct conf_list *list, const char *text) {
    const char **more = arena_alloc(arena, (list->n + 1) * sizeof(*more));

    if (!more)
        return -ENOMEM;
    if (list->n)
        memcpy(more, list->item, list->n * sizeof(*more));
    more[list->n] = text;
    list->item = more;
    list->n++;
    return 0;
}

/* @text lives in @arena.  Return: 0, -ENOMEM, CONF_E_INVALID */
static int conf_parse(struct arena *arena, struct conf *c, const struct conf_key *key,
                      const char *text, struct conf_advice *advice) {
    void *field = (char *)c + key->at;
    struct version version;

    switch (key->type) {
    case CONF_WORD:
        if (!is_word(text, key->words)) {
            advise_words(text, key->words, advice);
            return CONF_E_INVALID;
        }
        break;
    case CONF_VERSION:
        if (version_read(text, strlen(text), &version))
            return advise(advice, "write a version number, as in QEMU's greeting");
        break;
    case CONF_NUMBER:
        return read_number(text, 10, CONF_MAX_NUMBER, field)
                   ? 0
                   : advise(advice, "write a whole number, of at most 2147483647");
    case CONF_MODE:
        return read_number(text, 8, 0777, field) ? 0
                                                 : advise(advice, "write an octal number, as 0660");
    case CONF_FLAG:
        *(bool *)field = true;
        return 0;
    case CONF_LIST:
    case CONF_IDS:
        return *text ? list_push(arena, field, text) : advise(advice, "it cannot be empty");
    case CONF_TEXT:
        break;
    }
    if (!*text)
        return advise(advice, "it cannot be empty");
    *(const char **)field = text;
    return 0;
}

/* ---- from the command line ---- */

static size_t conf_index(const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (strcmp(keys[i].name, name) == 0)
            return i;
    assert(!"a key of the table"); /* the callers' names are constants of this program */
    return 0;
}

int conf_set(struct conf *c, const char *key, const char *value,
             struct conf_advice *reterr_advice) {
    size_t i = conf_index(key);
    const char *text = arena_copy(&c->arena, value ? value : "", value ? strlen(value) : 0);

    if (!text)
        return -ENOMEM;
    c->is_set |= UINT64_C(1) << i;
    return conf_parse(&c->arena, c, &keys[i], text, reterr_advice);
}

int conf_default(struct conf *c, const char *key, const char *value) {
    struct conf_advice advice;
    int r;

    if (c->is_set & UINT64_C(1) << conf_index(key))
        return 0;
    r = conf_set(c, key, value, &advice);
    assert(r <= 0); /* defaults are good */
    return r;
}

/* ---- from a file ---- */

struct conf_file {
    struct conf *conf;
    const struct diag_source *source;
    struct diag_set *diags;
    bool is_invalid;
};

/* @way_out may be NULL */
static void fault(struct conf_file *f, const char *text, size_t n, const char *way_out,
                  const char *message) {
    diag_add(f->diags, DIAG_ERROR, f->source, (size_t)(text - f->source->text), n, way_out, "%s",
             message);
    f->is_invalid = true;
}

static void fault_key(struct conf_file *f, const struct json *member, const char *const *known) {
    const char *near = diag_suggest(member->key, member->n_key, known);
    char way_out[64] = "";

    if (near)
        snprintf(way_out, sizeof(way_out), "did you mean \"%s\"?", near);
    diag_add(f->diags, DIAG_ERROR, f->source, (size_t)(member->key_text - f->source->text),
             member->n_key_text, near ? way_out : "qmp-shim(1) lists the keys",
             "unknown key \"%.*s\"", (int)member->n_key, member->key);
    f->is_invalid = true;
}

static void fault_value(struct conf_file *f, const struct json *value, const char *name,
                        const char *way_out) {
    diag_add(f->diags, DIAG_ERROR, f->source, (size_t)(value->text - f->source->text),
             value->n_text, way_out, "\"%s\" cannot be %.*s", name,
             (int)size_min(value->n_text, 40), value->text);
    f->is_invalid = true;
}

/* how a value of this type is written in a file */
static const char *type_advice(enum conf_type type) {
    switch (type) {
    case CONF_FLAG:
        return "write true or false";
    case CONF_NUMBER:
        return "write a whole number, of at most 2147483647";
    case CONF_MODE:
        return "write a string with an octal number, as \"0660\"";
    case CONF_LIST:
        return "write a list of strings";
    case CONF_IDS:
        return "write a list of names and numbers";
    default:
        return "write a string";
    }
}

static bool is_written_as(const struct json *value, enum conf_type type) {
    switch (type) {
    case CONF_FLAG:
        return value->type == JSON_BOOL;
    case CONF_NUMBER:
        return value->type == JSON_NUMBER;
    case CONF_IDS:
        if (value->type == JSON_NUMBER)
            return true;
        break;
    default:
        break;
    }
    return value->type == JSON_STRING && !memchr(value->string, '\0', value->n_string);
}

/* a value that is no list, or one element of a list */
static int file_scalar(struct conf_file *f, struct conf *into, const struct conf_key *key,
                       const struct json *value) {
    bool is_string = value->type == JSON_STRING;
    struct conf_advice advice;
    const char *text;
    int r;

    if (!is_written_as(value, key->type)) {
        fault_value(f, value, key->name, type_advice(key->type));
        return 0;
    }
    if (key->type == CONF_FLAG && !value->boolean)
        return 0;
    text = arena_copy(&f->conf->arena, is_string ? value->string : value->text,
                      is_string ? value->n_string : value->n_text);
    if (!text)
        return -ENOMEM;
    r = conf_parse(&f->conf->arena, into, key, text, &advice);
    if (r > 0)
        fault_value(f, value, key->name, advice.text);
    return r < 0 ? r : 0;
}

static int file_value(struct conf_file *f, struct conf *into, const struct conf_key *key,
                      const struct json *value) {
    if (key->type != CONF_LIST && key->type != CONF_IDS)
        return file_scalar(f, into, key, value);
    if (value->type != JSON_ARRAY) {
        fault_value(f, value, key->name, type_advice(key->type));
        return 0;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        int r = file_scalar(f, into, key, &value->items[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static int file_language(struct conf_file *f, const struct json *value) {
    uint64_t language;
    const char *text = arena_copy(&f->conf->arena, value->text, value->n_text);

    if (!text)
        return -ENOMEM;
    if (!read_number(text, 10, UINT64_MAX, &language) || language != CONF_LANGUAGE_VERSION)
        fault_value(f, value, file_keys[FILE_LANGUAGE], "this version reads 1");
    return 0;
}

static int file_limit(struct conf_file *f, const struct json *member) {
    const char *known[ARRAY_SIZE(limits) + 1] = {NULL};
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        known[i] = limits[i].name;
        if (!json_key_is(member, limits[i].name))
            continue;
        f->conf->limit[i] = 1; /* so that a 0 below is the file's */
        r = file_value(f, f->conf, &limits[i], member);
        if (r == 0 && f->conf->limit[i] == 0)
            fault_value(f, member, limits[i].name, "write a whole number of 1 or more");
        return r;
    }
    fault_key(f, member, known);
    return 0;
}

static int file_limits(struct conf_file *f, const struct json *value) {
    if (value->type != JSON_OBJECT) {
        fault_value(f, value, file_keys[FILE_LIMITS], "write an object");
        return 0;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        int r = file_limit(f, &value->items[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static int file_unknown(struct conf_file *f, const struct json *member) {
    const char *known[ARRAY_SIZE(keys) + ARRAY_SIZE(file_keys) + 1] = {NULL};
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        known[n++] = keys[i].name;
    for (size_t i = 0; i < ARRAY_SIZE(file_keys); i++)
        known[n++] = file_keys[i];
    fault_key(f, member, known);
    return 0;
}

static int file_key(struct conf_file *f, size_t index, const struct json *member) {
    struct conf ignored = *f->conf; /* takes what was set before, once it was read */
    uint64_t bit = UINT64_C(1) << index;
    int r;

    r = file_value(f, f->conf->is_set & bit ? &ignored : f->conf, &keys[index], member);
    f->conf->is_set |= bit;
    return r;
}

static int file_member(struct conf_file *f, const struct json *member) {
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (json_key_is(member, keys[i].name))
            return file_key(f, i, member);
    if (json_key_is(member, file_keys[FILE_LANGUAGE]))
        return file_language(f, member);
    if (json_key_is(member, file_keys[FILE_LIMITS]))
        return file_limits(f, member);
    return json_key_is(member, file_keys[FILE_SCHEMA]) ? 0 : file_unknown(f, member);
}

static int file_members(struct conf_file *f, const struct json *root) {
    if (!json_member(root, file_keys[FILE_LANGUAGE]))
        fault(f, root->text, 1, FILE_BEGINS, "this file has no \"qmp-shim-config\"");
    for (size_t i = 0; i < root->n_items; i++) {
        int r = file_member(f, &root->items[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

int conf_load(struct conf *c, const struct diag_source *source, struct diag_set *diags) {
    struct conf_file f = {.conf = c, .source = source, .diags = diags};
    struct json_fault where;
    struct json *root;
    int r;

    r = json_read(&c->arena, source->text, source->n_text, true, &root, &where);
    if (r < 0)
        return r;
    if (r > 0)
        fault(&f, source->text + where.at, where.n, NULL, where.message);
    else if (root->type != JSON_OBJECT)
        fault(&f, root->text, root->n_text, FILE_BEGINS, "a configuration file must be one object");
    else
        r = file_members(&f, root);
    if (r < 0)
        return r;
    return f.is_invalid ? CONF_E_INVALID : 0;
}

bool conf_recognise(const char *text, size_t n) {
    struct arena arena = ARENA_INIT;
    struct json *root;
    bool is_config;

    is_config = json_read(&arena, text, n, true, &root, NULL) == 0 &&
                json_member(root, file_keys[FILE_LANGUAGE]);
    arena_deinit(&arena);
    return is_config;
}

/* ---- the whole ---- */

const char *conf_check(const struct conf *c) {
    if (c->no_rules && c->rules.n > 0)
        return "--rules and --no-rules exclude each other";
    if (c->listen && c->connect && strcmp(c->listen, c->connect) == 0)
        return "--listen and --connect are the same path";
    if (!c->dir != !c->upstream_dir)
        return "--dir and --upstream-dir go together";
    if (c->dir && (c->listen || c->connect))
        return "--dir excludes --listen and --connect";
    if (c->dir && strcmp(c->dir, c->upstream_dir) == 0)
        return "--dir and --upstream-dir are the same path";
    return NULL;
}

void conf_deinit(struct conf *c) {
    arena_deinit(&c->arena);
}
