#pragma once

/*
 * The fd store: file descriptors that the service manager keeps for us, by
 * name, whatever becomes of this process.  The next one finds them among its
 * inherited ones (io/activation.h).  What they are for is their owner's
 * business, but for the rules of sessions: those are kept here, too, once for
 * all sessions that have them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"
#include "io/activation.h"
#include "io/log.h"
#include "io/notify.h"
#include "rule/program.h"

enum { FDSTORE_MAX_NAME_BYTES = 64 };

struct fdstore {
    struct notify *notify;
    const struct log *log;
    size_t room;   /* fds that the service manager keeps; 0: it is not used */
    size_t n_used; /* of them */
    struct list books;
};

/* rules that stand in the store */
struct fdstore_book {
    struct list in_store;
    struct program *program;
    uint64_t hash; /* of their text; part of the name */
    size_t n_users;
};

void fdstore_init(struct fdstore *f, struct notify *notify, const struct log *log);

/* nothing is taken out of the store */
void fdstore_deinit(struct fdstore *f);

/* is it used for the sessions that begin now?  Not when it is nearly full */
bool fdstore_is_open(const struct fdstore *f);

/* @fd stays the caller's, and is in the store, too.  Return: false when there was no room */
bool fdstore_put(struct fdstore *f, int fd, const char *format, ...) _printf_(3, 4);

/* does nothing when it is not there */
void fdstore_remove(struct fdstore *f, const char *format, ...) _printf_(2, 3);

/*
 * fdstore_put_program() - keep rules, until fdstore_release() was called as often
 * @program: NULL: none
 *
 * Return: 0, negative (out of memory or fds); *ret_book is NULL if there are none.
 */
int fdstore_put_program(struct fdstore *f, struct program *program, struct fdstore_book **ret_book);
void fdstore_release(struct fdstore *f, struct fdstore_book *book);

/* those an earlier process kept: take them out of @a */
void fdstore_adopt_programs(struct fdstore *f, struct activation *a);

/* Return: the rules of that hash, with one user more; NULL: they are not there */
struct fdstore_book *fdstore_find_program(struct fdstore *f, uint64_t hash);

/* rules that were adopted, and that nobody found, go */
void fdstore_tidy(struct fdstore *f);
