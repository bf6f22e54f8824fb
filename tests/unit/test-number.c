#include "json/number.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "test.h"

static struct number number(const char *text) {
    _cleanup_(freep) char *exact = malloc(strlen(text) + 1);
    struct number n;

    memcpy(exact, text, strlen(text));
    cr_assert(eq(int, number_read(exact, strlen(text), &n), 0), "%s", text);
    return n;
}

/* Return: the text of @n; the caller frees */
static char *text_of(struct number n) {
    struct buffer b = BUFFER_INIT;

    number_write(&b, n);
    return buffer_steal_string(&b);
}

static void assert_number(struct number n, const char *expected) {
    _cleanup_(freep) char *text = text_of(n);

    cr_assert(eq(str, text, (char *)expected));
}

static int read_outcome(const char *text) {
    struct number n;

    return number_read(text, strlen(text), &n);
}

TEST(number_read, has_one_form_for_one_value) {
    static const char *const same[] = {"1500", "1.5e3", "15E+2", "0.15e4", "150000e-2", "1500.000"};
    static const char *const zero[] = {"0", "-0", "0.000", "0e99999999999999999999", "-0.0e-5"};

    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        cr_assert(number_equal(number(same[i]), number("1500")), "%s", same[i]);
    for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
        cr_assert(number_equal(number(zero[i]), (struct number){0}), "%s", zero[i]);
    cr_assert(not(number_equal(number("1500"), number("-1500"))));
    cr_assert(not(number_equal(number("1500"), number("150"))));
}

TEST(number_read, refuses_what_json_has_not) {
    static const char *const texts[] = {"",    "-",   "+1",    ".5",   "1.",  "01", "-01",
                                        "00",  "1e",  "1e+",   "1.e1", "0x1", "1 ", " 1",
                                        "inf", "NaN", "1e1.5", "--1",  "1-"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        cr_assert(eq(int, read_outcome(texts[i]), NUMBER_E_INVALID), "%s", texts[i]);
}

TEST(number_read, takes_128_bits_and_not_one_more) {
    cr_assert(eq(int, read_outcome("340282366920938463463374607431768211455"), 0));
    cr_assert(eq(int, read_outcome("340282366920938463463374607431768211456"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("340282366920938463463374607431768211455000000"), 0));
    cr_assert(eq(int, read_outcome("0.340282366920938463463374607431768211455"), 0));
    cr_assert(eq(int, read_outcome("3.40282366920938463463374607431768211456"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("1000000000000000000000000000000000000001"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("1000000000000000000000000000000000000000"), 0));
    cr_assert(eq(int, read_outcome("0.0000000000000000000000000000000000000000000000001"), 0));
}

TEST(number_read, takes_32_bits_of_exponent_and_not_one_more) {
    cr_assert(eq(int, read_outcome("1e2147483647"), 0));
    cr_assert(eq(int, read_outcome("1e2147483648"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("10e2147483647"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("1e-2147483648"), 0));
    cr_assert(eq(int, read_outcome("1e-2147483649"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("0.1e-2147483648"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("1e999999999999999999999999999999"), NUMBER_E_RANGE));
    cr_assert(eq(int, read_outcome("1e-999999999999999999999999999999"), NUMBER_E_RANGE));
}

TEST(number_is_integer, asks_for_the_value_not_the_form) {
    cr_assert(number_is_integer(number("0.0")));
    cr_assert(number_is_integer(number("1.50e1")));
    cr_assert(number_is_integer(number("-1e400")));
    cr_assert(not(number_is_integer(number("1.5"))));
    cr_assert(not(number_is_integer(number("1e-1"))));
}

TEST(number_multiply, is_exact) {
    struct number n;

    cr_assert(
        eq(int, number_multiply(number("18446744073709551615"), number("18446744073709551615"), &n),
           0));
    assert_number(n, "340282366920938463426481119284349108225");
    cr_assert(eq(int, number_multiply(number("-0.5"), number("3"), &n), 0));
    assert_number(n, "-1.5");
    cr_assert(eq(int, number_multiply(number("-3"), number("0"), &n), 0));
    assert_number(n, "0");
    cr_assert(eq(int, number_multiply(number("1099511627776"), number("1e400"), &n), 0));
    assert_number(n, "1.099511627776e+412");
}

TEST(number_multiply, a_product_of_many_zeros_fits) {
    struct number n;

    /* 2^100 × 5^54 has 154 bits more than none, but 100 - 54 of them matter */
    cr_assert(eq(int,
                 number_multiply(number("1267650600228229401496703205376"),
                                 number("55511151231257827021181583404541015625"), &n),
                 0));
    cr_assert(number_equal(n, number("70368744177664e54")));
    cr_assert(eq(int,
                 number_multiply(number("55511151231257827021181583404541015625"),
                                 number("1267650600228229401496703205376"), &n),
                 0));
    cr_assert(number_equal(n, number("70368744177664e54")));
}

TEST(number_multiply, says_what_does_not_fit) {
    struct number n;

    cr_assert(
        eq(int, number_multiply(number("340282366920938463463374607431768211455"), number("3"), &n),
           NUMBER_E_RANGE));
    cr_assert(eq(int, number_multiply(number("1e2147483647"), number("1e1"), &n), NUMBER_E_RANGE));
    cr_assert(
        eq(int, number_multiply(number("1e-2147483648"), number("1e-1"), &n), NUMBER_E_RANGE));
}

static void assert_quotient(const char *a, const char *b, const char *expected) {
    struct number n;

    cr_assert(eq(int, number_divide(number(a), number(b), &n), 0), "%s / %s", a, b);
    assert_number(n, expected);
}

TEST(number_divide, is_exact_where_it_ends) {
    assert_quotient("1", "8", "0.125");
    assert_quotient("-10", "4", "-2.5");
    assert_quotient("0", "-7", "0");
    assert_quotient("18446744073709551615", "1e9", "18446744073.709551615");
    assert_quotient("340282366920938463463374607431768211455",
                    "340282366920938463463374607431768211455", "1");
    assert_quotient("1e30", "1e-5", "1e+35");
    assert_quotient("1e-17", "1", "0.00000000000000001");
}

TEST(number_divide, rounds_the_17th_digit_halves_away_from_zero) {
    assert_quotient("1", "3", "0.33333333333333333");
    assert_quotient("-2", "3", "-0.66666666666666667");
    assert_quotient("5e-18", "1", "0.00000000000000001");
    assert_quotient("-5e-18", "1", "-0.00000000000000001");
    assert_quotient("4.999e-18", "1", "0");
    assert_quotient("1e-2000000000", "3", "0");
    assert_quotient("1", "340282366920938463463374607431768211455", "0");
    assert_quotient("340282366920938463463374607431768211454e-56",
                    "340282366920938463463374607431768211455e-39", "0.00000000000000001");
}

TEST(number_divide, says_what_does_not_fit) {
    struct number n;

    cr_assert(eq(int, number_divide(number("1"), number("0"), &n), NUMBER_E_RANGE));
    cr_assert(eq(int, number_divide(number("0"), number("0"), &n), NUMBER_E_RANGE));
    cr_assert(eq(int, number_divide(number("1e2000000000"), number("3"), &n), NUMBER_E_RANGE));
    cr_assert(eq(int, number_divide(number("1e2147483647"), number("1e-2147483648"), &n),
                 NUMBER_E_RANGE));
}

TEST(number_round, goes_to_the_nearest_integer_halves_away_from_zero) {
    assert_number(number_round(number("0.5")), "1");
    assert_number(number_round(number("-0.5")), "-1");
    assert_number(number_round(number("0.49999999999999999999")), "0");
    assert_number(number_round(number("-1.4")), "-1");
    assert_number(number_round(number("99.5")), "100");
    assert_number(number_round(number("7")), "7");
    assert_number(number_round(number("1e400")), "1e+400");
    assert_number(number_round(number("340282366920938463463374607431768211455e-38")), "3");
    assert_number(number_round(number("340282366920938463463374607431768211455e-39")), "0");
    assert_number(number_round(number("1e-2147483648")), "0");
}

static bool text_equal(const char *a, const char *b) {
    return number_text_equal(a, strlen(a), b, strlen(b));
}

TEST(number_text_equal, compares_by_value) {
    cr_assert(text_equal("100", "1e2"));
    cr_assert(text_equal("-0", "0.0"));
    cr_assert(text_equal("1e400", "10e399"));
    cr_assert(not(text_equal("18446744073709551615", "18446744073709551614")));
    cr_assert(not(text_equal("0.1", "0.10000000000000001")));
}

TEST(number_text_equal, compares_what_does_not_fit_as_text) {
    static const char big[] = "1000000000000000000000000000000000000000000000001";

    cr_assert(text_equal(big, big));
    cr_assert(not(text_equal(big, "1000000000000000000000000000000000000000000000001.0")));
    cr_assert(not(text_equal("1e9999999999", "10e9999999998")));
    cr_assert(not(text_equal(big, "1")));
}

TEST(number_write, has_no_exponent_up_to_ten_to_the_30) {
    assert_number(number("0"), "0");
    assert_number(number("-120.50"), "-120.5");
    assert_number(number("18446744073709551615"), "18446744073709551615");
    assert_number(number("0.10000000000000001"), "0.10000000000000001");
    assert_number(number("1e30"), "1000000000000000000000000000000");
    assert_number(number("1e31"), "1e+31");
    assert_number(number("-1.25e31"), "-1.25e+31");
    assert_number(number("1e-30"), "0.000000000000000000000000000001");
    assert_number(number("12e-32"), "1.2e-31");
    assert_number(number("1e-2147483648"), "1e-2147483648");
    assert_number(number("340282366920938463463374607431768211455"),
                  "340282366920938463463374607431768211455");
    assert_number(number("34028236692093846346337460743176821145.5"),
                  "34028236692093846346337460743176821145.5");
}
