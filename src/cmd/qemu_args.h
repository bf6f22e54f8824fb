#pragma once

/*
 * QEMU's arguments: where the QMP monitors are that it will listen on.
 *
 *   -qmp unix:PATH,server=on       likewise -qmp-pretty, and unix:fd=N
 *   -chardev socket,id=ID,server=on,path=PATH|fd=N, or as JSON, which one of
 *     -mon ID,mode=control         or as JSON
 *     -object monitor-qmp,chardev=ID  or as JSON
 *     -qmp chardev:ID
 *   makes a monitor
 *
 * It reads and writes text only.  What it does not understand is no monitor.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"

enum { QEMU_ARGS_MAX_MONITORS = 16 };

struct qemu_monitor {
    size_t index;     /* in argv: the argument that says where it listens */
    const char *path; /* NULL: at an inherited socket: */
    int fd;
    bool is_json;
    size_t at, n; /* where in the argument the path stands */
};

struct qemu_args {
    struct qemu_monitor monitors[QEMU_ARGS_MAX_MONITORS];
    size_t n;
};

enum {
    _QEMU_ARGS_E_SUCCESS,
    QEMU_ARGS_E_TOO_MANY, /* more than QEMU_ARGS_MAX_MONITORS */
};

/*
 * qemu_args_find() - find the monitors
 * @argc, @argv: without the program's name
 * @arena:       has the paths
 *
 * Return: 0, -ENOMEM, QEMU_ARGS_E_TOO_MANY.
 */
int qemu_args_find(struct arena *arena, int argc, char **argv, struct qemu_args *ret_args);

/*
 * qemu_args_move() - let the monitor listen elsewhere
 * @argument: the one that qemu_args_find() told of
 *
 * Return: @argument with @path instead, the caller's to free; NULL when out of memory.
 */
char *qemu_args_move(const struct qemu_monitor *m, const char *argument, const char *path);
