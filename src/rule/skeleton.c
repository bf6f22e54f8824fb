#include "rule/skeleton.h"

#include <errno.h>
#include <string.h>

#include "json/writer.h"
#include "rule/guess.h"

#define INDENT "      "
enum { MEMBER_COLUMN = 30, MAX_LINE = 80 };

/* a message and its reply have two parts each that a picture can show */
enum part { PART_GIVEN, PART_RETURN, _PART_N }; /* "arguments" or "data", "return" */

/* a rule in the making */
struct draft {
    const struct skeleton *k;
    const char *of; /* the command or event */
    bool is_event;
    const struct json *client, *server; /* its entries; server may be another's, guessed */
    struct buffer todo;                 /* comment lines */
    struct buffer client_part[_PART_N], server_part[_PART_N], vars;
    bool is_list[_PART_N]; /* the part is a list of such objects */
    bool has_moved;        /* "..." stands in the arguments already */
    bool is_one_way;       /* something is lost or made up */
};

/* --- words ------------------------------------------------------------------------------------------- */

static void todo(struct draft *d, const char *text) {
    buffer_printf(&d->todo, INDENT "// TODO: %s\n", text);
}

static void todo_about(struct draft *d, const char *what, const char *text) {
    buffer_printf(&d->todo, INDENT "// TODO: %s %s\n", what, text);
}

static void guessed(struct draft *d, const char *what, const struct json *name) {
    buffer_printf(&d->todo, INDENT "// TODO: is %s now \"%.*s\"?  A guess, by its name and type\n",
                  what, (int)name->n_string, name->string);
}

/* a variable's name is of letters, digits, '_' and '-' */
static void put_var(struct buffer *b, const char *name) {
    for (; *name; name++)
        buffer_append(b, *name == '.' ? "_" : name, 1);
}

/* a line that is long enough goes on in the next */
static void put_comma(struct buffer *b) {
    const char *newline = b->n > 0 ? memrchr(b->data, '\n', b->n) : NULL;
    size_t n_line = newline ? b->n - (size_t)(newline - b->data) : b->n + MEMBER_COLUMN;

    if (b->n > 0)
        buffer_append_string(b, ",");
    if (n_line > MAX_LINE)
        buffer_printf(b, "\n%*s", MEMBER_COLUMN, "");
    else if (b->n > 0)
        buffer_append_string(b, " ");
}

static void put_key(struct buffer *b, bool is_optional, const char *name, size_t n) {
    put_comma(b);
    buffer_printf(b, "\"%s%.*s\": ", is_optional ? "*" : "", (int)n, name);
}

/* does the picture show this member already? */
static bool is_shown(const struct buffer *b, const char *name) {
    size_t n = strlen(name);

    for (size_t i = 1; i + n + 1 < b->n; i++)
        if (memcmp(b->data + i, name, n) == 0 && strchr("\"*", b->data[i - 1]) &&
            memcmp(b->data + i + n, "\":", 2) == 0)
            return true;
    return false;
}

static void put_variable(struct buffer *b, bool is_optional, const char *name, size_t n,
                         const char *var) {
    put_key(b, is_optional, name, n);
    buffer_append_string(b, "\"$");
    put_var(b, var);
    buffer_append_string(b, "\"");
}

/* some value of the type */
static void put_value(struct buffer *b, const struct schema *s, const struct json *type) {
    static const struct {
        const char *type, *text;
    } values[] = {{"str", "\"\""},   {"int", "0"},     {"number", "0"},
                  {"bool", "false"}, {"object", "{}"}, {"null", "null"}};
    const struct json *words = type ? json_member(type, "values") : NULL;
    const char *name = type ? gap_type_name(s, type) : "any";

    if (words && words->n_items > 0) {
        json_write(b, &words->items[0]);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        if (strcmp(values[i].type, name) == 0) {
            buffer_append_string(b, values[i].text);
            return;
        }
    buffer_append_string(b, strncmp(name, "list", 4) == 0 ? "[]" : "null");
}

static void put_only(struct buffer *b, const char *name, const struct schema *s,
                     const struct json *type) {
    put_key(b, false, name, strlen(name));
    buffer_append_string(b, "{ \"$only\": ");
    put_value(b, s, type);
    buffer_append_string(b, " }");
}

static bool is_optional(const struct json *member) {
    return member && json_member(member, "default");
}

/* --- types of a part ------------------------------------------------------------------------------------ */

static const struct json *part_type(const struct schema *s, const struct json *entry,
                                    enum part part, bool is_list) {
    const struct json *type =
        entry ? schema_type(s, entry, part == PART_RETURN ? "ret-type" : "arg-type") : NULL;

    return type && is_list ? schema_type(s, type, "element-type") : type;
}

static const struct json *client_type(const struct draft *d, enum part part) {
    return part_type(&d->k->client, d->client, part, d->is_list[part]);
}

static const struct json *server_type(const struct draft *d, enum part part) {
    return part_type(&d->k->server, d->server, part, d->is_list[part]);
}

/* --- gaps to members of pictures --------------------------------------------------------------------------- */

/* the member is gone: under another name, one level up, or for good */
static void draft_lost(struct draft *d, enum part part, const char *name, const char *path) {
    const struct json *client = client_type(d, part), *server = server_type(d, part);
    const struct json *member = client ? guess_find(&d->k->client, client, name) : NULL;
    const struct json *type = member ? schema_type(&d->k->client, member, "type") : NULL;
    const struct json *other =
        client && server ? guess_member(&d->k->client, client, &d->k->server, server, name) : NULL;

    if (other) {
        const struct json *n = json_member(other, "name");

        guessed(d, path, n);
        put_variable(&d->client_part[part], is_optional(member), name, strlen(name), name);
        put_variable(&d->server_part[part], is_optional(member) || is_optional(other), n->string,
                     n->n_string, name);
    } else if (part == PART_GIVEN && !d->is_event && !d->has_moved && type && server &&
               (schema_is(type, "object") ||
                strcmp(gap_type_name(&d->k->client, type), "any") == 0) &&
               json_member(server, "variants")) {
        todo_about(d, path, "is not taken: does what is in it stand beside it now?  A guess");
        put_key(&d->client_part[part], is_optional(member), name, strlen(name));
        buffer_append_string(&d->client_part[part], "{ \"...\": \"$");
        put_var(&d->client_part[part], name);
        buffer_append_string(&d->client_part[part], "\" }");
        put_variable(&d->server_part[part], false, "...", 3, name);
        d->has_moved = true;
    } else {
        todo_about(d, path,
                   part == PART_GIVEN && !d->is_event
                       ? "is not taken: what becomes of it?  Here it is left out"
                       : "does not come: what is it to be?  Here it is always the same");
        put_only(&d->client_part[part], name, &d->k->client, type);
        d->is_one_way = true;
    }
}

static void draft_needed(struct draft *d, const char *name, const char *path) {
    const struct json *client = client_type(d, PART_GIVEN), *server = server_type(d, PART_GIVEN);
    const struct json *member = server ? guess_find(&d->k->server, server, name) : NULL;
    const struct json *type = member ? schema_type(&d->k->server, member, "type") : NULL;

    if (client && guess_find(&d->k->client, client, name)) {
        todo_about(d, path, "must be there: what is it when the client does not say?");
        put_variable(&d->client_part[PART_GIVEN], true, name, strlen(name), name);
        put_variable(&d->server_part[PART_GIVEN], false, name, strlen(name), name);
        put_key(&d->vars, false, name, strlen(name));
        buffer_append_string(&d->vars, "{ \"default\": ");
        put_value(&d->vars, &d->k->server, type);
        buffer_append_string(&d->vars, " }");
        return;
    }
    todo_about(d, path, "must be there: what is it?");
    put_only(&d->server_part[PART_GIVEN], name, &d->k->server, type);
    d->is_one_way = true;
}

static bool is_scalar(const char *type) {
    static const char *const scalars[] = {"str", "int", "number", "bool"};

    for (size_t i = 0; i < ARRAY_SIZE(scalars); i++)
        if (strcmp(type, scalars[i]) == 0)
            return true;
    return false;
}

static void draft_type(struct draft *d, enum part part, const char *name, const struct gap *gap) {
    const struct json *client = client_type(d, part);
    const struct json *member = client ? guess_find(&d->k->client, client, name) : NULL;

    buffer_printf(&d->todo, INDENT "// TODO: %s was %s and is %s: how does one become the other?\n",
                  gap->path, gap->was, gap->is);
    put_variable(&d->client_part[part], is_optional(member), name, strlen(name), name);
    put_variable(&d->server_part[part], is_optional(member), name, strlen(name), name);
    if (!is_scalar(gap->was) || !is_scalar(gap->is))
        return;
    put_key(&d->vars, false, name, strlen(name));
    buffer_printf(&d->vars, "{ \"old\": \"%s\", \"new\": \"%s\" }",
                  d->k->is_new_client ? gap->is : gap->was,
                  d->k->is_new_client ? gap->was : gap->is);
}

/* what stands on the first level of a part.  Return: false: this is deeper */
static bool read_path(struct draft *d, const char *path, enum part *ret_part,
                      const char **ret_name) {
    size_t n = strcspn(path, ".[");

    *ret_part = n == strlen("return") && memcmp(path, "return", n) == 0 ? PART_RETURN : PART_GIVEN;
    d->is_list[*ret_part] = d->is_list[*ret_part] || strncmp(path + n, "[].", 3) == 0;
    *ret_name = path + n + strspn(path + n, ".[]");
    return **ret_name && !strpbrk(*ret_name, ".[");
}

/* what is so for one variant, or a word, or deep inside, is left to people */
static bool has_picture(struct draft *d, const struct gap *gap, enum part *ret_part,
                        const char **ret_name) {
    return read_path(d, gap->path, ret_part, ret_name) && gap->kind != GAP_VALUE &&
           !gap->variant[0];
}

static void draft_gap(struct draft *d, const struct gap *gap) {
    const char *name;
    enum part part;

    if (!has_picture(d, gap, &part, &name)) {
        buffer_printf(&d->todo, INDENT "// TODO: %s %s%s%s%s%s%s%s%s\n", gap_kind_name(gap->kind),
                      gap->path, gap->word ? " \"" : "", gap->word ? gap->word : "",
                      gap->word ? "\"" : "", gap->variant[0] ? " (" : "", gap->variant,
                      gap->variant[0] ? ")" : "", ": no picture was made of it");
        return;
    }
    if (is_shown(&d->client_part[part], name) || is_shown(&d->server_part[part], name))
        return; /* guessed to be another's name */
    switch (gap->kind) {
    case GAP_ARGUMENT:
    case GAP_MEMBER:
        draft_lost(d, part, name, gap->path);
        break;
    case GAP_NEEDED:
        draft_needed(d, name, gap->path);
        break;
    default:
        draft_type(d, part, name, gap);
    }
}

/* --- the same on both sides ------------------------------------------------------------------------------------ */

/* what must be there is shown, so that "..." does not take it, and the reader sees what it is about */
static void draft_common(struct draft *d) {
    const struct json *client = client_type(d, PART_GIVEN), *server = server_type(d, PART_GIVEN);
    const struct json *members = client ? json_member(client, "members") : NULL;

    for (size_t i = 0; server && members && i < members->n_items; i++) {
        const struct json *name = json_member(&members->items[i], "name");
        _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;

        if (!name || is_optional(&members->items[i]))
            continue;
        buffer_append(&text, name->string, name->n_string);
        buffer_append(&text, "", 1);
        if (text.failed || !guess_find(&d->k->server, server, text.data))
            continue;
        for (size_t side = 0; side < 2; side++)
            put_variable(side == 0 ? &d->client_part[PART_GIVEN] : &d->server_part[PART_GIVEN],
                         false, name->string, name->n_string, text.data);
    }
}

/* the whole is gone, and perhaps has another name: each argument it had, where it may be now */
static void draft_renamed(struct draft *d) {
    const struct json *client = client_type(d, PART_GIVEN), *server = server_type(d, PART_GIVEN);
    const struct json *members = client ? json_member(client, "members") : NULL;

    guessed(d, d->of, json_member(d->server, "name"));
    for (size_t i = 0; server && members && i < members->n_items; i++) {
        const struct json *m = &members->items[i], *name = json_member(m, "name"), *same;
        _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;

        buffer_append(&text, name->string, name->n_string);
        buffer_append(&text, "", 1);
        if (text.failed)
            return;
        same = guess_find(&d->k->server, server, text.data);
        if (!same) {
            draft_lost(d, PART_GIVEN, text.data, text.data);
            continue;
        }
        put_variable(&d->client_part[PART_GIVEN], is_optional(m), name->string, name->n_string,
                     text.data);
        put_variable(&d->server_part[PART_GIVEN], is_optional(m), name->string, name->n_string,
                     text.data);
    }
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void write_part(struct buffer *b, const char *key, const struct buffer *members,
                       bool is_list) {
    if (members->n == 0 && !is_list)
        return;
    buffer_printf(b, ",\n" INDENT "         \"%s\": %s%s%.*s%s%s", key, is_list ? "[ " : "",
                  members->n > 0 ? "{ " : "{", (int)members->n, members->data ? members->data : "",
                  members->n > 0 ? " }" : "}", is_list ? ", \"...\" ]" : "");
}

static void write_picture(const struct draft *d, struct buffer *b, const char *side,
                          const struct json *entry, const struct buffer *parts) {
    const struct json *name = entry ? json_member(entry, "name") : NULL;
    bool is_list = d->client_part[PART_RETURN].n > 0 && d->is_list[PART_RETURN];

    buffer_printf(b, INDENT "\"%s\": { \"%s\": ", side, d->is_event ? "event" : "execute");
    json_write_string(b, name ? name->string : d->of, name ? name->n_string : strlen(d->of));
    write_part(b, d->is_event ? "data" : "arguments", &parts[PART_GIVEN], false);
    if (!d->is_event)
        write_part(b, "return", &parts[PART_RETURN], is_list);
    buffer_append_string(b, " }");
}

static void write_head(const struct draft *d, struct buffer *b, const char *name) {
    buffer_append_string(b, "    {\n" INDENT "\"name\": ");
    json_write_string(b, name, strlen(name));
    buffer_append_string(b, ",\n");
    buffer_append(b, d->todo.data ? d->todo.data : "", d->todo.n);
    if (d->is_one_way)
        buffer_printf(b, INDENT "\"for\": \"%s\",\n",
                      d->k->is_new_client ? "new-client" : "old-client");
}

/* the old side is written first */
static void write_rule(const struct draft *d, struct buffer *b) {
    bool is_new = d->k->is_new_client;

    write_head(d, b, d->of);
    write_picture(d, b, "old", is_new ? d->server : d->client,
                  is_new ? d->server_part : d->client_part);
    buffer_append_string(b, ",\n");
    write_picture(d, b, "new", is_new ? d->client : d->server,
                  is_new ? d->client_part : d->server_part);
    if (d->vars.n > 0)
        buffer_printf(b, ",\n" INDENT "\"vars\": { %.*s }", (int)d->vars.n, d->vars.data);
    buffer_append_string(b, "\n    }");
}

/* nothing is like it: until somebody knows better, the shim refuses it */
static void write_refusal(struct draft *d, struct buffer *b) {
    const char *client = d->k->is_new_client ? "new" : "old",
               *server = d->k->is_new_client ? "old" : "new";

    todo(d, "nothing there is like it: what answers it?  Here it is refused");
    d->is_one_way = true;
    write_head(d, b, d->of);
    buffer_printf(b, INDENT "\"%s\": { \"execute\": ", client);
    json_write_string(b, d->of, strlen(d->of));
    buffer_printf(b,
                  ",\n" INDENT "         \"error\": { \"class\": \"GenericError\", \"desc\": \"not "
                  "supported any more\" } },\n" INDENT "\"%s\": null\n    }",
                  server);
}

/* no picture at all: the comments stand before the rules */
static void write_remark(const struct draft *d, struct buffer *b) {
    buffer_printf(b, INDENT "// %s:\n", d->of);
    buffer_append(b, d->todo.data ? d->todo.data : "", d->todo.n);
}

static void draft_init(struct draft *d, const struct skeleton *k, const struct gap *gap) {
    const char *meta_type = gap->is_event ? "event" : "command";

    *d = (struct draft){.k = k, .of = gap->of, .is_event = gap->is_event};
    d->client = schema_find(&k->client, meta_type, gap->of, strlen(gap->of));
    d->server = schema_find(&k->server, meta_type, gap->of, strlen(gap->of));
}

static bool draft_failed(const struct draft *d) {
    bool failed = d->todo.failed || d->vars.failed;

    for (size_t i = 0; i < _PART_N; i++)
        failed = failed || d->client_part[i].failed || d->server_part[i].failed;
    return failed;
}

static void draft_deinit(struct draft *d) {
    buffer_deinit(&d->todo);
    buffer_deinit(&d->vars);
    for (size_t i = 0; i < _PART_N; i++) {
        buffer_deinit(&d->client_part[i]);
        buffer_deinit(&d->server_part[i]);
    }
}

/* --- one command or event ---------------------------------------------------------------------------------------- */

/* Return: was it a rule? */
static bool write_gone(struct draft *d, struct buffer *b) {
    d->server = guess_entry(&d->k->client, &d->k->server, d->is_event ? "event" : "command", d->of);
    if (d->server) {
        draft_renamed(d);
        write_rule(d, b);
    } else if (d->is_event) {
        todo(d, "it never comes: does the client wait for it?  No rule was made");
        write_remark(d, b);
    } else {
        write_refusal(d, b);
    }
    return d->server || !d->is_event;
}

static bool write_changed(struct draft *d, struct buffer *b) {
    if (!d->is_event)
        draft_common(d);
    for (size_t i = 0; i < d->k->n_gaps; i++)
        if (strcmp(d->k->gaps[i]->of, d->of) == 0 && d->k->gaps[i]->is_event == d->is_event)
            draft_gap(d, d->k->gaps[i]);
    for (size_t i = 0; i < d->k->n_gaps; i++) {
        enum part part;
        const char *name;

        if (strcmp(d->k->gaps[i]->of, d->of) == 0 && has_picture(d, d->k->gaps[i], &part, &name)) {
            write_rule(d, b);
            return true;
        }
    }
    write_remark(d, b);
    return false;
}

static bool is_first_of_its_name(const struct skeleton *k, size_t i) {
    for (size_t j = 0; j < i; j++)
        if (k->gaps[j]->is_event == k->gaps[i]->is_event &&
            strcmp(k->gaps[j]->of, k->gaps[i]->of) == 0)
            return false;
    return true;
}

/* @remarks: what is no rule.  Return: 0 or -ENOMEM */
static int write_name(const struct skeleton *k, const struct gap *gap, struct buffer *rules,
                      struct buffer *remarks) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    struct draft d;
    bool is_rule, failed;

    draft_init(&d, k, gap);
    is_rule = d.server ? write_changed(&d, &text) : write_gone(&d, &text);
    failed = draft_failed(&d) || text.failed;
    draft_deinit(&d);
    if (failed)
        return -ENOMEM;
    if (is_rule && rules->n > 0)
        buffer_append_string(rules, ",\n");
    buffer_append(is_rule ? rules : remarks, text.data, text.n);
    return 0;
}

int skeleton_write(const struct skeleton *k, struct buffer *b) {
    _cleanup_(buffer_deinit) struct buffer rules = BUFFER_INIT, remarks = BUFFER_INIT,
                                           summary = BUFFER_INIT;

    for (size_t i = 0; i < k->n_gaps; i++)
        if (is_first_of_its_name(k, i) && write_name(k, k->gaps[i], &rules, &remarks) < 0)
            return -ENOMEM;
    buffer_printf(&summary, "What clients of %s miss on %s", k->client_name, k->server_name);
    if (rules.failed || remarks.failed || summary.failed)
        return -ENOMEM;
    buffer_append_string(b,
                         "{\n  \"qmp-shim-rules\": 1,\n  \"name\": \"skeleton\",\n  \"summary\": ");
    json_write_string(b, summary.data, summary.n);
    buffer_append_string(b, ",\n");
    buffer_append(b, remarks.data ? remarks.data : "", remarks.n);
    buffer_append_string(b, "  \"rules\": [\n");
    buffer_append(b, rules.data ? rules.data : "", rules.n);
    buffer_append_string(b, rules.n > 0 ? "\n  ]\n}\n" : "  ]\n}\n");
    return buffer_status(b);
}
