#include "rule/todo.h"

#include <ctype.h>
#include <string.h>

#include "base/util.h"

static const char mark[] = "TODO";

/* Return: where the comment that begins at @at ends; @at: none begins there */
static size_t comment_end(const struct diag_source *s, size_t at) {
    const char *text = s->text + at, *end = NULL;
    size_t n = s->n_text - at;

    if (n < 2 || text[0] != '/')
        return at;
    if (text[1] == '/')
        end = memchr(text, '\n', n);
    else if (text[1] == '*')
        end = memmem(text + 2, n - 2, "*/", 2);
    else
        return at;
    return end ? (size_t)(end - s->text) : s->n_text;
}

/* Return: behind the string that begins at @at */
static size_t string_end(const struct diag_source *s, size_t at) {
    for (at++; at < s->n_text && s->text[at] != '"'; at++)
        at += s->text[at] == '\\';
    return at + 1;
}

static void note(struct rule_file *file, struct diag_set *diags, size_t at, size_t end) {
    const char *text = file->source->text + at;
    const char *newline = memchr(text, '\n', end - at);
    size_t n = newline ? (size_t)(newline - text) : end - at;

    while (n > strlen(mark) && isspace((unsigned char)text[n - 1]))
        n--;
    for (size_t i = 0; i < file->n_rules; i++) {
        struct rule *rule = &file->rules[i];

        if (at >= rule->at && at < rule->at + rule->n_text && rule->n_todo == 0) {
            rule->todo_at = at;
            rule->n_todo = n;
        }
    }
    diag_add(diags, DIAG_INCOMPLETE, file->source, at, n, "decide it, and take the word TODO away",
             "%.*s", (int)size_min(n, 200), text);
}

/* the word by itself, as often as it stands there */
static void find_in_comment(struct rule_file *file, struct diag_set *diags, size_t at, size_t end) {
    const char *text = file->source->text, *found;

    while ((found = memmem(text + at, end - at, mark, strlen(mark)))) {
        size_t place = (size_t)(found - text), after = place + strlen(mark);

        if (!isalnum((unsigned char)found[-1]) &&
            (after >= end || !isalnum((unsigned char)text[after])))
            note(file, diags, place, end);
        at = after;
    }
}

void todo_find(struct rule_file *file, struct diag_set *diags) {
    const struct diag_source *s = file->source;
    size_t end;

    for (size_t at = 0; at < s->n_text;) {
        if (s->text[at] == '"') {
            at = string_end(s, at);
            continue;
        }
        end = comment_end(s, at);
        if (end > at)
            find_in_comment(file, diags, at, end);
        at = end > at ? end : at + 1;
    }
}
