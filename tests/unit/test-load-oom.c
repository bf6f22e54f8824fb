/*
 * Memory that runs out while rules are loaded: it is said, nothing is lost,
 * and no program comes of it.
 */

#include <errno.h>
#include <string.h>

#include "test.h"

#include "oom.h"

#include "../fuzz/session-rules.h"

static int load(const char *text, enum dialect client) {
    struct program_source source = {"rules.jsonc", text, strlen(text)};
    struct program_options options = {.client = client, .client_version = "2.6"};
    struct program *program = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(&source, 1, &options, &program, &diags);
    cr_assert(eq(int, r == 0, program != NULL));
    program_unref(program);
    diag_set_deinit(&diags);
    return r;
}

/* Return: how many allocations there are */
static size_t fail_each(const char *text, enum oom_mode mode) {
    for (size_t n = 0;; n++) {
        bool has_failed;
        int r;

        oom_start(mode, n);
        r = load(text, DIALECT_OLD);
        has_failed = oom_stop();
        if (!has_failed) {
            cr_assert(eq(int, r, 0));
            return n;
        }
        cr_assert(eq(int, r, -ENOMEM), "allocation %zu failed and %d was returned", n, r);
    }
}

TEST(load_oom, each_allocation_may_fail_once) {
    cr_assert(gt(sz, fail_each(session_rules_exchanges, OOM_ONCE), 20));
    cr_assert(gt(sz, fail_each(session_rules_policy, OOM_ONCE), 10));
    cr_assert(gt(sz, fail_each(session_rules_newest, OOM_ONCE), 20));
}

TEST(load_oom, memory_may_run_out_for_good_anywhere) {
    fail_each(session_rules_exchanges, OOM_FOR_GOOD);
    fail_each(session_rules_policy, OOM_FOR_GOOD);
    fail_each(session_rules_newest, OOM_FOR_GOOD);
}
