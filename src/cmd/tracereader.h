#pragma once

/*
 * Trace reader: the records of a trace file, one after the other.  Never more
 * than one line is in memory.
 */

#include <stdio.h>
#include "base/arena.h"
#include "proxy/record.h"

struct tracereader {
    const char *path;
    FILE *file;
    char *line;
    size_t n_line_max;
    size_t n_lines;
    struct arena arena; /* of the record */
    struct record sent; /* is next when has_sent */
    bool has_sent;
};

#define TRACEREADER_INIT                                                                           \
    { 0 }

enum {
    _TRACEREADER_E_SUCCESS,
    TRACEREADER_E_END,
    TRACEREADER_E_FAILED, /* what is wrong was said on stderr */
};

/* @path: - is the standard input.  Return: 0, TRACEREADER_E_FAILED; tracereader_close() is due either way */
int tracereader_open(struct tracereader *t, const char *path);
void tracereader_close(struct tracereader *t);

/*
 * tracereader_next()
 * @ret: its texts stay until the next call
 *
 * A last line without end, of a trace that is being written, is the end.
 * Return: 0, -ENOMEM, TRACEREADER_E_….
 */
int tracereader_next(struct tracereader *t, struct record *ret);

/*
 * tracereader_find_session() - read on to the record with which a session begins
 * @session: its number; 0: the first one that comes
 *
 * Return: 0, -ENOMEM, TRACEREADER_E_FAILED: there is none, which was said, too
 */
int tracereader_find_session(struct tracereader *t, uint64_t session, struct record *ret);
