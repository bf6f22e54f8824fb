#include "base/fdlook.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static const struct {
    mode_t mode;
    const char *name;
} kinds[] = {
    {S_IFREG, "file"},   {S_IFSOCK, "socket"},      {S_IFIFO, "pipe"},
    {S_IFCHR, "device"}, {S_IFBLK, "block-device"}, {S_IFDIR, "directory"},
};

const char *const fdlook_kinds[] = {"file",      "socket", "pipe",    "device", "block-device",
                                    "directory", "other",  "unknown", NULL};

const char *fdlook_kind(int fd) {
    struct stat st;

    if (fstat(fd, &st) < 0)
        return "unknown";
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if ((st.st_mode & S_IFMT) == kinds[i].mode)
            return kinds[i].name;
    return "other";
}

const char *fdlook_access_name(enum fdlook_access access) {
    static const char *const names[] = {
        [FDLOOK_READ] = "read", [FDLOOK_WRITE] = "write", [FDLOOK_READ_WRITE] = "read-write"};

    return names[access];
}

static enum fdlook_access access_of(int fd) {
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return FDLOOK_ANY;
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return FDLOOK_READ;
    case O_WRONLY:
        return FDLOOK_WRITE;
    default:
        return FDLOOK_READ_WRITE;
    }
}

void fdlook_at(int fd, struct fdlook *ret) {
    off_t offset = lseek(fd, 0, SEEK_CUR);

    *ret = (struct fdlook){
        .kind = fdlook_kind(fd),
        .access = access_of(fd),
        .has_offset = offset >= 0,
        .offset = offset >= 0 ? offset : 0,
    };
}

/*
 * Only with less than it has: what the client was not given it is not given
 * here either, whatever this process may open.  Nothing is ever truncated.
 */
static int open_anew(int fd, enum fdlook_access access) {
    char path[32];

    if (access_of(fd) != FDLOOK_READ_WRITE)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, (access == FDLOOK_READ ? O_RDONLY : O_WRONLY) |
                          (fcntl(fd, F_GETFL) & O_APPEND) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int fdlook_copy(int fd, const struct fdlook_wish *wish, int *ret_fd) {
    bool is_same = wish->access == FDLOOK_ANY || wish->access == access_of(fd);
    int copy = is_same ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : open_anew(fd, wish->access);

    if (copy < 0)
        return FDLOOK_E_REFUSED;
    if (wish->has_offset && lseek(copy, wish->offset, SEEK_SET) < 0) {
        close(copy);
        return FDLOOK_E_REFUSED;
    }
    *ret_fd = copy;
    return 0;
}
