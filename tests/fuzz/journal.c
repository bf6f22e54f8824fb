/*
 * Journals of sessions (proxy/journal.h).
 *
 * A session as play.h has it is played twice: once by itself, and once by
 * processes that end, wherever the input says, and go on with what the
 * journal has.  Both peers must get the same bytes and fds, each once.
 *
 * Then the memory that such a session has left is changed, or made of the
 * input's own bytes: it must be refused, or give a session that ends.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "peers.h"
#include "play.h"
#include "proxy/journal.h"

enum { MAX_RIDES = 4096, LARGE_LOG_BYTES = 64 << 10 };

/* what outlives a process */
struct life {
    struct journal journal;
    void *memory;
    size_t n_memory;
    size_t every, first, n_points; /* it ends at every so-many-th point */
    bool is_over;                  /* it does not end any more */
    int rides[MAX_RIDES];          /* copies of the fds that came */
    size_t n_rides, n_last_rides;  /* the last: of the read that is under way */
    size_t n_read;                 /* likewise */
};

static struct life *life_of(const struct world *w) {
    return w->userdata;
}

static struct session *new_session(const struct world *w) {
    struct session *s;

    FUZZ_CHECK(session_new(w->rules->program, &w->limits, NULL, NULL, &s) == 0);
    return s;
}

static void begin(struct world *w, struct life *l, size_t n_log) {
    struct journal_info info = {.session = 7};

    l->n_memory = journal_n_bytes(n_log);
    l->memory = mmap(NULL, l->n_memory, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FUZZ_CHECK(l->memory != MAP_FAILED);
    journal_put_limits(&info, &w->limits);
    FUZZ_CHECK(journal_init(&l->journal, l->memory, n_log, &info, w->session) == 0);
    w->userdata = l;
}

static void deinit_life(struct life *l) {
    for (size_t i = 0; i < l->n_rides; i++)
        close(l->rides[i]);
    munmap(l->memory, l->n_memory);
}

/* --- fds, which are kept until the session is over ----------------------------------------------------- */

static void keep_rides(struct life *l, const struct fds *fds) {
    FUZZ_CHECK(journal_next_ride(&l->journal) == l->n_rides);
    for (size_t i = 0; i < fds->n; i++) {
        FUZZ_CHECK(l->n_rides < MAX_RIDES);
        l->rides[l->n_rides] = fcntl(fds->fd[i], F_DUPFD_CLOEXEC, 0);
        FUZZ_CHECK(l->rides[l->n_rides++] >= 0);
    }
    l->n_last_rides = fds->n;
}

/* what a store that has lost some would give, too */
static int get_rides(void *userdata, uint64_t ride, size_t n, struct fds *ret) {
    const struct life *l = userdata;

    for (size_t i = 0; i < n && ride < l->n_rides && i < l->n_rides - ride; i++)
        FUZZ_CHECK(fds_push_take(ret, fcntl(l->rides[ride + i], F_DUPFD_CLOEXEC, 0)) == 0);
    return 0;
}

/* --- ends ------------------------------------------------------------------------------------------------ */

/* here the process may end, and another one goes on.  Return: did it? */
static bool may_end(struct world *w) {
    struct life *l = life_of(w);
    struct journal next;
    enum side from;
    int r;

    if (l->is_over || (l->first + l->n_points++) % l->every != 0)
        return false;
    r = journal_open(&next, l->memory, l->n_memory);
    FUZZ_CHECK(r == (journal_is_lapsed(&l->journal) ? JOURNAL_E_LAPSED : 0));
    if (r == JOURNAL_E_LAPSED)
        return false; /* that one would be lost, which is told */
    session_free(w->session);
    l->journal = next;
    if (journal_is_feeding(&next, &from))
        journal_end_feed(&l->journal, l->n_read, l->n_last_rides, 0);
    w->session = new_session(w);
    FUZZ_CHECK(journal_resume(&l->journal, w->session, w->n_sent_bytes, get_rides, l) == 0);
    return true;
}

/* what a process does when its session was told something */
static int done(struct world *w, int r) {
    if (r == 0)
        journal_done(&life_of(w)->journal, w->session, w->n_sent_bytes);
    may_end(w);
    return r;
}

static int mortally_feed(struct world *w, enum side from, const char *text, size_t n,
                         struct fds *fds) {
    struct life *l = life_of(w);
    size_t n_room;
    char *to;

    l->n_read = l->n_last_rides = 0;
    if (!journal_begin_feed(&l->journal, from, w->time, &to, &n_room))
        return session_feed(w->session, from, text, n, fds, w->time);
    FUZZ_CHECK(n <= n_room);
    if (may_end(w)) /* nothing was read: it is read again */
        FUZZ_CHECK(journal_begin_feed(&l->journal, from, w->time, &to, &n_room));
    memcpy(to, text, n);
    keep_rides(l, fds);
    l->n_read = n;
    if (may_end(w)) { /* it was read, and that is all that is known */
        fds_deinit(fds);
        return done(w, 0);
    }
    journal_end_feed(&l->journal, n, fds->n, 0);
    if (may_end(w)) {
        fds_deinit(fds);
        return done(w, 0);
    }
    return done(w, session_feed(w->session, from, to, n, fds, w->time));
}

static int mortally_end(struct world *w, enum side from) {
    bool is_recorded = journal_add(&life_of(w)->journal, JOURNAL_END, from, w->time);

    return is_recorded && may_end(w) ? done(w, 0) : done(w, session_end(w->session, from, w->time));
}

static int mortally_tick(struct world *w) {
    bool is_recorded = journal_add(&life_of(w)->journal, JOURNAL_TICK, SIDE_SERVER, w->time);

    return is_recorded && may_end(w) ? done(w, 0) : done(w, session_tick(w->session, w->time));
}

static void mortally_sent(struct world *w, enum side to, size_t n) {
    if (!may_end(w))
        out_sent(session_out(w->session, to), n);
}

static void rest(struct world *w) {
    may_end(w);
    journal_rest(&life_of(w)->journal, w->session, w->n_sent_bytes);
    may_end(w);
}

static void nothing(struct world *w) {
    (void)w;
}

static const struct ways undisturbed = {.feed = world_plainly_feed,
                                        .end = world_plainly_end,
                                        .tick = world_plainly_tick,
                                        .sent = world_plainly_sent,
                                        .settled = nothing};
static const struct ways mortal = {.feed = mortally_feed,
                                   .end = mortally_end,
                                   .tick = mortally_tick,
                                   .sent = mortally_sent,
                                   .settled = rest};

/* --- the same, whoever goes on ----------------------------------------------------------------------------- */

static void check_alike(const struct world *a, const struct world *b) {
    for (int side = 0; side < 2; side++) {
        const struct stream *x = &a->out[side], *y = &b->out[side];

        FUZZ_CHECK(x->text.n == y->text.n);
        FUZZ_CHECK(x->text.n == 0 || memcmp(x->text.data, y->text.data, x->text.n) == 0);
        FUZZ_CHECK(x->n_marks == y->n_marks);
        for (size_t i = 0; i < x->n_marks; i++)
            FUZZ_CHECK(x->mark[i].at == y->mark[i].at && x->mark[i].n_fds == y->mark[i].n_fds);
    }
    FUZZ_CHECK(memcmp(session_stats(a->session), session_stats(b->session),
                      sizeof(struct session_stats)) == 0);
}

/* --- memory that was changed -------------------------------------------------------------------------------- */

/* Return: is @s at its end once all that it waits for has had its time? */
static bool ends(struct world *w, struct session *s) {
    size_t n_ticks = 0;

    for (int side = 0; side < 2; side++) {
        FUZZ_CHECK(session_end(s, (enum side)side, w->time) == 0);
        while (session_deadline_ms(s) != UINT64_MAX) {
            struct session_time time = {.now_ms = session_deadline_ms(s)};

            FUZZ_CHECK(n_ticks++ < WORLD_MAX_TICKS);
            FUZZ_CHECK(session_tick(s, time) == 0);
            w->time.now_ms = time.now_ms;
        }
        for (int to = 0; to < 2; to++)
            out_sent(session_out(s, (enum side)to), session_out(s, (enum side)to)->n_bytes);
    }
    return session_is_finished(s, SIDE_CLIENT) && session_is_finished(s, SIDE_SERVER);
}

/* whatever stands in its memory */
static void check_left(struct world *w, struct life *l, size_t n_read) {
    struct session *s;
    enum side from;
    int r;

    r = journal_open(&l->journal, l->memory, l->n_memory);
    FUZZ_CHECK(r == 0 || r == JOURNAL_E_INVALID || r == JOURNAL_E_LAPSED);
    if (r != 0)
        return;
    journal_limits(&l->journal.head->info);
    if (journal_is_feeding(&l->journal, &from))
        journal_end_feed(&l->journal, size_min(n_read, journal_feed_room(&l->journal)), 0, 0);
    s = new_session(w);
    r = journal_resume(&l->journal, s, w->n_sent_bytes, get_rides, l);
    FUZZ_CHECK(r == 0 || r == JOURNAL_E_INVALID || r == JOURNAL_E_DIFFERS);
    if (r == 0)
        FUZZ_CHECK(ends(w, s));
    session_free(s);
}

/* the head, the log, or a large part: a byte, or a number, of it */
static void change(struct life *l, struct play_orders *o) {
    static const uint64_t numbers[] = {0,          1,           2,          0xff,
                                       UINT32_MAX, UINT64_MAX,  1ull << 63, 1ull << 32,
                                       4096,       64ull << 10, 4ull << 20, 88};
    char *const part[] = {(char *)l->journal.head, l->journal.log, l->journal.large[0],
                          l->journal.large[1]};
    uint8_t what = play_take(o), low = play_take(o), high = play_take(o), value = play_take(o);
    char *at = part[what % 4] + (size_t)(high % 16) * 256 + low;

    if (what & 4)
        *at = (char)value;
    else if (what & 8)
        *at = (char)(*at + (signed char)value);
    else
        memcpy(at - (low & 7), &numbers[value % ARRAY_SIZE(numbers)], sizeof(uint64_t));
}

/* a part of the memory: how much, and its bytes */
static void fill(struct play_orders *o, char *to, size_t room) {
    size_t n = play_take(o);

    n += (size_t)play_take(o) * 256;
    n = n < o->n ? n : o->n;
    n = n < room ? n : room;
    memcpy(to, o->data, n);
    o->data += n;
    o->n -= n;
}

static void play_left(struct play_orders *o, uint8_t how) {
    static struct world w;
    static struct life l;
    struct play_orders changes = {o->data, (size_t)(how / 8 % 8) * 4};

    l = (struct life){.is_over = true, .every = 1};
    if (changes.n > o->n)
        changes.n = o->n;
    o->data += changes.n;
    o->n -= changes.n;
    play_init(&w, &mortal, o);
    begin(&w, &l, JOURNAL_MIN_LOG_BYTES);
    if (how & 64) { /* as it stands there, but for what none would get past */
        fill(o, (char *)l.memory + sizeof(l.journal.head->magic),
             sizeof(struct journal_head) - sizeof(l.journal.head->magic));
        l.journal.head->n_log_room = JOURNAL_MIN_LOG_BYTES;
        fill(o, l.journal.log, JOURNAL_MIN_LOG_BYTES);
        fill(o, l.journal.large[0], JOURNAL_LARGE_BYTES);
        fill(o, l.journal.large[1], JOURNAL_LARGE_BYTES);
    } else {
        if (w.play == WORLD_GOOD)
            peers_greet(&w);
        while (o->n > 0)
            play_order(&w, o);
    }
    while (changes.n > 0)
        change(&l, &changes);
    check_left(&w, &l, (size_t)how * 20);
    play_deinit(&w);
    deinit_life(&l);
}

static void play_twice(struct play_orders *o, uint8_t how) {
    static struct world whole, ended;
    static struct life l;
    struct play_orders again;

    l = (struct life){.every = 1 + play_take(o), .first = play_take(o)};
    again = *o;
    play_init(&whole, &undisturbed, o);
    play_whole(&whole, o);
    play_init(&ended, &mortal, &again);
    begin(&ended, &l, how & 2 ? JOURNAL_MIN_LOG_BYTES : LARGE_LOG_BYTES);
    play_whole(&ended, &again);
    check_alike(&whole, &ended);
    play_deinit(&whole);
    play_deinit(&ended);
    deinit_life(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct play_orders o = {data, n};
    uint8_t how = play_take(&o);
    int first_fd = world_next_fd();

    if (how & 1)
        play_left(&o, how);
    else
        play_twice(&o, how);
    FUZZ_CHECK(world_next_fd() == first_fd);
    return 0;
}
