#include "io/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/util.h"
#include "rule/pack.h"

enum { FDSTORE_SPARE = 8 }; /* for fds that pass in the sessions there are */

#define FDSTORE_BOOK "rules-"

void fdstore_init(struct fdstore *f, struct notify *notify, const struct log *log) {
    *f = (struct fdstore){.notify = notify, .log = log};
    list_init(&f->books);
}

static void book_free(struct fdstore_book *b) {
    list_remove(&b->in_store);
    program_unref(b->program);
    free(b);
}

void fdstore_deinit(struct fdstore *f) {
    list_for_each_safe(i, &f->books)
        book_free(list_entry(i, struct fdstore_book, in_store));
}

bool fdstore_is_open(const struct fdstore *f) {
    return notify_is_open(f->notify) && f->n_used + FDSTORE_SPARE <= f->room;
}

/* ---- putting and removing ---- */

bool fdstore_put(struct fdstore *f, int fd, const char *format, ...) {
    char name[FDSTORE_MAX_NAME_BYTES], text[FDSTORE_MAX_NAME_BYTES + 64];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    if (f->n_used >= f->room)
        return false;
    /* FDPOLL=0: a peer that hung up may have said something before, and that is still to be read */
    snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
    if (!notify_tell(f->notify, text, fd))
        return false;
    f->n_used++;
    return true;
}

void fdstore_remove(struct fdstore *f, const char *format, ...) {
    char name[FDSTORE_MAX_NAME_BYTES], text[FDSTORE_MAX_NAME_BYTES + 64];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    notify_tell(f->notify, text, -1);
    f->n_used -= f->n_used > 0;
}

/* ---- rules ---- */

/* FNV-1a: it tells rules from others, and guards against nobody */
static uint64_t hash_of(const char *text, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

static struct fdstore_book *book_new(struct fdstore *f, struct program *program, uint64_t hash) {
    struct fdstore_book *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->program = program_ref(program);
    b->hash = hash;
    list_append(&f->books, &b->in_store);
    return b;
}

/* Return: a sealed file in memory, or negative */
static int file_of(const char *text, size_t n) {
    int fd = memfd_create("qmp-shim-rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    for (size_t done = 0; done < n;) {
        ssize_t n_written = write(fd, text + done, n - done);

        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written < 0) {
            int r = -errno;

            close(fd);
            return r;
        }
        done += (size_t)n_written;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    return fd;
}

static int book_store(struct fdstore *f, const struct fdstore_book *b, const struct buffer *text) {
    int fd = file_of(text->data, text->n);
    bool is_put;

    if (fd < 0)
        return fd;
    is_put = fdstore_put(f, fd, FDSTORE_BOOK "%016" PRIx64, b->hash);
    close(fd);
    return is_put ? 0 : -ENOSPC;
}

int fdstore_put_program(struct fdstore *f, struct program *program,
                        struct fdstore_book **ret_book) {
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    struct fdstore_book *b;
    int r;

    *ret_book = NULL;
    if (!program)
        return 0;
    list_for_each(i, &f->books) {
        b = list_entry(i, struct fdstore_book, in_store);
        if (b->program == program) {
            b->n_users++;
            *ret_book = b;
            return 0;
        }
    }
    r = pack_program(program, &text);
    if (r < 0)
        return r;
    *ret_book =
        fdstore_find_program(f, hash_of(text.data, text.n)); /* those of before, read again */
    if (*ret_book)
        return 0;
    b = book_new(f, program, hash_of(text.data, text.n));
    r = b ? book_store(f, b, &text) : -ENOMEM;
    if (r < 0) {
        if (b)
            book_free(b);
        return r;
    }
    b->n_users = 1;
    *ret_book = b;
    return 0;
}

static void book_drop(struct fdstore *f, struct fdstore_book *b) {
    fdstore_remove(f, FDSTORE_BOOK "%016" PRIx64, b->hash);
    book_free(b);
}

void fdstore_release(struct fdstore *f, struct fdstore_book *book) {
    if (book && --book->n_users == 0)
        book_drop(f, book);
}

struct fdstore_book *fdstore_find_program(struct fdstore *f, uint64_t hash) {
    list_for_each(i, &f->books) {
        struct fdstore_book *b = list_entry(i, struct fdstore_book, in_store);

        if (b->hash == hash) {
            b->n_users++;
            return b;
        }
    }
    return NULL;
}

/* Return: 0, negative, PACK_E_INVALID */
static int read_file(int fd, struct program **ret_program) {
    struct stat st;
    char *text;
    int r;

    if (fstat(fd, &st) < 0 || st.st_size <= 0)
        return PACK_E_INVALID;
    text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED)
        return PACK_E_INVALID;
    r = pack_read(text, (size_t)st.st_size, ret_program);
    munmap(text, (size_t)st.st_size);
    return r;
}

static void adopt_program(struct fdstore *f, int fd, const char *name) {
    uint64_t hash = strtoull(name + strlen(FDSTORE_BOOK), NULL, 16);
    struct program *program = NULL;

    f->n_used++;
    if (read_file(fd, &program) != 0 || !book_new(f, program, hash)) {
        log_write(f->log, LOG_LEVEL_ERROR, "rules of an earlier process cannot be read",
                  LOG_STRING("name", name));
        fdstore_remove(f, "%s", name);
    }
    program_unref(program);
}

void fdstore_adopt_programs(struct fdstore *f, struct activation *a) {
    const char *name;
    int fd;

    while ((fd = activation_take_fd(a, FDSTORE_BOOK, &name)) >= 0) {
        adopt_program(f, fd, name);
        close(fd);
    }
}

void fdstore_tidy(struct fdstore *f) {
    list_for_each_safe(i, &f->books) {
        struct fdstore_book *b = list_entry(i, struct fdstore_book, in_store);

        if (b->n_users == 0)
            book_drop(f, b);
    }
}
