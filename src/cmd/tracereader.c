#include "cmd/tracereader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int wrong(const struct tracereader *t, const char *message) {
    fprintf(stderr, "%s:%zu: error: %s\n", t->path, t->n_lines, message);
    return TRACEREADER_E_FAILED;
}

/* Return: 0, -ENOMEM, TRACEREADER_E_FAILED */
static int check_header(struct tracereader *t) {
    struct record header;
    int r;

    r = tracereader_next(t, &header);
    switch (r) {
    case 0:
        return header.kind == RECORD_HEADER
                   ? 0
                   : wrong(t, "this is no trace: it does not begin with a header");
    case TRACEREADER_E_END:
        return wrong(t, "this is no trace: it is empty");
    default:
        return r;
    }
}

int tracereader_open(struct tracereader *t, const char *path) {
    *t = (struct tracereader){.path = path};
    t->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!t->file) {
        fprintf(stderr, "qmp-shim: cannot open %s: %s\n", path, strerror(errno));
        return TRACEREADER_E_FAILED;
    }
    return check_header(t);
}

void tracereader_close(struct tracereader *t) {
    if (t->file && t->file != stdin)
        fclose(t->file);
    free(t->line);
    arena_deinit(&t->arena);
}

int tracereader_next(struct tracereader *t, struct record *ret) {
    ssize_t n;
    int r;

    if (t->has_sent) {
        t->has_sent = false;
        *ret = t->sent;
        return 0;
    }
    arena_deinit(&t->arena);
    t->arena = (struct arena)ARENA_INIT;
    errno = 0;
    n = getline(&t->line, &t->n_line_max, t->file);
    if (n < 0 && errno == ENOMEM)
        return -ENOMEM;
    if (n < 0 && ferror(t->file))
        return wrong(t, strerror(errno));
    if (n < 0 || t->line[n - 1] != '\n')
        return TRACEREADER_E_END;
    t->n_lines++;
    r = record_read(&t->arena, t->line, (size_t)n - 1, ret);
    if (r == RECORD_E_VERSION)
        return wrong(t, "a newer qmp-shim wrote this trace");
    if (r == 0)
        t->has_sent = record_split(ret, &t->sent);
    return r > 0 ? wrong(t, "this is no line of a trace") : r;
}

int tracereader_find_session(struct tracereader *t, uint64_t session, struct record *ret) {
    int r;

    do
        r = tracereader_next(t, ret);
    while (r == 0 && !(ret->kind == RECORD_OPENED && (session == 0 || ret->session == session)));
    if (r != TRACEREADER_E_END)
        return r;
    fprintf(stderr, "%s: there is no such session in the trace\n", t->path);
    return TRACEREADER_E_FAILED;
}
