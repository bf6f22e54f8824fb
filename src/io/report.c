#include "io/report.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "io/pair.h"
#include "io/recording.h"
#include "json/writer.h"
#include "rule/selection.h"

static const struct report_count {
    const char *name;
    size_t at; /* in struct session_stats */
} counts[] = {
    {"rewritten", offsetof(struct session_stats, n_rewritten)},
    {"dropped", offsetof(struct session_stats, n_dropped)},
    {"answered", offsetof(struct session_stats, n_answered)},
    {"asked", offsetof(struct session_stats, n_asked)},
    {"held", offsetof(struct session_stats, n_held)},
    {"failed", offsetof(struct session_stats, n_failed)},
    {"timed_out", offsetof(struct session_stats, n_timed_out)},
};

static uint64_t report_count(const struct session_stats *stats, const struct report_count *count) {
    return *(const uint64_t *)((const char *)stats + count->at);
}

/* those that are over and those under way together */
static struct session_stats report_sum(const struct report *r, size_t *ret_n_pairs) {
    struct session_stats sum = r->tally->ended;

    *ret_n_pairs = 0;
    list_for_each(i, r->pairs) {
        const struct pair *p = list_entry(i, struct pair, in_server);

        if (p->is_over) /* on its way out, and in the tally */
            continue;
        tally_add(&sum, session_stats(p->session));
        ++*ret_n_pairs;
    }
    return sum;
}

void report_line(const struct report *r, struct buffer *b) {
    size_t n_pairs;
    struct session_stats sum = report_sum(r, &n_pairs);

    if (r->folder)
        buffer_printf(b, "%zu guest%s, ", r->folder->n_served, r->folder->n_served == 1 ? "" : "s");
    buffer_printf(b, "%s%zu session%s, %ju messages, %ju rewritten, %ju failed%s",
                  r->is_draining ? "draining: " : "", n_pairs, n_pairs == 1 ? "" : "s",
                  (uintmax_t)(sum.n_messages[SIDE_CLIENT] + sum.n_messages[SIDE_SERVER]),
                  (uintmax_t)sum.n_rewritten, (uintmax_t)sum.n_failed,
                  r->is_reload_failed ? "; the last reload failed, the rules are the old ones"
                                      : "");
}

/* ---- JSON ---- */

static void report_string(struct buffer *b, const char *text) {
    json_write_string(b, text, strlen(text));
}

static void report_member(struct buffer *b, const char *name, uint64_t number) {
    buffer_printf(b, ", \"%s\": %ju", name, (uintmax_t)number);
}

static void report_stats(struct buffer *b, const struct session_stats *stats) {
    buffer_printf(b, ", \"messages\": {\"client\": %ju, \"server\": %ju}",
                  (uintmax_t)stats->n_messages[SIDE_CLIENT],
                  (uintmax_t)stats->n_messages[SIDE_SERVER]);
    buffer_printf(b, ", \"bytes\": {\"client\": %ju, \"server\": %ju}",
                  (uintmax_t)stats->n_bytes[SIDE_CLIENT], (uintmax_t)stats->n_bytes[SIDE_SERVER]);
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        report_member(b, counts[i].name, report_count(stats, &counts[i]));
}

static void report_rule_name(struct buffer *b, const struct rule *rule) {
    struct buffer name = BUFFER_INIT;

    buffer_printf(&name, "%s/%s", rule->file->name, rule->name);
    json_write_string(b, name.data, name.n);
    b->failed = b->failed || name.failed;
    buffer_deinit(&name);
}

/* which rules work for one session, and which rest for what reason */
static void report_selection(struct buffer *b, const struct selection *s) {
    const char *comma = "";

    buffer_append_string(b, ", \"active\": [");
    for (size_t i = 0; i < program_n_rules(s->program); i++) {
        if (s->state[i] == SELECTION_RESTS)
            continue;
        buffer_append_string(b, comma);
        report_rule_name(b, program_rule(s->program, i));
        comma = ", ";
    }
    comma = "";
    buffer_append_string(b, "], \"resting\": [");
    for (size_t i = 0; i < program_n_rules(s->program); i++) {
        if (s->state[i] != SELECTION_RESTS)
            continue;
        buffer_printf(b, "%s{\"rule\": ", comma);
        report_rule_name(b, program_rule(s->program, i));
        buffer_append_string(b, ", \"reason\": ");
        report_string(b, selection_reason_text(s->reason[i]));
        buffer_append_string(b, "}");
        comma = ", ";
    }
    buffer_append_string(b, "]");
}

/* an id that the kernel could not tell is left out */
static void report_peer(struct buffer *b, const struct access_peer *peer) {
    if (peer->pid > 0)
        report_member(b, "pid", (uint64_t)peer->pid);
    if (peer->uid != (uid_t)-1)
        report_member(b, "uid", peer->uid);
    if (peer->gid != (gid_t)-1)
        report_member(b, "gid", peer->gid);
}

static void report_pair(struct buffer *b, const struct pair *p) {
    const struct selection *s = session_selection(p->session);

    buffer_printf(b, "{\"id\": %ju, \"connect\": ", (uintmax_t)p->id);
    report_string(b, p->connect_path);
    if (p->door && p->door->name) {
        buffer_append_string(b, ", \"guest\": ");
        report_string(b, p->door->name);
    }
    report_peer(b, &p->peer);
    report_stats(b, session_stats(p->session));
    if (s)
        report_selection(b, s);
    buffer_append_string(b, "}");
}

static void report_pairs(const struct report *r, struct buffer *b) {
    const char *comma = "";

    buffer_append_string(b, ", \"sessions\": [");
    list_for_each(i, r->pairs) {
        const struct pair *p = list_entry(i, struct pair, in_server);

        if (p->is_over)
            continue;
        buffer_append_string(b, comma);
        report_pair(b, p);
        comma = ", ";
    }
    buffer_append_string(b, "]");
}

static void report_guest(struct buffer *b, const struct folder_guest *g) {
    buffer_append_string(b, "{\"name\": ");
    report_string(b, g->name);
    if (g->door) {
        buffer_append_string(b, ", \"listen\": ");
        report_string(b, g->door->listener.path);
        report_member(b, "open", g->door->n_open);
        report_member(b, "sessions", g->door->n_sessions);
    } else {
        buffer_append_string(b, ", \"reason\": ");
        report_string(b, g->reason);
    }
    buffer_append_string(b, "}");
}

static void report_guests(const struct folder *f, struct buffer *b) {
    buffer_append_string(b, ", \"guests\": [");
    for (size_t i = 0; i < f->n_guests; i++) {
        buffer_append_string(b, i == 0 ? "" : ", ");
        report_guest(b, &f->guests[i]);
    }
    buffer_append_string(b, "]");
}

static void report_failures(const struct report *r, struct buffer *b) {
    const char *comma = "";

    buffer_append_string(b, ", \"failed_rules\": {");
    for (size_t i = 0; i < r->tally->n_rules; i++) {
        buffer_append_string(b, comma);
        report_string(b, r->tally->rules[i].name);
        buffer_printf(b, ": %ju", (uintmax_t)r->tally->rules[i].n_failed);
        comma = ", ";
    }
    buffer_append_string(b, "}");
}

/* a file that has failed is told with the reason; none at all has no name */
static void report_recording(const struct recording *r, struct buffer *b) {
    buffer_printf(b, ", \"trace\": {\"followers\": %zu", r->n_followers);
    if (r->file.path) {
        buffer_append_string(b, ", \"file\": ");
        report_string(b, r->file.path);
        report_member(b, "bytes", r->file.n_bytes);
    }
    if (r->file.error) {
        buffer_append_string(b, ", \"error\": ");
        report_string(b, strerror(r->file.error));
    }
    buffer_append_string(b, "}");
}

void report_json(const struct report *r, struct buffer *b) {
    size_t n_pairs;
    struct session_stats sum = report_sum(r, &n_pairs);

    buffer_append_string(b, "{\"version\": \"" PACKAGE_VERSION "\"");
    report_member(b, "pid", (uint64_t)getpid());
    report_member(b, "uptime_ms", r->uptime_ms);
    buffer_printf(b, ", \"draining\": %s", r->is_draining ? "true" : "false");
    buffer_printf(b, ", \"rules\": {\"files\": %zu, \"rules\": %zu",
                  r->program ? program_n_files(r->program) : 0,
                  r->program ? program_n_rules(r->program) : 0);
    report_member(b, "reloads", r->tally->n_reloads);
    report_member(b, "failed_reloads", r->tally->n_failed_reloads);
    buffer_printf(b, ", \"is_stale\": %s}", r->is_reload_failed ? "true" : "false");
    buffer_printf(b, ", \"totals\": {\"sessions\": %ju, \"refused\": %ju",
                  (uintmax_t)r->tally->n_sessions, (uintmax_t)r->tally->n_refused);
    report_stats(b, &sum);
    buffer_append_string(b, "}");
    report_failures(r, b);
    if (r->recording)
        report_recording(r->recording, b);
    if (r->folder)
        report_guests(r->folder, b);
    report_pairs(r, b);
    buffer_append_string(b, "}\n");
}

/* ---- OpenMetrics ---- */

static void report_family(struct buffer *b, const char *name, const char *type, const char *help) {
    buffer_printf(b, "# TYPE qmp_shim_%s %s\n# HELP qmp_shim_%s %s\n", name, type, name, help);
}

static void report_by_side(struct buffer *b, const char *name, const uint64_t n[2]) {
    buffer_printf(b, "qmp_shim_%s_total{from=\"client\"} %ju\n", name, (uintmax_t)n[SIDE_CLIENT]);
    buffer_printf(b, "qmp_shim_%s_total{from=\"server\"} %ju\n", name, (uintmax_t)n[SIDE_SERVER]);
}

/* a label's value: quotes, backslashes and line ends are escaped */
static void report_label(struct buffer *b, const char *text) {
    for (; *text; text++) {
        if (*text == '\n')
            buffer_append_string(b, "\\n");
        else
            buffer_printf(b, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
    }
}

static void report_rule_metrics(const struct report *r, struct buffer *b) {
    report_family(b, "rule_failures", "counter", "Times a rule could not finish.");
    for (size_t i = 0; i < r->tally->n_rules; i++) {
        buffer_append_string(b, "qmp_shim_rule_failures_total{rule=\"");
        report_label(b, r->tally->rules[i].name);
        buffer_printf(b, "\"} %ju\n", (uintmax_t)r->tally->rules[i].n_failed);
    }
}

static void report_server_metrics(const struct report *r, size_t n_pairs, struct buffer *b) {
    const struct tally *t = r->tally;

    report_family(b, "build", "info", "The program.");
    buffer_append_string(b, "qmp_shim_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
    report_family(b, "uptime_seconds", "gauge", "Since the start.");
    buffer_printf(b, "qmp_shim_uptime_seconds %ju.%03u\n", (uintmax_t)(r->uptime_ms / 1000),
                  (unsigned int)(r->uptime_ms % 1000));
    report_family(b, "open_sessions", "gauge", "Clients that are connected.");
    buffer_printf(b, "qmp_shim_open_sessions %zu\n", n_pairs);
    report_family(b, "sessions", "counter", "Clients that have connected.");
    buffer_printf(b, "qmp_shim_sessions_total %ju\n", (uintmax_t)t->n_sessions);
    report_family(b, "refused", "counter", "Clients that may not connect.");
    buffer_printf(b, "qmp_shim_refused_total %ju\n", (uintmax_t)t->n_refused);
    report_family(b, "reloads", "counter", "Times the rules were read again.");
    buffer_printf(b, "qmp_shim_reloads_total{result=\"done\"} %ju\n", (uintmax_t)t->n_reloads);
    buffer_printf(b, "qmp_shim_reloads_total{result=\"failed\"} %ju\n",
                  (uintmax_t)t->n_failed_reloads);
    if (r->folder) {
        report_family(b, "guests", "gauge", "Guests in the folder, served and not.");
        buffer_printf(b, "qmp_shim_guests{state=\"served\"} %zu\n", r->folder->n_served);
        buffer_printf(b, "qmp_shim_guests{state=\"passed_over\"} %zu\n",
                      r->folder->n_guests - r->folder->n_served);
    }
    report_family(b, "rules", "gauge", "Rules for the sessions to come.");
    buffer_printf(b, "qmp_shim_rules %zu\n", r->program ? program_n_rules(r->program) : 0);
}

void report_metrics(const struct report *r, struct buffer *b) {
    size_t n_pairs;
    struct session_stats sum = report_sum(r, &n_pairs);

    report_server_metrics(r, n_pairs, b);
    report_family(b, "messages", "counter", "Messages that came.");
    report_by_side(b, "messages", sum.n_messages);
    report_family(b, "received_bytes", "counter", "Bytes that came.");
    report_by_side(b, "received_bytes", sum.n_bytes);
    report_family(b, "actions", "counter", "What rules did.");
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        buffer_printf(b, "qmp_shim_actions_total{action=\"%s\"} %ju\n", counts[i].name,
                      (uintmax_t)report_count(&sum, &counts[i]));
    report_rule_metrics(r, b);
    buffer_append_string(b, "# EOF\n");
}
