#pragma once

/*
 * Address: a path as the kernel wants it for a unix socket.
 */

#include <sys/socket.h>
#include <sys/un.h>

enum {
    ADDRESS_MAX_PATH_BYTES = sizeof(((struct sockaddr_un *)0)->sun_path) - 1, /* 107 */
};

enum {
    _ADDRESS_E_SUCCESS,
    ADDRESS_E_EMPTY,
    ADDRESS_E_TOO_LONG, /* more than ADDRESS_MAX_PATH_BYTES: the kernel's limit, not ours */
};

/* Return: 0, ADDRESS_E_EMPTY, ADDRESS_E_TOO_LONG */
int address_from_path(const char *path, struct sockaddr_un *ret_address);
