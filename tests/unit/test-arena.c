#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "test.h"

TEST(arena, pieces_are_zeroed_aligned_and_apart) {
    struct arena a = ARENA_INIT;
    char *one = arena_alloc(&a, 3);
    char *two = arena_alloc(&a, 5);

    cr_assert(eq(mem, ((struct cr_mem){one, 3}), ((struct cr_mem){"\0\0\0\0", 3})));
    cr_assert(eq(sz, (uintptr_t)one % _Alignof(max_align_t), 0));
    cr_assert(eq(sz, (uintptr_t)two % _Alignof(max_align_t), 0));
    memset(one, 'x', 3);
    cr_assert(eq(mem, ((struct cr_mem){two, 5}), ((struct cr_mem){"\0\0\0\0", 5})));
    arena_deinit(&a);
}

TEST(arena, piece_larger_than_a_chunk_is_given_whole) {
    struct arena a = ARENA_INIT;
    size_t n = 1 << 20;
    char *p = arena_alloc(&a, n);

    cr_assert(ne(ptr, p, NULL));
    memset(p, 'x', n);
    cr_assert(ge(sz, a.n_bytes, n));
    arena_deinit(&a);
}

TEST(arena, size_that_overflows_is_refused) {
    struct arena a = ARENA_INIT;
    volatile size_t most = SIZE_MAX; /* of a constant, the compiler itself would warn */

    cr_assert(eq(ptr, arena_alloc(&a, most), NULL));
    cr_assert(eq(ptr, arena_alloc(&a, most - sizeof(max_align_t)), NULL));
    cr_assert(eq(ptr, arena_copy(&a, "", most), NULL));
    arena_deinit(&a);
}

TEST(arena, copy_ends_in_nul_and_keeps_nul_inside) {
    struct arena a = ARENA_INIT;
    char *p = arena_copy(&a, "a\0b", 3);

    cr_assert(eq(mem, ((struct cr_mem){p, 4}), ((struct cr_mem){"a\0b", 4})));
    arena_deinit(&a);
}

TEST(arena, deinit_leaves_an_arena_that_can_be_used_again) {
    struct arena a = ARENA_INIT;

    arena_alloc(&a, 10);
    arena_deinit(&a);
    cr_assert(eq(sz, a.n_bytes, 0));
    cr_assert(ne(ptr, arena_alloc(&a, 10), NULL));
    arena_deinit(&a);
}
