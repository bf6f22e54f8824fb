#pragma once

/*
 * Trace file: where the records of all sessions are written, a line each
 * (proxy/record.h), with mode 0600.  When it is full it becomes FILE.1, in
 * place of an older one, and a new one begins.  Writing waits for the disk;
 * when it fails, that is logged once and the traffic goes on unrecorded.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "io/log.h"
#include "proxy/record.h"
#include "proxy/redact.h"

struct tracefile {
    const struct log *log;
    const struct redact *redact; /* NULL: secrets are written, too */
    char *path;
    int fd; /* -1: not writing */
    uint64_t max_bytes, n_bytes;
    struct buffer line;
};

/*
 * tracefile_open()
 * @path:      one that is there becomes PATH.1
 * @max_bytes: of one file; 0: any number
 * @redact:    must outlive @t
 *
 * Return: 0 or negative; tracefile_close() is due either way.
 */
int tracefile_open(struct tracefile *t, const struct log *log, const char *path, uint64_t max_bytes,
                   const struct redact *redact);
void tracefile_close(struct tracefile *t);

void tracefile_write(struct tracefile *t, const struct record *r);
