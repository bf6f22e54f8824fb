/*
 * Configuration files: whatever the text, reading it says what is wrong or
 * gives a configuration.
 */

#include "conf/conf.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct diag_source source = {"fuzz.jsonc", (const char *)data, n};
    struct buffer text = BUFFER_INIT;
    struct conf conf = CONF_INIT;
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    conf_recognise(source.text, n);
    r = conf_load(&conf, &source, &diags);
    FUZZ_CHECK(r >= 0);
    FUZZ_CHECK((r == CONF_E_INVALID) == (diags.n_errors > 0));
    if (r == 0)
        conf_check(&conf);
    FUZZ_CHECK(diag_set_print(&diags, &text) == 0);
    conf_deinit(&conf);
    diag_set_deinit(&diags);
    buffer_deinit(&text);
    return 0;
}
