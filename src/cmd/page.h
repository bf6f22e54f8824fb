#pragma once

/*
 * Page: a dialogue as one page of HTML that needs nothing else: the template
 * (page.html, built in), the messages, and a digest of them.  What was said
 * is written as data, in which no byte of it means anything to a browser.
 *
 * Messages are written as they come, so memory is bounded; so is the page,
 * because a browser has all of it in memory: what is beyond is counted, and
 * the page says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "base/buffer.h"
#include "cmd/dialogue.h"
#include "cmd/digest.h"

enum {
    PAGE_MAX_BYTES = 64 << 20,       /* of messages */
    PAGE_MAX_TEXT_BYTES = 256 << 10, /* of one text of a message */
    PAGE_MAX_CHANGES = 200,          /* of one message */
};

struct page {
    FILE *file;
    struct digest digest;
    struct buffer line;
    size_t n_bytes;
    size_t n_written, n_wanted; /* messages */
    bool is_filtered;           /* some were not wanted */
};

/* begin.  Write errors stay in @file */
void page_begin(struct page *p, FILE *file);

/* Return: 0 or -ENOMEM */
int page_line(struct page *p, const struct dialogue_line *line);

/*
 * page_end() - the rest of it
 * @title: of the page
 *
 * Return: 0 or -ENOMEM; page_deinit() is due either way
 */
int page_end(struct page *p, const char *title);
void page_deinit(struct page *p);
