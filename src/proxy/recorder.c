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

/*
 * Is it a command of which nothing is secret?  Then it need not be read.
 * @n_blanks: behind the object, which is the last in the text
 */
static bool has_no_secret(const struct recorder *r, const struct recorder_stream *s,
                          const struct frame *f, size_t n_blanks) {
    const char *name;

    if (!r->redact || s->is_part || s->text.failed || !f->has_name || f->is_escaped ||
        f->is_single_quoted || f->is_ambiguous || f->n_bytes + n_blanks > s->text.n)
        return false;
    name = s->text.data + s->text.n - n_blanks - f->n_bytes + f->name.at;
    return !json_member_n(r->redact->commands, name, f->name.n);
}

static void flush(struct recorder *r, struct recorder_stream *s, struct record record,
                  bool is_message, bool goes_on, bool is_harmless) {
    if (s->text.failed || s->fds.failed)
        r->has_failed = true;
    buffer_append(&s->fds, "", 1);
    record.text = s->text.n > 0 ? s->text.data : "";
    record.n_text = s->text.n;
    record.fds = s->fds.n > 1 ? s->fds.data : NULL;
    record.is_part = goes_on;
    emit(r, &record, s->reader.source == FRAME_CLIENT && !is_harmless,
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
            flush(r, s, *record, true, false,
                  has_no_secret(r, s, frame_reader_frame(&s->reader), n_blanks));
        else if (scan == FRAME_RAW || scan == FRAME_BROKEN)
            flush(r, s, *record, false, false, false);
        else if (s->text.n >= RECORDER_MAX_BYTES)
            flush(r, s, *record, scan == FRAME_PART, scan == FRAME_PART, false);
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
        flush(r, s, record, false, false, false);
}

/* --- what is told ------------------------------------------------------------------------------------------- */

static void tell_bytes(struct recorder *r, const struct trace_item *item,
                       const struct record *record) {
    struct recorder_stream *s =
        item->kind == TRACE_CAME ? &r->came[item->from] : &r->sent[item->from];

    add_fds(r, s, item->fds);
    if (item->frame && !s->reader.is_inside && !s->is_part) {
        buffer_append(&s->text, item->text, item->n_text);
        flush(r, s, *record, true, false, has_no_secret(r, s, item->frame, 0));
        return;
    }
    add_bytes(r, s, record, item->text, item->n_text);
}

static void tell_end(struct recorder *r, struct record record) {
    struct record came = record;

    came.kind = RECORD_CAME;
    end(r, &r->came[record.side], came);
    emit(r, &record, false, true);
}

void recorder_note(struct recorder *r, int kind, const char *note, struct session_time time) {
    struct record record = {
        .kind = kind, .ms = time.now_ms, .us = time.wall_us, .side = -1, .note = note};

    for (int side = 0; kind == RECORD_CLOSED && side < 2; side++) {
        struct record rest = {
            .kind = RECORD_CAME, .ms = time.now_ms, .us = time.wall_us, .side = side};

        end(r, &r->came[side], rest);
        rest.kind = RECORD_OF(TRACE_SENT);
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
    case TRACE_SENT:
        tell_bytes(r, item, &record);
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
