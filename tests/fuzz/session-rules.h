#pragma once

/*
 * What the session target plays with: rules, each kind of exchange once, and
 * the words of good peers.  Only for session.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "fuzz.h"
#include "proxy/session.h"
#include "rule/program.h"

#define TEXT(...) #__VA_ARGS__

static const char exchanges_text[] = TEXT({
    "qmp-shim-rules" : 1,
    "name" : "exchanges",
    "rules" : [
        {
            "name" : "renamed",
            "old" : {
                "execute" : "old-name",
                "arguments" : {"*id" : "$value"},
                "return" : {"*old" : "$result"}
            },
            "new" : {
                "execute" : "new-name",
                "arguments" : {"*new" : "$value"},
                "return" : {"*new" : "$result"}
            }
        },
        {
            "name" : "renamed-only",
            "old" : {"execute" : "old-only"},
            "new" : {"execute" : "new-only"}
        },
        {
            "name" : "renamed-event",
            "old" : {"event" : "OLD_EVENT"},
            "new" : {"event" : "NEW_EVENT"}
        },
        {
            "name" : "unknown-event",
            "for" : "old-client",
            "old" : null,
            "new" : {"event" : "UNKNOWN"}
        },
        {
            "name" : "asking",
            "for" : "old-client",
            "old" : {"event" : "ASKING", "data" : {"id" : "$id", "size" : "$size"}},
            "new" : {"event" : "ASKING", "data" : {"id" : "$id"}},
            "ask" : [ {
                "execute" : "query-things",
                "return" : [ "...", {"id" : "$id", "size" : "$size"}, "..." ]
            } ]
        },
        {
            "name" : "asking-command",
            "for" : "old-client",
            "old" : {"execute" : "grow", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "resize", "arguments" : {"id" : "$id", "size" : "$size"}},
            "ask" : [ {
                "execute" : "query-things",
                "return" : [ "...", {"id" : "$id", "size" : "$size"}, "..." ]
            } ]
        },
        {
            "name" : "tidying",
            "for" : "old-client",
            "old" : {"event" : "CONCLUDED", "data" : {"id" : "$id"}},
            "new" : {"event" : "CONCLUDED", "data" : {"id" : "$id"}},
            "then" : [ {"execute" : "dismiss", "arguments" : {"id" : "$id"}} ]
        },
        {
            "name" : "synchronous",
            "for" : "old-client",
            "old" : {"execute" : "cancel", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "cancel", "arguments" : {"id" : "$id"}},
            "until" : {"event" : "CANCELLED", "data" : {"id" : "$id"}},
            "hide" : true,
            "timeout" : 30
        },
        {
            "name" : "synchronous-seen",
            "for" : "old-client",
            "old" : {"execute" : "finish"},
            "new" : {"execute" : "finish"},
            "until" : [ {"event" : "FINISHED"}, {"event" : "FAILED"} ],
            "timeout" : 0.5
        },
        {
            "name" : "several",
            "for" : "old-client",
            "old" : {"execute" : "both", "arguments" : {"*id" : "$one"}},
            "new" : [
                {"execute" : "set-one", "arguments" : {"value" : "$one"}}, {"execute" : "set-two"}
            ]
        },
        {
            "name" : "lost",
            "for" : "old-client",
            "old" : {"execute" : "lost", "return" : {"count" : 0}},
            "new" : null
        },
        {
            "name" : "refused",
            "for" : "old-client",
            "old" : {
                "execute" : "refused",
                "error" : {"class" : "GenericError", "desc" : "Not supported"}
            },
            "new" : null
        },
        {
            "name" : "telling",
            "for" : "old-client",
            "old" : {"execute" : "open", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "open", "arguments" : {"id" : "$id"}},
            "emit" : [ {"event" : "OPENED", "data" : {"id" : "$id"}} ],
            "emit-before" : [ {"event" : "OPENING", "data" : {"id" : "$id"}} ]
        },
        {
            "name" : "after-reply",
            "for" : "old-client",
            "old" : {"event" : "STARTED"},
            "new" : {"event" : "STARTED"},
            "after-reply" : ["start"]
        },
        {"name" : "start", "old" : {"execute" : "start"}, "new" : {"execute" : "start"}}, {
            "name" : "kept",
            "for" : "old-client",
            "old" : {"execute" : "keep", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "keep", "arguments" : {"id" : "$id"}},
            "remember" : {"kept" : {"$id" : {"what" : "$id"}}}
        },
        {
            "name" : "kept-query",
            "for" : "old-client",
            "old" :
                {"execute" : "kept", "arguments" : {"id" : "$id"}, "return" : {"what" : "$what"}},
            "new" : null,
            "recall" : {"kept" : {"$id" : {"what" : "$what"}}}
        },
        {
            "name" : "any-error",
            "old" : {"error" : {"class" : "OldError"}},
            "new" : {"error" : {"class" : "NewError"}}
        }
    ]
});

static const char second_text[] = TEXT({
    "qmp-shim-rules" : 1,
    "name" : "second",
    "rules" : [
        {"name" : "further", "old" : {"execute" : "new-name"}, "new" : {"execute" : "newest-name"}},
        {
            "name" : "things",
            "old" : {"execute" : "query-things", "return" : [ {"id" : "$id"}, "..." ]},
            "new" : {"execute" : "query-items", "return" : [ {"name" : "$id"}, "..." ]}
        },
        {"name" : "event", "old" : {"event" : "CANCELLED"}, "new" : {"event" : "NEW_EVENT"}}
    ]
});

static const char policy_text[] = TEXT({
    "qmp-shim-rules" : 1,
    "name" : "policy",
    "default" : "deny",
    "rules" : [
        {"name" : "plain", "old" : {"execute" : "plain"}, "new" : {"execute" : "plain"}}, {
            "name" : "open",
            "old" : {"execute" : "open", "return" : {"*a" : "$a"}},
            "new" : {"execute" : "open", "return" : {"*b" : "$a"}}
        },
        {
            "name" : "grow",
            "for" : "old-client",
            "old" : {"execute" : "grow", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "resize", "arguments" : {"id" : "$id", "size" : "$size"}},
            "ask" : [ {
                "execute" : "query-things",
                "return" : [ "...", {"id" : "$id", "size" : "$size"}, "..." ]
            } ]
        },
        {
            "name" : "stop",
            "for" : "old-client",
            "old" : {"execute" : "lost", "error" : {"class" : "GenericError", "desc" : "not here"}},
            "new" : null
        }
    ]
});

/* query-version and query-commands are the shim's own */
static const char *const policy_allowed[] = {"qmp_capabilities",
                                             "query-version",
                                             "query-commands",
                                             "plain",
                                             "open",
                                             "resize",
                                             "query-things",
                                             NULL};

struct session_rules {
    const char *text[2];
    enum dialect client;
    const char *const *allowed; /* what a server may hear; NULL: anything */
    bool no_probe;
    struct program *program;
};

static struct session_rules session_rules_all[] = {
    {.text = {NULL}},
    {.text = {exchanges_text}, .no_probe = true},
    {.text = {exchanges_text, second_text}},
    {.text = {policy_text}, .allowed = policy_allowed},
    {.text = {exchanges_text}, .client = DIALECT_NEW, .no_probe = true},
};

/* Return: the @index-th, or one of those with rules; loaded once and kept */
static inline const struct session_rules *session_rules_get(size_t index) {
    struct session_rules *rules =
        &session_rules_all[index ? 1 + index % (ARRAY_SIZE(session_rules_all) - 1) : 0];
    struct program_options options = {.client = rules->client, .no_probe = rules->no_probe};
    struct program_source source[2];
    struct diag_set diags;
    size_t n = 0;

    for (; n < ARRAY_SIZE(source) && rules->text[n]; n++)
        source[n] = (struct program_source){"fuzz.jsonc", rules->text[n], strlen(rules->text[n])};
    if (rules->program || n == 0)
        return rules;
    diag_set_init(&diags);
    if (program_load(source, n, &options, &rules->program, &diags)) {
        struct buffer b = BUFFER_INIT;

        diag_set_print(&diags, &b);
        fprintf(stderr, "%.*s", (int)b.n, b.data);
        FUZZ_CHECK(!"the rules are right");
    }
    diag_set_deinit(&diags);
    return rules;
}

static const char *const session_commands[] = {
    "plain",          "old-name",         "old-only", "grow",  "cancel", "finish", "both",
    "lost",           "refused",          "open",     "start", "keep",   "kept",   "plain",
    "query-commands", "query-qmp-schema",
};
static const size_t session_n_commands = ARRAY_SIZE(session_commands);

static const char *const session_events[] = {
    "PLAIN",     "NEW_EVENT", "UNKNOWN", "ASKING", "CONCLUDED",
    "CANCELLED", "FINISHED",  "STARTED", "PLAIN",  "FAILED",
};
static const size_t session_n_events = ARRAY_SIZE(session_events);

struct session_phrase {
    enum side from;
    const char *text;
};

static const struct session_phrase session_phrases[] = {
    {SIDE_SERVER,
     "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"qmp_capabilities\"}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}"},
    {SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:1\"}\r\n"},
    {SIDE_SERVER, "{\"return\": [{\"name\": \"a\"}], \"id\": \"qmp-shim:2\"}\r\n"},
    {SIDE_SERVER, "{\"return\": {}, \"id\": \"qmp-shim:3\"}\r\n"},
    {SIDE_SERVER,
     "{\"error\": {\"class\": \"NewError\", \"desc\": \"\"}, \"id\": \"qmp-shim:4\"}\r\n"},
    {SIDE_SERVER, "{\"return\": {}}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"grow\", \"arguments\": {\"id\": \"a\"}, \"id\": 1}"},
    {SIDE_CLIENT, "{\"execute\": \"cancel\", \"arguments\": {\"id\": \"a\"}}"},
    {SIDE_SERVER, "{\"event\": \"CANCELLED\", \"data\": {\"id\": \"a\"}}\r\n"},
    {SIDE_SERVER, "{\"event\": \"STARTED\"}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"start\"}"},
    {SIDE_CLIENT, "{'execute': 'old-name', 'id': 'x'}"},
    {SIDE_CLIENT, "{\"execute\": \"quit\"}"},
    {SIDE_CLIENT, "{\"execute\": \"plain\", \"arguments\": {"},
    {SIDE_CLIENT,
     "\"x\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""},
    {SIDE_CLIENT, "}}"},
    {SIDE_CLIENT, "{\"exec-oob\": \"both\", \"id\": 2}"},
    {SIDE_SERVER, "{\"event\": \"ASKING\", \"data\": {\"id\": \"a\"}}\r\n"},
};
static const size_t session_n_phrases = ARRAY_SIZE(session_phrases);
