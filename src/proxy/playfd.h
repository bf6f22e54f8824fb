#pragma once

/*
 * File descriptors that a peer of a player sends: what they are to be is told
 * in the words that rules have for them, and what arrives is compared with it.
 */

#include "base/fdlook.h"
#include "json/value.h"

/* what is told of one; kind is NULL: nothing, any will do */

/* {"kind": "file", "access": "write", "offset": 4096}, of which any member may be missing */
void playfd_read(const struct json *value, struct fdlook *ret);

/*
 * playfd_open() - one like that; a file is of this process alone and empty
 * Return: 0: @ret_fd is the caller's to close; -errno.
 */
int playfd_open(const struct fdlook *want, int *ret_fd);

/* is @got as @want tells? */
bool playfd_fits(const struct fdlook *want, const struct fdlook *got);
