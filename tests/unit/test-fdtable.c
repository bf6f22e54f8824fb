/* File descriptors that rules speak of: what they are, how long they stay, how a second one is made. */

#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdlook.h"
#include "json/reader.h"
#include "rule/facts.h"
#include "rule/fdtable.h"

static int a_file(off_t at) {
    int fd = memfd_create("test", MFD_CLOEXEC);

    cr_assert(ge(int, fd, 0));
    cr_assert(eq(long, lseek(fd, at, SEEK_SET), at));
    return fd;
}

static struct fdtable_entry *add(struct fdtable *t, int fd) {
    struct fdtable_entry *e;

    cr_assert(eq(int, fdtable_add_take(t, fd, &e), 0));
    return e;
}

TEST(fdlook, a_file_has_a_kind_an_access_and_a_place) {
    int fd = a_file(4096);
    struct fdlook look;

    fdlook_at(fd, &look);
    cr_assert(eq(str, (char *)look.kind, "file"));
    cr_assert(eq(int, look.access, FDLOOK_READ_WRITE));
    cr_assert(look.has_offset);
    cr_assert(eq(i64, look.offset, 4096));
    close(fd);
}

TEST(fdlook, a_pipe_has_no_place) {
    int fd[2];
    struct fdlook look;

    cr_assert(eq(int, pipe(fd), 0));
    fdlook_at(fd[1], &look);
    cr_assert(eq(str, (char *)look.kind, "pipe"));
    cr_assert(eq(int, look.access, FDLOOK_WRITE));
    cr_assert(not(look.has_offset));
    close(fd[0]);
    close(fd[1]);
}

TEST(fdlook, a_copy_with_less_access_leaves_the_file_and_the_first_one_as_they_are) {
    struct fdlook_wish wish = {.access = FDLOOK_WRITE, .has_offset = true, .offset = 2};
    int fd = a_file(0), copy;
    struct fdlook look;
    char text[4];

    cr_assert(eq(long, write(fd, "abcd", 4), 4));
    cr_assert(eq(int, fdlook_copy(fd, &wish, &copy), 0));
    fdlook_at(copy, &look);
    cr_assert(eq(int, look.access, FDLOOK_WRITE));
    cr_assert(eq(i64, look.offset, 2));
    cr_assert(eq(long, pread(fd, text, 4, 0), 4));
    cr_assert(eq(int, memcmp(text, "abcd", 4), 0));
    fdlook_at(fd, &look);
    cr_assert(eq(i64, look.offset, 4));
    close(copy);
    close(fd);
}

TEST(fdlook, nobody_gets_more_access_than_there_is) {
    struct fdlook_wish less = {.access = FDLOOK_READ}, more = {.access = FDLOOK_WRITE};
    int fd = a_file(0), copy, none;

    cr_assert(eq(int, fdlook_copy(fd, &less, &copy), 0));
    cr_assert(eq(int, fdlook_copy(copy, &more, &none), FDLOOK_E_REFUSED));
    more.access = FDLOOK_READ_WRITE;
    cr_assert(eq(int, fdlook_copy(copy, &more, &none), FDLOOK_E_REFUSED));
    close(copy);
    close(fd);
}

TEST(fdlook, a_pipe_cannot_be_put_to_a_place) {
    struct fdlook_wish wish = {.has_offset = true, .offset = 1};
    int fd[2], none;

    cr_assert(eq(int, pipe(fd), 0));
    cr_assert(eq(int, fdlook_copy(fd[0], &wish, &none), FDLOOK_E_REFUSED));
    close(fd[0]);
    close(fd[1]);
}

TEST(fdtable, an_entry_is_found_until_nobody_refers_to_it) {
    struct fdtable t;
    struct fdtable_entry *e;

    fdtable_init(&t, 1);
    e = add(&t, a_file(0));
    cr_assert(eq(u64, e->number, 1));
    cr_assert(eq(ptr, fdtable_find(&t, 1), e));
    fdtable_ref(e);
    fdtable_unref(e);
    cr_assert(eq(ptr, fdtable_find(&t, 1), e));
    fdtable_unref(e);
    cr_assert(eq(ptr, fdtable_find(&t, 1), NULL));
    e = add(&t, a_file(0));
    cr_assert(eq(u64, e->number, 2), "a number is never used twice");
    fdtable_unref(e);
    fdtable_deinit(&t);
}

TEST(fdtable, no_more_than_max_are_kept) {
    struct fdtable t;
    struct fdtable_entry *a, *b;

    fdtable_init(&t, 1);
    a = add(&t, a_file(0));
    b = add(&t, a_file(0));
    cr_assert(eq(int, fdtable_keep(a), 0));
    cr_assert(eq(int, fdtable_keep(a), 0), "the same one counts once");
    cr_assert(eq(int, fdtable_keep(b), FDTABLE_E_FULL));
    fdtable_unkeep(a);
    cr_assert(eq(int, fdtable_keep(b), FDTABLE_E_FULL));
    fdtable_unkeep(a);
    cr_assert(eq(int, fdtable_keep(b), 0));
    fdtable_unkeep(b);
    fdtable_unref(a);
    fdtable_unref(b);
    fdtable_deinit(&t);
}

static struct json *object(struct arena *arena, const char *text) {
    struct json *value;

    cr_assert(eq(int, json_read(arena, text, strlen(text), false, &value, NULL), 0));
    return value;
}

TEST(fdtable, a_fact_holds_its_own_until_another_takes_its_place_or_it_is_forgotten) {
    struct arena arena = ARENA_INIT;
    struct json *key = object(&arena, "\"k\""), *other = object(&arena, "\"o\""),
                *value = object(&arena, "{\"v\": 1}");
    struct fdtable t;
    struct facts facts;
    struct fdtable_entry *a, *b;

    fdtable_init(&t, 1);
    facts_init(&facts, 10, 1000);
    a = add(&t, a_file(0));
    b = add(&t, a_file(0));
    cr_assert(eq(int, facts_remember(&facts, "t", key, value, a), 0));
    fdtable_unref(a);
    cr_assert(eq(ptr, fdtable_find(&t, 1), a));
    cr_assert(eq(int, facts_remember(&facts, "t", other, value, b), FACTS_E_FULL));
    cr_assert(eq(int, facts_remember(&facts, "t", key, value, NULL), 0));
    cr_assert(eq(ptr, fdtable_find(&t, 1), a), "a later fact without one leaves it");
    cr_assert(eq(int, facts_remember(&facts, "t", key, value, b), 0));
    cr_assert(eq(ptr, fdtable_find(&t, 1), NULL));
    fdtable_unref(b);
    facts_forget(&facts, "t", key);
    cr_assert(eq(ptr, fdtable_find(&t, 2), NULL));
    facts_deinit(&facts);
    fdtable_deinit(&t);
    arena_deinit(&arena);
}
