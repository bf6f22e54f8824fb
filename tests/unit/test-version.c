/*
 * rule/version: which texts are version numbers, and their order.
 */
#include "rule/version.h"

#include <stdio.h>

#include "json/reader.h"
#include "test.h"

static struct version version(const char *text) {
    struct version v;

    cr_assert(eq(int, version_read(text, strlen(text), &v), 0), "%s", text);
    return v;
}

TEST(version, one_to_three_numbers) {
    struct version v = version("0.12.1");

    cr_assert(eq(uint, v.major, 0));
    cr_assert(eq(uint, v.minor, 12));
    cr_assert(eq(uint, v.micro, 1));
    cr_assert(eq(uint, version("9.2").minor, 2));
    cr_assert(eq(uint, version("11").major, 11));
    cr_assert(eq(uint, version("99999").major, 99999));
}

TEST(version, anything_else_is_none) {
    static const char *const texts[] = {"",   ".",       "1.",   ".1",  "1..2",
                                        "v1", "1.2.3.4", "1.2a", " 1",  "1 ",
                                        "-1", "100000",  "1.2.", "1,2", "0x1"};
    struct version v;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        cr_assert(eq(int, version_read(texts[i], strlen(texts[i]), &v), VERSION_E_INVALID), "%s",
                  texts[i]);
}

TEST(version, order_is_by_number_not_by_text) {
    static const char *const ascending[] = {"0.9",   "0.12.1", "0.14", "1.0",  "1.2",
                                            "1.2.1", "1.10",   "2.0",  "10.0", "11"};

    for (size_t i = 0; i < ARRAY_SIZE(ascending); i++)
        for (size_t k = 0; k < ARRAY_SIZE(ascending); k++) {
            int order = version_compare(version(ascending[i]), version(ascending[k]));

            cr_assert(eq(int, (order > 0) - (order < 0), (i > k) - (i < k)), "%s, %s", ascending[i],
                      ascending[k]);
        }
    cr_assert(eq(int, version_compare(version("6"), version("6.0.0")), 0));
}

static int read_greeting(const char *text, struct version *ret) {
    struct arena arena = ARENA_INIT;
    struct json *value;
    int r;

    cr_assert(eq(int, json_read(&arena, text, strlen(text), false, &value, NULL), 0), "%s", text);
    r = version_read_greeting(value, ret);
    arena_deinit(&arena);
    return r;
}

TEST(version, greeting_tells_three_numbers_or_a_text) {
    struct version v;

    cr_assert(eq(
        int,
        read_greeting(
            "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"Debian\"}}}",
            &v),
        0));
    cr_assert(eq(int, version_compare(v, version("7.2.22")), 0));
    cr_assert(eq(
        int,
        read_greeting("{\"QMP\": {\"version\": {\"qemu\": \"0.12.50\", \"package\": \"\"}}}", &v),
        0));
    cr_assert(eq(int, version_compare(v, version("0.12.50")), 0));
}

TEST(version, greeting_that_tells_none) {
    static const char *const texts[] = {
        "{}",
        "{\"QMP\": {}}",
        "{\"QMP\": []}",
        "{\"QMP\": {\"version\": {\"qemu\": 7}}}",
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}}}",
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"7\", \"minor\": 2, \"micro\": 0}}}}",
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": -7, \"minor\": 2, \"micro\": 0}}}}",
        "{\"QMP\": {\"version\": {\"qemu\": \"unknown\"}}}",
    };
    struct version v;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        cr_assert(eq(int, read_greeting(texts[i], &v), VERSION_E_INVALID), "%s", texts[i]);
}
