/*
 * Case files: whatever the text, reading it says what is wrong or gives
 * dialogues, and these can be played: to their end, or to what fails, which
 * is said.  The first byte chooses the rules, whatever the file asks for.
 */

#include "fuzz.h"
#include "proxy/case.h"
#include "session-rules.h"

static void check_said(const struct diag_set *diags) {
    struct buffer text = BUFFER_INIT;

    FUZZ_CHECK(diag_set_print(diags, &text) == 0);
    FUZZ_CHECK((text.n > 0) == (diags->n_errors + diags->n_warnings > 0));
    buffer_deinit(&text);
}

static void play(const struct case_dialogue *d, struct program *program, bool is_bytewise) {
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = case_play(d, program, is_bytewise, &diags);
    FUZZ_CHECK(r == 0 || r == CASE_E_FAILED);
    FUZZ_CHECK((r == CASE_E_FAILED) == (diags.n_errors > 0));
    check_said(&diags);
    diag_set_deinit(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct diag_source source = {"fuzz.case", (const char *)data + 1, n - 1};
    struct arena arena = ARENA_INIT;
    struct case_dialogue *first = NULL;
    struct diag_set diags;
    int r;

    if (n == 0)
        return 0;
    diag_set_init(&diags);
    r = case_read(&arena, &source, &first, &diags);
    FUZZ_CHECK(r == 0 || r == CASE_E_INVALID);
    FUZZ_CHECK((r == CASE_E_INVALID) == (diags.n_errors > 0));
    check_said(&diags);
    for (const struct case_dialogue *d = r == 0 ? first : NULL; d; d = d->next) {
        play(d, session_rules_get(data[0])->program, false);
        play(d, session_rules_get(data[0])->program, true);
    }
    diag_set_deinit(&diags);
    arena_deinit(&arena);
    return 0;
}
