#include "cmd/rules.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/util.h"
#include "rule/selection.h"

#define RULES_SUFFIX ".jsonc"

enum { RULES_MAX_FILE_BYTES = 16 << 20 }; /* a rule file; more is surely something else */

/* ---- a list of paths ---- */

struct paths {
    char **path;
    size_t n;
};

static void paths_deinit(struct paths *p) {
    for (size_t i = 0; i < p->n; i++)
        free(p->path[i]);
    free(p->path);
}

/* @path is gone whatever is returned; NULL stands for "out of memory" */
static int paths_push_take(struct paths *p, char *path) {
    char **more = path ? realloc(p->path, (p->n + 1) * sizeof(*more)) : NULL;

    if (!more) {
        free(path);
        return -ENOMEM;
    }
    p->path = more;
    p->path[p->n++] = path;
    return 0;
}

static const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool paths_has_base(const struct paths *p, const char *base) {
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(path_base(p->path[i]), base) == 0)
            return true;
    return false;
}

static char *path_join(const char *folder, const char *name, const char *suffix) {
    char *path;

    return asprintf(&path, "%s/%s%s", folder, name, suffix) < 0 ? NULL : path;
}

/* ---- where rules are installed ---- */

/* Return: 0 or -ENOMEM; the folders to search, the first one first: the operator's own, then ours */
static int folders_find(struct paths *ret_folders) {
    const char *rest = getenv("QMP_SHIM_RULES_PATH");
    int r;

    while (rest && *rest) {
        size_t n = strcspn(rest, ":");

        r = n ? paths_push_take(ret_folders, strndup(rest, n)) : 0;
        if (r < 0)
            return r;
        rest += n + (rest[n] == ':');
    }
    return paths_push_take(ret_folders, strdup(RULESDIR));
}

static int is_rule_file(const struct dirent *entry) {
    size_t n = strlen(entry->d_name), n_suffix = strlen(RULES_SUFFIX);

    return n > n_suffix && entry->d_name[0] != '.' &&
           strcmp(entry->d_name + n - n_suffix, RULES_SUFFIX) == 0;
}

/* add the rule files of one folder, by name; a folder that is not there has none */
static int paths_add_folder(struct paths *p, const char *folder) {
    struct dirent **entries;
    int n = scandir(folder, &entries, is_rule_file, alphasort);
    int r = 0;

    if (n < 0)
        return errno == ENOMEM ? -ENOMEM : 0;
    for (int i = 0; i < n; i++) {
        if (r == 0 && !paths_has_base(p, entries[i]->d_name))
            r = paths_push_take(p, path_join(folder, entries[i]->d_name, ""));
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int paths_add_installed(struct paths *p, const struct paths *folders) {
    for (size_t i = 0; i < folders->n; i++) {
        int r = paths_add_folder(p, folders->path[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- names to paths ---- */

static void rules_print_unknown(const char *name, const struct paths *folders,
                                const struct paths *installed) {
    const char **names = calloc(installed->n + 1, sizeof(*names));
    const char *near = NULL;
    char *wanted = NULL;

    if (names && asprintf(&wanted, "%s" RULES_SUFFIX, name) >= 0) {
        for (size_t i = 0; i < installed->n; i++)
            names[i] = path_base(installed->path[i]);
        near = diag_suggest(wanted, strlen(wanted), names);
    }
    fprintf(stderr, "qmp-shim: no rules \"%s\" in", name);
    for (size_t i = 0; i < folders->n; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", folders->path[i]);
    if (near)
        fprintf(stderr, "; did you mean \"%.*s\"?\n", (int)(strlen(near) - strlen(RULES_SUFFIX)),
                near);
    else
        fprintf(stderr, "; for a file give its path or let its name end in " RULES_SUFFIX "\n");
    free(wanted);
    free(names);
}

static int paths_add_name(struct paths *p, const char *name, const struct paths *folders) {
    struct paths installed = {0};
    int r;

    for (size_t i = 0; i < folders->n; i++) {
        char *path = path_join(folders->path[i], name, RULES_SUFFIX);

        if (!path || access(path, F_OK) == 0)
            return paths_push_take(p, path);
        free(path);
    }
    r = paths_add_installed(&installed, folders);
    if (r == 0) {
        rules_print_unknown(name, folders, &installed);
        r = RULES_E_FAILED;
    }
    paths_deinit(&installed);
    return r;
}

static bool is_file_name(const char *name) {
    size_t n = strlen(name), n_suffix = strlen(RULES_SUFFIX);

    return strchr(name, '/') || (n >= n_suffix && strcmp(name + n - n_suffix, RULES_SUFFIX) == 0);
}

static int rules_find_in(const struct rules_choice *choice, const struct paths *folders,
                         struct paths *ret_paths) {
    if (choice->is_all)
        return paths_add_installed(ret_paths, folders);
    for (size_t i = 0; i < choice->n_names; i++) {
        const char *name = choice->names[i];
        int r = is_file_name(name) ? paths_push_take(ret_paths, strdup(name))
                                   : paths_add_name(ret_paths, name, folders);

        if (r)
            return r;
    }
    return 0;
}

static int rules_find(const struct rules_choice *choice, struct paths *ret_paths) {
    struct paths folders = {0};
    int r;

    r = folders_find(&folders);
    if (r == 0)
        r = rules_find_in(choice, &folders, ret_paths);
    paths_deinit(&folders);
    return r;
}

/* ---- paths to text ---- */

static int rules_cannot_read(const char *path, int error) {
    fprintf(stderr, "qmp-shim: cannot read %s: %s\n", path, strerror(error));
    return RULES_E_FAILED;
}

/* Return: 0, RULES_E_FAILED, -ENOMEM */
static int rules_read_fd(const char *path, int fd, struct buffer *b) {
    ssize_t n;

    do {
        if (buffer_reserve(b, 64 << 10) < 0)
            return -ENOMEM;
        n = read(fd, b->data + b->n, b->cap - b->n);
        if (n > 0)
            b->n += (size_t)n;
        if (b->n > RULES_MAX_FILE_BYTES)
            return rules_cannot_read(path, EFBIG);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? rules_cannot_read(path, errno) : 0;
}

int rules_read_file(const char *path, struct buffer *b) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return rules_cannot_read(path, errno);
    r = rules_read_fd(path, fd, b);
    close(fd);
    return r;
}

/* ---- who can write them ---- */

static int rules_refuse(const char *path, const char *what, const char *why) {
    fprintf(stderr, "qmp-shim: %s is not used: %s %s; see chmod(1)\n", path, what, why);
    return RULES_E_FAILED;
}

static int rules_check_file(const char *path) {
    struct stat st;

    if (stat(path, &st) < 0)
        return rules_cannot_read(path, errno);
    if (S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH))
        return rules_refuse(path, "everybody", "can write it");
    if ((st.st_mode & S_IWGRP) && st.st_uid != 0 && st.st_uid != geteuid())
        return rules_refuse(path, "a group",
                            "can write it, and its owner is neither root nor this user");
    return 0;
}

/* the folder that @path is in; the sticky bit keeps people from others' files */
static int rules_check_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    struct stat st;
    int r = 0;

    if (!folder)
        return -ENOMEM;
    if (stat(folder, &st) < 0)
        r = rules_cannot_read(path, errno);
    else if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
        r = rules_refuse(path, "everybody", "can replace it in its folder");
    free(folder);
    return r;
}

int rules_check_writers(const char *path) {
    char *real = realpath(path, NULL);
    int r;

    if (!real && errno != ENOMEM)
        real = strdup(path); /* of a pipe, as a shell's <(…), there is none */
    if (!real)
        return -ENOMEM;
    r = rules_check_file(real);
    if (r == 0)
        r = rules_check_folder(real);
    if (r == 0)
        r = rules_check_folder(path);
    free(real);
    return r;
}

/* ---- text to program ---- */

static void rules_print(const struct diag_set *diags) {
    struct buffer b = BUFFER_INIT;

    if (diag_set_print(diags, &b) == 0 && b.n > 0)
        fwrite(b.data, 1, b.n, stderr);
    buffer_deinit(&b);
}

static int rules_compile(const struct program_source *sources, size_t n_sources,
                         const struct program_options *options, struct program **ret_program,
                         struct diag_set *diags) {
    int r = program_load(sources, n_sources, options, ret_program, diags);

    return r == PROGRAM_E_INVALID ? RULES_E_FOUND : error_fold(r);
}

static int rules_load_paths(const struct paths *paths, bool is_guarded,
                            const struct program_options *options, struct program **ret_program,
                            struct diag_set *diags) {
    struct program_source *sources = calloc(paths->n, sizeof(*sources));
    struct buffer *texts = calloc(paths->n, sizeof(*texts));
    int r = sources && texts ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < paths->n; i++) {
        r = is_guarded ? rules_check_writers(paths->path[i]) : 0;
        if (r == 0)
            r = rules_read_file(paths->path[i], &texts[i]);
        sources[i] = (struct program_source){
            .path = paths->path[i], .text = texts[i].data, .n_text = texts[i].n};
    }
    if (r == 0)
        r = rules_compile(sources, paths->n, options, ret_program, diags);
    for (size_t i = 0; texts && i < paths->n; i++)
        buffer_deinit(&texts[i]);
    free(texts);
    free(sources);
    return r;
}

int rules_load_with(const struct rules_choice *choice, const struct program_options *options,
                    struct program **ret_program, size_t *ret_n_files, struct diag_set *diags) {
    struct paths paths = {0};
    struct program *program = NULL;
    int r;

    r = rules_find(choice, &paths);
    if (r == 0 && paths.n > 0)
        r = rules_load_paths(&paths, choice->is_guarded, options, &program, diags);
    if (r == 0) {
        *ret_program = program;
        *ret_n_files = paths.n;
    }
    paths_deinit(&paths);
    return r;
}

/* with a version it is the server that decides, session by session; so each rule may work.  Return: 0, RULES_E_FAILED, -ENOMEM */
static int rules_check_final(const struct program *program) {
    struct selection *selection;
    struct version version;
    size_t n = 0;

    if (selection_new(program, NULL, NULL, &selection) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < program_n_rules(program); i++) {
        const struct rule *rule = program_rule(program, i);

        if (rule->n_todo == 0 ||
            (!program_client_version(program, &version) && !selection_is_working(selection, rule)))
            continue;
        fprintf(stderr, "qmp-shim: %s: rule \"%s\" is not finished\n", rule->file->source->path,
                rule->name);
        n++;
    }
    selection_unref(selection);
    if (n > 0)
        fputs("qmp-shim: a rule with a TODO in it is not let loose: decide what it says and take "
              "the word away,\nor take the rule away, or let it rest by \"for\"\n",
              stderr);
    return n > 0 ? RULES_E_FAILED : 0;
}

int rules_load(const struct rules_choice *choice, const struct program_options *options,
               struct program **ret_program, size_t *ret_n_files) {
    struct diag_set diags;
    int r;

    diag_set_init(&diags);
    r = rules_load_with(choice, options, ret_program, ret_n_files, &diags);
    rules_print(&diags);
    diag_set_deinit(&diags);
    if (r == 0 && choice->is_final && *ret_program) {
        r = rules_check_final(*ret_program);
        if (r)
            *ret_program = program_unref(*ret_program);
    }
    return r == RULES_E_FOUND ? RULES_E_FAILED : r;
}
