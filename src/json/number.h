#pragma once

/*
 * Exact decimal numbers: what JSON numbers are, never through double.
 * Wide enough for any 64-bit integer times any other.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

/* (-1)^negative × mantissa × 10^exponent; normal form: no trailing zero in the mantissa; 0 has no sign and exponent 0 */
struct number {
    bool negative;
    unsigned __int128 mantissa;
    int32_t exponent;
};

enum {
    _NUMBER_E_SUCCESS,
    NUMBER_E_INVALID, /* not a JSON number */
    NUMBER_E_RANGE,   /* does not fit struct number exactly, or there is no exact quotient in 38 digits */
};

/* Return: 0, NUMBER_E_INVALID, NUMBER_E_RANGE */
int number_read(const char *text, size_t n, struct number *ret);

bool number_equal(struct number a, struct number b);
bool number_is_integer(struct number a);

/* Return: 0, NUMBER_E_RANGE */
int number_multiply(struct number a, struct number b, struct number *ret);

/* exact when the quotient has an end within 17 digits after the point, rounded there otherwise.  Return: 0, NUMBER_E_RANGE (also: @b is 0) */
int number_divide(struct number a, struct number b, struct number *ret);

/* to the nearest integer, halves away from zero */
struct number number_round(struct number a);

/* compare two texts by value; text that does not fit struct number compares as text */
bool number_text_equal(const char *a, size_t n_a, const char *b, size_t n_b);

/* as QEMU would print it: plain digits, a point where there is a fraction, an exponent only beyond 10^30 */
void number_write(struct buffer *b, struct number a);
