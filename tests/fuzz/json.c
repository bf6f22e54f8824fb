/*
 * JSON: what is read and written is read again as the same value; a text that
 * is refused has its fault inside it.
 */

#include <string.h>

#include "fuzz.h"
#include "json/number.h"
#include "json/reader.h"
#include "json/writer.h"
#include "../unit/span-test.h"

static void check_again(const struct json *value) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    _cleanup_(buffer_deinit) struct buffer text = BUFFER_INIT;
    struct json *again;

    json_write(&text, value);
    FUZZ_CHECK(buffer_status(&text) == 0);
    FUZZ_CHECK(json_read(&arena, text.data, text.n, false, &again, NULL) == 0);
    FUZZ_CHECK(json_equal(value, again));
}

static void check_numbers(const char *text, size_t n) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct number a, again, quotient;

    if (number_read(text, n, &a))
        return;
    number_write(&b, a);
    FUZZ_CHECK(buffer_status(&b) == 0);
    FUZZ_CHECK(number_read(b.data, b.n, &again) == 0 && number_equal(a, again));
    number_divide(a, (struct number){.mantissa = 1024}, &quotient);
    number_multiply(a, a, &quotient);
    number_round(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    _cleanup_(buffer_deinit) struct buffer unquoted = BUFFER_INIT;
    const char *text = n > 0 ? (const char *)data : "";
    struct json_fault fault;
    struct json *value;
    int r;

    for (int is_comments = 0; is_comments < 2; is_comments++) {
        r = json_read(&arena, text, n, is_comments, &value, &fault);
        FUZZ_CHECK(r >= 0);
        if (r == 0)
            check_again(value);
        else
            FUZZ_CHECK(fault.at <= n && fault.n >= 1 &&
                       memchr(fault.message, '\0', sizeof(fault.message)));
    }
    FUZZ_CHECK(span_difference(text, n) == NULL);
    FUZZ_CHECK(json_unquote(text, n, &unquoted) == 0);
    json_read(&arena, unquoted.data, unquoted.n, false, &value, NULL);
    check_numbers(text, n);
    return 0;
}
