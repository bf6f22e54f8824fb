#pragma once

/*
 * The inside of a session: what these files share, and nobody else.
 *
 *   session.c  what a session is told and asked
 *   input.c    input of both sides to whole pieces
 *   run.c      what of the server's need not be looked at one by one
 *   commands.c and what of the client's
 *   client.c   what becomes of the client's
 *   planned.c  commands that are rewritten, and their replies, without the engine
 *   task.c     a message under way through the engine, and what becomes of it
 *   inject.c   messages of the shim's own, which rules order
 *   answer.c   replies that come, deadlines that pass
 *   queue.c    what goes to the client, in order, some of it waiting
 *
 * What of it must outlive a moment in which nothing is under way is saved
 * and restored in checkpoint.c.
 */

#include "base/buffer.h"
#include "base/list.h"
#include "proxy/compact.h"
#include "proxy/rides.h"
#include "proxy/session.h"
#include "qmp/frame.h"
#include "rule/engine.h"

enum task_kind {
    TASK_COMMAND,      /* of the client, through the engine */
    TASK_PLAIN,        /* of the client, only its reply's id must be put right */
    TASK_CAPABILITIES, /* the client's qmp_capabilities */
    TASK_ASK,          /* of the shim's own: its reply goes to the task that asked */
    TASK_THEN,         /* of the shim's own: its reply goes nowhere */
    TASK_PROBE,        /* of the shim's own: query-commands */
    TASK_MESSAGE,      /* from the server, or an event of the shim's own */
};

/* what goes to the client at one place in the order */
struct held {
    struct list in_queue;
    struct buffer text; /* line end included */
    struct rides rides;
    bool is_ready;
    bool is_edited; /* ready: text has its own line end, the one that comes is skipped */
};

struct shortcut;

struct task {
    struct list in_session;
    enum task_kind kind;
    struct exchange *exchange; /* NULL: no rule sees it, or a plan does */
    const struct shortcut
        *shortcut;       /* a plan rewrites it (planned.h), and will its reply; NULL: none does */
    struct task *parent; /* TASK_ASK: who asked; NULL: nobody waits any more */
    struct task *child;  /* the ask that is out for this task */
    uint64_t number;     /* of its id on the way to the server, while in flight; else 0 */
    uint64_t turn; /* it was the so-many-th command sent; replies without an id are told by it */
    uint64_t deadline_ms; /* UINT64_MAX: none */
    struct buffer raw;    /* the message as it came */
    struct buffer id;     /* the client's id as JSON text; n is 0: it gave none */
    struct rides rides;   /* of a command */
    struct held *held;    /* its place in the order towards the client */
    struct buffer reply;  /* as it came, while it is held for an event; n is 0: it is not */
    struct list parked;   /* struct task.in_session: events that come after this one's reply */
    size_t n_parked, n_parked_bytes;
    bool is_oob;
    bool is_blocking; /* in-band commands wait behind it */
    bool is_answer;   /* the reply was made here; what is in flight only tells when its turn is */
    char raw_room[240], id_room[48]; /* of raw and id, while they are as short as most are */
};

enum { TASK_ID_BYTES = 48 }; /* are enough for an id of the shim's own */

enum deferred_kind {
    DEFERRED_OBJECT,
    DEFERRED_BLANK,
    DEFERRED_RAW,
    DEFERRED_RAW_NEW, /* raw bytes with which something new begins */
};

/* input of the client that waits behind an exchange */
struct deferred {
    struct list in_session;
    enum deferred_kind kind;
    struct buffer text;
    struct rides rides;
};

enum negotiation { NEGOTIATION_NONE, NEGOTIATION_ASKED, NEGOTIATION_DONE };

/* one direction's input */
struct input {
    struct frame_reader reader;
    struct buffer tail; /* of an object that is not whole yet */
    struct rides rides; /* of the tail */
    bool is_streaming;  /* the object that is being read passes as it comes */
    bool skips_eol;     /* the line end of what was just edited or dropped */
    bool has_ended;
};

/* of the input, as frame_scan() cut it */
struct piece {
    enum frame_scan scan;
    const char *text;
    size_t n;
};

struct session {
    struct program *program; /* NULL: no rules */
    struct engine engine;
    struct limits limits;
    trace_fn trace;
    void *userdata;
    const struct trace_item *untold; /* what came and is being looked at; NULL: it was told */
    struct session_time time;
    struct session_stats stats;

    struct input input[2];
    struct out out[2];
    struct compact compact;
    struct buffer *room; /* lent; NULL: none was */

    struct list tasks;
    size_t n_in_flight;
    uint64_t last_number;

    struct list queue; /* struct held.in_queue, towards the client */
    size_t n_queue, n_queue_bytes;
    size_t n_filling;    /* places that are being filled: nothing is sent meanwhile */
    struct held *stream; /* such a message while it waits in the queue */
    struct held *eol;    /* the line end that comes next belongs to this one */

    struct list deferred;
    size_t n_deferred_bytes;

    struct task *fd_wait; /* nothing goes upstream before its reply */
    struct task *probe;
    uint64_t n_sent, n_answered; /* well-formed commands and replies */
    unsigned char *has_failed;   /* by struct rule.index; NULL: none has */
    struct fds
        blank_fds; /* came on a blank, for the command that follows: if rules may have something to say of them */
    const struct shortcut *
        shortcut; /* of the last command a plan took, whose name mostly comes again; NULL: look for it */
    const char *
        passing; /* name of the last command that passed though rules mention it; NULL: look for rules */
    size_t n_passing;
    uint64_t n_changes; /* of the selection and has_failed, so far: what checkpoint.h calls large */

    /* together, for there may be very many sessions */
    enum negotiation negotiation;
    bool is_streaming;     /* a message of the server is half sent: nothing may come between */
    bool is_oob;           /* the client asked for out-of-band execution */
    bool has_fds_upstream; /* fds went ahead of the command they are for */
    bool has_told_rules;
    bool tells_passed; /* the observer wants TRACE_PASSED, TRACE_REWRITTEN */
    bool
        tells_traffic; /* the observer wants TRACE_CAME, TRACE_SENT, TRACE_ENDED, TRACE_WENT, and TRACE_REWRITTEN */
    bool is_deny;      /* what cannot be read as a command that rules allow is refused here */
    bool is_refusing;  /* raw bytes that were refused may go on */
    bool is_uncertain; /* what was sent raw may have got any number of replies */
};

/* --- session.c --- */
/* tell the observer, which there is */
void session_tell(struct session *s, const struct trace_item *item);
/* of traffic, when that is wanted: it passes; @frame is NULL: it is blanks */
void session_tell_went(struct session *s, enum side from, const char *text, size_t n,
                       const struct frame *frame);
/* does the observer want TRACE_REWRITTEN?  What it would be told need not be put together otherwise */
static inline bool session_tells_rewritten(const struct session *s) {
    return s->tells_passed || s->tells_traffic;
}
/* a message passes */
void session_trace_passed(struct session *s, enum side from, const char *text, size_t n);
void session_trace(struct session *s, enum trace_kind kind, int from, const struct exchange *x,
                   const char *text, size_t n, const char *to_text, size_t n_to_text,
                   const char *note);
/*
 * A buffer for what goes out: in the room that was lent, or in @spare.
 * session_give() sends its content and takes it back.  Return: 0 or -ENOMEM
 */
struct buffer session_take(const struct session *s, char *spare, size_t n_spare);
int session_give(struct session *s, enum side to, struct buffer *b);
/* a whole command goes to the server.  Return: 0 or -ENOMEM */
int session_send_command(struct session *s, const char *text, size_t n, struct rides *rides,
                         bool is_borrowed);
/* does a rule that works read messages of this name?  A name may also be one that rules only write. */
bool session_reads(const struct session *s, enum program_role role, const char *name,
                   size_t n_name);
/* must in-band commands of the client wait? */
bool session_is_blocked(const struct session *s);
/* tell the observer which rules work; once a session */
int session_tell_rules(struct session *s);
/* choose the rules anew, by the server's version and commands (each may be NULL).  Return: 0 or -ENOMEM */
int session_select(struct session *s, const struct version *server,
                   const struct selection_commands *commands);

/* --- client.c --- */
enum client_interest {
    CLIENT_PASSES,   /* no rule has something to say of it */
    CLIENT_MENTIONS, /* a rule may: client_wants() tells */
    CLIENT_WANTS,
};

/* is it worth while to look for rules? */
enum client_interest client_interest(const struct session *s, const char *text,
                                     const struct frame *frame);
/* may a rule have something to say of this command? */
bool client_wants(const struct session *s, const char *text, const struct frame *frame);
bool client_is_capabilities(const struct session *s, const char *text, const struct frame *frame);
/* a piece of input, which may have to wait.  Return: 0 or -ENOMEM */
int client_input(struct session *s, enum deferred_kind kind, const char *text, size_t n,
                 const struct frame *frame, struct rides *rides, bool is_borrowed);
/* go on with what waited, as far as it need not any more.  Return: 0 or -ENOMEM */
int client_resume(struct session *s);
void client_forget(struct session *s, struct deferred *d);

/* --- input.c: all return 0 or -ENOMEM unless they say otherwise --- */
/* may a rule have something to say of this message of the server's, which is no reply to a command it knows? */
bool input_wants(const struct session *s, const char *text, const struct frame *frame);
int input_piece(struct session *s, enum side from, enum frame_scan scan, const char *text,
                size_t n);
/* what has come of an object will not become one: it passes as it is */
int input_break(struct session *s, enum side from, bool is_new, const char *text, size_t n);

/* --- queue.c: all return 0 or -ENOMEM unless they say otherwise --- */
/* a place behind @after, or before @before, or at the end; NULL: out of memory */
struct held *queue_add(struct session *s, struct held *after, struct held *before);
void queue_drop(struct session *s, struct held *h);
/* bytes that pass unchanged, behind all that waits */
int queue_pass(struct session *s, const char *text, size_t n, struct rides *rides);
/* a piece of a message that passes as it comes; @is_last: it ends here.  @text is copied unless @is_borrowed */
int queue_stream(struct session *s, const char *text, size_t n, struct rides *rides,
                 bool is_borrowed, bool is_last);
/* a message that waits for nobody, but does not come into the midst of another */
int queue_overtake(struct session *s, const char *text, size_t n);
/* the line end behind a message of the server */
int queue_eol(struct session *s, const char *text, size_t n, struct rides *rides);
/* is nothing before what is said now? */
bool queue_is_open(const struct session *s);
/* a message and its line end, when the queue is open; @text is copied */
int queue_say(struct session *s, const char *text, size_t n);
/* a message takes its place: as it came, with a line end of its own, or not at all (@text is NULL) */
int queue_fill(struct session *s, struct held *h, const char *text, size_t n, bool is_edited);
/* send what is ready */
int queue_flush(struct session *s);

/* --- task.c: all return 0 or -ENOMEM unless they say otherwise --- */
int task_begin_command(struct session *s, const char *text, size_t n, const struct frame *frame,
                       struct rides *rides, enum task_kind kind);
int task_begin_message(struct session *s, const char *text, size_t n, struct rides *rides);
/* what came is not let through: an error in its turn */
int task_refuse(struct session *s, struct rides *rides);
/* let the engine go on with it, and do what it orders */
int task_run(struct session *s, struct task *t);
/* would an id be taken for one of the shim's own, however it is written?  The server prints it plainly */
bool task_is_reserved_id(const char *id, size_t n);
/* Return: the task whose reply comes under the id @id (@n_id is 0: without one), or NULL */
struct task *task_find(struct session *s, const char *id, size_t n_id);
/* it is not in flight any more */
void task_forget_number(struct session *s, struct task *t);
/* tell of a rule that could not finish */
void task_note_failure(struct session *s, struct task *t);
struct task *task_free(struct session *s, struct task *t);

/* Return: a task of @s, in flight nowhere; NULL: out of memory */
struct task *task_new(struct session *s, enum task_kind kind);
/* the id of the shim's own with @number, as JSON text.  Return: its length */
size_t task_write_id(char ret_id[TASK_ID_BYTES], uint64_t number);
/* it is sent, and from now on in flight under that id */
void task_number(struct session *s, struct task *t, uint64_t number);
/* send @text under an id of the shim's own, so that its reply is found; @is_own: no client's, it needs a line end */
int task_send(struct session *s, struct task *t, const char *text, size_t n, bool is_own);

/* --- inject.c: all return 0 or -ENOMEM unless they say otherwise --- */
/* ask the server for @parent, which goes on without an answer if that cannot be */
int inject_ask(struct session *s, struct task *parent);
/* @t is a command of the shim's own: it is sent */
int inject_command(struct session *s, struct task *t, const char *text, size_t n);
/* send what the rules ordered beside the message that stands at @place, each in its place */
int inject_ordered(struct session *s, struct exchange *x, struct held *place);
/* ask which commands there are */
int inject_probe(struct session *s);

/* --- answer.c: all return 0 or -ENOMEM --- */
/* @event waits for the reply to @t; when too many do, for that no more */
int answer_park(struct session *s, struct task *t, struct task *event, uint32_t timeout_ms);
/* the reply @text came for @t */
int answer_take(struct session *s, struct task *t, const char *text, size_t n);
/* the reply to a command of the client goes back to it */
int answer_client(struct session *s, struct task *t, const char *text, size_t n);
/* @text is the reply as the client is to get it, in its turn */
int answer_deliver(struct session *s, struct task *t, const char *text, size_t n);
/* the task that asked goes on; @text is NULL: without an answer */
int answer_asker(struct session *s, struct task *t, const char *text, size_t n);
/* go on with replies and steps whose event has come */
int answer_release_met(struct session *s);
/* let deadlines pass; UINT64_MAX: all of them */
int answer_expire(struct session *s, uint64_t now_ms);
/* wait no longer for what is first in the queue */
int answer_expire_first(struct session *s);
