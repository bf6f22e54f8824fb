/*
 * What is secret is read at the start, for a recording that begins later, too.
 */

#include "cmd/tracing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/rules.h"
#include "json/diag.h"

enum { TRACING_E_FAILED = 1 };

static int print_diags(const struct diag_set *diags) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    int r = diag_set_print(diags, &b);

    if (r == 0)
        fwrite(b.data, 1, b.n, stderr);
    return r;
}

/* Return: 0, negative (out of memory), positive (said why) */
static int load_redact(struct tracing *t, const char *path) {
    struct diag_source source = {.path = path};
    struct diag_set diags;
    int r, printed;

    r = rules_read_file(source.path, &t->text);
    if (r)
        return r;
    source.text = t->text.data;
    source.n_text = t->text.n;
    diag_set_init(&diags);
    r = redact_load(&t->redact, &source, &diags);
    printed = r > 0 ? print_diags(&diags) : 0;
    diag_set_deinit(&diags);
    return printed < 0 ? printed : r;
}

/*
 * The installed list may be missing when nobody asks for a recording yet: then
 * none can be asked for later.  Return: as load_redact()
 */
static int know_secrets(struct tracing *t, const struct conf *conf, struct recording *recording) {
    const char *path = conf->redact ? conf->redact : DATADIR "/redact.jsonc";
    bool is_needed = conf->trace || conf->redact;
    int r;

    recording->is_allowed = conf->no_redact;
    if (conf->no_redact || (!is_needed && access(path, R_OK) < 0))
        return 0;
    r = load_redact(t, path);
    if (r)
        return r < 0 || is_needed ? r : 0;
    recording->redact = &t->redact;
    recording->is_allowed = true;
    return 0;
}

/* Return: @path from the root on; NULL: there is none, or out of memory */
static char *whole_path(const char *path) {
    _cleanup_(freep) char *here = NULL;
    char *whole;

    if (!path || *path == '/')
        return path ? strdup(path) : NULL;
    here = getcwd(NULL, 0);
    return here && asprintf(&whole, "%s/%s", here, path) > 0 ? whole : NULL;
}

/* where a recording goes that nobody has named a file for.  Return: NULL: nowhere, or out of memory */
static char *default_path(const struct conf *conf) {
    char *whole = NULL, *path = NULL;

    if (!conf->trace && conf->control && asprintf(&path, "%s.trace", conf->control) < 0)
        return NULL;
    whole = whole_path(conf->trace ? conf->trace : path);
    free(path);
    return whole;
}

int tracing_begin(struct tracing *t, const struct conf *conf, struct recording *recording) {
    int r = know_secrets(t, conf, recording);

    if (r)
        return r;
    recording->default_path = default_path(conf);
    recording->default_max_bytes = conf->trace_size << 20;
    if (!conf->trace)
        return 0;
    r = recording_start(recording, conf->trace, recording->default_max_bytes);
    if (r == 0)
        return 0;
    fprintf(stderr, "qmp-shim run: cannot write %s: %s\n", conf->trace, strerror(-r));
    return TRACING_E_FAILED;
}

void tracing_deinit(struct tracing *t) {
    redact_deinit(&t->redact);
    buffer_deinit(&t->text);
}
