#pragma once

/*
 * Bytes in a string of JSON, each as the character of that number, so that
 * every one survives, whatever encoding it is in, and the text is ASCII.
 * What characters mean is not looked at: writer.h does that.
 */

#include <stddef.h>

/* how much escape_put() may touch; it says less */
#define ESCAPE_ROOM(n) (6 * (n) + 64)

/*
 * escape_put() - write them, without the quotation marks around
 * @at: has ESCAPE_ROOM(@n) bytes
 *
 * Return: where what was written ends
 */
char *escape_put(char *at, const char *text, size_t n);

/* --- for the test: every way to do it; the first is the best of this machine, the last but NULL the simplest --- */

typedef char *(*escape_put_fn)(char *at, const char *text, size_t n);
extern const escape_put_fn escape_ways[];
