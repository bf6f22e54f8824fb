#include "proxy/recorder.h"

#include <string.h>

void recorder_init(struct recorder *r, uint64_t session, const struct redact *redact,
                   recorder_fn emit, void *userdata) {
    *r =
        (struct recorder){.session = session, .redact = redact, .emit = emit, .userdata = userdata};
    frame_reader_init(&r->came[SIDE_CLIENT].reader, FRAME_CLIENT);
    frame_reader_init(&r->came[SIDE_SERVER].reader, FRAME_SERVER);
    frame_reader_init(&r->sent[SIDE_CLIENT].reader, FRAME_SERVER);
    frame_reader_init(&r->sent[SIDE_SERVER].reader, FRAME_CLIENT);
}

static void stream_deinit(struct recorder_stream *s) {
    buffer_deinit(&s->text);
    buffer_deinit(&s->fds);
}

void recorder_deinit(struct recorder *r) {
    for (size_t side = 0; side < 2; side++) {
        stream_deinit(&r->came[side]);
        stream_deinit(&r->sent[side]);
        buffer_deinit(&r->blanks[side]);
    }
    buffer_deinit(&r->text);
    buffer_deinit(&r->to_text);
}

/* --- secrets ----------------------------------------------------------------------------------------- */

static void blank_text(struct recorder *r, const char **text, size_t *n, bool is_whole,
                       struct buffer *b, bool *is_blanked) {
    bool has_secret = false;

    if (!*text || !r->redact)
        return;
    if (redact_text(r->redact, *text, *n, is_whole, b, &has_secret) < 0) {
        r->has_failed = true;
        buffer_clear(b);
    }
    *text = b->n > 0 ? b->data : "";
    *n = b->n;
    *is_blanked = *is_blanked || has_secret;
}

/* secrets stand in commands */
static void emit(struct recorder *r, struct record *record, bool is_command, bool is_whole) {
    record->session = r->session;
    if (is_command) {
        blank_text(r, &record->text, &record->n_text, is_whole, &r->text, &record->is_blanked);
        blank_text(r, &record->to_text, &record->n_to_text, is_whole, &r->to_text,
                   &record->is_blanked);
    }
    r->emit(r->userdata, record);
}

/* --- bytes ----------------------------------------------------------------------------------------------- */

/* Is it a command of which nothing is secret?  Then it need not be read.  @text is all of it */
static bool has_no_secret(const struct recorder *r, const struct frame *f, const char *text) {
    if (!r->redact || !f->has_name || f->is_escaped || f->is_single_quoted || f->is_ambiguous)
        return false;
    return !redact_has(r->redact, text + f->name.at, f->name.n);
}

/* the same of what waits in @s, with so many blanks behind it */
static bool is_harmless(const struct recorder *r, const struct recorder_stream *s,
                        size_t n_blanks) {
    const struct frame *f = frame_reader_frame(&s->reader);

    return !s->is_part && !s->text.failed && f->n_bytes + n_blanks <= s->text.n &&
           has_no_secret(r, f, s->text.data + s->text.n - n_blanks - f->n_bytes);
}

static void flush(struct recorder *r, struct recorder_stream *s, struct record record,
                  bool is_message, bool goes_on, bool may_have_secret) {
    if (s->fds.n > 0)
        buffer_append(&s->fds, "", 1);
    if (s->text.failed || s->fds.failed)
        r->has_failed = true;
    record.text = s->text.n > 0 ? s->text.data : "";
    record.n_text = s->text.n;
    record.fds = s->fds.n > 0 && !s->fds.failed ? s->fds.data : NULL;
    record.is_part = goes_on;
    emit(r, &record, s->reader.source == FRAME_CLIENT && may_have_secret,
         is_message && !goes_on && !s->is_part);
    s->is_part = goes_on;
    buffer_clear(&s->text);
    buffer_clear(&s->fds);
}

static size_t count_blanks(const char *text, size_t n) {
    size_t i = 0;

    while (i < n && memchr(" \t\r\n", text[i], 4))
        i++;
    return i;
}

/* blanks in front of a message are recorded with it, those behind it too when they come at once */
static void add_bytes(struct recorder *r, struct recorder_stream *s, const struct record *record,
                      const char *text, size_t n) {
    size_t n_piece, n_blanks = 0;

    for (; n > 0; text += n_piece, n -= n_piece) {
        enum frame_scan scan = frame_scan(&s->reader, text, n, &n_piece);

        if (scan == FRAME_OBJECT) { /* its line end; to the reader it makes no difference */
            n_blanks = count_blanks(text + n_piece, n - n_piece);
            n_piece += n_blanks;
        }
        buffer_append(&s->text, text, n_piece);
        if (scan == FRAME_OBJECT)
            flush(r, s, *record, true, false, !is_harmless(r, s, n_blanks));
        else if (scan == FRAME_RAW || scan == FRAME_BROKEN)
            flush(r, s, *record, false, false, true);
        else if (s->text.n >= RECORDER_MAX_BYTES)
            flush(r, s, *record, scan == FRAME_PART, scan == FRAME_PART, true);
    }
}

static void add_fds(struct recorder *r, struct recorder_stream *s, const struct fds *fds) {
    for (size_t i = 0; fds && i < fds->n; i++)
        buffer_printf(&s->fds, "%s%s", s->fds.n > 0 ? " " : "",
                      r->fd_kind ? r->fd_kind(fds->fd[i]) : "fd");
}

/* what was begun and will not be finished */
static void end(struct recorder *r, struct recorder_stream *s, struct record record) {
    if (s->text.n > 0 || s->fds.n > 0)
        flush(r, s, record, false, false, true);
}

/* --- what is told ------------------------------------------------------------------------------------------- */

/* blanks that went on, put where what came and what was sent are gathered */
static void part(struct recorder *r, enum side from) {
    struct buffer *blanks = &r->blanks[from];

    if (blanks->failed)
        r->has_failed = true;
    buffer_append(&r->came[from].text, blanks->data, blanks->n);
    buffer_append(&r->sent[side_other(from)].text, blanks->data, blanks->n);
    buffer_clear(blanks);
}

static void tell_bytes(struct recorder *r, struct recorder_stream *s, const struct trace_item *item,
                       const struct record *record) {
    add_fds(r, s, item->fds);
    if (item->frame && item->frame->n_bytes == item->n_text && !s->reader.is_inside &&
        !s->is_part) {
        buffer_append(&s->text, item->text, item->n_text);
        flush(r, s, *record, true, false, !has_no_secret(r, item->frame, item->text));
        return;
    }
    add_bytes(r, s, record, item->text, item->n_text);
}

static void tell_came(struct recorder *r, const struct trace_item *item, struct record record) {
    record.kind = RECORD_CAME;
    part(r, (enum side)item->from);
    tell_bytes(r, &r->came[item->from], item, &record);
}

static void tell_sent(struct recorder *r, enum side to, const struct trace_item *item,
                      struct record record) {
    record.kind = RECORD_OF(TRACE_SENT);
    record.side = (int)to;
    part(r, side_other(to));
    tell_bytes(r, &r->sent[to], item, &record);
}

static inline bool is_at_rest(const struct recorder_stream *s) {
    return s->text.n == 0 && s->fds.n == 0 && !s->reader.is_inside && !s->is_part;
}

/* the same blanks wait on both sides: then what comes next can be told in one, again */
static inline void join(struct recorder_stream *came, struct recorder_stream *sent,
                        struct buffer *blanks) {
    if (came->text.n == 0 || came->text.n != sent->text.n || blanks->n > 0 ||
        came->reader.is_inside || sent->reader.is_inside || came->is_part || sent->is_part ||
        memcmp(came->text.data, sent->text.data, came->text.n) != 0)
        return;
    buffer_append(blanks, came->text.data, came->text.n);
    buffer_clear(&came->text);
    buffer_clear(&sent->text);
}

static void tell_went(struct recorder *r, const struct trace_item *item, struct record *record) {
    enum side from = (enum side)item->from, to = side_other(from);
    struct buffer *blanks = &r->blanks[from];

    join(&r->came[from], &r->sent[to], blanks);
    if (!is_at_rest(&r->came[from]) || !is_at_rest(&r->sent[to])) {
        tell_came(r, item, *record);
        tell_sent(r, to, item, *record);
        return;
    }
    record->kind = RECORD_OF(TRACE_PASSED);
    record->text = item->text;
    record->n_text = item->n_text;
    if (!item->frame || blanks->n > 0)
        buffer_append(blanks, item->text, item->n_text);
    if (!item->frame)
        return;
    r->has_failed = r->has_failed || blanks->failed;
    if (blanks->n > 0 && !blanks->failed) {
        record->text = blanks->data;
        record->n_text = blanks->n;
    }
    emit(r, record, from == SIDE_CLIENT && !has_no_secret(r, item->frame, item->text), true);
    buffer_clear(blanks);
}

static void tell_end(struct recorder *r, struct record record) {
    struct record came = record;

    came.kind = RECORD_CAME;
    part(r, (enum side)record.side);
    end(r, &r->came[record.side], came);
    emit(r, &record, false, true);
}

void recorder_note(struct recorder *r, int kind, const char *note, struct session_time time) {
    struct record record = {
        .kind = kind, .ms = time.now_ms, .us = time.wall_us, .side = -1, .note = note};

    for (int side = 0; kind == RECORD_CLOSED && side < 2; side++) {
        struct record rest = {
            .kind = RECORD_CAME, .ms = time.now_ms, .us = time.wall_us, .side = side};

        part(r, (enum side)side);
        end(r, &r->came[side], rest);
    }
    for (int side = 0; kind == RECORD_CLOSED && side < 2; side++) {
        struct record rest = {
            .kind = RECORD_OF(TRACE_SENT), .ms = time.now_ms, .us = time.wall_us, .side = side};

        end(r, &r->sent[side], rest);
    }
    emit(r, &record, false, true);
}

void recorder_tell(struct recorder *r, const struct trace_item *item, struct session_time time) {
    struct record record = {
        .kind = RECORD_OF(item->kind),
        .ms = time.now_ms,
        .us = time.wall_us,
        .side = item->from,
    };

    switch (item->kind) {
    case TRACE_PASSED: /* what came and what is sent tell it */
        return;
    case TRACE_CAME:
        tell_came(r, item, record);
        return;
    case TRACE_SENT:
        tell_sent(r, (enum side)item->from, item, record);
        return;
    case TRACE_WENT:
        tell_went(r, item, &record);
        return;
    case TRACE_ENDED:
        tell_end(r, record);
        return;
    default:
        record.rule = item->rule;
        record.note = item->note;
        record.text = item->text;
        record.n_text = item->n_text;
        record.to_text = item->to_text;
        record.n_to_text = item->n_to_text;
        emit(r, &record, item->from == SIDE_CLIENT || item->kind == TRACE_ASKED, true);
    }
}
