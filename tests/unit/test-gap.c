/*
 * rule/gap, rule/uses, rule/bridge: what a client of one server misses on
 * another, what of that it uses, and which rule helps.
 */
#include "rule/gap.h"

#include <stdio.h>
#include <string.h>

#include "json/reader.h"
#include "rule/bridge.h"
#include "rule/schemas.h"
#include "rule/uses.h"
#include "test.h"

/* the two servers have the same types but for one entry each */
#define COMMON                                                                                     \
    "{'name':'str','meta-type':'builtin','json-type':'string'},"                                   \
    "{'name':'int','meta-type':'builtin','json-type':'int'},"                                      \
    "{'name':'any','meta-type':'builtin','json-type':'value'},"                                    \
    "{'name':'0','meta-type':'object','members':[]},"                                              \
    "{'name':'c','meta-type':'command','arg-type':'1','ret-type':'2'},"                            \
    "{'name':'E','meta-type':'event','arg-type':'2'},"                                             \
    "{'name':'[3]','meta-type':'array','element-type':'3'},"

static struct json *read(struct arena *arena, const char *text) {
    char *copy = arena_copy(arena, text, strlen(text));
    struct json *value = NULL;

    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    cr_assert(eq(int, json_read(arena, copy, strlen(copy), false, &value, NULL), 0), "%s", copy);
    return value;
}

static struct schema schema_of(struct arena *arena, const char *entries) {
    struct buffer b = BUFFER_INIT;
    struct schema schema;

    buffer_printf(&b, "[%s%s]", COMMON, entries);
    buffer_append(&b, "", 1);
    cr_assert(eq(int, schema_read(read(arena, b.data), &schema), 0));
    buffer_deinit(&b);
    return schema;
}

/* a line for each gap */
static char *told(const struct gap_list *gaps) {
    struct buffer b = BUFFER_INIT;

    for (size_t i = 0; i < gaps->n; i++) {
        const struct gap *g = &gaps->gap[i];

        buffer_printf(&b, "%s%s %s %s%s%s%s%s", i > 0 ? "\n" : "", gap_kind_name(g->kind), g->of,
                      g->path, g->word ? "=" : "", g->word ? g->word : "",
                      g->variant[0] ? " if " : "", g->variant);
        if (g->was)
            buffer_printf(&b, " %s->%s", g->was, g->is);
    }
    return buffer_steal_string(&b);
}

/* what a client of @client misses on @server, which are further entries of the schemas */
static void expect(const char *client, const char *server, const char *wanted) {
    struct arena arena = ARENA_INIT;
    struct schema a = schema_of(&arena, client), b = schema_of(&arena, server);
    struct gap_list gaps;
    char *text;

    cr_assert(eq(int, gap_find(&arena, &a, &b, &gaps), 0));
    text = told(&gaps);
    cr_assert(eq(str, text, (char *)wanted));
    free(text);
    arena_deinit(&arena);
}

#define TYPES(one, two, three)                                                                     \
    "{'name':'1','meta-type':'object','members':[" one "]},"                                       \
    "{'name':'2','meta-type':'object','members':[" two "]}," three

#define OBJECT3(members) "{'name':'3','meta-type':'object','members':[" members "]}"

TEST(gap, equal_servers_have_none) {
    expect(TYPES("{'name':'x','type':'str'}", "", OBJECT3("")),
           TYPES("{'name':'x','type':'str'}", "", OBJECT3("")), "");
}

TEST(gap, what_the_server_has_more_is_none) {
    expect(TYPES("", "", OBJECT3("")),
           TYPES("{'name':'x','type':'str','default':null}", "{'name':'y','type':'str'}",
                 OBJECT3("") ",{'name':'d','meta-type':'command','arg-type':'0','ret-type':'0'}"),
           "");
}

TEST(gap, a_command_and_an_event_that_are_gone_are_told_by_their_names_alone) {
    expect(TYPES("", "",
                 OBJECT3("") ",{'name':'d','meta-type':'command','arg-type':'1','ret-type':'0'}"
                             ",{'name':'F','meta-type':'event','arg-type':'0'}"),
           TYPES("", "", OBJECT3("")), "command d \nevent F ");
}

TEST(gap, an_argument_is_missed_when_written_and_a_member_when_read) {
    expect(TYPES("{'name':'x','type':'str'}", "{'name':'y','type':'str'}", OBJECT3("")),
           TYPES("", "", OBJECT3("")),
           "argument c arguments.x\nmember c return.y\nmember E data.y");
}

TEST(gap, an_argument_is_needed_that_was_optional_or_unknown) {
    expect(TYPES("{'name':'x','type':'str','default':null}", "", OBJECT3("")),
           TYPES("{'name':'x','type':'str'},{'name':'z','type':'int'}", "", OBJECT3("")),
           "needed c arguments.x\nneeded c arguments.z");
}

TEST(gap, a_member_that_always_came_may_be_absent) {
    expect(TYPES("", "{'name':'y','type':'str'}", OBJECT3("")),
           TYPES("", "{'name':'y','type':'str','default':null}", OBJECT3("")),
           "may-be-absent c return.y\nmay-be-absent E data.y");
}

TEST(gap, types_are_compared_inside_lists_and_any_fits_all) {
    expect(TYPES("{'name':'x','type':'[3]'}", "{'name':'y','type':'str'}",
                 OBJECT3("{'name':'i','type':'str'},{'name':'a','type':'str'}")),
           TYPES("{'name':'x','type':'[3]'}", "{'name':'y','type':'any'}",
                 OBJECT3("{'name':'i','type':'int'},{'name':'a','type':'any'}")),
           "type c arguments.x[].i str->int");
}

#define WORDS(values) "{'name':'3','meta-type':'enum','values':[" values "]}"

TEST(gap, a_word_is_missed_by_who_says_it_and_unknown_to_who_hears_it) {
    expect(TYPES("{'name':'x','type':'3'}", "{'name':'y','type':'3'}", WORDS("'a','b'")),
           TYPES("{'name':'x','type':'3'}", "{'name':'y','type':'3'}", WORDS("'b','n'")),
           "value c arguments.x=a\nunknown-value c return.y=n\nunknown-value E data.y=n");
}

TEST(gap, what_became_deprecated_is_told_and_what_was_is_not) {
    expect(TYPES("{'name':'x','type':'str'},{'name':'z','type':'str','features':['deprecated']}",
                 "", OBJECT3("")),
           TYPES("{'name':'x','type':'str','features':['deprecated']},"
                 "{'name':'z','type':'str','features':['deprecated']}",
                 "", OBJECT3("")),
           "deprecated c arguments.x");
}

#define VARIANTS(tags, variants)                                                                           \
    "{'name':'1','meta-type':'object','members':[{'name':'t','type':'T'}],'tag':'t','variants':[" variants \
    "]},{'name':'2','meta-type':'object','members':[]},"                                                   \
    "{'name':'T','meta-type':'enum','values':[" tags "]},"                                                 \
    "{'name':'3','meta-type':'object','members':[{'name':'m','type':'str'}]}"

TEST(gap, a_variant_is_told_by_its_word_and_its_members_with_it) {
    expect(VARIANTS("'p','q'", "{'case':'p','type':'3'},{'case':'q','type':'3'}"),
           VARIANTS("'p'", "{'case':'p','type':'0'}"),
           "argument c arguments.m if t=p\nvalue c arguments.t=q");
}

TEST(gap, recursive_types_come_to_an_end) {
    expect(TYPES("{'name':'x','type':'3'}", "",
                 OBJECT3("{'name':'n','type':'3'},{'name':'g','type':'int'}")),
           TYPES("{'name':'x','type':'3'}", "", OBJECT3("{'name':'n','type':'3'}")),
           "argument c arguments.x.g");
}

/* --- uses ------------------------------------------------------------------------------------------ */

static void use(struct uses *u, const char *text) {
    struct arena arena = ARENA_INIT;
    struct message m;

    cr_assert(eq(int, message_read(&arena, text, strlen(text), &m), 0));
    cr_assert(eq(int, uses_add(u, &m), 0));
    arena_deinit(&arena);
}

static size_t count(const struct uses *u, enum gap_kind kind, const char *of, const char *path,
                    const char *word) {
    struct gap gap = {.kind = kind,
                      .is_event = kind == GAP_EVENT,
                      .of = of,
                      .path = path,
                      .variant = "",
                      .word = word};

    return uses_count(u, &gap);
}

TEST(uses, arguments_and_words_count_where_they_were_said) {
    struct uses u;

    uses_init(&u);
    use(&u, "{\"execute\": \"c\", \"arguments\": {\"x\": [{\"i\": \"w\"}, {\"i\": \"v\"}]}}");
    use(&u, "{\"execute\": \"c\"}");
    use(&u, "{\"event\": \"E\", \"data\": {\"y\": 1}}");
    use(&u, "{\"return\": {\"x\": 1}}");
    cr_assert(eq(sz, count(&u, GAP_COMMAND, "c", "", NULL), 2));
    cr_assert(eq(sz, count(&u, GAP_ARGUMENT, "c", "arguments.x", NULL), 1));
    cr_assert(eq(sz, count(&u, GAP_ARGUMENT, "c", "arguments.x[].i", NULL), 2));
    cr_assert(eq(sz, count(&u, GAP_VALUE, "c", "arguments.x[].i", "w"), 1));
    cr_assert(eq(sz, count(&u, GAP_VALUE, "c", "arguments.x[].i", "n"), 0));
    cr_assert(eq(sz, count(&u, GAP_ARGUMENT, "c", "arguments.y", NULL), 0));
    cr_assert(eq(sz, count(&u, GAP_EVENT, "E", "", NULL), 1));
    cr_assert(eq(sz, count(&u, GAP_EVENT, "c", "", NULL), 0));
    uses_deinit(&u);
}

TEST(uses, a_reply_and_what_is_needed_count_as_the_command) {
    struct uses u;

    uses_init(&u);
    use(&u, "{\"execute\": \"c\", \"arguments\": {\"x\": {}}}");
    cr_assert(eq(sz, count(&u, GAP_MEMBER, "c", "return.y", NULL), 1));
    cr_assert(eq(sz, count(&u, GAP_NEEDED, "c", "arguments.z", NULL), 1));
    cr_assert(eq(sz, count(&u, GAP_NEEDED, "c", "arguments.x.z", NULL), 1));
    cr_assert(eq(sz, count(&u, GAP_NEEDED, "c", "arguments.w.z", NULL), 0));
    uses_deinit(&u);
}

TEST(uses, more_different_ones_than_the_limit_are_not_kept) {
    struct uses u;
    char text[60];

    uses_init(&u);
    for (size_t i = 0; i < USES_MAX + 2; i++) {
        snprintf(text, sizeof(text), "{\"execute\": \"c%zu\"}", i);
        use(&u, text);
    }
    cr_assert(eq(sz, count(&u, GAP_COMMAND, "c65535", "", NULL), 1));
    cr_assert(eq(sz, count(&u, GAP_COMMAND, "c65536", "", NULL), 0));
    cr_assert(eq(sz, u.n, USES_MAX));
    uses_deinit(&u);
}

/* --- bridges ----------------------------------------------------------------------------------------- */

static bool is_bridged(const char *rule, enum gap_kind kind, const char *path, const char *word) {
    struct program_options options = {.client = DIALECT_OLD};
    struct gap gap = {.kind = kind, .of = "c", .path = path, .variant = "", .word = word};
    struct buffer text = BUFFER_INIT;
    struct program *program = NULL;
    struct selection *selection = NULL;
    struct diag_set diags;
    bool is;

    buffer_printf(&text, "{'qmp-shim-rules': 1, 'name': 'case', 'rules': [{'name': 'r', %s}]}",
                  rule);
    for (size_t i = 0; i < text.n; i++)
        if (text.data[i] == '\'')
            text.data[i] = '"';
    diag_set_init(&diags);
    cr_assert(eq(int,
                 program_load(&(struct program_source){"case.jsonc", text.data, text.n}, 1,
                              &options, &program, &diags),
                 0),
              "%s", rule);
    cr_assert(eq(int, selection_new(program, NULL, NULL, &selection), 0));
    is = bridge_find(selection, &gap) != NULL;
    selection_unref(selection);
    diag_set_deinit(&diags);
    program_unref(program);
    buffer_deinit(&text);
    return is;
}

TEST(bridge, a_rule_sees_to_what_its_pictures_mention) {
    const char *rename = "'old': {'execute': 'c', 'arguments': {'x': {'y': '$y'}}}, "
                         "'new': {'execute': 'd', 'arguments': {'z': '$y'}}";
    const char *rest = "'old': {'execute': 'c', 'arguments': {'x': {'...': '$r'}}}, "
                       "'new': {'execute': 'c', 'arguments': {'...': '$r'}}";
    const char *words = "'old': {'execute': 'c', 'arguments': {'x': '$y'}}, "
                        "'new': {'execute': 'c', 'arguments': {'x': '$y'}}, "
                        "'vars': {'y': {'map': [['a', 'b']]}}";

    cr_assert(is_bridged(rename, GAP_COMMAND, "", NULL));
    cr_assert(is_bridged(rename, GAP_ARGUMENT, "arguments.x.y", NULL));
    cr_assert_not(is_bridged(rename, GAP_ARGUMENT, "arguments.x.w", NULL));
    cr_assert(is_bridged(rename, GAP_NEEDED, "arguments.z", NULL));
    cr_assert_not(is_bridged(rename, GAP_NEEDED, "arguments.x", NULL));
    cr_assert_not(is_bridged(rename, GAP_MEMBER, "return.x", NULL));
    cr_assert_not(is_bridged(rest, GAP_COMMAND, "", NULL));
    cr_assert(is_bridged(rest, GAP_ARGUMENT, "arguments.x.any", NULL));
    cr_assert(is_bridged(words, GAP_VALUE, "arguments.x", "a"));
    cr_assert_not(is_bridged(words, GAP_VALUE, "arguments.x", "q"));
}

/* --- versions in one file -------------------------------------------------------------------------------- */

TEST(schemas, a_version_has_the_entries_that_name_its_letter) {
    struct arena arena = ARENA_INIT;
    const struct json *file =
        read(&arena, "{'qmp-shim-schemas': 1, 'versions': ['1.0', '2.0'], 'entries': ["
                     "{'in': 'ab', 'name': 'c', 'meta-type': 'command'},"
                     "{'in': 'b', 'name': 'd', 'meta-type': 'command'}]}");
    struct schema schema;

    cr_assert(eq(int, schemas_find(&arena, file, (struct version){1, 0, 0}, &schema), 0));
    cr_assert(eq(sz, schema.entries->n_items, 1));
    cr_assert(eq(int, schemas_find(&arena, file, (struct version){2, 0, 5}, &schema), 0));
    cr_assert(eq(sz, schema.entries->n_items, 2));
    cr_assert(
        eq(int, schemas_find(&arena, file, (struct version){3, 0, 0}, &schema), SCHEMAS_E_UNKNOWN));
    cr_assert(eq(int, schemas_find(&arena, read(&arena, "{}"), (struct version){1, 0, 0}, &schema),
                 SCHEMAS_E_INVALID));
    arena_deinit(&arena);
}
