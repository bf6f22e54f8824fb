#pragma once

/*
 * Case writer: a recorded session as the text of a case file (case.h), in
 * which what came is said and what was sent must come.  The head, which names
 * rules and options, is the caller's to write.
 */

#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "proxy/exchanges.h"
#include "proxy/record.h"

struct casewriter {
    struct buffer text; /* what is ready; the caller takes it and clears it */
    struct exchanges exchanges;
    uint64_t last_ms;
    size_t n_numbers; /* used so far, for what differs from time to time */
    bool has_ended;
};

/* @start_ms: when the session began */
void casewriter_init(struct casewriter *w, uint64_t start_ms);
void casewriter_deinit(struct casewriter *w);

/*
 * casewriter_add() - the next record of the session
 * The end of the connection is left out, and what follows it.
 *
 * Return: 0 or -ENOMEM
 */
int casewriter_add(struct casewriter *w, const struct record *r);
