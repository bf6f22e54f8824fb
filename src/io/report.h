#pragma once

/*
 * Report: how the server is, as text: one JSON object, OpenMetrics, or one
 * line.  It only writes; who may read it and when is control.h's and
 * metrics.h's business.
 */

#include <stdbool.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/list.h"
#include "io/folder.h"
#include "io/tally.h"
#include "rule/program.h"

struct report {
    const struct tally *tally;
    const struct list *pairs; /* io/pair.h */
    const struct recording *recording;
    const struct folder *folder;   /* of guests; NULL: there is one server */
    const struct program *program; /* of the sessions to come; NULL: no rules */
    uint64_t uptime_ms;
    bool is_draining;
    bool is_reload_failed; /* the last one; the rules are older than it */
};

/* "2 sessions, 310 messages, 12 rewritten, 0 failed" */
void report_line(const struct report *r, struct buffer *b);

/* one JSON object on one line, with a newline */
void report_json(const struct report *r, struct buffer *b);

/* OpenMetrics text, with its end mark */
void report_metrics(const struct report *r, struct buffer *b);
