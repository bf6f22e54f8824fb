#include "base/packed.h"

#include <string.h>

void packed_put_number(struct buffer *b, uint64_t number) {
    buffer_append(b, (const char *)&number, sizeof(number));
}

const char *packed_bytes(struct packed *p, size_t n) {
    const char *text = p->text;

    if (p->is_short || n > p->n) {
        p->is_short = true;
        return NULL;
    }
    p->text += n;
    p->n -= n;
    return text;
}

uint64_t packed_number(struct packed *p) {
    const char *text = packed_bytes(p, sizeof(uint64_t));
    uint64_t number = 0;

    if (text)
        memcpy(&number, text, sizeof(number));
    return number;
}
