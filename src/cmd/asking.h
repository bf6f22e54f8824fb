#pragma once

/*
 * Asking: a request to a shim that runs, by its control socket (io/request.h),
 * and its answer.
 */

#include "base/buffer.h"
#include "cmd/command.h"

struct asking {
    const struct command *command; /* that asks */
    char *path;
    int fd;               /* -1: not connected */
    struct buffer answer; /* whole, by asking_read() */
};

/*
 * asking_open() - connect, and ask
 * @argument: the path of the control socket; that of the one for clients, if
 *            the other is the same with .ctl behind it; the name of an
 *            instance; NULL: the only instance that there is
 *
 * Return: 0 or an exit status (said why); asking_close() is due either way.
 */
int asking_open(struct asking *a, const struct command *command, const char *argument,
                const char *request);

/* to its end.  Return: 0 or an exit status (said why) */
int asking_read(struct asking *a);
void asking_close(struct asking *a);

/* say that it could not be asked.  Return: COMMAND_FAILED */
int asking_cannot(const struct asking *a, const char *why);
