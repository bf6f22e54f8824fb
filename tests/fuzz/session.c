/*
 * A whole session, as play.h has it.  Whenever all is at rest another
 * session goes on in its place, and nobody may notice.
 */

#include "play.h"
#include "proxy/checkpoint.h"

static void renew(struct world *w) {
    if (checkpoint_is_due(w->session))
        FUZZ_CHECK(checkpoint_renew(&w->session) == 0);
}

static const struct ways ways = {.feed = world_plainly_feed,
                                 .end = world_plainly_end,
                                 .tick = world_plainly_tick,
                                 .sent = world_plainly_sent,
                                 .settled = renew};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct world w;
    struct play_orders o = {data, n};
    int first_fd = world_next_fd();

    play_init(&w, &ways, &o);
    play_whole(&w, &o);
    play_deinit(&w);
    FUZZ_CHECK(world_next_fd() == first_fd);
    return 0;
}
