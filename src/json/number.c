/* Decimal arithmetic that says so when it cannot be exact. */

#include "json/number.h"

#include <string.h>

#define MANTISSA_MAX (~(unsigned __int128)0)

enum {
    NUMBER_DIGITS = 39,       /* of the largest mantissa */
    NUMBER_POINT_DIGITS = 17, /* behind the point of a quotient */
    NUMBER_PLAIN_DIGITS = 31, /* 10^30 has so many; zeros are written out up to there */
};

/* Return: 0, NUMBER_E_RANGE; the normal form of the parts */
static int number_set(bool negative, unsigned __int128 mantissa, int64_t exponent,
                      struct number *ret) {
    if (mantissa == 0) {
        *ret = (struct number){0};
        return 0;
    }
    while (mantissa % 10 == 0) {
        mantissa /= 10;
        exponent++;
    }
    if (exponent < INT32_MIN || exponent > INT32_MAX)
        return NUMBER_E_RANGE;
    *ret = (struct number){
        .negative = negative,
        .mantissa = mantissa,
        .exponent = (int32_t)exponent,
    };
    return 0;
}

/* a number's text taken apart: [-]whole[.fraction][e exponent] */
struct parts {
    bool negative;
    const char *whole, *fraction;
    size_t n_whole, n_fraction;
    int64_t exponent; /* ±EXPONENT_LIMIT when it is more than that */
};

/* far enough from where int64_t ends to add a text's length to it */
#define EXPONENT_LIMIT ((int64_t)1 << 60)

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t digits_length(const char *text, const char *end) {
    const char *p = text;

    while (p < end && is_digit(*p))
        p++;
    return (size_t)(p - text);
}

/* Return: behind the exponent at @text, which is behind the 'e'; NULL when it is none */
static const char *exponent_read(const char *text, const char *end, int64_t *ret) {
    bool negative = text < end && *text == '-';
    int64_t exponent = 0;

    if (text < end && (*text == '-' || *text == '+'))
        text++;
    if (text == end || !is_digit(*text))
        return NULL;
    for (; text < end && is_digit(*text); text++)
        if (exponent < EXPONENT_LIMIT / 16)
            exponent = exponent * 10 + (*text - '0');
        else
            exponent = EXPONENT_LIMIT;
    *ret = negative ? -exponent : exponent;
    return text;
}

static int parts_read(const char *text, size_t n, struct parts *ret) {
    const char *end = text + n;

    *ret = (struct parts){.negative = n > 0 && *text == '-'};
    text += ret->negative;
    ret->whole = text;
    ret->n_whole = digits_length(text, end);
    if (ret->n_whole == 0 || (ret->n_whole > 1 && *text == '0'))
        return NUMBER_E_INVALID;
    text += ret->n_whole;
    if (text < end && *text == '.') {
        ret->fraction = ++text;
        ret->n_fraction = digits_length(text, end);
        if (ret->n_fraction == 0)
            return NUMBER_E_INVALID;
        text += ret->n_fraction;
    }
    if (text < end && (*text == 'e' || *text == 'E'))
        text = exponent_read(text + 1, end, &ret->exponent);
    return text == end ? 0 : NUMBER_E_INVALID;
}

/*
 * A mantissa that grows by digits.  Zeros wait until a digit follows, as those
 * at the end are the exponent's.
 */
struct digits {
    unsigned __int128 mantissa;
    size_t n_zeros;
};

static bool digits_push(struct digits *d, char c) {
    unsigned digit = (unsigned)(c - '0');

    if (digit == 0) {
        d->n_zeros += d->mantissa > 0;
        return true;
    }
    for (; d->n_zeros > 0; d->n_zeros--) {
        if (d->mantissa > MANTISSA_MAX / 10)
            return false;
        d->mantissa *= 10;
    }
    if (d->mantissa > (MANTISSA_MAX - digit) / 10)
        return false;
    d->mantissa = d->mantissa * 10 + digit;
    return true;
}

int number_read(const char *text, size_t n, struct number *ret) {
    struct digits d = {0};
    struct parts p;
    int r;

    r = parts_read(text, n, &p);
    if (r)
        return r;
    for (size_t i = 0; i < p.n_whole; i++)
        if (!digits_push(&d, p.whole[i]))
            return NUMBER_E_RANGE;
    for (size_t i = 0; i < p.n_fraction; i++)
        if (!digits_push(&d, p.fraction[i]))
            return NUMBER_E_RANGE;
    return number_set(p.negative, d.mantissa,
                      p.exponent - (int64_t)p.n_fraction + (int64_t)d.n_zeros, ret);
}

bool number_equal(struct number a, struct number b) {
    return a.negative == b.negative && a.mantissa == b.mantissa && a.exponent == b.exponent;
}

bool number_is_integer(struct number a) {
    return a.exponent >= 0;
}

/* tens that two factors make together go to the exponent: 5^40 × 2^40 is 10^40, and fits */
static void pull_tens(unsigned __int128 *a, unsigned __int128 *b, int64_t *exponent) {
    while (*a > 0 && *a % 5 == 0 && *b > 0 && *b % 2 == 0) {
        *a /= 5;
        *b /= 2;
        (*exponent)++;
    }
}

int number_multiply(struct number a, struct number b, struct number *ret) {
    int64_t exponent = (int64_t)a.exponent + b.exponent;

    pull_tens(&a.mantissa, &b.mantissa, &exponent);
    pull_tens(&b.mantissa, &a.mantissa, &exponent);
    if (b.mantissa > 0 && a.mantissa > MANTISSA_MAX / b.mantissa)
        return NUMBER_E_RANGE;
    return number_set(a.negative != b.negative, a.mantissa * b.mantissa, exponent, ret);
}

/*
 * Return: 2 × *remainder / divisor, which is 0 or 1; *remainder is what is
 *         left.  No bit gets lost at the top.
 */
static unsigned double_remainder(unsigned __int128 *remainder, unsigned __int128 divisor) {
    if (*remainder < divisor - *remainder) {
        *remainder *= 2;
        return 0;
    }
    *remainder -= divisor - *remainder;
    return 1;
}

/* Return: the next digit of a long division */
static unsigned next_digit(unsigned __int128 *remainder, unsigned __int128 divisor) {
    unsigned __int128 one = *remainder;
    unsigned digit;

    /* 10 × remainder is ((remainder × 2) × 2 + remainder) × 2 */
    digit = double_remainder(remainder, divisor);
    digit = digit * 2 + double_remainder(remainder, divisor);
    if (*remainder >= divisor - one) {
        *remainder -= divisor - one;
        digit++;
    } else {
        *remainder += one;
    }
    return digit * 2 + double_remainder(remainder, divisor);
}

/* Return: @mantissa / 10^@n_digits to the nearest, halves up */
static unsigned __int128 drop_digits(unsigned __int128 mantissa, int64_t n_digits) {
    unsigned __int128 ten = 1;

    if (n_digits >= NUMBER_DIGITS)
        return 0; /* the largest mantissa is 0.34 × 10^39 */
    for (int64_t i = 0; i < n_digits; i++)
        ten *= 10;
    return mantissa / ten + (n_digits > 0 && mantissa % ten >= ten / 2);
}

int number_divide(struct number a, struct number b, struct number *ret) {
    int64_t exponent = (int64_t)a.exponent - b.exponent;
    bool negative = a.negative != b.negative;
    unsigned __int128 quotient, remainder;

    if (b.mantissa == 0)
        return NUMBER_E_RANGE;
    quotient = a.mantissa / b.mantissa;
    remainder = a.mantissa % b.mantissa;
    if (exponent < -NUMBER_POINT_DIGITS) {
        quotient = drop_digits(quotient, -NUMBER_POINT_DIGITS - exponent);
        return number_set(negative, quotient, -NUMBER_POINT_DIGITS, ret);
    }
    for (; remainder > 0 && exponent > -NUMBER_POINT_DIGITS; exponent--) {
        unsigned digit = next_digit(&remainder, b.mantissa);

        if (quotient > (MANTISSA_MAX - digit) / 10)
            return NUMBER_E_RANGE;
        quotient = quotient * 10 + digit;
    }
    if (remainder > 0 && remainder >= b.mantissa - remainder) {
        if (quotient == MANTISSA_MAX)
            return NUMBER_E_RANGE;
        quotient++;
    }
    return number_set(negative, quotient, exponent, ret);
}

struct number number_round(struct number a) {
    struct number whole = a;

    /* cannot fail: the exponent that comes out is small */
    if (a.exponent < 0)
        number_set(a.negative, drop_digits(a.mantissa, -(int64_t)a.exponent), 0, &whole);
    return whole;
}

bool number_text_equal(const char *a, size_t n_a, const char *b, size_t n_b) {
    struct number x, y;

    if (n_a == n_b && memcmp(a, b, n_a) == 0)
        return true;
    return number_read(a, n_a, &x) == 0 && number_read(b, n_b, &y) == 0 && number_equal(x, y);
}

static void write_zeros(struct buffer *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        buffer_append(b, "0", 1);
}

/* the point stands behind digit @n_whole, which may be before the first or behind the last */
static void write_plain(struct buffer *b, const char *digits, int64_t n_digits, int64_t n_whole) {
    int64_t n_before = n_whole < n_digits ? n_whole : n_digits;

    if (n_whole <= 0) {
        buffer_append(b, "0.", 2);
        write_zeros(b, -n_whole);
        buffer_append(b, digits, (size_t)n_digits);
        return;
    }
    buffer_append(b, digits, (size_t)n_before);
    write_zeros(b, n_whole - n_digits);
    if (n_before < n_digits) {
        buffer_append(b, ".", 1);
        buffer_append(b, digits + n_before, (size_t)(n_digits - n_before));
    }
}

static void write_scientific(struct buffer *b, const char *digits, int64_t n_digits,
                             int64_t exponent) {
    buffer_append(b, digits, 1);
    if (n_digits > 1) {
        buffer_append(b, ".", 1);
        buffer_append(b, digits + 1, (size_t)n_digits - 1);
    }
    buffer_printf(b, "e%+lld", (long long)exponent);
}

void number_write(struct buffer *b, struct number a) {
    char text[NUMBER_DIGITS], *digits = text + sizeof(text);
    int64_t n_digits, n_whole;

    do {
        *--digits = (char)('0' + (unsigned)(a.mantissa % 10));
        a.mantissa /= 10;
    } while (a.mantissa > 0);
    n_digits = text + sizeof(text) - digits;
    n_whole = n_digits + a.exponent;
    if (a.negative)
        buffer_append(b, "-", 1);
    if ((a.exponent > 0 && n_whole > NUMBER_PLAIN_DIGITS) || n_whole <= -NUMBER_PLAIN_DIGITS + 1)
        write_scientific(b, digits, n_digits, n_whole - 1);
    else
        write_plain(b, digits, n_digits, n_whole);
}
