#pragma once

/*
 * Version numbers of servers and clients, as far as rules compare them.
 */

#include <stdbool.h>
#include <stddef.h>
#include "json/value.h"

struct version {
    unsigned int major, minor, micro;
};

enum {
    _VERSION_E_SUCCESS,
    VERSION_E_INVALID, /* no version number */
};

/* "9.2", "0.12.1", "11".  Return: 0, VERSION_E_INVALID */
int version_read(const char *text, size_t n, struct version *ret);

/* from a greeting: {"QMP": {"version": {"qemu": …}}}; 0.14 and older gave a string there.  Return: 0, VERSION_E_INVALID */
int version_read_greeting(const struct json *greeting, struct version *ret);

/* Return: less than, equal to or greater than 0 */
int version_compare(struct version a, struct version b);
