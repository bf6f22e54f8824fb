#pragma once

/*
 * Commands and replies that plans rewrite (rule/shortcut.h), without the
 * engine.  Whatever is unusual goes the way of task.c and answer.c, which
 * comes to the same.
 */

#include "proxy/flow.h"

enum {
    _PLANNED_E_SUCCESS,
    PLANNED_E_NOT, /* it takes the engine; nothing was done */
};

/*
 * planned_command() - a command of the client, which goes to the server
 * @n_eol: so many bytes behind it are its line end, and go with it
 *
 * Return: 0, -ENOMEM, PLANNED_E_NOT.
 */
int planned_command(struct session *s, const char *text, size_t n, size_t n_eol,
                    const struct frame *frame, const struct rides *rides);

/* is it called as the last one that planned_command() took? */
bool planned_knows(const struct session *s, const char *text, const struct frame *frame);

/* the reply to it, which goes to the client.  Return: 0, -ENOMEM; PLANNED_E_NOT: then @t has its exchange */
int planned_reply(struct session *s, struct task *t, const char *text, size_t n);

/*
 * planned_feed() - the reply that is awaited, and its line end
 * @text:      of the server's, not looked at yet, while something is under way
 * @ret_piece: what is to be done next; n is 0: it was taken
 *
 * Return: 0 or -ENOMEM.
 */
int planned_feed(struct session *s, const char *text, size_t n, struct piece *ret_piece);

/* the engine is to go on with it, if a plan has begun.  Return: 0 or -ENOMEM */
int planned_wake(struct session *s, struct task *t);
int planned_wake_all(struct session *s);
