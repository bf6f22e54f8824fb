/* Rides: fds keep to the bytes they came with. */

#include "test.h"

#include <fcntl.h>
#include <string.h>

#include "proxy/rides.h"

static void add(struct rides *r, size_t at, size_t n) {
    struct fds fds = FDS_INIT;

    for (size_t i = 0; i < n; i++)
        cr_assert(eq(int, fds_push_take(&fds, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0));
    cr_assert(eq(int, rides_add_take(r, at, &fds), 0));
}

/* Return: how many fds go with the next sendmsg(), whose text is @text */
static size_t sent(struct out *o, const char *text) {
    const struct fds *fds;
    struct iovec iov[4];
    size_t n = out_peek(o, iov, 4, &fds), n_fds = fds ? fds->n : 0;

    cr_assert(eq(sz, n, 1));
    cr_assert(eq(sz, iov[0].iov_len, strlen(text)));
    cr_assert(eq(int, memcmp(iov[0].iov_base, text, strlen(text)), 0));
    out_sent(o, iov[0].iov_len);
    return n_fds;
}

TEST(rides, no_fds_are_no_ride) {
    struct rides r = RIDES_INIT;
    struct fds none = FDS_INIT;

    cr_assert(eq(int, rides_add_take(&r, 0, &none), 0));
    cr_assert(eq(int, rides_add_take(&r, 0, NULL), 0));
    cr_assert(rides_is_empty(&r));
}

TEST(rides, each_leaves_with_its_byte) {
    for (size_t i = 0; i < 2; i++) {
        struct rides r = RIDES_INIT;
        struct out o;

        out_init(&o);
        add(&r, 0, 1);
        add(&r, 2, 3);
        add(&r, 5, 2);
        cr_assert(eq(int, rides_push(&r, &o, "abcdef", 6, i == 0), 0));
        cr_assert(rides_is_empty(&r));
        cr_assert(eq(sz, sent(&o, "ab"), 1));
        cr_assert(eq(sz, sent(&o, "cde"), 3));
        cr_assert(eq(sz, sent(&o, "f"), 2));
        cr_assert(out_is_empty(&o));
        out_deinit(&o);
    }
}

TEST(rides, of_a_rewritten_message_the_newest_is_left) {
    struct rides r = RIDES_INIT;
    struct fds last;

    add(&r, 0, 2);
    add(&r, 3, 1);
    last = rides_last(&r);
    cr_assert(eq(sz, last.n, 1));
    cr_assert(rides_is_empty(&r));
    fds_deinit(&last);
    last = rides_last(&r);
    cr_assert(fds_is_empty(&last));
}

TEST(rides, change_hands) {
    struct rides r = RIDES_INIT, other;

    add(&r, 0, 1);
    other = rides_steal(&r);
    cr_assert(rides_is_empty(&r));
    cr_assert(not(rides_is_empty(&other)));
    rides_deinit(&other);
    cr_assert(rides_is_empty(&other));
}
