/*
 * Rule files: whatever the text, loading it says what is wrong or gives a
 * program, and what is said can be printed.
 */

#include "fuzz.h"
#include "rule/program.h"

static void load(const struct program_source *source, const char *client_version) {
    struct program_options options = {.client = DIALECT_OLD, .client_version = client_version};
    struct buffer text = BUFFER_INIT;
    struct program *program = NULL;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(source, 1, &options, &program, &diags);
    FUZZ_CHECK(r >= 0);
    FUZZ_CHECK((r == PROGRAM_E_INVALID) == (diags.n_errors > 0));
    FUZZ_CHECK(diag_set_print(&diags, &text) == 0);
    FUZZ_CHECK((text.n > 0) == (diags.n_errors + diags.n_warnings + diags.n_incomplete > 0));
    program_unref(program);
    diag_set_deinit(&diags);
    buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct program_source source = {"fuzz.jsonc", (const char *)data, n};

    load(&source, NULL);
    load(&source, "2.6");
    return 0;
}
