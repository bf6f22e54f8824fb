#include "json/diag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oom.h"
#include "test.h"

#define SOURCE(path, text) ((struct diag_source){(path), (text), strlen(text)})

/* Return: the set as printed; the caller frees */
static char *printed(const struct diag_set *d) {
    struct buffer b = BUFFER_INIT;

    cr_assert(eq(int, diag_set_print(d, &b), 0));
    return buffer_steal_string(&b);
}

static void assert_printed(const struct diag_set *d, const char *expected) {
    _cleanup_(freep) char *text = printed(d);

    cr_assert(eq(str, text, (char *)expected));
}

/* one finding about @n bytes at @at of @text */
static void assert_shown(const char *text, size_t at, size_t n, const char *expected) {
    struct diag_source source = SOURCE("a.json", text);
    struct diag_set d;

    diag_set_init(&d);
    diag_add(&d, DIAG_ERROR, &source, at, n, NULL, "bad");
    assert_printed(&d, expected);
    diag_set_deinit(&d);
}

TEST(diag, names_place_fault_and_way_out) {
    static const char text[] = "{\n"
                               "    \"then\": [ {\"rewite\": {\"event\": \"RESET\"}} ]\n"
                               "}\n";
    struct diag_source source = SOURCE("rules/hide.jsonc", text);
    struct diag_set d;

    diag_set_init(&d);
    diag_add(&d, DIAG_ERROR, &source, (size_t)(strstr(text, "\"rewite\"") - text), 8,
             "did you mean \"rewrite\"?", "unknown key \"%s\"", "rewite");
    assert_printed(&d, "rules/hide.jsonc:2:16: error: unknown key \"rewite\"\n"
                       "    2 |     \"then\": [ {\"rewite\": {\"event\": \"RESET\"}} ]\n"
                       "      |                ^~~~~~~~\n"
                       "      = did you mean \"rewrite\"?\n");
    cr_assert(eq(sz, d.n_errors, 1));
    cr_assert(eq(sz, d.n_warnings, 0));
    diag_set_deinit(&d);
}

TEST(diag, findings_come_by_source_and_place) {
    struct diag_source one = SOURCE("one", "abc"), two = SOURCE("two", "abc");
    struct diag_set d;

    diag_set_init(&d);
    diag_add(&d, DIAG_ERROR, &two, 2, 1, NULL, "third");
    diag_add(&d, DIAG_ERROR, &one, 1, 1, NULL, "later file");
    diag_add(&d, DIAG_WARNING, &two, 0, 1, NULL, "first");
    diag_add(&d, DIAG_ERROR, &two, 2, 1, NULL, "fourth");
    diag_add(&d, DIAG_ERROR, &two, 1, 1, NULL, "second");
    assert_printed(&d, "two:1:1: warning: first\n    1 | abc\n      | ^\n"
                       "two:1:2: error: second\n    1 | abc\n      |  ^\n"
                       "two:1:3: error: third\n    1 | abc\n      |   ^\n"
                       "two:1:3: error: fourth\n    1 | abc\n      |   ^\n"
                       "one:1:2: error: later file\n    1 | abc\n      |  ^\n");
    cr_assert(eq(sz, d.n_errors, 4));
    cr_assert(eq(sz, d.n_warnings, 1));
    diag_set_deinit(&d);
}

TEST(diag, the_same_finding_comes_once) {
    struct diag_source source = SOURCE("a", "abc");
    struct diag_set d;

    diag_set_init(&d);
    for (int i = 0; i < 3; i++) {
        diag_add(&d, DIAG_ERROR, &source, 0, 1, "mend it", "bad %d", 1);
        diag_add(&d, DIAG_ERROR, &source, 0, 1, NULL, "bad %d", 1);
    }
    assert_printed(&d, "a:1:1: error: bad 1\n    1 | abc\n      | ^\n      = mend it\n"
                       "a:1:1: error: bad 1\n    1 | abc\n      | ^\n");
    cr_assert(eq(sz, d.n_errors, 2));
    diag_set_deinit(&d);
}

TEST(diag, a_file_that_could_not_be_read_has_no_place) {
    struct diag_source source = {.path = "gone.json"};
    struct diag_set d;

    diag_set_init(&d);
    diag_add(&d, DIAG_ERROR, &source, 0, 0, "create it", "cannot be opened: %s", "no such file");
    assert_printed(&d, "gone.json: error: cannot be opened: no such file\n      = create it\n");
    diag_set_deinit(&d);
}

TEST(diag, columns_count_characters) {
    assert_shown("\"h\xC3\xA9\xE2\x82\xAC\", x", 9, 1,
                 "a.json:1:7: error: bad\n    1 | \"h\xC3\xA9\xE2\x82\xAC\", x\n      |       ^\n");
    assert_shown("\xC3\xA9\xC3\xA9\xC3\xA9!", 2, 4,
                 "a.json:1:2: error: bad\n    1 | \xC3\xA9\xC3\xA9\xC3\xA9!\n      |  ^~\n");
}

TEST(diag, a_tab_is_one_blank_and_what_cannot_be_shown_a_question_mark) {
    assert_shown("\t\x01\x7F\xFFx", 4, 1, "a.json:1:5: error: bad\n    1 |  ???x\n      |     ^\n");
}

TEST(diag, a_caret_stays_in_its_line) {
    assert_shown("ab\r\ncd", 1, 100, "a.json:1:2: error: bad\n    1 | ab\n      |  ^\n");
    assert_shown("abc", 1, 0, "a.json:1:2: error: bad\n    1 | abc\n      |  ^\n");
    assert_shown("abc", 0, 100, "a.json:1:1: error: bad\n    1 | abc\n      | ^~~\n");
}

TEST(diag, the_end_of_the_text_is_a_place) {
    assert_shown("ab", 2, 1, "a.json:1:3: error: bad\n    1 | ab\n      |   ^\n");
    assert_shown("ab\n", 3, 1, "a.json:2:1: error: bad\n    2 | \n      | ^\n");
    assert_shown("", 0, 1, "a.json:1:1: error: bad\n    1 | \n      | ^\n");
    assert_shown("ab", 99, 1, "a.json:1:3: error: bad\n    1 | ab\n      |   ^\n");
}

TEST(diag, line_numbers_are_aligned_to_the_right) {
    char text[2000];

    memset(text, '\n', sizeof(text));
    text[sizeof(text) - 1] = 0;
    assert_shown(text, 1233, 0, "a.json:1234:1: error: bad\n 1234 | \n      | ^\n");
}

/* @n letters, '!' at @at; what is shown must have the caret under it */
static void assert_cut(size_t n, size_t at, bool is_cut_before, bool is_cut_behind) {
    char text[1000];
    struct diag_source source = {.path = "a", .text = text, .n_text = n};
    _cleanup_(freep) char *shown = NULL;
    char *line, *caret;
    struct diag_set d;

    memset(text, 'x', n);
    text[at] = '!';
    diag_set_init(&d);
    diag_add(&d, DIAG_ERROR, &source, at, n, NULL, "bad");
    shown = printed(&d);
    diag_set_deinit(&d);
    line = strchr(shown, '\n') + 1;
    caret = strchr(line, '\n') + 1;
    caret[-1] = 0;
    cr_assert(eq(sz, strlen(line), 8 + size_min(n, 160) + 3 * is_cut_before + 3 * is_cut_behind));
    cr_assert(eq(int, strncmp(line + 8, "...", 3) == 0, is_cut_before));
    cr_assert(eq(int, strcmp(line + strlen(line) - 3, "...") == 0, is_cut_behind));
    cr_assert(eq(sz, strcspn(line, "!"), strcspn(caret, "^")));
    cr_assert(le(sz, strlen(caret), strlen(line) + 1));
}

TEST(diag, lines_of_more_than_160_bytes_are_cut_around_the_caret) {
    assert_cut(160, 159, false, false);
    assert_cut(161, 0, false, true);
    assert_cut(161, 160, true, false);
    assert_cut(900, 100, false, true);
    assert_cut(900, 101, true, true);
    assert_cut(900, 500, true, true);
    assert_cut(900, 899, true, false);
}

TEST(diag, a_cut_does_not_break_a_character) {
    char text[601];

    for (size_t i = 0; i < 200; i++)
        memcpy(text + 3 * i, "\xE2\x82\xAC", 3);
    text[600] = 0;
    for (size_t at = 0; at < 600; at += 3) {
        struct diag_source source = SOURCE("a", text);
        _cleanup_(freep) char *shown = NULL;
        struct diag_set d;

        diag_set_init(&d);
        diag_add(&d, DIAG_ERROR, &source, at, 3, NULL, "bad");
        shown = printed(&d);
        diag_set_deinit(&d);
        cr_assert(eq(ptr, strchr(shown, '?'), NULL), "at %zu", at);
    }
}

TEST(diag, a_finding_that_cannot_be_kept_still_counts) {
    for (size_t i = 0;; i++) {
        struct diag_source source = SOURCE("a", "abc");
        struct buffer b = BUFFER_INIT;
        struct diag_set d;
        bool has_failed;
        int r;

        diag_set_init(&d);
        oom_start(OOM_FOR_GOOD, i);
        diag_add(&d, DIAG_ERROR, &source, 0, 1, "mend it", "%05000d", 1);
        diag_add(&d, DIAG_WARNING, &source, 0, 1, NULL, "bad");
        r = diag_set_print(&d, &b);
        has_failed = oom_stop();
        cr_assert(eq(int, r, has_failed ? -ENOMEM : 0));
        cr_assert(eq(sz, d.n_errors, 1));
        cr_assert(eq(sz, d.n_warnings, 1));
        buffer_deinit(&b);
        diag_set_deinit(&d);
        if (!has_failed)
            break;
    }
}

static const char *const words[] = {"event", "execute", "arguments", "return", "id", "not", NULL};

static const char *suggestion(const char *word) {
    return diag_suggest(word, strlen(word), words);
}

TEST(diag_suggest, finds_a_word_two_edits_away) {
    cr_assert(eq(str, (char *)suggestion("evnet"), "event"));
    cr_assert(eq(str, (char *)suggestion("evet"), "event"));
    cr_assert(eq(str, (char *)suggestion("events"), "event"));
    cr_assert(eq(str, (char *)suggestion("excute"), "execute"));
    cr_assert(eq(str, (char *)suggestion("exekude"), "execute"));
    cr_assert(eq(str, (char *)suggestion("argumentss1"), "arguments"));
    cr_assert(eq(str, (char *)suggestion("erturn"), "return"));
    cr_assert(eq(str, (char *)suggestion("erutrn"), "return"));
}

TEST(diag_suggest, takes_the_nearest) {
    static const char *const near[] = {"hold_", "holdx", "hold", NULL};

    cr_assert(eq(str, (char *)diag_suggest("hol", 3, near), "hold"));
    cr_assert(eq(str, (char *)diag_suggest("holdxyz", 5, near), "holdx"));
}

TEST(diag_suggest, is_silent_when_nothing_is_near) {
    cr_assert(eq(ptr, (void *)suggestion("event123"), NULL));
    cr_assert(eq(ptr, (void *)suggestion("xd"), NULL), "half of the word is another");
    cr_assert(eq(str, (char *)suggestion("nt"), "not"));
    cr_assert(eq(ptr, (void *)suggestion(""), NULL));
    cr_assert(eq(ptr, (void *)diag_suggest("a", 1, words + 6), NULL));
}

TEST(diag_suggest, does_not_mind_long_words) {
    static const char sixtyfour[] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static const char *const one[] = {sixtyfour, NULL};
    static const char *const two[] = {
        "yxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL};

    cr_assert(eq(sz, strlen(two[0]), 65));
    cr_assert(eq(ptr, (void *)diag_suggest(sixtyfour, 64, one), (void *)sixtyfour));
    cr_assert(eq(ptr, (void *)diag_suggest(sixtyfour, 64, two), NULL));
    cr_assert(eq(ptr, (void *)diag_suggest(two[0], 65, one), NULL));
}
