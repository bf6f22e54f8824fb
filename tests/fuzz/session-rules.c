#include "session-rules.h"

#include <string.h>

#include "fuzz.h"

#define TEXT(...) #__VA_ARGS__

const char session_rules_exchanges[] = TEXT({
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

const char session_rules_second[] = TEXT({
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

const char session_rules_policy[] = TEXT({
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

/* what the language has besides: fds, sequences that wait, kinds of replies, the server's own word */
const char session_rules_newest[] = TEXT({
    "qmp-shim-rules" : 1,
    "name" : "newest",
    "rules" : [
        {
            "name" : "keep-file",
            "for" : "old-client",
            "old" : {
                "execute" : "give",
                "arguments" : {"id" : "$id"},
                "fd" : {"kind" : "file", "offset" : "$offset", "number" : "$fd"}
            },
            "new" : {"execute" : "give", "arguments" : {"id" : "$id"}},
            "remember" : {"files" : {"$id" : {"fd" : "$fd", "offset" : "$offset"}}}
        },
        {
            "name" : "keep-any",
            "for" : "old-client",
            "old" : {
                "execute" : "give",
                "arguments" : {"id" : "$id"},
                "fd" : {"kind" : "$kind", "number" : "$fd"}
            },
            "new" :
                {"execute" : "give", "arguments" : {"id" : "$id", "kind" : {"$only" : "$kind"}}},
            "remember" : {"files" : {"$id" : {"fd" : "$fd", "offset" : 0}}}
        },
        {
            "name" : "use",
            "for" : "old-client",
            "old" : {"execute" : "use", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "use", "arguments" : {"id" : "$id", "set" : "$set"}},
            "recall" : {"files" : {"$id" : {"fd" : "$fd", "offset" : "$offset"}}},
            "ask" : [ {
                "execute" : "add-fd",
                "fd" : {"number" : "$fd", "access" : "write", "offset" : "$offset"},
                "return" : {"fdset-id" : "$set"}
            } ],
            "needs" : ["$set"],
            "forget" : {"files" : "$id"},
            "finally" : [ {"execute" : "remove-fd", "arguments" : {"fdset-id" : "$set"}} ]
        },
        {
            "name" : "use-none",
            "for" : "old-client",
            "old" : {"execute" : "use"},
            "new" : {"execute" : "use-none"}
        },
        {
            "name" : "pass-on",
            "for" : "old-client",
            "old" : {"execute" : "attach", "fd" : {"number" : "$fd"}},
            "new" : [
                {
                    "execute" : "add-fd",
                    "fd" : {"number" : "$fd", "access" : "read"},
                    "return" : {"fdset-id" : "$set"}
                },
                {"execute" : "attach", "arguments" : {"set" : "$set"}}
            ]
        },
        {
            "name" : "made",
            "for" : "old-client",
            "old" : {"execute" : "make", "arguments" : {"*id" : "$id"}},
            "new" : [
                {
                    "execute" : "create",
                    "arguments" : {"id" : "$id"},
                    "until" : [ {"event" : "MADE", "data" : {"id" : "$id"}}, {"event" : "FAILED"} ]
                },
                {
                    "execute" : "query-made",
                    "return" : [ "...", {"id" : "$id", "*error" : "$error"}, "..." ]
                },
                {"execute" : "dismiss", "arguments" : {"id" : "$id"}}
            ],
            "replies" : [
                {
                    "old" : {"error" : {"class" : "GenericError", "desc" : "$error"}},
                    "new" : {"return" : {}}
                },
                {"old" : {"return" : {}}, "new" : {"return" : {}}}
            ],
            "timeout" : 2
        },
        {
            "name" : "human",
            "old" : {"execute" : "human", "arguments" : {"line" : "delete ${tag}"}},
            "new" : {"execute" : "delete", "arguments" : {"tag" : "$tag", "..." : null}},
            "for" : "new-client",
            "replies" : [
                {"old" : {"return" : ""}, "new" : {"return" : {}}}, {
                    "old" : {"return" : "${text}\r\n"},
                    "new" : {"error" : {"class" : "GenericError", "desc" : "$text"}}
                }
            ]
        },
        {
            "name" : "words",
            "for" : "old-client",
            "old" : {"execute" : "remove", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "human", "arguments" : {"line" : "delete ${id}"}},
            "replies" : [
                {"old" : {"return" : {}}, "new" : {"return" : ""}}, {
                    "old" : {"error" : {"class" : "GenericError", "desc" : "$text"}},
                    "new" : {"return" : "${text}\r\n"}
                }
            ]
        },
        {
            "name" : "jobs",
            "for" : "old-client",
            "old" : {
                "execute" : "jobs",
                "return" :
                    [ {"id" : "$id", "state" : "$state", "busy" : "$busy"}, "...", {"id" : "$own"} ]
            },
            "new" : {
                "execute" : "query-jobs",
                "return" : [ {"id" : "$id", "status" : "$state"}, "..." ]
            },
            "vars" : {
                "state" : {"map" : [ [ "on", "running" ], [ "off", "paused" ] ]},
                "busy" : {"from" : "$state", "map" : [ [ true, "running" ], [ false, "paused" ] ]}
            },
            "recall" : {"jobs" : {"own" : {"*id" : "$own"}}}
        },
        {
            "name" : "own-job",
            "for" : "old-client",
            "old" : {"execute" : "open", "arguments" : {"id" : "$id"}},
            "new" : {"execute" : "open", "arguments" : {"id" : "$id"}},
            "remember" : {"jobs" : {"own" : {"id" : "$id"}}}
        },
        {
            "name" : "named",
            "new-with" : "dismiss",
            "old" : {"event" : "OLD_EVENT", "data" : {"*id" : "$id"}},
            "new" : {"event" : "NEW_EVENT", "data" : {"*name" : "$id"}}
        },
        {
            "name" : "since",
            "new-with" : "nothing-has-this",
            "old" : {"execute" : "start"},
            "new" : {"execute" : "begin"}
        },
        {
            "name" : "some",
            "for" : "old-client",
            "old" : {
                "execute" : "kept",
                "arguments" : {"id" : {"$in" : [ "a", 1 ]}},
                "return" : [ {"id" : "$id", "size" : "$size"}, "..." ]
            },
            "new" : {
                "execute" : "query-things",
                "arguments" : {},
                "return" : {"$every" : {"id" : "$id", "size" : "$size"}}
            },
            "vars" : {"size" : {"scale" : 1024, "new" : "int"}}
        },
        {
            "name" : "types",
            "for" : "old-client",
            "old" : {"execute" : "set"},
            "new" : {"execute" : "set"},
            "conform" : {
                "ask" : {"execute" : "query-types"},
                "types" : [ {"name" : "$name", "type" : "$type"}, "..." ]
            }
        }
    ]
});

static struct session_rules all_rules[] = {
    {.text = {NULL}},
    {.text = {session_rules_exchanges}, .no_probe = true},
    {.text = {session_rules_exchanges, session_rules_second}},
    {.text = {session_rules_policy}, .allowed = policy_allowed},
    {.text = {session_rules_exchanges}, .client = DIALECT_NEW, .no_probe = true},
    {.text = {session_rules_newest}, .no_probe = true, .is_newest = true},
    {.text = {session_rules_newest, session_rules_second}, .is_newest = true},
    {.text = {session_rules_newest}, .client = DIALECT_NEW, .is_newest = true},
};

enum { N_FIRST = 4 }; /* those with rules that a number below 128 chooses from */

const struct session_rules *session_rules_get(uint8_t index) {
    size_t n_others = ARRAY_SIZE(all_rules) - 1 - N_FIRST;
    struct session_rules *rules = &all_rules[index == 0    ? (size_t)0
                                             : index < 128 ? 1u + index % N_FIRST
                                                           : 1u + N_FIRST + index % n_others];
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

static const char *const commands[] = {
    "plain",          "old-name",         "old-only", "grow",  "cancel", "finish", "both",
    "lost",           "refused",          "open",     "start", "keep",   "kept",   "plain",
    "query-commands", "query-qmp-schema",
};

static const char *const newest_commands[] = {
    "give", "use",   "attach", "make",  "human",  "remove", "jobs",       "open",
    "kept", "plain", "set",    "start", "delete", "plain",  "query-jobs", "query-commands",
};

static const char *const events[] = {
    "PLAIN",     "NEW_EVENT", "UNKNOWN", "ASKING", "CONCLUDED",
    "CANCELLED", "FINISHED",  "STARTED", "PLAIN",  "FAILED",
};

static const char *const newest_events[] = {"PLAIN", "MADE", "NEW_EVENT", "FAILED", "OLD_EVENT"};

const char *session_rules_command(const struct session_rules *r, size_t which) {
    return r->is_newest ? newest_commands[which % ARRAY_SIZE(newest_commands)]
                        : commands[which % ARRAY_SIZE(commands)];
}

const char *session_rules_event(const struct session_rules *r, size_t which) {
    return r->is_newest ? newest_events[which % ARRAY_SIZE(newest_events)]
                        : events[which % ARRAY_SIZE(events)];
}

/* a good server's answer, in two kinds */
struct reply {
    const char *name, *text[2];
};

static const struct reply newest_replies[] = {
    {"query-commands",
     {"\"return\": [{\"name\": \"dismiss\"}, {\"name\": \"create\"}, {\"name\": \"query-made\"}, {\"name\": \"begin\"}, "
      "{\"name\": \"add-fd\"}, {\"name\": \"human\"}, {\"name\": \"query-jobs\"}, {\"name\": \"give\"}, {\"name\": \"use\"}, "
      "{\"name\": \"remove-fd\"}, {\"name\": \"set\"}, {\"name\": \"query-types\"}]",
      "\"return\": [{\"name\": \"human\"}, {\"name\": \"nothing-has-this\"}]"}},
    {"query-things",
     {"\"return\": [{\"id\": \"a\", \"size\": 2048}, {\"id\": \"b\", \"size\": 1}]",
      "\"return\": [{\"id\": 1}, {\"id\": \"a\", \"size\": 1e400}]"}},
    {"add-fd", {"\"return\": {\"fdset-id\": 1, \"fd\": 30}", "\"return\": {\"fdset-id\": [1]}"}},
    {"query-made",
     {"\"return\": [{\"id\": \"b\"}, {\"id\": \"a\"}]",
      "\"return\": [{\"id\": \"a\", \"error\": \"broken\"}, {\"id\": \"b\", \"error\": \"lost\"}]"}},
    {"delete",
     {"\"return\": {}", "\"error\": {\"class\": \"GenericError\", \"desc\": \"no \\\"tag\\\"\"}"}},
    {"human", {"\"return\": \"\"", "\"return\": \"no \\u00e9 such\\r\\n\""}},
    {"query-jobs",
     {"\"return\": [{\"id\": \"a\", \"status\": \"running\"}, {\"status\": \"paused\", \"id\": \"b\"}]",
      "\"return\": []"}},
    {"query-types",
     {"\"return\": [{\"name\": \"id\", \"type\": \"int\"}]",
      "\"return\": [{\"name\": \"id\", \"type\": \"bool\"}, {\"name\": \"x\", \"type\": \"str\"}]"}},
};

const char *session_rules_reply(const struct session_rules *r, const char *name, size_t which) {
    for (size_t i = 0; r->is_newest && i < ARRAY_SIZE(newest_replies); i++)
        if (strcmp(newest_replies[i].name, name) == 0)
            return newest_replies[i].text[which % 2];
    return NULL;
}

struct phrase {
    enum side from;
    const char *text;
};

static const struct phrase phrases[] = {
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
    {SIDE_CLIENT, "{\"execute\": \"give\", \"arguments\": {\"id\": \"a\"}}"},
    {SIDE_CLIENT, "{\"execute\": \"use\", \"arguments\": {\"id\": \"a\"}}"},
    {SIDE_SERVER, "{\"return\": {\"fdset-id\": 1}, \"id\": \"qmp-shim:3\"}\r\n"},
    {SIDE_CLIENT, "{\"execute\": \"make\", \"arguments\": {\"id\": \"a\"}}"},
    {SIDE_SERVER, "{\"event\": \"MADE\", \"data\": {\"id\": \"a\"}}\r\n"},
};

enum side session_rules_phrase(size_t which, const char **ret_text) {
    const struct phrase *p = &phrases[which % ARRAY_SIZE(phrases)];

    *ret_text = p->text;
    return p->from;
}
