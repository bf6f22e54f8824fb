#include "proxy/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/util.h"

#define JOURNAL_MAGIC "QMPSHIMJ"

/* what a session was told; its bytes follow, and zeros up to the next entry */
struct entry {
    uint32_t kind; /* enum journal_kind */
    uint32_t side;
    uint64_t now_ms;
    int64_t wall_us;
    uint64_t n;
    uint64_t ride, n_fds, fds_at;
    uint64_t n_out[2]; /* bytes for each side since the checkpoint, those of this entry included */
    uint64_t is_done;  /* n_out is told */
};

enum { ENTRY_ALIGN = 16 };

/*
 * What stands before it is in memory before what stands behind it.  Whoever
 * reads it does so after this process has gone, so it is the compiler alone
 * that could mix them up.
 */
static inline void in_order(void) {
    atomic_signal_fence(memory_order_seq_cst);
}

static size_t entry_size(size_t n) {
    return (sizeof(struct entry) + n + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
}

static struct journal_bank *bank(const struct journal *j) {
    return &j->head->banks[j->head->bank];
}

static size_t room(const struct journal *j) {
    return j->head->n_log_room - bank(j)->n_log;
}

static struct entry *entry_at(const struct journal *j, size_t at) {
    return (struct entry *)(void *)(j->log + at);
}

/* --- limits: by their place; those that an older version did not know have their default ------------ */

void journal_put_limits(struct journal_info *info, const struct limits *limits) {
    const uint64_t numbers[] = {limits->max_message_bytes, limits->max_pending,
                                limits->max_held,          limits->max_held_bytes,
                                limits->max_facts,         limits->max_out_bytes,
                                limits->ask_timeout_ms,    limits->fd_timeout_ms,
                                limits->max_facts_bytes,   limits->max_kept_fds};

    memset(info->limits, 0, sizeof(info->limits));
    memcpy(info->limits, numbers, sizeof(numbers));
}

/* Return: what stands at @i; @otherwise if it does not */
static uint64_t limit_at(const struct journal_info *info, size_t i, uint64_t otherwise) {
    return info->limits[i] ? info->limits[i] : otherwise;
}

struct limits journal_limits(const struct journal_info *info) {
    struct limits l = LIMITS_DEFAULT;

    l.max_message_bytes = limit_at(info, 0, l.max_message_bytes);
    l.max_pending = limit_at(info, 1, l.max_pending);
    l.max_held = limit_at(info, 2, l.max_held);
    l.max_held_bytes = limit_at(info, 3, l.max_held_bytes);
    l.max_facts = limit_at(info, 4, l.max_facts);
    l.max_out_bytes = limit_at(info, 5, l.max_out_bytes);
    l.ask_timeout_ms = (uint32_t)limit_at(info, 6, l.ask_timeout_ms);
    l.fd_timeout_ms = (uint32_t)limit_at(info, 7, l.fd_timeout_ms);
    l.max_facts_bytes = limit_at(info, 8, l.max_facts_bytes);
    l.max_kept_fds = limit_at(info, 9, l.max_kept_fds);
    return l;
}

/* --- making, finding ------------------------------------------------------------------------------ */

size_t journal_n_bytes(size_t n_log) {
    return JOURNAL_HEAD_BYTES + n_log + (size_t)2 * JOURNAL_LARGE_BYTES;
}

static void find_parts(struct journal *j, void *memory, size_t n_log) {
    j->head = memory;
    j->log = (char *)memory + JOURNAL_HEAD_BYTES;
    j->large[0] = j->log + n_log;
    j->large[1] = j->large[0] + JOURNAL_LARGE_BYTES;
}

/* Return: false when there is no room for the large part */
static bool take_checkpoint(struct journal *j, const struct session *s, const uint64_t *n_sent);

int journal_init(struct journal *j, void *memory, size_t n_log, const struct journal_info *info,
                 const struct session *s) {
    static const uint64_t none[2];

    assert(n_log >= JOURNAL_MIN_LOG_BYTES && n_log % JOURNAL_HEAD_BYTES == 0); /* the caller's */
    find_parts(j, memory, n_log);
    j->head->format = JOURNAL_FORMAT;
    j->head->n_info = sizeof(*info);
    strncpy(j->head->version, PACKAGE_VERSION, sizeof(j->head->version) - 1);
    j->head->n_log_room = n_log;
    j->head->info = *info;
    j->large_version = UINT64_MAX; /* none */
    if (!take_checkpoint(j, s, none))
        return -ENOMEM;
    in_order();
    memcpy(j->head->magic, JOURNAL_MAGIC, sizeof(j->head->magic));
    return 0;
}

static bool head_is_valid(const struct journal_head *h, size_t n_memory) {
    if (memcmp(h->magic, JOURNAL_MAGIC, sizeof(h->magic)) != 0 || h->format != JOURNAL_FORMAT ||
        h->n_info != sizeof(h->info))
        return false;
    if (h->n_log_room > n_memory || journal_n_bytes(h->n_log_room) != n_memory || h->bank > 1 ||
        h->n_rides > UINT64_MAX - JOURNAL_MAX_FDS)
        return false;
    if (!memchr(h->info.connect_path, '\0', sizeof(h->info.connect_path)))
        return false;
    return h->banks[h->bank].n_log <= h->n_log_room &&
           h->banks[h->bank].n_large <= JOURNAL_LARGE_BYTES && h->banks[h->bank].large <= 1;
}

static bool entry_is_valid(const struct journal *j, size_t at) {
    size_t n_left = bank(j)->n_log - at;
    const struct entry *e = entry_at(j, at);

    return n_left >= sizeof(*e) && e->n <= n_left - sizeof(*e) && entry_size(e->n) <= n_left &&
           e->fds_at <= e->n && e->kind <= JOURNAL_TICK && e->side <= SIDE_SERVER &&
           e->n_fds <= JOURNAL_MAX_FDS && e->ride <= j->head->n_rides;
}

static bool log_is_valid(const struct journal *j) {
    for (size_t at = 0; at < bank(j)->n_log; at += entry_size(entry_at(j, at)->n))
        if (!entry_is_valid(j, at))
            return false;
    return true;
}

/* one that was begun had room, and it was known whom it was read from */
static bool feed_is_valid(const struct journal *j) {
    const struct entry *e;
    enum side from;

    if (!journal_is_feeding(j, &from))
        return true;
    if (room(j) < entry_size(JOURNAL_MIN_FEED_BYTES))
        return false;
    e = entry_at(j, j->head->feeding_at);
    return e->kind == JOURNAL_FEED && e->side <= SIDE_SERVER;
}

/* the last entry may count, and its fds not yet */
static void count_rides(struct journal *j) {
    for (size_t at = 0; at < bank(j)->n_log; at += entry_size(entry_at(j, at)->n)) {
        const struct entry *e = entry_at(j, at);

        if (e->ride + e->n_fds > j->head->n_rides)
            j->head->n_rides = e->ride + e->n_fds;
    }
}

int journal_open(struct journal *j, void *memory, size_t n_memory) {
    const struct journal_head *h = memory;

    if (n_memory < journal_n_bytes(JOURNAL_MIN_LOG_BYTES) || !head_is_valid(h, n_memory))
        return JOURNAL_E_INVALID;
    find_parts(j, memory, h->n_log_room);
    j->large_version = UINT64_MAX;
    if (!log_is_valid(j) || !feed_is_valid(j))
        return JOURNAL_E_INVALID;
    count_rides(j);
    return bank(j)->is_lapsed ? JOURNAL_E_LAPSED : 0;
}

/* --- what a session is told ------------------------------------------------------------------------- */

/* Return: NULL when there is no room for it and @n bytes */
static struct entry *entry_begin(struct journal *j, enum journal_kind kind, enum side side,
                                 struct session_time time, size_t n) {
    struct entry *e;

    if (bank(j)->is_lapsed)
        return NULL;
    if (room(j) < entry_size(n)) {
        bank(j)->is_lapsed = 1;
        in_order();
        return NULL;
    }
    e = entry_at(j, bank(j)->n_log);
    *e = (struct entry){.kind = kind, .side = side, .now_ms = time.now_ms, .wall_us = time.wall_us};
    return e;
}

size_t journal_feed_room(const struct journal *j) {
    return (room(j) - sizeof(struct entry)) / ENTRY_ALIGN * ENTRY_ALIGN;
}

bool journal_begin_feed(struct journal *j, enum side from, struct session_time time,
                        char **ret_text, size_t *ret_n) {
    struct entry *e = entry_begin(j, JOURNAL_FEED, from, time, JOURNAL_MIN_FEED_BYTES);

    if (!e)
        return false;
    j->head->feeding_at = bank(j)->n_log;
    in_order();
    j->head->is_feeding = 1;
    *ret_text = (char *)(e + 1);
    *ret_n = journal_feed_room(j);
    return true;
}

/* from here on it counts */
static void entry_end(struct journal *j, size_t at, size_t n) {
    j->last_at = at;
    in_order();
    bank(j)->n_log = at + entry_size(n);
    in_order();
}

uint64_t journal_next_ride(const struct journal *j) {
    return j->head->n_rides;
}

void journal_end_feed(struct journal *j, size_t n, size_t n_fds, size_t fds_at) {
    size_t at = j->head->feeding_at;
    struct entry *e = entry_at(j, at);

    assert(n_fds <= JOURNAL_MAX_FDS);            /* the kernel's limit */
    assert(n == 0 || n <= journal_feed_room(j)); /* nobody reads more than there is room for */
    if (n > 0) {
        e->n = n;
        e->ride = j->head->n_rides;
        e->n_fds = n_fds;
        e->fds_at = fds_at;
        entry_end(j, at, n);
        j->head->n_rides = e->ride + n_fds;
    }
    j->head->is_feeding = 0;
    in_order();
}

bool journal_is_feeding(const struct journal *j, enum side *ret_from) {
    /* the end may have come between the two steps of journal_end_feed() */
    if (!j->head->is_feeding || j->head->feeding_at != bank(j)->n_log)
        return false;
    *ret_from = entry_at(j, j->head->feeding_at)->side == SIDE_CLIENT ? SIDE_CLIENT : SIDE_SERVER;
    return true;
}

bool journal_add(struct journal *j, enum journal_kind kind, enum side side,
                 struct session_time time) {
    if (!entry_begin(j, kind, side, time, 0))
        return false;
    entry_end(j, bank(j)->n_log, 0);
    return true;
}

/* --- what it made of it -------------------------------------------------------------------------- */

static size_t n_waiting(const struct session *s, enum side to) {
    return session_out((struct session *)s, to)->n_bytes;
}

void journal_done(struct journal *j, const struct session *s, const uint64_t *n_sent) {
    const struct journal_bank *b = bank(j);
    struct entry *e;

    if (b->is_lapsed || b->n_log == 0)
        return;
    e = entry_at(j, j->last_at);
    for (size_t to = 0; to < 2; to++)
        e->n_out[to] = n_sent[to] - b->n_before[to] + n_waiting(s, (enum side)to);
    in_order();
    e->is_done = 1;
}

/* --- rest ------------------------------------------------------------------------------------------- */

static bool put_large(struct journal *j, const struct session *s, uint32_t place, uint64_t *ret_n) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    if (checkpoint_take_large(s, &b) < 0 || b.n > JOURNAL_LARGE_BYTES)
        return false;
    memcpy(j->large[place], b.data, b.n);
    *ret_n = b.n;
    return true;
}

static bool take_checkpoint(struct journal *j, const struct session *s, const uint64_t *n_sent) {
    struct journal_bank *now = bank(j), *next = &j->head->banks[!j->head->bank];
    uint64_t version = checkpoint_large_version(s);

    next->n_log = 0;
    next->is_lapsed = 0;
    memcpy(next->n_before, n_sent, sizeof(next->n_before));
    next->large = now->large;
    next->n_large = now->n_large;
    if (version != j->large_version) {
        next->large = !now->large;
        if (!put_large(j, s, next->large, &next->n_large))
            return false;
    }
    checkpoint_take(s, &next->checkpoint);
    in_order();
    j->head->bank = !j->head->bank;
    in_order();
    j->large_version = version;
    return true;
}

bool journal_rest(struct journal *j, const struct session *s, const uint64_t *n_sent) {
    if (bank(j)->n_log == 0 && !bank(j)->is_lapsed)
        return false;
    return checkpoint_is_due(s) && take_checkpoint(j, s, n_sent);
}

bool journal_is_lapsed(const struct journal *j) {
    return bank(j)->is_lapsed;
}

size_t journal_n_log(const struct journal *j) {
    return bank(j)->n_log;
}

/* --- going on --------------------------------------------------------------------------------------- */

/* as it came: what stands before the fds by itself */
static int feed(struct session *s, const struct entry *e, struct fds *fds,
                struct session_time time) {
    const char *text = (const char *)(e + 1);
    enum side from = (enum side)e->side;
    int r = 0;

    if (e->fds_at > 0)
        r = session_feed(s, from, text, e->fds_at, NULL, time);
    if (r < 0) {
        fds_deinit(fds);
        return r;
    }
    return session_feed(s, from, text + e->fds_at, e->n - e->fds_at, fds, time);
}

/* tell @s again what the entry says it was told */
static int tell(struct session *s, const struct entry *e, journal_fds_fn get_fds, void *userdata) {
    struct session_time time = {.now_ms = e->now_ms, .wall_us = e->wall_us};
    struct fds fds = FDS_INIT;
    int r = 0;

    switch (e->kind) {
    case JOURNAL_END:
        return session_end(s, (enum side)e->side, time);
    case JOURNAL_TICK:
        return session_tick(s, time);
    default:
        if (e->n_fds > 0 && get_fds)
            r = get_fds(userdata, e->ride, e->n_fds, &fds);
        if (r == 0)
            return feed(s, e, &fds, time);
        fds_deinit(&fds);
        return r;
    }
}

/* did it do what it did then? */
static bool is_as_before(const struct session *s, const struct entry *e) {
    return !e->is_done || (n_waiting(s, SIDE_CLIENT) == e->n_out[SIDE_CLIENT] &&
                           n_waiting(s, SIDE_SERVER) == e->n_out[SIDE_SERVER]);
}

static int tell_all(struct journal *j, struct session *s, journal_fds_fn get_fds, void *userdata) {
    int r;

    for (size_t at = 0; at < bank(j)->n_log; at += entry_size(entry_at(j, at)->n)) {
        const struct entry *e = entry_at(j, at);

        j->last_at = at;
        r = tell(s, e, get_fds, userdata);
        if (r < 0)
            return r;
        if (!is_as_before(s, e))
            return JOURNAL_E_DIFFERS;
    }
    return 0;
}

/* what was sent already is not sent again */
static int drop_sent(const struct journal *j, struct session *s, const uint64_t *n_sent) {
    for (size_t to = 0; to < 2; to++) {
        struct out *out = session_out(s, (enum side)to);
        uint64_t n = n_sent[to] - bank(j)->n_before[to];
        int r;

        if (n_sent[to] < bank(j)->n_before[to] || n > out->n_bytes)
            return JOURNAL_E_DIFFERS;
        out_sent(out, n);
        r = out_settle(out); /* the log is written anew one day */
        if (r < 0)
            return r;
    }
    return 0;
}

int journal_resume(struct journal *j, struct session *s, const uint64_t *n_sent,
                   journal_fds_fn get_fds, void *userdata) {
    const struct journal_bank *b = bank(j);
    int r;

    r = checkpoint_restore(s, &b->checkpoint, j->large[b->large], b->n_large);
    if (r)
        return r < 0 ? r : JOURNAL_E_INVALID;
    j->large_version = checkpoint_large_version(s);
    r = tell_all(j, s, get_fds, userdata);
    return r ? r : drop_sent(j, s, n_sent);
}
