#pragma once

/*
 * Settings: the configuration of one run, put together: from its command
 * line, the file that names (or an instance has), and the defaults of an
 * instance, in this order.  What was found wrong is said on stderr.
 */

#include "cmd/command.h"
#include "conf/conf.h"

/* options that are no keys of a file */
#define SETTINGS_CONFIG "config"
#define SETTINGS_INSTANCE "instance"

enum {
    _SETTINGS_E_SUCCESS,
    SETTINGS_E_HELP,   /* it was asked for, and given */
    SETTINGS_E_USAGE,  /* the command line is wrong */
    SETTINGS_E_FAILED, /* the file is */
};

/*
 * settings_read() - read it all; may be called again with the same arguments
 * @c: its options are conf_key_name()'s, and the two above
 * @ret_conf: for conf_deinit()
 *
 * Return: 0, -ENOMEM, SETTINGS_E_….
 */
int settings_read(const struct command *c, int argc, char **argv, struct conf *ret_conf);
