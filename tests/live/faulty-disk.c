/*
 * A disk that is full, or broken, for LD_PRELOAD: while there is a file named
 * FAULTY_SWITCH, write() to the file FAULTY_PATH takes half of what it gets,
 * then fails with the error number that stands in the other.
 */

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t write(int fd, const void *text, size_t n);

/* Return: an error number; 0: the disk is well */
static int fault_of(int fd) {
    const char *name = getenv("FAULTY_SWITCH"), *path = getenv("FAULTY_PATH");
    char link[64], target[4096];
    int error = 0;
    ssize_t n;
    FILE *file;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = name && path ? readlink(link, target, sizeof(target) - 1) : -1;
    if (n < 0 || strncmp(target, path, (size_t)n) != 0 || path[n])
        return 0;
    file = fopen(name, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &error) != 1)
        error = 0;
    fclose(file);
    return error;
}

ssize_t write(int fd, const void *text, size_t n) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    static int is_second;
    int error = fault_of(fd);

    if (!error)
        return real(fd, text, n);
    is_second = !is_second;
    if (is_second && n > 1)
        return real(fd, text, n / 2);
    errno = error;
    return -1;
}
