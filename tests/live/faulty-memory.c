/*
 * Memory that runs out, for LD_PRELOAD: the n-th allocation of the program
 * itself fails, and with FAULTY_FOR_GOOD all later ones.  Libraries have
 * their memory, but for what they allocate by our functions.
 *
 *   FAULTY_N=N       counted from 0, while there is a file
 *   FAULTY_FROM=F    of this name (not set: all the time)
 *   FAULTY_TOLD=F    is made when it happens
 */

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc's own, which malloc() and the others are names of */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t n_bytes);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n);
void *calloc(size_t n, size_t n_bytes);
void *realloc(void *p, size_t n);
void *reallocarray(void *p, size_t n, size_t n_bytes);

static uintptr_t code, code_end; /* of the program */
static long n_left = -1;         /* -1: none fails any more */
static int is_for_good, has_failed;
static const char *from;

static int look(struct dl_phdr_info *info, size_t n, void *userdata) {
    (void)n, (void)userdata;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            code = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            code_end = code + info->dlpi_phdr[i].p_memsz;
        }
    return 1; /* the first one is the program */
}

__attribute__((constructor)) static void begin(void) {
    const char *n = getenv("FAULTY_N");

    dl_iterate_phdr(look, NULL);
    n_left = n ? strtol(n, NULL, 10) : -1;
    is_for_good = getenv("FAULTY_FOR_GOOD") != NULL;
    from = getenv("FAULTY_FROM");
}

static int tell(void) {
    const char *told = getenv("FAULTY_TOLD");

    has_failed = 1;
    if (told)
        close(open(told, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    errno = ENOMEM;
    return 1;
}

static int fails(void *caller) {
    if (n_left < 0 || (uintptr_t)caller < code || (uintptr_t)caller >= code_end)
        return 0;
    if (from && access(from, F_OK) != 0)
        return 0;
    if (n_left > 0) {
        n_left--;
        return 0;
    }
    return has_failed && !is_for_good ? 0 : tell();
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t n) {
    return fails(CALLER) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t n_bytes) {
    return fails(CALLER) ? NULL : __libc_calloc(n, n_bytes);
}

void *realloc(void *p, size_t n) {
    return fails(CALLER) ? NULL : __libc_realloc(p, n);
}

void *reallocarray(void *p, size_t n, size_t n_bytes) {
    size_t all;

    if (fails(CALLER))
        return NULL;
    if (__builtin_mul_overflow(n, n_bytes, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, all);
}
