/* Folder: which guests have a door, and why the others have none. */

#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/address.h"
#include "io/folder.h"

static char place[64], front[80], back[80], path[128];
static const struct log log_nowhere = {.fd = -1, .level = LOG_LEVEL_ERROR};
static struct folder guests;
static size_t n_opened, n_closed;
static int open_outcome;

static void setup(void) {
    snprintf(place, sizeof(place), "/tmp/test-folder-XXXXXX");
    cr_assert(mkdtemp(place) != NULL);
    snprintf(front, sizeof(front), "%s/front", place);
    snprintf(back, sizeof(back), "%s/back", place);
    cr_assert(eq(int, mkdir(front, 0700) | mkdir(back, 0700), 0));
}

static void cleanup(void) {
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", place);
    cr_assert(eq(int, system(command), 0));
}

TestSuite(folder, .init = setup, .fini = cleanup);

static const char *in(const char *where, const char *name) {
    snprintf(path, sizeof(path), "%s/%s", where, name);
    return path;
}

static int hold(const char *where) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    cr_assert(eq(int, address_from_path(where, &address), 0));
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&address, sizeof(address)), 0));
    return fd;
}

/* doors are only counted here */
static int on_open(void *userdata, const char *name, const char *front_path, const char *back_path,
                   struct door **ret_door, int *reterr_errno) {
    (void)userdata, (void)name, (void)front_path, (void)back_path, (void)reterr_errno;
    if (open_outcome)
        return open_outcome;
    n_opened++;
    *ret_door = (struct door *)&n_opened;
    return 0;
}

static void on_close(void *userdata, struct door *door) {
    (void)userdata, (void)door;
    n_closed++;
}

static void begin(size_t max_guests) {
    cr_assert(eq(int, folder_init(&guests, &log_nowhere, front, back, max_guests), 0));
    guests.open = on_open;
    guests.close = on_close;
}

static const struct folder_guest *guest(const char *name) {
    for (size_t i = 0; i < guests.n_guests; i++)
        if (strcmp(guests.guests[i].name, name) == 0)
            return &guests.guests[i];
    return NULL;
}

static bool is_served(const char *name) {
    const struct folder_guest *g = guest(name);

    return g && g->door;
}

/* "?" for one that it does not know */
static const char *reason(const char *name) {
    const struct folder_guest *g = guest(name);

    return g ? g->reason : "?";
}

TEST(folder, sockets_come_and_go_and_others_keep_their_doors) {
    int a = hold(in(back, "a")), b = hold(in(back, "b")), c;

    begin(10);
    folder_scan(&guests);
    folder_scan(&guests);
    cr_assert(eq(sz, n_opened, 2));
    unlink(in(back, "a"));
    c = hold(in(back, "c"));
    folder_scan(&guests);
    cr_assert(eq(sz, n_opened, 3));
    cr_assert(eq(sz, n_closed, 1));
    cr_assert(eq(ptr, (void *)guest("a"), NULL));
    cr_assert(is_served("b") && is_served("c"));
    cr_assert(eq(sz, guests.n_served, 2));
    folder_deinit(&guests);
    close(a);
    close(b);
    close(c);
}

TEST(folder, names_beyond_the_limit_are_not_seen) {
    char name[32];

    for (size_t i = 0; i <= FOLDER_MAX_NAMES; i++) {
        snprintf(name, sizeof(name), "%zu", i);
        close(open(in(back, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        if (i + 1 < FOLDER_MAX_NAMES)
            continue;
        begin(10); /* with as many, and with one more */
        folder_scan(&guests);
        cr_assert(eq(sz, guests.n_guests, FOLDER_MAX_NAMES));
        folder_deinit(&guests);
    }
}

TEST(folder, limit_is_kept_and_who_waits_gets_the_place_of_who_goes) {
    int a = hold(in(back, "a")), b = hold(in(back, "b")), c = hold(in(back, "c"));

    begin(2);
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_served, 2));
    cr_assert(ne(ptr, strstr(reason("c"), "too many"), NULL));
    unlink(in(back, "a"));
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_served, 2));
    cr_assert(is_served("c"));
    cr_assert(eq(str, (char *)reason("c"), ""));
    folder_deinit(&guests);
    close(a);
    close(b);
    close(c);
}

TEST(folder, socket_that_its_process_has_left_loses_its_door) {
    int a = hold(in(back, "a"));

    begin(2);
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_served, 1));
    close(a);
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_served, 0));
    cr_assert(ne(ptr, strstr(reason("a"), "nobody holds"), NULL));
    folder_deinit(&guests);
}

TEST(folder, door_that_cannot_be_made_is_tried_again_by_every_scan) {
    int a = hold(in(back, "a"));

    begin(2);
    open_outcome = LISTENER_E_IN_USE;
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_served, 0));
    cr_assert(eq(str, (char *)reason("a"), (char *)listener_explain(LISTENER_E_IN_USE, 0)));
    open_outcome = 0;
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_served, 1));
    folder_deinit(&guests);
    close(a);
}

TEST(folder, folder_that_is_missing_has_no_guests) {
    int a = hold(in(back, "a"));

    begin(2);
    folder_scan(&guests);
    unlink(in(back, "a"));
    cr_assert(eq(int, rmdir(back), 0));
    folder_scan(&guests);
    cr_assert(eq(sz, guests.n_guests, 0));
    cr_assert(eq(sz, n_closed, 1));
    folder_deinit(&guests);
    close(a);
}

TEST(folder, sweep_removes_dead_sockets_in_front_and_nothing_else) {
    struct stat st;
    int held = hold(in(front, "held"));

    close(hold(in(front, "dead")));
    close(open(in(front, "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    begin(2);
    folder_sweep(&guests);
    cr_assert(eq(int, lstat(in(front, "dead"), &st), -1));
    cr_assert(eq(int, lstat(in(front, "held"), &st), 0));
    cr_assert(eq(int, lstat(in(front, "file"), &st), 0));
    folder_deinit(&guests);
    close(held);
}
