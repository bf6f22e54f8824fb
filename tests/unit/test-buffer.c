#include "base/buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/packed.h"
#include "test.h"

static struct cr_mem content(const struct buffer *b) {
    return (struct cr_mem){b->data, b->n};
}

TEST(buffer, appends_come_out_in_order) {
    struct buffer b = BUFFER_INIT;

    buffer_append(&b, "ab", 2);
    buffer_append(&b, "", 0);
    buffer_append_string(&b, "cd");
    buffer_printf(&b, "%d%s", 7, "e");
    cr_assert(eq(mem, content(&b), ((struct cr_mem){"abcd7e", 6})));
    buffer_deinit(&b);
}

TEST(buffer, printf_longer_than_the_first_block_comes_whole) {
    struct buffer b = BUFFER_INIT;

    buffer_printf(&b, "%*s|", 5000, "x");
    cr_assert(eq(sz, b.n, 5001));
    cr_assert(eq(chr, b.data[4999], 'x'));
    cr_assert(eq(chr, b.data[5000], '|'));
    buffer_deinit(&b);
}

TEST(buffer, consume_drops_the_first_bytes_only) {
    struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, "abcdef");
    buffer_consume(&b, 4);
    cr_assert(eq(mem, content(&b), ((struct cr_mem){"ef", 2})));
    buffer_consume(&b, 2);
    cr_assert(eq(sz, b.n, 0));
    buffer_deinit(&b);
}

TEST(buffer, failed_append_sticks_until_clear) {
    struct buffer b = BUFFER_INIT;

    buffer_append_string(&b, "a");
    cr_assert(eq(int, buffer_reserve(&b, SIZE_MAX / 2), -ENOMEM));
    buffer_append_string(&b, "b");
    cr_assert(eq(int, buffer_status(&b), -ENOMEM));
    cr_assert(eq(sz, b.n, 1));
    buffer_clear(&b);
    buffer_append_string(&b, "c");
    cr_assert(eq(int, buffer_status(&b), 0));
    cr_assert(eq(mem, content(&b), ((struct cr_mem){"c", 1})));
    buffer_deinit(&b);
}

TEST(buffer, steal_string_gives_a_string_and_leaves_it_empty) {
    struct buffer b = BUFFER_INIT;
    char *s;

    buffer_append_string(&b, "text");
    s = buffer_steal_string(&b);
    cr_assert(eq(str, s, "text"));
    cr_assert(eq(sz, b.n, 0));
    cr_assert(eq(sz, b.cap, 0));
    free(s);
    buffer_deinit(&b);
}

TEST(buffer, begins_in_the_room_that_was_lent_and_leaves_it_when_it_is_full) {
    char room[8];
    struct buffer b = buffer_in(room, sizeof(room));
    char *text;

    buffer_append_string(&b, "12345678");
    cr_assert(eq(ptr, b.data, room));
    buffer_append_string(&b, "9");
    cr_assert(ne(ptr, b.data, room));
    cr_assert(b.n == 9 && memcmp(b.data, "123456789", 9) == 0);
    buffer_deinit(&b);

    b = buffer_in(room, sizeof(room));
    buffer_append_string(&b, "short");
    text = buffer_steal_string(&b);
    cr_assert(ne(ptr, text, room));
    cr_assert(eq(str, text, "short"));
    free(text);
    buffer_deinit(&b);
}

TEST(packed, gives_what_was_put_and_then_says_that_it_is_short) {
    struct buffer b = BUFFER_INIT;
    struct packed p;

    packed_put_number(&b, UINT64_MAX - 1);
    buffer_append_string(&b, "ab");
    cr_assert(eq(int, buffer_status(&b), 0));
    p = (struct packed){.text = b.data, .n = b.n};
    cr_expect(eq(u64, packed_number(&p), UINT64_MAX - 1));
    cr_expect(packed_bytes(&p, 2) == b.data + 8);
    cr_expect(not(p.is_short));
    cr_expect(packed_bytes(&p, 0) == b.data + 10);
    cr_expect(packed_bytes(&p, 1) == NULL);
    cr_expect(p.is_short);
    buffer_deinit(&b);
}

TEST(packed, that_is_short_once_stays_so) {
    struct packed p = {.text = "1234567", .n = 7};

    cr_expect(eq(u64, packed_number(&p), 0));
    cr_expect(packed_bytes(&p, 1) == NULL);
    cr_expect(p.is_short);
    cr_expect(eq(sz, p.n, 7));
}
