/* Out: bytes in order, borrowed or copied, and the fds that ride on them. */

#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/out.h"

static struct fds some_fds(size_t n) {
    struct fds fds = FDS_INIT;

    for (size_t i = 0; i < n; i++)
        cr_assert(eq(int, fds_push_take(&fds, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0));
    return fds;
}

/* what the next sendmsg() would carry.  Return: how many fds */
static size_t peek(const struct out *o, char *text) {
    const struct fds *fds;
    struct iovec iov[16];
    size_t n = out_peek(o, iov, 16, &fds);

    for (size_t i = 0; i < n; i++) {
        memcpy(text, iov[i].iov_base, iov[i].iov_len);
        text += iov[i].iov_len;
    }
    *text = '\0';
    return fds ? fds->n : 0;
}

TEST(out, keeps_the_order_of_what_is_borrowed_and_copied) {
    struct out o;
    char text[64];

    out_init(&o);
    cr_assert(out_is_empty(&o));
    cr_assert(eq(int, out_copy(&o, "a", 1), 0));
    cr_assert(eq(int, out_borrow(&o, "bc", 2), 0));
    cr_assert(eq(int, out_copy(&o, "d", 1), 0));
    cr_assert(eq(int, out_copy(&o, "e", 1), 0));
    cr_assert(eq(int, out_borrow(&o, "", 0), 0));
    cr_assert(eq(sz, o.n_bytes, 5));
    peek(&o, text);
    cr_assert(eq(str, text, "abcde"));
    out_deinit(&o);
}

TEST(out, sends_in_any_portions) {
    for (size_t n = 1; n <= 6; n++) {
        struct out o;
        char text[64], all[64] = "";

        out_init(&o);
        cr_assert(eq(int, out_copy(&o, "ab", 2), 0));
        cr_assert(eq(int, out_borrow(&o, "cd", 2), 0));
        cr_assert(eq(int, out_copy(&o, "ef", 2), 0));
        while (!out_is_empty(&o)) {
            size_t n_part = n < o.n_bytes ? n : o.n_bytes;

            peek(&o, text);
            memcpy(all + strlen(all), text, n_part);
            out_sent(&o, n_part);
        }
        cr_assert(eq(str, all, "abcdef"));
        out_deinit(&o);
    }
}

TEST(out, copies_after_a_part_was_sent_stand_behind_the_rest) {
    struct out o;
    char text[64];

    out_init(&o);
    cr_assert(eq(int, out_copy(&o, "abc", 3), 0));
    out_sent(&o, 2);
    cr_assert(eq(int, out_copy(&o, "def", 3), 0));
    peek(&o, text);
    cr_assert(eq(str, text, "cdef"));
    out_deinit(&o);
}

TEST(out, borrows_nothing_after_it_was_settled) {
    char lent[] = "lent";
    struct out o;
    char text[64];

    out_init(&o);
    cr_assert(eq(int, out_borrow(&o, lent, 4), 0));
    out_sent(&o, 1);
    cr_assert(eq(int, out_settle(&o), 0));
    memset(lent, 'x', 4);
    cr_assert(eq(int, out_copy(&o, "!", 1), 0));
    peek(&o, text);
    cr_assert(eq(str, text, "ent!"));
    out_deinit(&o);
}

TEST(out, neighbours_that_are_borrowed_are_one_piece) {
    static const char lent[] = "abcdef";
    const struct fds *fds;
    struct iovec iov[4];
    struct out o;

    out_init(&o);
    cr_assert(eq(int, out_borrow(&o, lent, 2), 0));
    cr_assert(eq(int, out_borrow(&o, lent + 2, 4), 0));
    cr_assert(eq(sz, out_peek(&o, iov, 4, &fds), 1));
    cr_assert(eq(sz, iov[0].iov_len, 6));
    out_deinit(&o);
}

TEST(out, fds_begin_a_sendmsg_of_their_own) {
    struct fds fds = some_fds(2);
    struct out o;
    char text[64];

    out_init(&o);
    cr_assert(eq(int, out_copy(&o, "before", 6), 0));
    out_ride_take(&o, &fds);
    cr_assert(eq(int, out_copy(&o, "with", 4), 0));
    cr_assert(eq(int, out_copy(&o, " more", 5), 0));
    cr_assert(eq(sz, peek(&o, text), 0));
    cr_assert(eq(str, text, "before"));
    out_sent(&o, 6);
    cr_assert(eq(sz, peek(&o, text), 2));
    cr_assert(eq(str, text, "with more"));
    out_sent(&o, 1); /* they went with it, and are closed */
    cr_assert(eq(sz, peek(&o, text), 0));
    cr_assert(eq(str, text, "ith more"));
    out_deinit(&o);
}

TEST(out, fds_that_still_wait_for_a_byte_give_way_to_newer_ones) {
    struct fds older = some_fds(3), newer = some_fds(1), none = FDS_INIT;
    struct out o;
    char text[64];

    out_init(&o);
    out_ride_take(&o, &older);
    out_ride_take(&o, &newer);
    out_ride_take(&o, &none); /* says nothing */
    cr_assert(eq(int, out_borrow(&o, "x", 1), 0));
    cr_assert(eq(sz, peek(&o, text), 1));
    out_deinit(&o);
}

TEST(out, fds_that_were_never_sent_are_closed) {
    struct fds first = some_fds(1), second = some_fds(1);
    struct out o;

    out_init(&o);
    out_ride_take(&o, &first);
    cr_assert(eq(int, out_copy(&o, "x", 1), 0));
    out_ride_take(&o, &second);
    out_deinit(&o);
}

TEST(out, a_peek_has_no_more_pieces_than_there_is_room_for) {
    const struct fds *fds;
    struct iovec iov[2];
    struct out o;

    out_init(&o);
    cr_assert(eq(sz, out_peek(&o, iov, 2, &fds), 0));
    cr_assert(eq(int, out_borrow(&o, "a", 1), 0));
    cr_assert(eq(int, out_copy(&o, "b", 1), 0));
    cr_assert(eq(int, out_borrow(&o, "c", 1), 0));
    cr_assert(eq(sz, out_peek(&o, iov, 2, &fds), 2));
    out_deinit(&o);
}
