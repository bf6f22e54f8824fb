/*
 * The fuzz targets without a fuzzer: every file of the folders named on the
 * command line, or of the target's own corpus, goes through the target once.
 * One folder is one line of TAP.  What a target finds ends the program, as it
 * does under libFuzzer.
 */

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "fuzz.h"

/* Return: 0 or -errno */
static int run_file(const char *path) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    FILE *file = fopen(path, "rb");
    uint8_t *data;
    size_t n = 0;

    if (!file)
        return -errno;
    do {
        text.n += n;
        if (buffer_reserve(&text, 1 << 16) < 0)
            break;
        n = fread(text.data + text.n, 1, 1 << 16, file);
    } while (n > 0);
    fclose(file);
    data = malloc(text.n); /* of its very size: reading past the end is seen */
    if (!data && text.n > 0)
        return -ENOMEM;
    memcpy(data, text.data, text.n);
    fprintf(stderr, "%s\n", path); /* the last one is what ended the program */
    LLVMFuzzerTestOneInput(data, text.n);
    free(data);
    return 0;
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* Return: how many inputs there are; negative when one could not be read */
static int run_folder(const char *folder) {
    struct dirent **entries;
    int n = scandir(folder, &entries, is_visible, alphasort), r = 0;

    for (int i = 0; i < n; i++) {
        char *path;

        if (r == 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0) {
            r = run_file(path);
            free(path);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return r < 0 ? r : n;
}

/* Return: as run_folder(), for a file or folder */
static int run_path(const char *path) {
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return run_folder(path);
    r = run_file(path);
    return r < 0 ? r : 1;
}

/* the corpus of this target, in the source tree */
static char *own_folder(const char *program) {
    const char *top = getenv("top_srcdir"), *slash = strrchr(program, '/');
    char *path;

    return asprintf(&path, "%s/tests/fuzz/corpus/%s", top ? top : ".",
                    slash ? slash + 1 : program) < 0
               ? NULL
               : path;
}

int main(int argc, char **argv) {
    _cleanup_(freep) char *folder = own_folder(argv[0]);
    char *only[] = {argv[0], folder, NULL};
    int n_failed = 0;

    if (argc < 2 && folder) {
        argc = 2;
        argv = only;
    }
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        const char *base = strrchr(argv[i], '/');
        int n = run_path(argv[i]);

        n_failed += n <= 0;
        printf("%s %d - inputs of %s that fuzzing found do no harm (%d)\n", n > 0 ? "ok" : "not ok",
               i, base ? base + 1 : argv[i], n);
    }
    return n_failed > 0;
}
