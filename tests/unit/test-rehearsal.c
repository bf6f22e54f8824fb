/*
 * proxy/rehearsal: one side of a recorded session, played to a peer that is
 * alive; proxy/alignment: what was sent beside what is sent.
 */
#include "proxy/rehearsal.h"

#include <stdio.h>
#include <string.h>

#include "proxy/alignment.h"
#include "proxy/session.h"
#include "test.h"

/* what was told, a line for each */
static void tell(void *userdata, const struct rehearsal_difference *d) {
    buffer_printf(userdata, "[%s|%s|%s]", d->then ? d->then : "", d->now ? d->now : "", d->where);
}

struct scene {
    struct rehearsal *r;
    struct buffer told, said, answer;
    size_t n_fds;
};

static void scene_init(struct scene *s, int played) {
    *s = (struct scene){.told = BUFFER_INIT};
    cr_assert(eq(int, rehearsal_new(played, false, 0, tell, &s->told, &s->r), 0));
}

static void scene_deinit(struct scene *s) {
    rehearsal_free(s->r);
    buffer_deinit(&s->told);
    buffer_deinit(&s->said);
    buffer_deinit(&s->answer);
}

static void add(struct scene *s, int kind, int side, const char *text) {
    struct record r = {.kind = kind, .side = side, .text = text, .n_text = strlen(text)};

    cr_assert(eq(int, rehearsal_add(s->r, &r), 0));
}

static void is_text(const struct buffer *b, const char *wanted) {
    cr_assert(b->n == strlen(wanted) && memcmp(b->data ? b->data : "", wanted, b->n) == 0,
              "got %.*s, want %s", (int)b->n, b->data ? b->data : "", wanted);
}

/* what is said next; "": something must come first */
static void says(struct scene *s, const char *wanted) {
    int r;

    buffer_clear(&s->said);
    r = rehearsal_next(s->r, &s->said, &s->n_fds);
    cr_assert(eq(int, r, *wanted ? 0 : REHEARSAL_E_WAIT));
    is_text(&s->said, wanted);
}

static void hears(struct scene *s, const char *text) {
    buffer_clear(&s->answer);
    cr_assert(eq(int, rehearsal_hear(s->r, text, strlen(text), &s->answer), 0));
}

#define CAME RECORD_CAME
#define SENT RECORD_OF(TRACE_SENT)

TEST(rehearsal, a_line_end_recorded_with_its_message_is_not_said_twice) {
    struct scene s;

    scene_init(&s, SIDE_SERVER);
    add(&s, RECORD_CAME, SIDE_SERVER, "\r\n{\"event\": \"STOP\"}\r\n");
    add(&s, RECORD_OF(TRACE_SENT), SIDE_SERVER, "{\"execute\": \"stop\", \"id\": 1}\r\n");
    add(&s, RECORD_CAME, SIDE_SERVER, "{\"return\": {}, \"id\": 1}\r\n");
    says(&s, "{\"event\": \"STOP\"}\r\n");
    says(&s, "");
    hears(&s, "{\"execute\": \"stop\", \"id\": \"a\"}");
    says(&s, "{\"return\": {}, \"id\": \"a\"}\r\n");
    scene_deinit(&s);
}

TEST(rehearsal, a_reply_waits_for_its_command_and_gets_the_live_id) {
    struct scene s;

    scene_init(&s, SIDE_SERVER);
    add(&s, SENT, SIDE_SERVER, "{\"execute\": \"a\", \"id\": 1}");
    add(&s, CAME, SIDE_SERVER, "\r\n{\"return\": {}, \"id\": 1}");
    says(&s, "");
    hears(&s, "{\"execute\": \"a\", \"id\": \"live\"}");
    says(&s, "{\"return\": {}, \"id\": \"live\"}\r\n");
    cr_assert(eq(int, rehearsal_next(s.r, &s.said, &s.n_fds), REHEARSAL_E_OVER));
    cr_assert(eq(sz, rehearsal_n_same(s.r), 1));
    is_text(&s.told, "");
    scene_deinit(&s);
}

TEST(rehearsal, another_argument_is_told_with_its_place_and_answered_as_recorded) {
    struct scene s;

    scene_init(&s, SIDE_SERVER);
    add(&s, SENT, SIDE_SERVER, "{\"execute\": \"a\", \"arguments\": {\"x\": 1}}");
    add(&s, CAME, SIDE_SERVER, "{\"return\": 1}");
    hears(&s, "{\"execute\": \"a\", \"arguments\": {\"x\": 2}}");
    is_text(&s.told, "[{\"execute\": \"a\", \"arguments\": {\"x\": 1}}|{\"execute\": \"a\", "
                     "\"arguments\": {\"x\": 2}}|arguments.x]");
    says(&s, "{\"return\": 1}\r\n");
    scene_deinit(&s);
}

TEST(rehearsal, a_command_that_is_not_in_the_trace_gets_an_error_at_once) {
    struct scene s;

    scene_init(&s, SIDE_SERVER);
    add(&s, SENT, SIDE_SERVER, "{\"execute\": \"a\"}");
    hears(&s, "{\"execute\": \"b\", \"id\": 7}");
    cr_assert(s.answer.n > 0 && memmem(s.answer.data, s.answer.n, "\"id\": 7", 7));
    is_text(&s.told, "[|{\"execute\": \"b\", \"id\": 7}|]");
    says(&s, "");
    scene_deinit(&s);
}

TEST(rehearsal, what_does_not_come_is_told_and_its_reply_is_not_said) {
    struct scene s;

    scene_init(&s, SIDE_SERVER);
    add(&s, SENT, SIDE_SERVER, "{\"execute\": \"a\", \"id\": 1}");
    add(&s, CAME, SIDE_SERVER, "{\"return\": {}, \"id\": 1}");
    rehearsal_give_up(s.r);
    is_text(&s.told, "[{\"execute\": \"a\", \"id\": 1}||]");
    cr_assert(eq(int, rehearsal_next(s.r, &s.said, &s.n_fds), 0));
    is_text(&s.said, "");
    scene_deinit(&s);
}

TEST(rehearsal, a_client_waits_for_events_too_and_takes_them_in_any_order) {
    struct scene s;

    scene_init(&s, SIDE_CLIENT);
    add(&s, CAME, SIDE_CLIENT, "{\"execute\": \"a\"}");
    add(&s, SENT, SIDE_CLIENT, "{\"return\": {}}\r\n");
    add(&s, SENT, SIDE_CLIENT, "{\"event\": \"E\", \"timestamp\": {\"seconds\": 1}}");
    add(&s, CAME, SIDE_CLIENT, "{\"execute\": \"b\"}");
    says(&s, "{\"execute\": \"a\"}\r\n");
    hears(&s, "{\"event\": \"E\", \"timestamp\": {\"seconds\": 2}}");
    says(&s, "");
    hears(&s, "{\"return\": {}}");
    says(&s, "{\"execute\": \"b\"}\r\n");
    is_text(&s.told, "");
    scene_deinit(&s);
}

TEST(rehearsal, a_message_in_parts_is_one) {
    struct scene s;
    struct record part = {.kind = SENT, .side = SIDE_CLIENT, .is_part = true};

    scene_init(&s, SIDE_CLIENT);
    part.text = "{\"return\": [1, ";
    part.n_text = strlen(part.text);
    cr_assert(eq(int, rehearsal_add(s.r, &part), 0));
    add(&s, SENT, SIDE_CLIENT, "2]}");
    hears(&s, "{\"return\": [1, 2]}");
    is_text(&s.told, "");
    cr_assert(eq(sz, rehearsal_n_same(s.r), 1));
    scene_deinit(&s);
}

TEST(rehearsal, a_secret_that_was_taken_out_differs_from_none) {
    struct scene s;
    struct record r = {.kind = SENT,
                       .side = SIDE_SERVER,
                       .text = "{\"execute\": \"a\", \"arguments\": {\"p\": \"***\"}}",
                       .is_blanked = true};

    scene_init(&s, SIDE_SERVER);
    r.n_text = strlen(r.text);
    cr_assert(eq(int, rehearsal_add(s.r, &r), 0));
    hears(&s, "{\"execute\": \"a\", \"arguments\": {\"p\": \"secret\"}}");
    is_text(&s.told, "");
    scene_deinit(&s);
}

TEST(rehearsal, it_is_hungry_for_as_many_lines_as_its_limit) {
    struct scene s;

    scene_init(&s, SIDE_CLIENT);
    for (size_t i = 0; i + 1 < REHEARSAL_AHEAD; i++)
        add(&s, SENT, SIDE_CLIENT, "{\"return\": {}}");
    cr_assert(rehearsal_is_hungry(s.r));
    add(&s, SENT, SIDE_CLIENT, "{\"return\": {}}");
    cr_assert_not(rehearsal_is_hungry(s.r));
    scene_deinit(&s);
}

/* --- alignment -------------------------------------------------------------------------------------- */

static void tell_alignment(void *userdata, const char *then, const char *now, uint64_t ms) {
    (void)ms;
    buffer_printf(userdata, "[%s|%s]", then ? then : "", now ? now : "");
}

/* a letter is a message */
static void aligned(const char *then, const char *now, const char *wanted) {
    struct buffer told = BUFFER_INIT;
    struct alignment a;

    alignment_init(&a, tell_alignment, &told);
    for (; *then; then++)
        cr_assert(eq(int, alignment_add(&a, ALIGNMENT_THEN, (char[]){*then, 0}, 0), 0));
    for (; *now; now++)
        cr_assert(eq(int, alignment_add(&a, ALIGNMENT_NOW, (char[]){*now, 0}, 0), 0));
    alignment_settle(&a, true);
    is_text(&told, wanted);
    alignment_deinit(&a);
    buffer_deinit(&told);
}

TEST(alignment, what_is_in_one_only_is_told_where_it_stands) {
    aligned("abc", "abc", "");
    aligned("abc", "ac", "[b|]");
    aligned("ac", "abc", "[|b]");
    aligned("abc", "axc", "[b|x]");
    aligned("", "a", "[|a]");
    aligned("a", "", "[a|]");
}

TEST(alignment, nothing_is_told_before_the_two_are_too_far_apart) {
    struct buffer told = BUFFER_INIT;
    struct alignment a;

    alignment_init(&a, tell_alignment, &told);
    for (size_t i = 0; i + 1 < ALIGNMENT_MAX_APART; i++)
        cr_assert(eq(int, alignment_add(&a, ALIGNMENT_THEN, "a", 0), 0));
    alignment_settle(&a, false);
    is_text(&told, "");
    cr_assert(eq(int, alignment_add(&a, ALIGNMENT_THEN, "a", 0), 0));
    alignment_settle(&a, false);
    is_text(&told, "[a|]");
    alignment_deinit(&a);
    buffer_deinit(&told);
}
