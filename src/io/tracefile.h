#pragma once

/*
 * Trace file: lines of records (proxy/record.h), with mode 0600.  When it is
 * full it becomes FILE.1, in place of an older one, and a new one begins.
 * Lines are gathered and written many at a time.  Writing waits for the disk;
 * when it fails, that is logged once, the rest is not written, and the traffic
 * goes on.  What lines say is recording.h's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "io/log.h"

enum { TRACEFILE_MAX_WAITING_BYTES = 256 << 10 }; /* gathered; then they are written */

struct tracefile {
    const struct log *log;
    char *path;         /* NULL: there is none */
    int fd;             /* -1: not writing */
    int error;          /* errno: why not; 0: nothing is wrong */
    uint64_t max_bytes; /* of one file; 0: any number */
    uint64_t n_bytes;   /* of this one */
    struct buffer
        waiting; /* lines that are not written yet; nothing is added unless it is writing */
};

#define TRACEFILE_INIT                                                                             \
    { .fd = -1 }

/*
 * tracefile_open() - begin, with @head
 * @path:      copied; one that is there becomes PATH.1, if it is a file
 * @max_bytes: of one file; 0: any number
 *
 * Return: 0, negative (-EEXIST: that is no file); tracefile_close() is due either way.
 */
int tracefile_open(struct tracefile *t, const struct log *log, const char *path, uint64_t max_bytes,
                   const struct buffer *head);
void tracefile_close(struct tracefile *t);

/*
 * tracefile_added() - a line of @n bytes was appended to t->waiting
 * Return: is it full?  Then tracefile_turn() is due, before the next line.
 */
bool tracefile_added(struct tracefile *t, size_t n);

/* begin anew, with @head */
void tracefile_turn(struct tracefile *t, const struct buffer *head);

/* what waits goes to the disk */
void tracefile_flush(struct tracefile *t);
