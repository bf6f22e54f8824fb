#pragma once

/*
 * Run: a relay, from its settings to its end.  The options that it shares
 * with those who run one otherwise (takeover.c) are here, too.
 */

#include <stdbool.h>
#include "cmd/command.h"
#include "cmd/settings.h"

/* the values mean nothing but to tell options apart */
#define RUN_OPTIONS                                                                                                                                           \
    {258, "client", "old|new", "which side of the rules the clients are on\n(default: old)"},                                                                 \
        {259, "client-version", "X",                                                                                                                          \
         "the QEMU version that the clients were written for,\nas 2.6: decides rule by rule whether it is needed"},                                           \
        {260, "rules", "FILE|NAME",                                                                                                                           \
         "a rule file, or an installed one by its name; may be\ngiven several times.  Default: all installed ones if\n--client-version is given, else none"}, \
        {261, "no-rules", NULL, "let everything pass unchanged"},                                                                                             \
        {262, "no-probe", NULL, "do not ask the server which commands it has"},                                                                               \
        {278, "compact", NULL,                                                                                                                                \
         "send commands without blanks and with short ids, which\nQEMU reads sooner"},                                                                        \
        {263, "log-level", "LEVEL", "error, warning, info or debug (default: info)"},                                                                         \
        {264, SETTINGS_CONFIG, "FILE", "a file that may say all this, too"},                                                                                  \
        {266, "drain-timeout", "SECONDS",                                                                                                                     \
         "how long sessions may go on after a signal to end\n(default: 0)"},                                                                                  \
        {279, "fd-store", "N",                                                                                                                                \
         "sessions outlive this process: the service manager\nkeeps their sockets, at most N fds (default: what it\nsays in FDSTORE, else 0)"},               \
        {267, "socket-mode", "MODE", "who may connect, in octal (default: 0600)"},                                                                            \
        {268, "socket-owner", "USER", "whose the socket is"},                                                                                                 \
        {269, "socket-group", "GROUP", "likewise"},                                                                                                           \
        {270, "allow-uid", "USER",                                                                                                                            \
         "who may connect, whatever the mode says; may be\ngiven several times"},                                                                             \
        {271, "allow-gid", "GROUP", "likewise, the members of a group"},                                                                                      \
        {272, "control", "PATH", "a socket for \"qmp-shim status\""},                                                                                         \
        {273, "metrics", "PATH", "a file of metrics, in OpenMetrics' format"},                                                                                \
        {274, "trace", "FILE",                                                                                                                                \
         "record all traffic there, for \"qmp-shim show\" and\n\"qmp-shim replay\""},                                                                         \
        {275, "trace-size", "MIB",                                                                                                                            \
         "at this size FILE becomes FILE.1 and begins anew;\n0: never (default: 100)"},                                                                       \
        {276, "redact", "FILE",                                                                                                                               \
         "which members of commands are secret and not recorded\n(default: an installed list)"},                                                              \
        {277, "no-redact", NULL, "record secrets, too"}, {                                                                                                    \
        283, "max-sessions", "N",                                                                                                                             \
            "of one server at once; more clients wait.  0: any\nnumber (default: 0; with --dir: 32)"                                                          \
    }

/* in the place of a socket that a server has made, not of --listen */
struct run_takeover {
    const char *front, *back; /* io/takeover.h */
    bool is_resumed, may_gap;
};

/*
 * run_with() - do it, until the end
 * @c: its options are those of settings_read()
 * @t: NULL: as the settings say
 *
 * Return: the exit status
 */
int run_with(const struct command *c, int argc, char **argv, const struct run_takeover *t);
