#include "io/tracelog.h"

#include <assert.h>

#include "base/util.h"
#include "proxy/session.h"

static const struct {
    enum log_level level;
    const char *message;
} kinds[] = {
    [TRACE_PASSED] = {LOG_LEVEL_DEBUG, "message passed"},
    [TRACE_REWRITTEN] = {LOG_LEVEL_DEBUG, "message rewritten"},
    [TRACE_DROPPED] = {LOG_LEVEL_DEBUG, "message dropped"},
    [TRACE_ANSWERED] = {LOG_LEVEL_DEBUG, "command answered"},
    [TRACE_ASKED] = {LOG_LEVEL_DEBUG, "server asked"},
    [TRACE_SWALLOWED] = {LOG_LEVEL_DEBUG, "server's answer taken"},
    [TRACE_EMITTED] = {LOG_LEVEL_DEBUG, "event emitted"},
    [TRACE_HELD] = {LOG_LEVEL_DEBUG, "message held"},
    [TRACE_RELEASED] = {LOG_LEVEL_DEBUG, "message released"},
    [TRACE_FAILED] = {LOG_LEVEL_WARNING, "rule failed, message passed unchanged"},
    [TRACE_TIMED_OUT] = {LOG_LEVEL_WARNING, "waited too long, message passed unchanged"},
    [TRACE_ACTIVE] = {LOG_LEVEL_INFO, "rules chosen"},
    [TRACE_CAME] = {LOG_LEVEL_DEBUG, "bytes came"},
    [TRACE_SENT] = {LOG_LEVEL_DEBUG, "bytes sent"},
    [TRACE_ENDED] = {LOG_LEVEL_DEBUG, "a side ended"},
};

const char *tracelog_side(int side) {
    switch (side) {
    case SIDE_CLIENT:
        return "client";
    case SIDE_SERVER:
        return "server";
    default:
        return "shim";
    }
}

void tracelog_write(const struct log *log, uint64_t session, const struct trace_item *item) {
    enum log_level level;

    assert(item->kind < ARRAY_SIZE(kinds)); /* one row a kind, above */
    level = item->is_repeated ? LOG_LEVEL_DEBUG : kinds[item->kind].level;
    if (!log_is_on(log, level))
        return;
    log_write(log, level, kinds[item->kind].message, LOG_NUMBER("session", session),
              LOG_WORD("side", tracelog_side(item->from)), LOG_STRING("rule", item->rule),
              LOG_STRING("note", item->note), LOG_TEXT("text", item->text, item->n_text),
              LOG_TEXT("to", item->to_text, item->n_to_text));
}
