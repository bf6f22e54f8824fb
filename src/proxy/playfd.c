#include "proxy/playfd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "json/number.h"

static void read_offset(const struct json *value, struct fdlook *ret) {
    struct number n;

    if (!value || value->type != JSON_NUMBER || number_read(value->text, value->n_text, &n) ||
        n.negative || n.exponent < 0)
        return;
    for (; n.exponent > 0 && n.mantissa < INT64_MAX / 10; n.exponent--)
        n.mantissa *= 10;
    ret->has_offset = n.exponent == 0 && n.mantissa <= INT64_MAX;
    ret->offset = ret->has_offset ? (int64_t)n.mantissa : 0;
}

void playfd_read(const struct json *value, struct fdlook *ret) {
    const struct json *kind = json_member(value, "kind"), *access = json_member(value, "access");

    *ret = (struct fdlook){NULL, FDLOOK_ANY, false, 0};
    for (size_t i = 0; kind && fdlook_kinds[i]; i++)
        if (json_is_string(kind, fdlook_kinds[i]))
            ret->kind = fdlook_kinds[i];
    for (enum fdlook_access a = FDLOOK_READ; access && a <= FDLOOK_READ_WRITE; a++)
        if (json_is_string(access, fdlook_access_name(a)))
            ret->access = a;
    read_offset(json_member(value, "offset"), ret);
}

static int open_pipe(void) {
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return -1;
    close(fd[0]);
    return fd[1];
}

static int open_kind(const char *kind) {
    if (kind && strcmp(kind, "file") == 0)
        return memfd_create("qmp-shim", MFD_CLOEXEC);
    if (kind && strcmp(kind, "pipe") == 0)
        return open_pipe();
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int playfd_open(const struct fdlook *want, int *ret_fd) {
    struct fdlook_wish wish = {want->access, want->has_offset, want->offset};
    int fd = open_kind(want->kind), r;

    if (fd < 0)
        return -errno;
    r = fdlook_copy(fd, &wish, ret_fd);
    close(fd);
    return r ? -EINVAL : 0;
}

bool playfd_fits(const struct fdlook *want, const struct fdlook *got) {
    return (!want->kind || strcmp(want->kind, got->kind) == 0) &&
           (want->access == FDLOOK_ANY || want->access == got->access) &&
           (!want->has_offset || (got->has_offset && want->offset == got->offset));
}
