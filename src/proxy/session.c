#include "proxy/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json/reader.h"
#include "proxy/flow.h"
#include "qmp/message.h"
#include "rule/introspect.h"

/* of a command, this much is kept whatever it is: an id of the kind that is the shim's own may follow */
enum { SESSION_SMALL_BYTES = 4096 };

static int client_piece(struct session *s, enum deferred_kind kind, const char *text, size_t n, const struct frame *frame, struct rides *rides,
                        bool is_borrowed);

/* --- life ------------------------------------------------------------------------------------------- */

int session_new(struct program *program, const struct limits *limits, trace_fn trace, void *userdata, struct session **ret_session) {
    struct session *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->program = program_ref(program);
    s->limits = *limits;
    s->trace = trace;
    s->userdata = userdata;
    frame_reader_init(&s->input[SIDE_CLIENT].reader, FRAME_CLIENT);
    frame_reader_init(&s->input[SIDE_SERVER].reader, FRAME_SERVER);
    out_init(&s->out[SIDE_CLIENT]);
    out_init(&s->out[SIDE_SERVER]);
    compact_init(&s->compact);
    list_init(&s->tasks);
    list_init(&s->queue);
    list_init(&s->deferred);
    engine_init(&s->engine, program, limits->max_facts);
    s->is_deny = program && program_is_deny(program);
    r = program ? selection_new(program, NULL, NULL, &s->engine.selection) : 0;
    if (r < 0) {
        session_free(s);
        return r;
    }
    *ret_session = s;
    return 0;
}

static void deferred_free(struct session *s, struct deferred *d) {
    list_remove(&d->in_session);
    s->n_deferred_bytes -= sizeof(*d) + d->text.n;
    buffer_deinit(&d->text);
    rides_deinit(&d->rides);
    free(d);
}

struct session *session_free(struct session *s) {
    if (!s)
        return NULL;
    while (!list_is_empty(&s->tasks))
        task_free(s, list_entry(s->tasks.next, struct task, in_session));
    while (!list_is_empty(&s->queue))
        queue_drop(s, list_entry(s->queue.next, struct held, in_queue));
    while (!list_is_empty(&s->deferred))
        deferred_free(s, list_entry(s->deferred.next, struct deferred, in_session));
    for (size_t side = 0; side < 2; side++) {
        buffer_deinit(&s->input[side].tail);
        rides_deinit(&s->input[side].rides);
        out_deinit(&s->out[side]);
    }
    fds_deinit(&s->blank_fds);
    compact_deinit(&s->compact);
    engine_deinit(&s->engine);
    free(s->has_failed);
    program_unref(s->program);
    free(s);
    return NULL;
}

void session_trace(struct session *s, enum trace_kind kind, int from, const struct exchange *x, const char *text, size_t n, const char *to_text,
                   size_t n_to_text, const char *note) {
    struct trace_item item = {kind, from, text, n, to_text, n_to_text, NULL, note, NULL, false};

    if (!s->trace)
        return;
    if (x && x->applied)
        item.rule = x->applied->rule->name;
    s->trace(s->userdata, &item);
}

int session_select(struct session *s, const struct version *server, const struct selection_commands *commands) {
    struct selection *selection;
    int r;

    if (server) {
        s->engine.server = *server;
        s->engine.has_server = true;
    }
    r = selection_new(s->program, s->engine.has_server ? &s->engine.server : NULL, commands, &selection);
    if (r < 0)
        return r;
    selection_free(s->engine.selection);
    s->engine.selection = selection;
    return 0;
}

static void name_rules(const struct session *s, const struct rule_file *file, struct buffer *b) {
    size_t n = 0;

    for (size_t i = 0; i < file->n_rules; i++) {
        if (!selection_is_working(s->engine.selection, &file->rules[i]))
            continue;
        if (n++ == 0) {
            buffer_append_string(b, b->n > 0 ? "; " : "");
            buffer_append_string(b, file->name);
            buffer_append(b, ":", 1);
        }
        buffer_append(b, " ", 1);
        buffer_append_string(b, file->rules[i].name);
    }
}

int session_tell_rules(struct session *s) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;

    if (s->has_told_rules || !s->trace)
        return 0;
    s->has_told_rules = true;
    for (size_t i = 0; i < program_n_files(s->program); i++)
        name_rules(s, program_file(s->program, i), &b);
    if (buffer_status(&b) < 0)
        return -ENOMEM;
    session_trace(s, TRACE_ACTIVE, -1, NULL, b.n > 0 ? b.data : "none", b.n > 0 ? b.n : 4, NULL, 0, NULL);
    return 0;
}

bool session_is_blocked(const struct session *s) {
    if (s->input[SIDE_SERVER].has_ended)
        return false; /* there is nothing to wait for */
    if (s->fd_wait || s->probe || (s->program && s->negotiation == NEGOTIATION_ASKED))
        return true;
    list_for_each(i, &s->tasks)
        if (list_entry(i, struct task, in_session)->is_blocking)
            return true;
    return false;
}

/* --- the client's commands ----------------------------------------------------------------------------- */

static bool name_is(const char *text, const struct frame *frame, const char *name) {
    return frame->name.n == strlen(name) && memcmp(text + frame->name.at, name, frame->name.n) == 0;
}

static bool is_command(const struct frame *frame) {
    return frame->kind == FRAME_COMMAND || frame->kind == FRAME_COMMAND_OOB;
}

/* does a rule that works read messages of this name?  A name may also be one that rules only write. */
static bool is_read(const struct session *s, enum program_role role, const char *name, size_t n_name) {
    struct program_uses uses = program_find(s->program, role, name, n_name);
    const struct selection *selection = s->engine.selection;

    for (size_t i = 0; i < uses.n; i++)
        if (selection_is_working(selection, uses.use[i].rule) &&
            selection_is_client_side(selection, uses.use[i].rule, uses.use[i].side) == (role == PROGRAM_COMMAND))
            return true;
    return false;
}

/* may a rule have something to say of this command? */
static bool wants_command(const struct session *s, const char *text, const struct frame *frame) {
    const char *name = text + frame->name.at;

    if (s->is_deny)
        return true;
    if (!s->program || s->negotiation != NEGOTIATION_DONE || frame->n_bytes > s->limits.max_message_bytes)
        return false;
    if (frame->is_escaped)
        return true; /* it may be a command, and any one */
    if (!is_command(frame) || !frame->has_name || s->engine.selection->n_working == 0)
        return false;
    return introspect_find(name, frame->name.n) != INTROSPECT_NONE || is_read(s, PROGRAM_COMMAND, name, frame->name.n) ||
           program_find(s->program, PROGRAM_REPLY_OF, name, frame->name.n).n > 0;
}

static bool has_reserved_id(const struct session *s, const char *text, const struct frame *frame) {
    return s->program && task_is_reserved_id(text + frame->id.at, frame->id.n);
}

/* does this qmp_capabilities ask for out-of-band execution? */
static int look_for_oob(struct session *s, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *enable;
    struct message m;
    int r;

    r = message_read(&arena, text, n, &m);
    if (r)
        return r < 0 ? r : 0;
    enable = json_member(json_member(m.root, "arguments"), "enable");
    for (size_t i = 0; enable && enable->type == JSON_ARRAY && i < enable->n_items; i++)
        s->is_oob = s->is_oob || json_is_string(&enable->items[i], "oob");
    return 0;
}

void session_compact(struct session *s) {
    s->compact.is_on = true;
}

static bool is_compact(const struct session *s) {
    return s->compact.is_on && !s->is_oob;
}

int session_send_command(struct session *s, const char *text, size_t n, struct rides *rides, bool is_borrowed) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    struct fds fds;
    int r = COMPACT_E_AS_IT_IS;

    if (is_compact(s))
        r = compact_command(&s->compact, text, n, s->limits.max_pending, &b);
    if (r == COMPACT_E_AS_IT_IS)
        return rides_push(rides, &s->out[SIDE_SERVER], text, n, is_borrowed);
    if (r < 0)
        return r;
    fds = rides_last(rides);
    out_ride_take(&s->out[SIDE_SERVER], &fds);
    return out_copy(&s->out[SIDE_SERVER], b.data, b.n);
}

static int client_passes(struct session *s, const char *text, size_t n, const struct frame *frame, struct rides *rides, bool is_borrowed) {
    s->n_sent++;
    if (frame && is_command(frame))
        s->has_fds_upstream = false;
    return session_send_command(s, text, n, rides, is_borrowed);
}

/* Only the first one that succeeds; under a policy, only what every server reads as one. */
static bool is_capabilities(const struct session *s, const char *text, const struct frame *frame) {
    if (frame->kind != FRAME_COMMAND || !name_is(text, frame, "qmp_capabilities") || (s->is_deny && (frame->is_ambiguous || frame->is_escaped)))
        return false;
    return !s->program || s->negotiation == NEGOTIATION_NONE;
}

static int client_capabilities(struct session *s, const char *text, size_t n, const struct frame *frame, struct rides *rides, bool is_borrowed) {
    int r;

    r = look_for_oob(s, text, n);
    if (r < 0)
        return r;
    if (!s->program)
        return client_passes(s, text, n, frame, rides, is_borrowed);
    return task_begin_command(s, text, n, frame, rides, TASK_CAPABILITIES);
}

/* fds that came on a blank join the command, unless it has newer ones */
static int take_blank_fds(struct session *s, struct rides *rides) {
    if (rides_is_empty(rides))
        return rides_add_take(rides, 0, &s->blank_fds);
    fds_deinit(&s->blank_fds);
    return 0;
}

static int client_object(struct session *s, const char *text, size_t n, const struct frame *frame, struct rides *rides, bool is_borrowed) {
    bool has_fds;
    int r;

    s->input[SIDE_CLIENT].skips_eol = false;
    s->is_refusing = false;
    r = take_blank_fds(s, rides);
    if (r < 0)
        return r;
    has_fds = !rides_is_empty(rides) || s->has_fds_upstream;
    if (is_capabilities(s, text, frame))
        return client_capabilities(s, text, n, frame, rides, is_borrowed);
    if (wants_command(s, text, frame))
        return task_begin_command(s, text, n, frame, rides, TASK_COMMAND);
    if (is_command(frame) && ((s->is_oob && (has_fds || (s->program && frame->kind == FRAME_COMMAND_OOB))) || has_reserved_id(s, text, frame)))
        return task_begin_command(s, text, n, frame, rides, TASK_PLAIN);
    session_trace(s, TRACE_PASSED, SIDE_CLIENT, NULL, text, n, NULL, 0, NULL);
    return client_passes(s, text, n, frame, rides, is_borrowed);
}

/* the line end behind a command that did not go to the server does not go there either */
static int client_blank(struct session *s, const char *text, size_t n, struct rides *rides, bool is_borrowed) {
    struct input *in = &s->input[SIDE_CLIENT];
    const char *newline = memchr(text, '\n', n);
    size_t n_skipped = 0;

    s->is_refusing = false;
    if (s->is_deny && !rides_is_empty(rides)) { /* they go no further than the command they are for */
        struct fds fds = rides_last(rides);

        fds_replace_take(&s->blank_fds, &fds);
    }
    if (in->skips_eol && rides_is_empty(rides)) {
        n_skipped = newline ? (size_t)(newline - text) + 1 : n;
        in->skips_eol = newline == NULL;
    }
    s->has_fds_upstream = s->has_fds_upstream || !rides_is_empty(rides);
    if (is_compact(s) && rides_is_empty(rides))
        return 0;
    return rides_push(rides, &s->out[SIDE_SERVER], text + n_skipped, n - n_skipped, is_borrowed);
}

/* one error for bytes that are no message, however many there are in a row */
static int client_refuse_raw(struct session *s, struct rides *rides) {
    bool was_refusing = s->is_refusing;

    fds_deinit(&s->blank_fds);
    s->is_refusing = true;
    if (!was_refusing)
        return task_refuse(s, rides);
    rides_deinit(rides);
    return 0;
}

static int client_raw(struct session *s, const char *text, size_t n, struct rides *rides, bool is_borrowed) {
    if (s->is_deny)
        return client_refuse_raw(s, rides);
    s->compact.is_on = false;
    s->is_uncertain = true;
    s->has_fds_upstream = s->has_fds_upstream || !rides_is_empty(rides);
    return rides_push(rides, &s->out[SIDE_SERVER], text, n, is_borrowed);
}

static int client_piece(struct session *s, enum deferred_kind kind, const char *text, size_t n, const struct frame *frame, struct rides *rides,
                        bool is_borrowed) {
    switch (kind) {
    case DEFERRED_OBJECT:
        return client_object(s, text, n, frame, rides, is_borrowed);
    case DEFERRED_BLANK:
        return client_blank(s, text, n, rides, is_borrowed);
    case DEFERRED_RAW_NEW:
        s->is_refusing = false;
        return client_raw(s, text, n, rides, is_borrowed);
    default:
        return client_raw(s, text, n, rides, is_borrowed);
    }
}

/* --- what of it waits ------------------------------------------------------------------------------------ */

static int defer(struct session *s, enum deferred_kind kind, const char *text, size_t n, struct rides *rides) {
    struct deferred *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->kind = kind;
    d->rides = rides_steal(rides);
    buffer_append(&d->text, text, n);
    list_append(&s->deferred, &d->in_session);
    s->n_deferred_bytes += sizeof(*d) + d->text.n; /* many small ones cost, too */
    return buffer_status(&d->text);
}

/* out-of-band commands overtake what waits, but nothing overtakes fds on their way */
static bool overtakes(const struct session *s, enum deferred_kind kind, const struct frame *frame, const struct rides *rides) {
    return kind == DEFERRED_OBJECT && frame->kind == FRAME_COMMAND_OOB && s->is_oob && !s->fd_wait && rides_is_empty(rides);
}

static int client_input(struct session *s, enum deferred_kind kind, const char *text, size_t n, const struct frame *frame, struct rides *rides,
                        bool is_borrowed) {
    bool waits = session_is_blocked(s) || !list_is_empty(&s->deferred);

    if (waits && !overtakes(s, kind, frame, rides))
        return defer(s, kind, text, n, rides);
    return client_piece(s, kind, text, n, frame, rides, is_borrowed);
}

static int resume_one(struct session *s, struct deferred *d) {
    struct frame_reader reader;
    size_t n;
    int r;

    frame_reader_init(&reader, FRAME_CLIENT);
    if (d->kind == DEFERRED_OBJECT)
        frame_scan(&reader, d->text.data, d->text.n, &n);
    r = client_piece(s, d->kind, d->text.data, d->text.n, frame_reader_frame(&reader), &d->rides, false);
    deferred_free(s, d);
    return r;
}

static int resume(struct session *s) {
    int r;

    while (!list_is_empty(&s->deferred) && !session_is_blocked(s)) {
        r = resume_one(s, list_entry(s->deferred.next, struct deferred, in_session));
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- the server's messages --------------------------------------------------------------------------------- */

/* is this, or could it be, the reply to a command of which the shim knows? */
static bool is_tracked(const struct session *s, const struct frame *frame) {
    return s->n_in_flight > 0 && (frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR);
}

static bool wants_message(const struct session *s, const char *text, const struct frame *frame) {
    const char *name = text + frame->name.at;

    if (!s->program || program_n_rules(s->program) == 0 || frame->n_bytes > s->limits.max_message_bytes)
        return false;
    switch (frame->kind) {
    case FRAME_EVENT:
        return frame->is_escaped || (frame->has_name && (is_read(s, PROGRAM_EVENT, name, frame->name.n) ||
                                                          program_find(s->program, PROGRAM_UNTIL, name, frame->name.n).n > 0));
    case FRAME_ERROR:
        return program_has(s->program, PROGRAM_ERROR);
    case FRAME_GREETING:
        return program_has(s->program, PROGRAM_GREETING);
    default:
        return false;
    }
}

static int read_greeting(struct session *s, const char *text, size_t n) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct version version;
    struct message m;
    int r;

    if (!s->program)
        return 0;
    r = message_read(&arena, text, n, &m);
    if (r || version_read_greeting(m.root, &version))
        return r < 0 ? r : 0;
    return session_select(s, &version, NULL);
}

static int server_object(struct session *s, const char *text, size_t n, const struct frame *frame, struct rides *rides) {
    struct task *t = NULL;
    int r = 0;

    s->eol = NULL;
    s->input[SIDE_SERVER].skips_eol = false;
    s->n_answered += frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR;
    if (is_tracked(s, frame))
        t = task_find(s, text + frame->id.at, frame->id.n);
    if (t) {
        s->input[SIDE_SERVER].skips_eol = true; /* what takes its place has a line end of its own */
        rides_deinit(rides);
        return task_reply(s, t, text, n);
    }
    if (frame->kind == FRAME_GREETING)
        r = read_greeting(s, text, n);
    if (r < 0)
        return r;
    if (wants_message(s, text, frame))
        return task_begin_message(s, text, n, rides);
    session_trace(s, TRACE_PASSED, SIDE_SERVER, NULL, text, n, NULL, 0, NULL);
    return queue_pass(s, text, n, rides);
}

/* --- bytes to pieces ----------------------------------------------------------------------------------------- */

/* what passes as it comes, whichever side it is from; @kind: of the client's; @is_last: nothing more belongs to it */
static int pass_bytes(struct session *s, enum side from, enum deferred_kind kind, const char *text, size_t n, struct rides *rides, bool is_borrowed,
                      bool is_last) {
    if (from == SIDE_CLIENT)
        return client_input(s, kind, text, n, NULL, rides, is_borrowed);
    return queue_stream(s, text, n, rides, is_borrowed, is_last);
}

static int object(struct session *s, enum side from, const char *text, size_t n, struct rides *rides, bool is_borrowed) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const struct frame *frame = frame_reader_frame(&s->input[from].reader);
    struct frame restored;
    int r = COMPACT_E_AS_IT_IS;

    s->stats.n_messages[from]++;
    if (from == SIDE_CLIENT)
        return client_input(s, DEFERRED_OBJECT, text, n, frame, rides, is_borrowed);
    if (compact_is_waiting(&s->compact))
        r = compact_reply(&s->compact, text, n, frame, &b, &restored);
    if (r < 0)
        return r;
    if (r == 0) {
        text = b.data;
        n = b.n;
        frame = &restored;
        is_borrowed = false;
    }
    r = server_object(s, text, n, frame, rides);
    return r < 0 || is_borrowed ? r : out_settle(&s->out[SIDE_CLIENT]); /* @text goes */
}

/* the tail, with what has just come, as one text */
static int join_tail(struct input *in, const char **text, size_t *n) {
    buffer_append(&in->tail, *text, *n);
    *text = in->tail.data;
    *n = in->tail.n;
    return buffer_status(&in->tail);
}

static void drop_tail(struct input *in) {
    if (in->tail.n == 0)
        return; /* nor are there rides of it */
    buffer_deinit(&in->tail);
    rides_deinit(&in->rides);
}

static int whole_object(struct session *s, enum side from, const char *text, size_t n) {
    struct input *in = &s->input[from];
    struct rides rides = RIDES_INIT;
    bool is_borrowed = in->tail.n == 0;
    int r = 0;

    if (!is_borrowed)
        r = join_tail(in, &text, &n);
    rides = rides_steal(&in->rides);
    if (r == 0)
        r = object(s, from, text, n, &rides, is_borrowed);
    rides_deinit(&rides);
    drop_tail(in);
    return r;
}

/* must an object of which this much has come be kept until it is whole? */
static bool is_kept(const struct session *s, enum side from, const char *text, const struct frame *frame) {
    if (from == SIDE_CLIENT && (session_is_blocked(s) || !list_is_empty(&s->deferred)))
        return true; /* the client is not read on, see session_wants() */
    if (compact_is_waiting(&s->compact) && (frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR))
        return true; /* the client's id must be put back, whatever the size */
    if (frame->n_bytes > s->limits.max_message_bytes)
        return false;
    if (from == SIDE_CLIENT && s->is_deny)
        return true;
    if (from == SIDE_CLIENT && s->is_oob && (!rides_is_empty(&s->input[from].rides) || s->has_fds_upstream))
        return true; /* its reply has to be found: nothing may follow it before */
    if (frame->kind == FRAME_UNKNOWN || (from == SIDE_CLIENT && s->program && frame->n_bytes <= SESSION_SMALL_BYTES))
        return true;
    if (from == SIDE_CLIENT)
        return !frame->has_name || wants_command(s, text, frame) || name_is(text, frame, "qmp_capabilities");
    if ((frame->kind == FRAME_EVENT && !frame->has_name) || (frame->kind == FRAME_GREETING && s->program))
        return true;
    return is_tracked(s, frame) || wants_message(s, text, frame);
}

/* the object that began is not whole yet */
static int part_of_object(struct session *s, enum side from, const char *text, size_t n) {
    struct input *in = &s->input[from];
    bool was_uncertain = s->is_uncertain, is_borrowed = in->tail.n == 0;
    struct rides rides;
    int r = 0;

    if (!is_borrowed)
        r = join_tail(in, &text, &n);
    if (r < 0)
        return r;
    if (is_kept(s, from, text, frame_reader_frame(&in->reader)))
        return is_borrowed ? join_tail(in, &text, &n) : 0;
    in->is_streaming = true;
    if (from == SIDE_SERVER) {
        s->eol = NULL;
        in->skips_eol = false;
    }
    rides = rides_steal(&in->rides);
    r = pass_bytes(s, from, DEFERRED_RAW_NEW, text, n, &rides, is_borrowed, false);
    s->is_uncertain = was_uncertain; /* it is one command for all that */
    drop_tail(in);
    return r;
}

static int streamed(struct session *s, enum side from, const char *text, size_t n, bool is_whole) {
    const struct frame *frame = frame_reader_frame(&s->input[from].reader);
    struct input *in = &s->input[from];
    struct rides rides = rides_steal(&in->rides);
    bool was_uncertain = s->is_uncertain;
    int r;

    r = pass_bytes(s, from, DEFERRED_RAW, text, n, &rides, true, is_whole);
    s->is_uncertain = was_uncertain;
    if (!is_whole)
        return r;
    in->is_streaming = false;
    s->stats.n_messages[from]++;
    if (from == SIDE_CLIENT)
        s->n_sent += !s->is_deny; /* it was refused */
    else
        s->n_answered += frame->kind == FRAME_RETURN || frame->kind == FRAME_ERROR;
    return r;
}

/* @is_new: it is no more of what was raw before */
static int broken(struct session *s, enum side from, bool is_new, const char *text, size_t n) {
    struct input *in = &s->input[from];
    enum deferred_kind kind = is_new && !in->is_streaming ? DEFERRED_RAW_NEW : DEFERRED_RAW;
    struct rides rides = RIDES_INIT;
    bool is_borrowed = in->tail.n == 0;
    int r = 0;

    in->is_streaming = false;
    if (!is_borrowed)
        r = join_tail(in, &text, &n);
    rides = rides_steal(&in->rides);
    if (r == 0)
        r = pass_bytes(s, from, kind, text, n, &rides, is_borrowed, true);
    rides_deinit(&rides);
    drop_tail(in);
    return r;
}

static int blank(struct session *s, enum side from, const char *text, size_t n) {
    struct rides rides = rides_steal(&s->input[from].rides);

    if (from == SIDE_CLIENT)
        return client_input(s, DEFERRED_BLANK, text, n, NULL, &rides, true);
    return queue_eol(s, text, n, &rides);
}

static int piece(struct session *s, enum side from, enum frame_scan scan, const char *text, size_t n) {
    struct input *in = &s->input[from];

    switch (scan) {
    case FRAME_BLANK:
        return blank(s, from, text, n);
    case FRAME_OBJECT:
        return in->is_streaming ? streamed(s, from, text, n, true) : whole_object(s, from, text, n);
    case FRAME_PART:
        return in->is_streaming ? streamed(s, from, text, n, false) : part_of_object(s, from, text, n);
    default:
        return broken(s, from, scan == FRAME_BROKEN, text, n);
    }
}

/* --- what a session is told --------------------------------------------------------------------------------------- */

static bool queue_is_over(const struct session *s) {
    return s->n_queue > s->limits.max_held || s->n_queue_bytes > s->limits.max_held_bytes;
}

/* Replies made here wait for the end of a message that passes in pieces; only that ends their wait. */
static bool queue_is_waiting(const struct session *s) {
    return !list_is_empty(&s->queue) && !list_entry(s->queue.next, struct held, in_queue)->is_ready;
}

/* after every input: release what may go, keep the limits, let go on what waited */
static int settle(struct session *s) {
    int r;

    r = task_release_met(s);
    if (r == 0)
        r = queue_flush(s);
    while (r == 0 && queue_is_over(s) && queue_is_waiting(s))
        r = task_expire_first(s);
    if (r == 0)
        r = queue_flush(s);
    return r < 0 ? r : resume(s);
}

/* is nothing under way?  Then there is nothing to settle, which is so after most messages */
static bool is_quiet(const struct session *s) {
    return list_is_empty(&s->tasks) && list_is_empty(&s->queue) && list_is_empty(&s->deferred);
}

/* --- telling of traffic: nothing here runs unless somebody asked for it --- */

static void tell_came(struct session *s, enum side from, const char *text, size_t n, const struct fds *fds) {
    struct trace_item item = {.kind = TRACE_CAME, .from = from, .text = text, .n_text = n, .fds = fds};

    s->trace(s->userdata, &item);
}

/* what is in an out now and was not when it had @n_before bytes */
static void tell_sent(struct session *s, enum side to, size_t n_before) {
    list_for_each(i, &s->out[to].segments) {
        const struct out_segment *g = list_entry(i, struct out_segment, in_out);
        struct trace_item item = {.kind = TRACE_SENT, .from = to};

        if (n_before < g->n) {
            item.text = g->text + n_before;
            item.n_text = g->n - n_before;
            item.fds = n_before == 0 && !fds_is_empty(&g->fds) ? &g->fds : NULL;
            s->trace(s->userdata, &item);
        }
        n_before -= size_min(n_before, g->n);
    }
}

struct traffic {
    size_t n[2]; /* in each out */
};

static struct traffic traffic_now(const struct session *s) {
    return (struct traffic){{s->out[SIDE_CLIENT].n_bytes, s->out[SIDE_SERVER].n_bytes}};
}

static int tell_traffic(struct session *s, const struct traffic *before, int r) {
    if (!s->tells_traffic)
        return r;
    tell_sent(s, SIDE_SERVER, before->n[SIDE_SERVER]);
    tell_sent(s, SIDE_CLIENT, before->n[SIDE_CLIENT]);
    return r;
}

void session_tell_traffic(struct session *s) {
    s->tells_traffic = s->trace != NULL;
}

/* --- what comes in, time, the end --- */

static int feed_piece(struct session *s, enum side from, enum frame_scan scan, const char *text, size_t n) {
    struct traffic before = traffic_now(s);
    int r;

    if (s->tells_traffic)
        tell_came(s, from, text, n, NULL);
    r = piece(s, from, scan, text, n);
    if (r == 0 && !is_quiet(s))
        r = settle(s);
    return tell_traffic(s, &before, r);
}

int session_feed(struct session *s, enum side from, const char *text, size_t n, struct fds *fds, struct session_time time) {
    struct input *in = &s->input[from];
    size_t n_piece;
    int r;

    s->time = time;
    s->stats.n_bytes[from] += n;
    if (s->tells_traffic && fds && !fds_is_empty(fds))
        tell_came(s, from, text, 0, fds);
    r = rides_add_take(&in->rides, in->tail.n, fds);
    while (r == 0 && n > 0) {
        enum frame_scan scan = frame_scan(&in->reader, text, n, &n_piece);

        r = feed_piece(s, from, scan, text, n_piece);
        text += n_piece;
        n -= n_piece;
    }
    return r;
}

/* replies will not come any more: whatever waits goes as it is */
static int end_server(struct session *s) {
    int r;

    for (;;) {
        r = task_expire(s, UINT64_MAX - 1);
        if (r < 0 || list_is_empty(&s->queue))
            return r;
        r = task_expire_first(s);
        if (r < 0)
            return r;
    }
}

static int end_input(struct session *s, enum side from) {
    int r = 0;

    if (s->input[from].tail.n > 0 || s->input[from].is_streaming)
        r = broken(s, from, true, "", 0);
    if (r == 0 && from == SIDE_SERVER)
        r = end_server(s);
    return r < 0 ? r : settle(s);
}

int session_end(struct session *s, enum side from, struct session_time time) {
    struct trace_item item = {.kind = TRACE_ENDED, .from = from};
    struct traffic before = traffic_now(s);

    s->time = time;
    if (s->input[from].has_ended)
        return 0;
    s->input[from].has_ended = true;
    if (s->tells_traffic)
        s->trace(s->userdata, &item);
    return tell_traffic(s, &before, end_input(s, from));
}

int session_tick(struct session *s, struct session_time time) {
    struct traffic before = traffic_now(s);
    int r;

    s->time = time;
    r = task_expire(s, time.now_ms);
    return tell_traffic(s, &before, r < 0 ? r : settle(s));
}

/* --- what is asked of a session -------------------------------------------------------------------------------------- */

uint64_t session_deadline_ms(const struct session *s) {
    uint64_t first = UINT64_MAX;

    list_for_each(i, &s->tasks) {
        const struct task *t = list_entry(i, struct task, in_session);

        first = t->deadline_ms < first ? t->deadline_ms : first;
    }
    return first;
}

struct out *session_out(struct session *s, enum side to) {
    return &s->out[to];
}

bool session_wants(const struct session *s, enum side from) {
    if (s->input[from].has_ended || s->out[side_other(from)].n_bytes > s->limits.max_out_bytes)
        return false;
    if (from == SIDE_CLIENT && (s->n_in_flight > s->limits.max_pending || queue_is_over(s))) /* refusals that wait for their turn */
        return false;
    return from == SIDE_SERVER || s->n_deferred_bytes + s->input[from].tail.n <= s->limits.max_held_bytes || !session_is_blocked(s);
}

bool session_is_finished(const struct session *s, enum side to) {
    if (to == SIDE_CLIENT)
        return s->input[SIDE_SERVER].has_ended && list_is_empty(&s->queue);
    return s->input[SIDE_CLIENT].has_ended && list_is_empty(&s->deferred) && !session_is_blocked(s);
}

const struct session_stats *session_stats(const struct session *s) {
    return &s->stats;
}

const struct selection *session_selection(const struct session *s) {
    return s->engine.selection;
}
