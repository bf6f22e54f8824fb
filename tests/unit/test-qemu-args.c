/* Arguments of QEMU: what is a monitor, what is none, and how one is moved. */

#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/qemu_args.h"

enum { MAX_WORDS = 16 };

static struct arena arena;
static struct qemu_args args;

static void setup(void) {
    arena = (struct arena)ARENA_INIT;
}

static void cleanup(void) {
    arena_deinit(&arena);
}

TestSuite(qemu_args, .init = setup, .fini = cleanup);

static int find(const char *const *words) {
    char *argv[MAX_WORDS];
    int argc = 0;

    while (words[argc]) {
        argv[argc] = (char *)words[argc];
        argc++;
    }
    return qemu_args_find(&arena, argc, argv, &args);
}

#define FIND(...) find((const char *const[]){__VA_ARGS__, NULL})

/* Return: the argument of the only monitor, moved; the caller's */
static char *moved(const char *argument, const char *path) {
    cr_assert(eq(sz, args.n, 1));
    return qemu_args_move(&args.monitors[0], argument, path);
}

static void forget(void) {
    arena_deinit(&arena); /* TEST() looks for leaks before .fini runs */
}

TEST(qemu_args, qmp_on_a_path_is_a_monitor) {
    char *text;

    cr_assert(eq(int, FIND("-M", "pc", "-qmp", "unix:/a,server=on,wait=off"), 0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(sz, args.monitors[0].index, 3));
    cr_assert(eq(str, (char *)args.monitors[0].path, "/a"));
    text = moved("unix:/a,server=on,wait=off", "/b,c");
    cr_assert(eq(str, text, "unix:/b,,c,server=on,wait=off"));
    free(text);
    forget();
}

TEST(qemu_args, old_spellings_are_understood) {
    cr_assert(eq(int, FIND("--qmp-pretty", "unix:/a,server,nowait"), 0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(int, FIND("-qmp", "unix:path=/a,server=yes"), 0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(int, FIND("-qmp", "unix:/a,server,noserver"), 0));
    cr_assert(eq(sz, args.n, 0));
    forget();
}

TEST(qemu_args, a_chardev_is_found_before_and_behind_its_monitor) {
    cr_assert(
        eq(int, FIND("-chardev", "socket,id=c,path=/a,server=on", "-mon", "c,mode=control"), 0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(
        int, FIND("-mon", "chardev=c,mode=control", "-chardev", "socket,path=/a,,b,server=on,id=c"),
        0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(str, (char *)args.monitors[0].path, "/a,b"));
    cr_assert(eq(int, FIND("-chardev", "socket,id=c,path=/a,server=on", "-qmp", "chardev:c"), 0));
    cr_assert(eq(sz, args.n, 1));
    forget();
}

TEST(qemu_args, an_inherited_socket_is_found_by_its_number) {
    cr_assert(eq(int,
                 FIND("-chardev", "socket,id=c,fd=29,server=on,wait=off", "-mon",
                      "chardev=c,id=m,mode=control"),
                 0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(zero(ptr, (void *)args.monitors[0].path));
    cr_assert(eq(int, args.monitors[0].fd, 29));
    forget();
}

TEST(qemu_args, a_monitor_object_is_a_monitor) {
    cr_assert(eq(
        int,
        FIND("-object", "monitor-qmp,id=m,chardev=c", "-chardev", "socket,id=c,path=/a,server=on"),
        0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(int,
                 FIND("-object", "{\"qom-type\":\"monitor-qmp\",\"id\":\"m\",\"chardev\":\"c\"}",
                      "-chardev", "socket,id=c,path=/a,server=on"),
                 0));
    cr_assert(eq(sz, args.n, 1));
    cr_assert(eq(
        int,
        FIND("-object", "monitor-hmp,id=m,chardev=c", "-chardev", "socket,id=c,path=/a,server=on"),
        0));
    cr_assert(eq(sz, args.n, 0));
    forget();
}

TEST(qemu_args, json_is_read_and_moved) {
    static const char chardev[] =
        "{\"id\":\"c\",\"backend\":{\"type\":\"socket\",\"data\":{\"addr\":"
        "{\"type\":\"unix\",\"data\":{\"path\":\"/a\"}},\"wait\":false}}}";
    char *text;

    cr_assert(
        eq(int, FIND("-chardev", chardev, "-mon", "{\"chardev\":\"c\",\"mode\":\"control\"}"), 0));
    text = moved(chardev, "/b\"c");
    cr_assert(ne(ptr, strstr(text, "{\"path\":\"/b\\\"c\"}},\"wait\":false}}}"), NULL));
    free(text);
    cr_assert(eq(int,
                 FIND("-mon", "c,mode=control", "-chardev",
                      "{\"id\":\"c\",\"backend\":{\"type\":\"socket\",\"data\":{\"addr\":"
                      "{\"type\":\"fd\",\"data\":{\"str\":\"7\"}},\"server\":true}}}"),
                 0));
    cr_assert(eq(int, args.monitors[0].fd, 7));
    forget();
}

TEST(qemu_args, what_is_no_qmp_server_on_a_unix_socket_is_left_alone) {
    cr_assert(eq(
        int, FIND("-qmp", "tcp:localhost:4444,server=on", "-qmp", "unix:/a", "-qmp", "stdio"), 0));
    cr_assert(eq(sz, args.n, 0));
    cr_assert(eq(
        int, FIND("-chardev", "socket,id=c,path=/a,server=on", "-mon", "c", "-serial", "chardev:c"),
        0));
    cr_assert(eq(sz, args.n, 0));
    cr_assert(
        eq(int, FIND("-qmp", "unix:/a,server=on,abstract=on", "-chardev", "{\"id\":", "-qmp"), 0));
    cr_assert(eq(sz, args.n, 0));
    forget();
}

TEST(qemu_args, one_monitor_too_many_is_told) {
    const char *words[2 * QEMU_ARGS_MAX_MONITORS + 3] = {NULL};
    int argc = 0;

    while (argc < 2 * QEMU_ARGS_MAX_MONITORS) {
        words[argc++] = "-qmp";
        words[argc++] = "unix:/a,server=on";
    }
    cr_assert(eq(int, qemu_args_find(&arena, argc, (char **)words, &args), 0));
    cr_assert(eq(sz, args.n, QEMU_ARGS_MAX_MONITORS));
    words[argc++] = "-qmp";
    words[argc++] = "unix:/a,server=on";
    cr_assert(eq(int, qemu_args_find(&arena, argc, (char **)words, &args), QEMU_ARGS_E_TOO_MANY));
    forget();
}
