#pragma once

/*
 * JSON text to value tree.  The only user of yajl's parser.  yajl tells the
 * tokens; numbers are kept as text, strings are decoded here from their
 * source, because yajl turns lone surrogates into '?' and accepts surrogates
 * and overlong forms in UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "json/value.h"

enum {
    _JSON_E_SUCCESS,
    JSON_E_INVALID,   /* not JSON, or text follows it */
    JSON_E_TOO_DEEP,  /* more than JSON_MAX_DEPTH brackets */
    JSON_E_DUPLICATE, /* a key twice in one object */
};

/* where and why reading stopped; on an outcome only */
struct json_fault {
    size_t at;         /* byte offset in the text; its length when the text ends too early */
    size_t n;          /* bytes that the fault covers, for a caret; at least 1 */
    char message[120]; /* one line, no full stop, no newline */
};

/*
 * json_read() - one whole value
 * @text:        must stay as long as @ret_value is used; blanks around the value are allowed
 * @is_comments: accept comments, as rule files and configuration have them
 * @ret_value:   lives in @arena
 * @reterr_fault: may be NULL
 *
 * Return: 0, -ENOMEM, or JSON_E_….
 */
int json_read(struct arena *arena, const char *text, size_t n, bool is_comments,
              struct json **ret_value, struct json_fault *reterr_fault);

/*
 * json_unquote() - rewrite single-quoted strings, which QEMU accepts, as JSON has them
 * @ret_text: appended to; the same text but for the quotes
 *
 * An escaped apostrophe becomes a plain one, a quotation mark inside gets a
 * backslash.  Double-quoted strings may contain \' too (QEMU accepts it).
 * Return: 0 or -ENOMEM.  Text that is no JSON gives text that is no JSON.
 */
int json_unquote(const char *text, size_t n, struct buffer *ret_text);

/*
 * json_decode() - decode what stands between the quotes of a JSON string
 * @ret_string: not NUL-terminated; points into @text when there is nothing to decode
 *
 * Return: 0, -ENOMEM, JSON_E_INVALID
 */
int json_decode(struct arena *arena, const char *text, size_t n, const char **ret_string,
                size_t *ret_n_string);
