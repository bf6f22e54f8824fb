/* Takeover: which names stand for which sockets, before, between and after. */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/address.h"
#include "io/listener.h"
#include "io/takeover.h"

static char folder[64];
static char front[128], back[160];

static void setup(void) {
    snprintf(folder, sizeof(folder), "/tmp/test-takeover-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(front, sizeof(front), "%s/socket", folder);
    snprintf(back, sizeof(back), "%s.qemu", front);
}

static void cleanup(void) {
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    cr_assert(eq(int, system(command), 0));
}

TestSuite(takeover, .init = setup, .fini = cleanup);

static int hold(const char *path) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    cr_assert(eq(int, address_from_path(path, &address), 0));
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&address, sizeof(address)), 0));
    return fd;
}

static ino_t inode(const char *path) {
    struct stat st;

    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static int look(bool *ret_is_resumed) {
    int error = 0;

    return takeover_look(front, back, ret_is_resumed, &error);
}

TEST(takeover, back_path_has_the_suffix_and_is_an_address) {
    char long_path[ADDRESS_MAX_PATH_BYTES + 1];
    char *path = takeover_back_path("/a/b");

    cr_assert(eq(str, path, "/a/b.qemu"));
    free(path);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    path = takeover_back_path(long_path);
    cr_assert(eq(sz, strlen(path), ADDRESS_MAX_PATH_BYTES));
    cr_assert(eq(str, path + ADDRESS_MAX_PATH_BYTES - 5, ".qemu"));
    free(path);
    long_path[ADDRESS_MAX_PATH_BYTES - 3] = '/';
    cr_assert(eq(ptr, takeover_back_path(long_path), NULL));
    cr_assert(eq(int, errno, ENAMETOOLONG));
}

TEST(takeover, every_state_of_the_two_names_is_told_apart) {
    bool is_resumed;
    int fd, other;

    cr_assert(eq(int, look(&is_resumed), TAKEOVER_E_NO_SERVER), "neither");
    fd = hold(front);
    cr_assert(eq(int, look(&is_resumed), 0), "a server");
    cr_assert(not(is_resumed));
    other = hold(back);
    cr_assert(eq(int, look(&is_resumed), TAKEOVER_E_IN_USE), "both");
    close(fd);
    cr_assert(eq(int, look(&is_resumed), 0), "a shim that died");
    cr_assert(is_resumed);
    close(other);
    cr_assert(eq(int, look(&is_resumed), TAKEOVER_E_NO_SERVER), "both dead");
    unlink(front);
    fd = hold(front);
    cr_assert(eq(int, look(&is_resumed), 0), "a server, and a dead socket in the way");
    cr_assert(eq(sz, inode(back), 0), "it was removed");
    cr_assert(eq(int, mkdir(back, 0700), 0));
    cr_assert(eq(int, look(&is_resumed), TAKEOVER_E_IN_THE_WAY));
    close(fd);
}

TEST(takeover, names_are_exchanged_and_given_back) {
    int server = hold(front), shim = hold(back), error = 0;
    ino_t of_server = inode(front), of_shim = inode(back);

    cr_assert(eq(int, takeover_exchange(front, back, false, &error), 0));
    cr_assert(eq(sz, inode(front), of_shim));
    cr_assert(eq(sz, inode(back), of_server));
    cr_assert(eq(int, takeover_return(front, back, &error), 0));
    cr_assert(eq(sz, inode(front), of_server));
    cr_assert(eq(sz, inode(back), 0));
    cr_assert(eq(int, takeover_return(front, back, &error), TAKEOVER_E_NOT_TAKEN));
    close(server);
    close(shim);
}

TEST(takeover, exchange_with_nothing_is_told_and_changes_nothing) {
    int shim = hold(back), error = 0;
    ino_t of_shim = inode(back);

    cr_assert(eq(int, takeover_exchange(front, back, true, &error), TAKEOVER_E_IMPOSSIBLE));
    cr_assert(eq(int, error, ENOENT));
    cr_assert(eq(sz, inode(back), of_shim));
    close(shim);
}

TEST(takeover, every_outcome_is_explained) {
    for (int r = TAKEOVER_E_NO_SERVER; r < TAKEOVER_E_IMPOSSIBLE; r++)
        cr_assert(ne(str, (char *)takeover_explain(r, 0), strerror(0)));
    cr_assert(eq(str, (char *)takeover_explain(TAKEOVER_E_IMPOSSIBLE, EACCES), strerror(EACCES)));
}
