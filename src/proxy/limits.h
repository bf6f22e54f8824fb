#pragma once

/*
 * Every limit of a session, with its unit, in one place.  What happens at
 * each is said here, in qmp-shim(1) under LIMITS, and tested at n and n+1.
 */

#include <stddef.h>
#include <stdint.h>

struct limits {
    size_t
        max_message_bytes; /* a message that a rule may want; a longer one streams through unchanged */
    size_t max_pending;    /* commands whose reply a rule must see; one more passes unchanged */
    size_t
        max_held; /* messages that wait towards one side behind an exchange; one more ends the exchange's wait */
    size_t max_held_bytes;  /* their size together; likewise */
    size_t max_facts;       /* values that `remember` keeps; one more and the rule fails */
    size_t max_facts_bytes; /* their size together, with tables and keys; likewise */
    size_t max_kept_fds;    /* file descriptors among them; likewise */
    size_t
        max_out_bytes; /* high water mark: the other side is not read while more than this waits to be sent */
    uint32_t ask_timeout_ms; /* for the server's answer to a command of the shim's own */
    uint32_t
        fd_timeout_ms; /* for the reply to a command that carried fds, while others wait behind it */
};

#define LIMITS_DEFAULT                                                                             \
    {                                                                                              \
        .max_message_bytes = 64u << 20, .max_pending = 1024, .max_held = 1024,                     \
        .max_held_bytes = 16u << 20, .max_facts = 1024, .max_facts_bytes = 1u << 20,               \
        .max_kept_fds = 16, .max_out_bytes = 256u << 10, .ask_timeout_ms = 5000,                   \
        .fd_timeout_ms = 30000,                                                                    \
    }
