#pragma once

/*
 * Configuration: what `qmp-shim run` is to do, from its command line and from
 * a file.  Every option has a key of the same name, so that one table reads
 * both.  It says what is wanted; whether that can be done (does the user
 * exist, may the socket be made) is found out by whoever does it.
 *
 *   {"qmp-shim-config": 1, "connect": "/run/vm/qmp.server", "rules": ["a", "b"]}
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "json/diag.h"

enum {
    CONF_LANGUAGE_VERSION = 1,
    CONF_MAX_NUMBER = INT32_MAX, /* of bytes, messages, seconds and milliseconds alike */
};

/* limits that can be set, as proxy/limits.h explains them */
enum conf_limit {
    CONF_MAX_MESSAGE_BYTES,
    CONF_MAX_PENDING,
    CONF_MAX_HELD,
    CONF_MAX_HELD_BYTES,
    CONF_MAX_FACTS,
    CONF_MAX_FACTS_BYTES,
    CONF_MAX_KEPT_FDS,
    CONF_MAX_OUT_BYTES,
    CONF_ASK_TIMEOUT_MS,
    CONF_FD_TIMEOUT_MS,
    _CONF_LIMIT_N,
};

#define CONF_FD_STORE_AUTO UINT64_MAX

struct conf_list {
    const char **item;
    size_t n;
};

struct conf {
    struct arena arena; /* all texts are in it */
    uint64_t is_set;    /* a bit for each key of the table: what was set first stays */

    const char *listen, *connect;   /* paths; NULL: none, as all texts */
    const char *dir, *upstream_dir; /* paths */
    uint64_t max_guests;
    uint64_t max_sessions; /* of one server; 0: any */
    const char *client;    /* "old" or "new" */
    const char *client_version;
    struct conf_list rules;
    bool no_rules, no_probe, compact;
    const char *log_level;
    const char *control, *metrics; /* paths */
    const char *trace;             /* a path */
    uint64_t trace_size;           /* MiB; 0: any */
    const char *redact;            /* a path; NULL: the installed one */
    bool no_redact;
    uint64_t drain_timeout; /* seconds */
    uint64_t fd_store;      /* fds; CONF_FD_STORE_AUTO: as the service manager says */
    uint64_t socket_mode;
    const char *socket_owner, *socket_group;
    struct conf_list allow_uid, allow_gid; /* names or numbers */
    uint64_t limit[_CONF_LIMIT_N];         /* 0: the default */
};

#define CONF_INIT                                                                                  \
    {                                                                                              \
        .client = "old", .log_level = "info", .socket_mode = 0600, .trace_size = 100,              \
        .max_guests = 4096, .fd_store = CONF_FD_STORE_AUTO                                         \
    }

enum {
    _CONF_E_SUCCESS,
    CONF_E_INVALID, /* what is wrong was told */
};

/* the way out of a wrong value, one line */
struct conf_advice {
    char text[200];
};

/* Return: the name of the key that is @index-th in the table; NULL behind the last */
const char *conf_key_name(size_t index);

/*
 * conf_set() - one key from the command line
 * @key:           as the table has it
 * @value:         as written, copied; NULL for what is true by being there.
 *                 Lists get longer with each call
 * @reterr_advice: what the value can be
 *
 * Return: 0, -ENOMEM, CONF_E_INVALID.
 */
int conf_set(struct conf *c, const char *key, const char *value, struct conf_advice *reterr_advice);

/*
 * conf_default() - what a text is, if nobody sets it
 * Return: 0 or -ENOMEM; does nothing when @key was set.
 */
int conf_default(struct conf *c, const char *key, const char *value);

/*
 * conf_load() - the text of a configuration file
 * @diags: all that is wrong is added to it
 *
 * Keys that were set before keep their value; the file's is checked all the same.
 * Return: 0, -ENOMEM, CONF_E_INVALID (@c is then good for conf_deinit() only).
 */
int conf_load(struct conf *c, const struct diag_source *source, struct diag_set *diags);

/* is this the text of a configuration file, and of no rule file? */
bool conf_recognise(const char *text, size_t n);

/*
 * Does it all make sense together?
 * Return: NULL, or what does not
 */
const char *conf_check(const struct conf *c);

void conf_deinit(struct conf *c);
