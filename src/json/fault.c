/*
 * The words for what yajl refused.  Nothing here decides whether a text is
 * JSON.
 */

#include "json/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "json/quoted.h"
#include "json/utf8.h"

struct explanation {
    const char *text;
    size_t n;
    bool is_comments;
    struct json_fault *fault;
};

/* Return: behind the comment at @at; @at when it is none or has no end */
static size_t comment_end(const char *text, size_t n, size_t at) {
    const char *end;

    if (n - at < 2)
        return at;
    if (text[at + 1] == '/') {
        end = memchr(text + at, '\n', n - at);
        return end ? (size_t)(end - text) + 1 : n;
    }
    if (text[at + 1] != '*')
        return at;
    for (size_t i = at + 2; i + 1 < n; i++)
        if (text[i] == '*' && text[i + 1] == '/')
            return i + 2;
    return at;
}

size_t fault_blank_end(const char *text, size_t n, size_t at, bool is_comments) {
    while (at < n) {
        size_t end = at;

        if (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')
            end++;
        else if (text[at] == '/' && is_comments)
            end = comment_end(text, n, at);
        if (end == at)
            break;
        at = end;
    }
    return at;
}

void fault_set(struct json_fault *ret_fault, size_t at, size_t n, const char *format, ...) {
    va_list ap;

    ret_fault->at = at;
    ret_fault->n = size_max(n, 1);
    va_start(ap, format);
    vsnprintf(ret_fault->message, sizeof(ret_fault->message), format, ap);
    va_end(ap);
}

static bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t word_length(const char *text, size_t n, const char *others) {
    size_t i = 0;

    while (i < n && (is_word(text[i]) || (text[i] && strchr(others, text[i]))))
        i++;
    return i;
}

/* Return: how much of the text at @at a caret should cover */
static size_t token_length(const struct explanation *e, size_t at) {
    const char *text = e->text + at;
    size_t n = e->n - at;
    uint32_t point;

    if (*text == '"' || *text == '\'') {
        size_t i = 1;

        while (i < n && text[i] != *text && text[i] != '\n' && text[i] != '\r')
            i++;
        return i < n && text[i] == *text ? i + 1 : i;
    }
    return size_max(word_length(text, n, "+-."), utf8_read(text, n, &point));
}

/* at the end of the text there is nothing to show: the last thing that stands there is shown */
static void explain_end(const struct explanation *e, const char *expected) {
    size_t at = e->n;

    while (at > 0 && strchr(" \t\r\n", e->text[at - 1]) && e->text[at - 1])
        at--;
    fault_set(e->fault, at, 1, "the text ends where %s should stand", expected);
}

static void explain_expected(const struct explanation *e, size_t at, const char *expected) {
    if (at == e->n)
        return explain_end(e, expected);
    if (e->text[at] == '/' && e->is_comments)
        return fault_set(e->fault, at, 2, "comment has no end");
    if (e->text[at] == '/')
        return fault_set(e->fault, at, 1, "expected %s; comments are not allowed here", expected);
    if (e->text[at] == '\f' || e->text[at] == '\v')
        return fault_set(e->fault, at, 1,
                         "form feed or vertical tab, which is no white space in JSON");
    fault_set(e->fault, at, token_length(e, at), "expected %s", expected);
}

static void explain_string(const struct explanation *e, size_t at) {
    size_t i = at + 1;

    while (i < e->n && e->text[i] != '"') {
        size_t length = 1;

        if (e->text[i] == '\\') {
            length = quoted_escape_length(e->text + i, e->n - i);
            if (length == 0)
                return fault_set(e->fault, i, size_min(2, e->n - i), "unknown escape in a string");
        } else if ((unsigned char)e->text[i] < ' ') {
            break;
        }
        i += length;
    }
    if (i == e->n || e->text[i] == '\n' || e->text[i] == '\r')
        fault_set(e->fault, at, i - at, "string has no closing quotation mark");
    else if (e->text[i] != '"')
        fault_set(e->fault, i, 1, "control character in a string");
    else
        fault_set(e->fault, at, i + 1 - at, "not a string as JSON has them");
}

static void explain_value(const struct explanation *e, size_t at) {
    char c = 0;
    size_t n;

    if (at < e->n)
        c = e->text[at];
    if (c == '"')
        return explain_string(e, at);
    if (c == '\'')
        return fault_set(e->fault, at, token_length(e, at),
                         "a string stands in double quotation marks");
    if (c == '-' || (c >= '0' && c <= '9'))
        return fault_set(e->fault, at, token_length(e, at), "not a number as JSON has them");
    n = word_length(e->text + at, e->n - at, "");
    if (n > 0)
        return fault_set(e->fault, at, n, "unknown word '%.*s'", (int)size_min(n, 40),
                         e->text + at);
    if (at == 0 && e->n >= 3 && memcmp(e->text, "\xEF\xBB\xBF", 3) == 0)
        return fault_set(e->fault, at, 3, "byte order mark before the value");
    explain_expected(e, at, "a value");
}

/* @at is behind an element or member */
static void explain_next(const struct explanation *e, size_t at, char closing) {
    const char *expected = closing == '}' ? "',' or '}'" : "',' or ']'";
    size_t next;

    if (at == e->n || e->text[at] != ',')
        return explain_expected(e, at, expected);
    next = fault_blank_end(e->text, e->n, at + 1, e->is_comments);
    if (next < e->n && e->text[next] == closing)
        return fault_set(e->fault, at, 1, "',' behind the last %s",
                         closing == '}' ? "member" : "element");
    if (closing == ']')
        return explain_value(e, next);
    if (next < e->n && e->text[next] == '"')
        return explain_string(e, next);
    explain_expected(e, next, "a name in double quotation marks");
}

void fault_explain(const char *text, size_t n, size_t at, enum fault_after after, bool is_comments,
                   struct json_fault *ret_fault) {
    struct explanation e = {
        .text = text,
        .n = n,
        .is_comments = is_comments,
        .fault = ret_fault,
    };

    at = fault_blank_end(text, n, at, is_comments);
    switch (after) {
    case FAULT_AFTER_NOTHING:
    case FAULT_AFTER_BRACKET:
        return explain_value(&e, at);
    case FAULT_AFTER_ALL:
        return explain_expected(&e, at, "nothing more behind the value");
    case FAULT_AFTER_NAME:
        if (at == n || text[at] != ':')
            return explain_expected(&e, at, "':' behind the name");
        return explain_value(&e, fault_blank_end(text, n, at + 1, is_comments));
    case FAULT_AFTER_BRACE:
        if (at < n && text[at] == '"')
            return explain_string(&e, at);
        return explain_expected(&e, at, "a name in double quotation marks or '}'");
    case FAULT_AFTER_MEMBER:
        return explain_next(&e, at, '}');
    case FAULT_AFTER_ELEMENT:
        return explain_next(&e, at, ']');
    }
}
