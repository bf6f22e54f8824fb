#pragma once

/*
 * Activation: the sockets that a service manager opened for us and left
 * behind at fd 3 and up ($LISTEN_FDS).  What each is for, its name tells.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ACTIVATION_MAX_FDS = 4096, /* more are closed unseen */
    ACTIVATION_MAX_NAME_BYTES = 255,
};

struct activation_socket {
    int fd;                                   /* close-on-exec; -1: taken */
    char name[ACTIVATION_MAX_NAME_BYTES + 1]; /* "" when none was given */
    bool is_stream;                           /* a unix stream socket */
    bool is_listening; /* and one that listens: something to accept clients from */
    uint64_t inode;
};

struct activation {
    struct activation_socket *sockets;
    size_t n;
    size_t n_twice; /* listening sockets that came before under another number; they are closed */
};

/* read the environment, and take it out of there.  Variables for another process are none */
void activation_init(struct activation *a);

/*
 * activation_take() - the next listening socket that is called @name
 * @name: NULL: called anything
 *
 * Return: its fd, now the caller's; -1 when there is none (any more).
 */
int activation_take(struct activation *a, const char *name);

/*
 * activation_take_stream() - likewise, but a unix stream socket that is connected
 * @name: must be given
 */
int activation_take_stream(struct activation *a, const char *name);

/*
 * activation_take_fd() - likewise, but whatever it is
 * @prefix:   what its name begins with
 * @ret_name: its whole name; borrowed, until activation_deinit()
 */
int activation_take_fd(struct activation *a, const char *prefix, const char **ret_name);

/* likewise, the one that is called @name */
int activation_take_named(struct activation *a, const char *name);

/* Return: is there one? */
bool activation_has(const struct activation *a, const char *name);

/* close what nobody took.  Return: how many that were */
size_t activation_deinit(struct activation *a);
