/*
 * Trace files: whatever the text, a line is a record or is refused; a record
 * that is written and read again is the same; and what the program does with
 * records (replay through rules, to a case file, to a peer) ends, whatever they say.
 *
 * The first byte says what is done with them, the second one chooses the rules.
 */

#include <string.h>

#include "fuzz.h"
#include "proxy/casewriter.h"
#include "proxy/record.h"
#include "proxy/rehearsal.h"
#include "proxy/rerun.h"
#include "session-rules.h"

/* what reads them; NULL: not this time */
struct readers {
    struct rerun *rerun;
    struct casewriter *writer;
    struct rehearsal *rehearsal;
    uint64_t session; /* the first one that begins; 0: none did */
    size_t n_told;
    uint8_t how;
};

/* --- the same again ---------------------------------------------------------------------------------- */

static void check_text(const char *a, size_t n_a, const char *b, size_t n_b) {
    FUZZ_CHECK((a == NULL) == (b == NULL));
    if (a)
        FUZZ_CHECK(n_a == n_b && memcmp(a, b, n_a) == 0);
}

static void check_string(const char *a, const char *b) {
    check_text(a, a ? strlen(a) : 0, b, b ? strlen(b) : 0);
}

static void check_again(const struct record *r) {
    struct buffer line = BUFFER_INIT;
    struct arena arena = ARENA_INIT;
    struct record again;

    FUZZ_CHECK(record_write(r, &(struct record_head){0}, &line) == 0);
    FUZZ_CHECK(line.n > 0 && line.data[line.n - 1] == '\n');
    FUZZ_CHECK(record_read(&arena, line.data, line.n - 1, &again) == 0);
    FUZZ_CHECK(again.kind == r->kind && again.session == r->session);
    FUZZ_CHECK(again.is_part == r->is_part && again.is_blanked == r->is_blanked);
    check_text(r->text, r->n_text, again.text, again.n_text);
    check_text(r->to_text, r->n_to_text, again.to_text, again.n_to_text);
    check_string(r->rule, again.rule);
    check_string(r->note, again.note);
    check_string(r->fds, again.fds);
    arena_deinit(&arena);
    buffer_deinit(&line);
}

/* --- who reads them -------------------------------------------------------------------------------------- */

static void differs(void *userdata, const struct rerun_difference *d) {
    struct readers *readers = userdata;

    FUZZ_CHECK(d->then || d->now);
    readers->n_told++;
}

static void comes_otherwise(void *userdata, const struct rehearsal_difference *d) {
    struct readers *readers = userdata;

    FUZZ_CHECK(d->then || d->now);
    readers->n_told++;
}

/* the peer says what was recorded, in pieces that are whole messages; or it says nothing */
static void rehearse(struct readers *readers, const struct record *r) {
    struct buffer b = BUFFER_INIT;
    size_t n_fds;
    int x;

    FUZZ_CHECK(rehearsal_add(readers->rehearsal, r) == 0);
    do {
        x = rehearsal_next(readers->rehearsal, &b, &n_fds);
        if (x == REHEARSAL_E_WAIT && readers->how & 16)
            rehearsal_give_up(readers->rehearsal);
    } while (x == 0);
    FUZZ_CHECK(x > 0);
    if (r->kind == RECORD_CAME && r->text && !(readers->how & 32))
        FUZZ_CHECK(rehearsal_hear(readers->rehearsal, r->text, r->n_text, &b) == 0);
    buffer_deinit(&b);
}

static void begin_session(struct readers *readers, const struct record *r) {
    readers->session = r->session;
    if (readers->writer)
        casewriter_init(readers->writer, r->ms);
    if (readers->how & 4)
        FUZZ_CHECK(rehearsal_new(readers->how & 8 ? SIDE_CLIENT : SIDE_SERVER, readers->how & 64,
                                 r->ms, comes_otherwise, readers, &readers->rehearsal) == 0);
}

static void add(struct readers *readers, const struct record *r) {
    if (readers->rerun)
        FUZZ_CHECK(rerun_add(readers->rerun, r) == 0);
    if (readers->session == 0) {
        if (r->kind == RECORD_OPENED && r->session > 0)
            begin_session(readers, r);
        return;
    }
    if (r->session != readers->session)
        return;
    if (readers->writer) {
        FUZZ_CHECK(casewriter_add(readers->writer, r) == 0);
        buffer_clear(&readers->writer->text);
    }
    if (readers->rehearsal)
        rehearse(readers, r);
}

/* --- lines --------------------------------------------------------------------------------------------------- */

/* Return: is it a record? */
static bool take_line(struct readers *readers, const char *line, size_t n) {
    struct arena arena = ARENA_INIT;
    struct record r, sent;
    int x = record_read(&arena, line, n, &r);

    FUZZ_CHECK(x == 0 || x == RECORD_E_INVALID || x == RECORD_E_VERSION);
    if (x == 0) {
        check_again(&r);
        x = record_split(&r, &sent) ? 1 : 0;
        add(readers, &r);
        if (x)
            add(readers, &sent);
        x = 0;
    }
    arena_deinit(&arena);
    return x == 0;
}

static void end(struct readers *readers) {
    if (readers->rerun) {
        FUZZ_CHECK(rerun_finish(readers->rerun) == 0);
        FUZZ_CHECK(rerun_counts(readers->rerun).n_differences <= readers->n_told);
        rerun_free(readers->rerun);
    }
    if (readers->writer && readers->session)
        casewriter_deinit(readers->writer);
    rehearsal_free(readers->rehearsal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct casewriter writer;
    struct readers readers = {.how = n > 0 ? data[0] : 0};
    size_t end_at;

    if (n < 2)
        return 0;
    readers.writer = readers.how & 2 ? &writer : NULL;
    if (readers.how & 1)
        FUZZ_CHECK(rerun_new(session_rules_get(data[1])->program, 0, differs, &readers,
                             &readers.rerun) == 0);
    for (size_t at = 2; at < n; at = end_at + 1) {
        const uint8_t *newline = memchr(data + at, '\n', n - at);

        if (!newline)
            break;
        end_at = (size_t)(newline - data);
        if (!take_line(&readers, (const char *)data + at, end_at - at))
            break;
    }
    end(&readers);
    return 0;
}
