/*
 * Findings are kept sorted as they come, so that printing needs no memory
 * but the buffer it prints to.
 */

#include "json/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "json/utf8.h"

enum {
    DIAG_LINE_BYTES = 160,   /* of a source line, at most */
    DIAG_BEFORE_BYTES = 100, /* of these before the caret, when the line is cut */
    DIAG_NUMBER_WIDTH = 5,   /* of the line number */
    DIAG_WORD_BYTES = 64,    /* longer words have no suggestion */
};

struct diag {
    struct diag *next;
    enum diag_level level;
    const struct diag_source *source;
    size_t at, n;
    const char *message;
    const char *way_out; /* or NULL */
};

void diag_set_init(struct diag_set *d) {
    *d = (struct diag_set){.arena = ARENA_INIT};
}

void diag_set_deinit(struct diag_set *d) {
    arena_deinit(&d->arena);
    diag_set_init(d);
}

static bool is_same_string(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same_finding(const struct diag *a, const struct diag *b) {
    return a->level == b->level && a->source == b->source && a->at == b->at && a->n == b->n &&
           is_same_string(a->message, b->message) && is_same_string(a->way_out, b->way_out);
}

/* behind all findings of its source that are not behind it; a new source comes last */
static struct diag **diag_place(struct diag_set *d, const struct diag *new) {
    bool is_seen = false;
    struct diag **i;

    for (i = &d->first; *i; i = &(*i)->next) {
        if ((*i)->source == new->source)
            is_seen = true;
        else if (is_seen)
            break;
        if (is_seen && (*i)->at > new->at)
            break;
    }
    return i;
}

static void diag_keep(struct diag_set *d, const struct diag *finding) {
    struct diag **place, *new;

    for (const struct diag *i = d->first; i; i = i->next)
        if (is_same_finding(i, finding))
            return;
    /* counted even if it cannot be kept: an error must not pass for none */
    if (finding->level == DIAG_ERROR)
        d->n_errors++;
    else if (finding->level == DIAG_WARNING)
        d->n_warnings++;
    else
        d->n_incomplete++;
    new = arena_alloc(&d->arena, sizeof(*new));
    if (!new || !finding->message) {
        d->failed = true;
        return;
    }
    *new = *finding;
    place = diag_place(d, new);
    new->next = *place;
    *place = new;
}

void diag_add(struct diag_set *d, enum diag_level level, const struct diag_source *source,
              size_t at, size_t n, const char *way_out, const char *format, ...) {
    struct diag finding = {.level = level, .source = source, .at = at, .n = n};
    char *text;
    va_list ap;
    int length;

    va_start(ap, format);
    length = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    text = length >= 0 ? arena_alloc(&d->arena, (size_t)length + 1) : NULL;
    if (text) {
        va_start(ap, format);
        vsnprintf(text, (size_t)length + 1, format, ap);
        va_end(ap);
    }
    finding.message = text;
    if (way_out)
        finding.way_out = arena_copy(&d->arena, way_out, strlen(way_out));
    if (way_out && !finding.way_out)
        d->failed = true;
    diag_keep(d, &finding);
}

/* Return: the length of what is shown as one column at @text */
static size_t column_length(const char *text, size_t n) {
    uint32_t point;
    size_t length = utf8_read(text, n, &point);

    return length > 0 && !utf8_is_surrogate(point) ? length : 1;
}

static size_t count_columns(const char *text, size_t n) {
    size_t n_columns = 0;

    for (size_t i = 0; i < n; i += column_length(text + i, n - i))
        n_columns++;
    return n_columns;
}

/* a line of a text, and what is shown of it */
struct line {
    const char *text; /* without its end */
    size_t n;
    size_t number;   /* from 1 */
    size_t at;       /* of the finding in it */
    size_t from, to; /* the piece that is shown */
};

static bool is_continuation(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

static void line_cut(struct line *l) {
    l->from = 0;
    l->to = l->n;
    if (l->n <= DIAG_LINE_BYTES)
        return;
    if (l->at > DIAG_BEFORE_BYTES)
        l->from = size_min(l->at - DIAG_BEFORE_BYTES, l->n - DIAG_LINE_BYTES);
    l->to = l->from + DIAG_LINE_BYTES;
    while (l->from < l->at && is_continuation(l->text[l->from]))
        l->from++;
    while (l->to > l->at && l->to < l->n && is_continuation(l->text[l->to]))
        l->to--;
}

static void line_find(const struct diag_source *source, size_t at, struct line *ret) {
    const char *text = source->text;
    size_t start = 0, end;

    *ret = (struct line){.number = 1};
    at = size_min(at, source->n_text);
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ret->number++;
            start = i + 1;
        }
    }
    for (end = start; end < source->n_text && text[end] != '\n'; end++)
        ;
    if (end > start && text[end - 1] == '\r')
        end--;
    ret->text = text + start;
    ret->n = end - start;
    ret->at = size_min(at - start, ret->n); /* a line's end has no column of its own */
    line_cut(ret);
}

static void print_shown(struct buffer *b, const struct line *l) {
    for (size_t i = l->from, length; i < l->to; i += length) {
        const char *text = l->text + i;

        length = column_length(text, l->to - i);
        if (*text == '\t')
            buffer_append(b, " ", 1);
        else if (length == 1 && ((signed char)*text < ' ' || *text == 0x7F))
            buffer_append(b, "?", 1);
        else
            buffer_append(b, text, length);
    }
}

static void print_repeated(struct buffer *b, char c, size_t n) {
    for (size_t i = 0; i < n; i++)
        buffer_append(b, &c, 1);
}

static void print_line(struct buffer *b, const struct line *l, size_t n) {
    const char *before = l->from > 0 ? "..." : "";
    size_t n_covered = size_min(n, l->to - l->at);

    buffer_printf(b, "%*zu | %s", DIAG_NUMBER_WIDTH, l->number, before);
    print_shown(b, l);
    buffer_printf(b, "%s\n%*s | ", l->to < l->n ? "..." : "", DIAG_NUMBER_WIDTH, "");
    print_repeated(b, ' ', strlen(before) + count_columns(l->text + l->from, l->at - l->from));
    buffer_append(b, "^", 1);
    n_covered = count_columns(l->text + l->at, n_covered);
    print_repeated(b, '~', n_covered > 1 ? n_covered - 1 : 0);
    buffer_append(b, "\n", 1);
}

static void diag_print(const struct diag *d, struct buffer *b) {
    static const char *const levels[] = {
        [DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_INCOMPLETE] = "incomplete"};
    const char *level = levels[d->level];
    struct line l;

    if (d->source->text) {
        line_find(d->source, d->at, &l);
        buffer_printf(b, "%s:%zu:%zu: %s: %s\n", d->source->path, l.number,
                      count_columns(l.text, l.at) + 1, level, d->message);
        print_line(b, &l, d->n);
    } else {
        buffer_printf(b, "%s: %s: %s\n", d->source->path, level, d->message);
    }
    if (d->way_out)
        buffer_printf(b, "%*s = %s\n", DIAG_NUMBER_WIDTH, "", d->way_out);
}

int diag_set_print(const struct diag_set *d, struct buffer *b) {
    for (const struct diag *i = d->first; i; i = i->next)
        diag_print(i, b);
    return d->failed ? -ENOMEM : buffer_status(b);
}

/* both at most DIAG_WORD_BYTES long; swapped neighbours are one edit (optimal string alignment) */
static size_t word_distance(const char *a, size_t n_a, const char *b, size_t n_b) {
    size_t rows[3][DIAG_WORD_BYTES + 1];
    size_t *two_back = rows[0], *back = rows[1], *row = rows[2];

    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *oldest = two_back;

        two_back = back;
        back = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            row[j] =
                size_min(size_min(back[j], row[j - 1]) + 1, back[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = size_min(row[j], two_back[j - 2] + 1);
        }
    }
    return row[n_b];
}

const char *diag_suggest(const char *word, size_t n_word, const char *const *words) {
    const char *nearest = NULL;
    size_t least = 3;

    if (n_word > DIAG_WORD_BYTES)
        return NULL;
    for (; *words; words++) {
        size_t n = strlen(*words), distance;

        if (n > DIAG_WORD_BYTES)
            continue;
        distance = word_distance(word, n_word, *words, n);
        if (distance < least && distance * 2 < n) {
            least = distance;
            nearest = *words;
        }
    }
    return nearest;
}
