#pragma once

/*
 * Tracing: what "run" has to know to record: where to, how much, and what is
 * secret.  The recording itself is io/recording.h's.
 */

#include "base/buffer.h"
#include "conf/conf.h"
#include "io/recording.h"
#include "proxy/redact.h"

struct tracing {
    struct buffer text; /* of the file that redact was read from */
    struct redact redact;
};

/*
 * tracing_begin() - ready @recording, and begin it if a file is named
 * @t: zeroed; must outlive @recording, whatever comes back
 *
 * Return: 0, -ENOMEM, positive: it cannot be done (said why)
 */
int tracing_begin(struct tracing *t, const struct conf *conf, struct recording *recording);
void tracing_deinit(struct tracing *t);
