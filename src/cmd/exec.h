#pragma once

/*
 * Exec under another name: a symbolic link qemu-system-x86_64-shim to this
 * program is an emulator, qemu-system-x86_64 with a shim.
 */

#include <stdbool.h>

/* is it called by such a name? */
bool exec_is_emulator(const char *name);

/* become that emulator, with the settings of a file.  Return: an exit status, on failure only */
int exec_as_emulator(int argc, char **argv);
