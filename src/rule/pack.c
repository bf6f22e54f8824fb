#include "rule/pack.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/packed.h"

#define PACK_MAGIC "qmp-shim rules 1"

enum { PACK_MAX_FILES = 10000 };

/* --- writing --------------------------------------------------------------------------------------- */

/* with a NUL behind it */
static void put_text(struct buffer *b, const char *text, size_t n) {
    packed_put_number(b, n);
    buffer_append(b, text, n);
    buffer_append(b, "", 1);
}

int pack_program(const struct program *program, struct buffer *b) {
    const struct program_options *o = program_options(program);
    const char *version = o->client_version ? o->client_version : "";

    put_text(b, PACK_MAGIC, strlen(PACK_MAGIC));
    packed_put_number(b, o->client);
    put_text(b, version, strlen(version));
    packed_put_number(b, o->no_probe);
    packed_put_number(b, o->no_deny);
    packed_put_number(b, program_n_files(program));
    for (size_t i = 0; i < program_n_files(program); i++) {
        const struct diag_source *source = program_file(program, i)->source;

        put_text(b, source->path, strlen(source->path));
        put_text(b, source->text, source->n_text);
    }
    return buffer_status(b);
}

/* --- reading --------------------------------------------------------------------------------------- */

/* Return: "" when there is none */
static const char *get_text(struct packed *p, size_t *ret_n) {
    uint64_t n = packed_number(p);
    const char *text = n < SIZE_MAX ? packed_bytes(p, n + 1) : NULL;

    if (!text || text[n] != '\0') {
        p->is_short = true;
        n = 0;
    }
    *ret_n = n;
    return n > 0 ? text : "";
}

static int load(const struct program_source *sources, size_t n,
                const struct program_options *options, struct program **ret_program) {
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = program_load(sources, n, options, ret_program, &diags);
    diag_set_deinit(&diags);
    return r > 0 ? PACK_E_INVALID : r;
}

static int read_files(struct packed *p, const struct program_options *options,
                      struct program **ret_program) {
    uint64_t n = packed_number(p);
    struct program_source *sources;
    size_t n_path;
    int r;

    if (p->is_short || n > PACK_MAX_FILES)
        return PACK_E_INVALID;
    sources = calloc(n + 1, sizeof(*sources));
    if (!sources)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        sources[i].path = get_text(p, &n_path);
        sources[i].text = get_text(p, &sources[i].n_text);
    }
    r = p->is_short || p->n > 0 ? PACK_E_INVALID : load(sources, n, options, ret_program);
    free(sources);
    return r;
}

int pack_read(const char *text, size_t n, struct program **ret_program) {
    struct packed p = {.text = text, .n = n};
    struct program_options options = {.client = DIALECT_OLD};
    const char *magic, *version;
    size_t n_text;

    magic = get_text(&p, &n_text);
    if (strcmp(magic, PACK_MAGIC) != 0)
        return PACK_E_INVALID;
    options.client = packed_number(&p) == DIALECT_NEW ? DIALECT_NEW : DIALECT_OLD;
    version = get_text(&p, &n_text);
    options.client_version = n_text > 0 ? version : NULL;
    options.no_probe = packed_number(&p);
    options.no_deny = packed_number(&p);
    return read_files(&p, &options, ret_program);
}
