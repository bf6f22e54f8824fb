#pragma once

/*
 * Why a text is not JSON, in words for the person who wrote it.  yajl says
 * that it stopped; where and what it would have taken is derived here from
 * the last token it took.  Knows nothing of values.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/util.h"
#include "json/reader.h"

/* behind which token yajl stopped */
enum fault_after {
    FAULT_AFTER_NOTHING,
    FAULT_AFTER_ALL,     /* the value is complete */
    FAULT_AFTER_NAME,    /* in an object */
    FAULT_AFTER_BRACE,   /* the '{' of an object */
    FAULT_AFTER_MEMBER,  /* a value in an object */
    FAULT_AFTER_BRACKET, /* the '[' of an array */
    FAULT_AFTER_ELEMENT, /* a value in an array */
};

/*
 * fault_blank_end() - skip white space and comments
 * Return: where the first other byte of @text is, from @at on; @n when there
 *         is none.  A comment without end is such another byte.
 */
size_t fault_blank_end(const char *text, size_t n, size_t at, bool is_comments);

/* note that the @n bytes at @at are wrong */
void fault_set(struct json_fault *ret_fault, size_t at, size_t n, const char *format, ...)
    _printf_(4, 5);

/*
 * fault_explain() - say what is wrong in a text that yajl refused
 * @at: behind the last token that was taken
 */
void fault_explain(const char *text, size_t n, size_t at, enum fault_after after, bool is_comments,
                   struct json_fault *ret_fault);
