#include "cmd/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/options.h"

int ruleset_init(struct ruleset *s, int argc) {
    *s = (struct ruleset){.rules = {.names = calloc((size_t)argc, sizeof(*s->rules.names))}};
    if (!s->rules.names)
        fputs("qmp-shim: out of memory\n", stderr);
    return s->rules.names ? 0 : -ENOMEM;
}

void ruleset_deinit(struct ruleset *s) {
    free(s->rules.names);
}

int ruleset_set(struct ruleset *s, const struct command *c, int option, const char *value) {
    switch (option) {
    case RULESET_RULES:
        s->rules.names[s->rules.n_names++] = value;
        return 0;
    case RULESET_CLIENT:
        return options_client(c, value, &s->options.client);
    default:
        s->options.client_version = value;
        return options_version(c, "client-version", value);
    }
}

int ruleset_load(struct ruleset *s, struct program **ret) {
    size_t n_files;

    s->rules.is_all = s->rules.n_names == 0 && s->options.client_version;
    s->options.no_deny = s->rules.is_all; /* as run has it */
    return rules_load(&s->rules, &s->options, ret, &n_files);
}
