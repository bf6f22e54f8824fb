#include "io/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

_Static_assert(sizeof(struct conn_witness) <= JOURNAL_WITNESS_BYTES, "a witness has room");
_Static_assert((int)CONN_MAX_FDS <= (int)JOURNAL_MAX_FDS, "what one read brings can be noted");

/* an fd that came with a message, in the store */
struct keep_ride {
    uint64_t number;
    int fd; /* of an earlier process; -1: not here */
};

struct keep {
    struct fdstore *store;
    struct fdstore_book *book;
    uint64_t id;
    int fd; /* the file that the journal is in */
    void *memory;
    size_t n_memory;
    struct journal journal;
    bool is_expecting; /* the read that was begun is kept */
    bool is_lapse_told;
    size_t n_touched; /* bytes of the log that have memory; 0: no more than they may */
    size_t n_small;   /* so often in a row it did not need them */
    struct keep_ride *rides;
    size_t n_rides;
};

/* ---- life ---- */

static struct keep *keep_alloc(struct fdstore *store, uint64_t id) {
    struct keep *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->store = store;
    k->id = id;
    k->fd = -1;
    return k;
}

static struct keep *keep_free(struct keep *k) {
    for (size_t i = 0; i < k->n_rides; i++)
        if (k->rides[i].fd >= 0)
            close(k->rides[i].fd);
    if (k->memory)
        munmap(k->memory, k->n_memory);
    if (k->fd >= 0)
        close(k->fd);
    free(k->rides);
    free(k);
    return NULL;
}

struct keep *keep_leave(struct keep *k) {
    return keep_free(k);
}

static void keep_remove_rides(struct keep *k) {
    for (size_t i = 0; i < k->n_rides; i++) {
        fdstore_remove(k->store, "ride-%" PRIu64 "-%" PRIu64, k->id, k->rides[i].number);
        if (k->rides[i].fd >= 0)
            close(k->rides[i].fd);
    }
    k->n_rides = 0;
}

static void keep_remove(struct fdstore *store, uint64_t id) {
    fdstore_remove(store, "client-%" PRIu64, id);
    fdstore_remove(store, "server-%" PRIu64, id);
    fdstore_remove(store, "journal-%" PRIu64, id);
}

struct keep *keep_end(struct keep *k) {
    keep_remove_rides(k);
    keep_remove(k->store, k->id);
    fdstore_release(k->store, k->book);
    return keep_free(k);
}

/* ---- the journal's file ---- */

static int keep_map(struct keep *k, size_t n) {
    void *memory = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);

    if (memory == MAP_FAILED)
        return -errno;
    k->memory = memory;
    k->n_memory = n;
    return 0;
}

/* it has holes: memory is used for what is written only */
static int keep_make_file(struct keep *k) {
    size_t n = journal_n_bytes(KEEP_LOG_BYTES);

    k->fd = memfd_create("qmp-shim-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (k->fd < 0 || ftruncate(k->fd, (off_t)n) < 0)
        return -errno;
    fcntl(k->fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
    return keep_map(k, n);
}

static int keep_begin(struct keep *k, const char *connect_path, const struct limits *limits,
                      const struct session *s) {
    struct journal_info info = {.session = k->id, .program = k->book ? k->book->hash : 0};
    int r;

    if (strlen(connect_path) >= sizeof(info.connect_path))
        return -ENAMETOOLONG;
    snprintf(info.connect_path, sizeof(info.connect_path), "%s", connect_path);
    journal_put_limits(&info, limits);
    r = keep_make_file(k);
    return r < 0 ? r : journal_init(&k->journal, k->memory, KEEP_LOG_BYTES, &info, s);
}

int keep_new(struct fdstore *store, uint64_t id, const char *connect_path,
             const struct limits *limits, int client_fd, struct program *program,
             const struct session *s, struct keep **ret_keep) {
    struct keep *k = keep_alloc(store, id);
    int r;

    if (!k)
        return -ENOMEM;
    r = fdstore_put_program(store, program, &k->book);
    if (r == 0)
        r = keep_begin(k, connect_path, limits, s);
    if (r == 0 && (!fdstore_put(store, k->fd, "journal-%" PRIu64, id) ||
                   !fdstore_put(store, client_fd, "client-%" PRIu64, id)))
        r = -ENOSPC;
    if (r < 0) {
        keep_end(k);
        return r;
    }
    *ret_keep = k;
    return 0;
}

struct conn_witness *keep_witness(struct keep *k, enum side side) {
    return (struct conn_witness *)(void *)k->journal.head->witness[side];
}

void keep_connected(struct keep *k, int server_fd) {
    if (!fdstore_put(k->store, server_fd, "server-%" PRIu64, k->id))
        log_write(k->store->log, LOG_LEVEL_WARNING, "no room in the fd store",
                  LOG_NUMBER("session", k->id));
}

/* ---- what the session is told ---- */

static void keep_tell_lapse(struct keep *k) {
    if (!k->is_lapse_told)
        log_write(k->store->log, LOG_LEVEL_WARNING,
                  "too much is under way: until it is not, the session ends with this process",
                  LOG_NUMBER("session", k->id), LOG_NUMBER("bytes", KEEP_LOG_BYTES));
    k->is_lapse_told = true;
}

bool keep_expect(struct keep *k, enum side from, struct session_time time, char **ret_text,
                 size_t *ret_n) {
    conn_witness_expect(keep_witness(k, from));
    k->is_expecting = journal_begin_feed(&k->journal, from, time, ret_text, ret_n);
    if (!k->is_expecting)
        keep_tell_lapse(k);
    return k->is_expecting;
}

static bool keep_add_ride(struct keep *k, uint64_t number, int fd) {
    struct keep_ride *more = reallocarray(k->rides, k->n_rides + 1, sizeof(*more));

    if (!more)
        return false;
    k->rides = more;
    k->rides[k->n_rides++] = (struct keep_ride){.number = number, .fd = fd};
    return true;
}

static void keep_store_fds(struct keep *k, const struct fds *fds) {
    uint64_t number = journal_next_ride(&k->journal);

    for (size_t i = 0; i < fds->n; i++) {
        if (!fdstore_put(k->store, fds->fd[i], "ride-%" PRIu64 "-%" PRIu64, k->id, number + i))
            log_write(k->store->log, LOG_LEVEL_WARNING, "no room in the fd store",
                      LOG_NUMBER("session", k->id));
        else if (!keep_add_ride(k, number + i, -1))
            fdstore_remove(k->store, "ride-%" PRIu64 "-%" PRIu64, k->id, number + i);
    }
}

void keep_received(struct keep *k, const struct conn_chunk *chunk) {
    if (!k->is_expecting)
        return;
    k->is_expecting = false;
    if (!chunk) {
        journal_end_feed(&k->journal, 0, 0, 0);
        return;
    }
    keep_store_fds(k, &chunk->fds);
    journal_end_feed(&k->journal, chunk->n, chunk->fds.n, chunk->fds_at);
}

void keep_event(struct keep *k, enum journal_kind kind, enum side side, struct session_time time) {
    if (!journal_add(&k->journal, kind, side, time))
        keep_tell_lapse(k);
}

struct keep_sent {
    uint64_t n[2];
};

static struct keep_sent keep_n_sent(struct keep *k) {
    return (struct keep_sent){{conn_witness_n_sent(keep_witness(k, SIDE_CLIENT)),
                               conn_witness_n_sent(keep_witness(k, SIDE_SERVER))}};
}

void keep_told(struct keep *k, const struct session *s) {
    struct keep_sent sent = keep_n_sent(k);

    journal_done(&k->journal, s, sent.n);
}

/* memory is given back, but not at once: to get it anew costs more than a message */
static void keep_trim(struct keep *k, size_t n) {
    if (n > KEEP_IDLE_BYTES) {
        k->n_touched = size_max(k->n_touched, n);
        k->n_small = 0;
        return;
    }
    if (k->n_touched == 0 || ++k->n_small < KEEP_PATIENCE)
        return;
    fallocate(k->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              JOURNAL_HEAD_BYTES + KEEP_IDLE_BYTES, (off_t)(k->n_touched - KEEP_IDLE_BYTES));
    k->n_touched = 0;
}

void keep_rest(struct keep *k, const struct session *s) {
    size_t n = journal_n_log(&k->journal);
    struct keep_sent sent = keep_n_sent(k);

    if (!journal_rest(&k->journal, s, sent.n))
        return;
    k->is_lapse_told = false;
    if (k->n_rides > 0)
        keep_remove_rides(k);
    keep_trim(k, n);
}

/* ---- what an earlier process has left ---- */

static int keep_lose(const struct fdstore *store, uint64_t id, const char *reason) {
    log_write(store->log, LOG_LEVEL_ERROR, "session of an earlier process cannot go on",
              LOG_NUMBER("session", id), LOG_STRING("reason", reason));
    return KEEP_E_LOST;
}

static int keep_take(struct fdstore *store, struct activation *a, const char *kind, uint64_t id) {
    char name[FDSTORE_MAX_NAME_BYTES];
    int fd;

    snprintf(name, sizeof(name), "%s-%" PRIu64, kind, id);
    fd = activation_take_named(a, name);
    store->n_used += fd >= 0;
    return fd;
}

static int keep_adopt_rides(struct keep *k, struct activation *a) {
    char prefix[FDSTORE_MAX_NAME_BYTES];
    const char *name;
    int fd;

    snprintf(prefix, sizeof(prefix), "ride-%" PRIu64 "-", k->id);
    while ((fd = activation_take_fd(a, prefix, &name)) >= 0) {
        k->store->n_used++;
        if (!keep_add_ride(k, strtoull(name + strlen(prefix), NULL, 10), fd)) {
            close(fd);
            return -ENOMEM;
        }
    }
    return 0;
}

static int keep_open(struct keep *k) {
    struct stat st;

    if (fstat(k->fd, &st) < 0 || st.st_size < (off_t)journal_n_bytes(JOURNAL_MIN_LOG_BYTES) ||
        keep_map(k, (size_t)st.st_size) < 0)
        return keep_lose(k->store, k->id, "its journal cannot be read");
    switch (journal_open(&k->journal, k->memory, k->n_memory)) {
    case 0:
        return 0;
    case JOURNAL_E_LAPSED:
        return keep_lose(k->store, k->id, "more was under way than its journal could hold");
    default:
        return keep_lose(k->store, k->id, "its journal is none that this version can read");
    }
}

static int keep_find_program(struct keep *k) {
    uint64_t hash = k->journal.head->info.program;

    if (hash == 0)
        return 0;
    k->book = fdstore_find_program(k->store, hash);
    return k->book ? 0 : keep_lose(k->store, k->id, "its rules are not there");
}

static int keep_open_whole(struct keep *k, const struct keep_left *left) {
    int r;

    if (left->client_fd < 0)
        return keep_lose(k->store, k->id, "the client's connection is not there");
    r = keep_open(k);
    return r == 0 ? keep_find_program(k) : r;
}

static int keep_give_up(struct keep *k, const struct keep_left *left) {
    const int fds[] = {left->client_fd, left->server_fd};

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (fds[i] < 0)
            continue;
        shutdown(fds[i], SHUT_RDWR);
        close(fds[i]);
    }
    keep_end(k);
    return KEEP_E_LOST;
}

/* Return: 0 if the name is none of ours */
static uint64_t keep_read_id(const char *name) {
    uint64_t id = strtoull(name + strlen("journal-"), NULL, 10);
    char again[FDSTORE_MAX_NAME_BYTES];

    snprintf(again, sizeof(again), "journal-%" PRIu64, id);
    return strcmp(name, again) == 0 ? id : 0;
}

int keep_adopt(struct fdstore *store, struct activation *a, struct keep_left *ret_left) {
    struct keep_left left = {.client_fd = -1, .server_fd = -1};
    const char *name;
    int fd = activation_take_fd(a, "journal-", &name);
    int r;

    if (fd < 0)
        return KEEP_E_NONE;
    store->n_used++;
    left.id = keep_read_id(name);
    left.keep = left.id ? keep_alloc(store, left.id) : NULL;
    if (!left.keep) {
        fdstore_remove(store, "%s", name);
        close(fd);
        return keep_lose(store, left.id, "no memory, or a strange name");
    }
    left.keep->fd = fd;
    left.client_fd = keep_take(store, a, "client", left.id);
    left.server_fd = keep_take(store, a, "server", left.id);
    r = keep_adopt_rides(left.keep, a);
    if (r == 0)
        r = keep_open_whole(left.keep, &left);
    if (r)
        return keep_give_up(left.keep, &left);
    left.program = left.keep->book ? left.keep->book->program : NULL;
    left.connect_path = left.keep->journal.head->info.connect_path;
    left.limits = journal_limits(&left.keep->journal.head->info);
    *ret_left = left;
    return 0;
}

/* it ended in the midst of a read; the kernel has written how much that was */
static void keep_settle_read(struct keep *k) {
    uint64_t next = journal_next_ride(&k->journal);
    bool has_fds = false;
    size_t n, n_fds = 0;
    enum side from;

    if (!journal_is_feeding(&k->journal, &from))
        return;
    n = size_min(conn_witness_read(keep_witness(k, from), &has_fds),
                 journal_feed_room(&k->journal)); /* more than that the kernel never wrote */
    for (size_t i = 0; i < k->n_rides; i++)
        n_fds += k->rides[i].number >= next;
    if (n > 0 && has_fds && n_fds == 0)
        log_write(k->store->log, LOG_LEVEL_WARNING, "file descriptors were lost",
                  LOG_NUMBER("session", k->id),
                  LOG_STRING("reason", "an earlier process ended while it read them"));
    /* QEMU does not mind fds that come too early */
    journal_end_feed(&k->journal, n, size_min(n_fds, JOURNAL_MAX_FDS), 0);
}

static int keep_get_ride(struct keep *k, uint64_t number, struct fds *fds) {
    for (size_t i = 0; i < k->n_rides; i++) {
        int fd = k->rides[i].fd;

        if (k->rides[i].number != number || fd < 0)
            continue;
        k->rides[i].fd = -1;
        return fds_push_take(fds, fd);
    }
    log_write(k->store->log, LOG_LEVEL_WARNING, "file descriptors were lost",
              LOG_NUMBER("session", k->id), LOG_STRING("reason", "they are not in the fd store"));
    return 0;
}

static int keep_get_fds(void *userdata, uint64_t ride, size_t n, struct fds *ret) {
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = keep_get_ride(userdata, ride + i, ret);
    return r;
}

int keep_resume(struct keep *k, bool has_server, struct session *s) {
    struct keep_sent sent = keep_n_sent(k);
    int r;

    keep_settle_read(k);
    for (size_t side = 0; side < 2; side++)
        conn_witness_settle(keep_witness(k, (enum side)side));
    k->n_touched = KEEP_LOG_BYTES; /* who knows */
    r = journal_resume(&k->journal, s, sent.n, keep_get_fds, k);
    switch (r) {
    case 0:
        /* another connection to the server would begin anew, in the midst of this one */
        if (!has_server && session_stats(s)->n_bytes[SIDE_SERVER] + sent.n[SIDE_SERVER] > 0)
            return keep_lose(k->store, k->id, "the server's connection is not there");
        return 0;
    case JOURNAL_E_INVALID:
        return keep_lose(k->store, k->id, "its journal is not one of these rules");
    case JOURNAL_E_DIFFERS:
        return keep_lose(k->store, k->id, "this version does not do with it what that one did");
    default:
        return r;
    }
}

void keep_tidy(struct fdstore *store, struct activation *a) {
    static const char *const prefixes[] = {"client-", "server-", "ride-"};
    const char *name;
    int fd;

    fdstore_tidy(store);
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        while ((fd = activation_take_fd(a, prefixes[i], &name)) >= 0) {
            store->n_used++;
            fdstore_remove(store, "%s", name);
            close(fd);
        }
}
