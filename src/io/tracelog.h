#pragma once

/*
 * Trace log: writes what a session's observer is told (proxy/trace.h) as
 * lines of the log.  Which of it an operator must see is decided here.
 */

#include <stdint.h>
#include "io/log.h"
#include "proxy/trace.h"

/* what failed is a warning, which rules are active is information, the rest is for debugging */
void tracelog_write(const struct log *log, uint64_t session, const struct trace_item *item);

/* "client", "server", or "shim" for neither; @side is an enum side or -1 */
const char *tracelog_side(int side);
