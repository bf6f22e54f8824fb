#pragma once

/*
 * Exact decimal numbers: what JSON numbers are, never through double.
 * Wide enough for any 64-bit integer times any other.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

/*
 * (-1)^negative × mantissa × 10^exponent, in normal form: the mantissa does
 * not end in a zero; 0 has no sign and exponent 0.
 */
struct number {
    bool negative;
    unsigned __int128 mantissa;
    int32_t exponent;
};

enum {
    _NUMBER_E_SUCCESS,
    NUMBER_E_INVALID, /* not a JSON number */
    NUMBER_E_RANGE,   /* does not fit struct number */
};

/* Return: 0, NUMBER_E_INVALID, NUMBER_E_RANGE */
int number_read(const char *text, size_t n, struct number *ret);

bool number_equal(struct number a, struct number b);
bool number_is_integer(struct number a);

/* Return: 0, NUMBER_E_RANGE */
int number_multiply(struct number a, struct number b, struct number *ret);

/*
 * number_divide() - a quotient with at most 17 digits behind the point
 * Exact when it ends there, else rounded there, halves away from zero.
 *
 * Return: 0; NUMBER_E_RANGE, also when @b is 0, or when the quotient has more
 *         than 38 digits, zeros at its end included
 */
int number_divide(struct number a, struct number b, struct number *ret);

/* to the nearest integer, halves away from zero */
struct number number_round(struct number a);

/* compare two texts by value; what does not fit struct number is equal to the same text only */
bool number_text_equal(const char *a, size_t n_a, const char *b, size_t n_b);

/*
 * number_write() - append the number as QEMU would print it
 * Plain digits, a point where there is a fraction, an exponent only where
 * zeros alone would take it beyond 10^30 or below 10^-30.
 */
void number_write(struct buffer *b, struct number a);
