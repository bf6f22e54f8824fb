#pragma once

/*
 * Runs: messages that go to the other side as they come, as many as stand
 * together.  For session.c
 */

#include "proxy/flow.h"
#include "rule/rename.h"

/* what was taken and stands together, and was not given out yet */
struct run {
    enum side to;
    const char *text;
    size_t n;
    bool is_copied; /* a part before it was */

    /* of the event before: its name, which mostly comes again, and what is to be done with it */
    const char *name;
    size_t n_name;
    enum run_event { RUN_EVENT_PASSES, RUN_EVENT_IS_RENAMED, RUN_EVENT_IS_READ } event;
    struct rename rename;
};

enum { RUN_TAKEN, RUN_NOT_TAKEN };

/* nothing was taken yet.  Not all of it is set: this is done for every piece that comes */
static inline void run_begin(struct run *run, enum side to) {
    run->to = to;
    run->n = 0;
    run->is_copied = false;
    run->name = NULL;
}

/* more goes as it came; it follows what was taken before */
static inline void run_extend(struct run *run, const char *text, size_t n) {
    if (run->n == 0)
        run->text = text;
    run->n += n;
}

/*
 * run_take() - a piece of the server's input, if it can go at once
 * @n:      of the piece; @n_left: of all there is at @text, which must stay until run_end()
 * @ret_n:  how much was taken: the piece, and perhaps a line end behind it
 *
 * Only while nothing is under way.  What follows a piece must be the next
 * one that is taken, or run_end() comes between.
 * Return: RUN_TAKEN, RUN_NOT_TAKEN, -ENOMEM.
 */
int run_take(struct session *s, struct run *run, enum frame_scan scan, const char *text, size_t n,
             size_t n_left, size_t *ret_n);

/* give out what was taken, and forget all else, too.  Return: 0 or -ENOMEM */
int run_end(struct session *s, struct run *run);
