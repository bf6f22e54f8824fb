/*
 * qmp-shim show: draws what a trace has recorded, a line a message.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/dialogue.h"
#include "cmd/ladder.h"
#include "cmd/options.h"
#include "cmd/page.h"
#include "cmd/pager.h"

enum show_option {
    SHOW_SESSION = 256,
    SHOW_COMMAND,
    SHOW_EVENT,
    SHOW_RULE,
    SHOW_CHANGED,
    SHOW_FAILED,
    SHOW_FULL,
    SHOW_HTML,
    SHOW_NO_PAGER
};

struct show {
    struct dialogue_filter filter;
    struct ladder ladder;
    bool has_head;         /* written */
    const char *html_path; /* NULL: text, to stdout */
    bool is_pageless;
};

static const struct command_option show_options[] = {
    {SHOW_SESSION, "session", "N", "only that session"},
    {SHOW_COMMAND, "command", "NAME",
     "only commands of that name, before or behind the\nrules, and their replies"},
    {SHOW_EVENT, "event", "NAME", "only events of that name"},
    {SHOW_RULE, "rule", "NAME", "only what that rule had to do with"},
    {SHOW_CHANGED, "changed", NULL, "only what did not pass unchanged"},
    {SHOW_FAILED, "failed", NULL, "only errors, rules that failed and waits that ended"},
    {SHOW_FULL, "full", NULL, "whole messages, and all of their changes"},
    {SHOW_HTML, "html", "FILE",
     "write a page for a browser there, to look through,\nsearch and print"},
    {SHOW_NO_PAGER, "no-pager", NULL,
     "do not show it page by page, which is done on a\nterminal ($QMP_SHIM_PAGER, $PAGER, or less)"},
    {.name = NULL},
};

static int show_line(void *userdata, const struct dialogue_line *line) {
    struct show *s = userdata;

    if (!s->has_head)
        ladder_head();
    s->has_head = true;
    if (line->is_wanted)
        ladder_line(&s->ladder, line);
    return ferror(stdout);
}

/* @r: 0, an errno, or what was said already */
static int show_end(int r) {
    if (r < 0)
        fprintf(stderr, "qmp-shim show: %s\n", strerror(-r));
    return r ? COMMAND_FAILED : 0;
}

/* --- as text --- */

static int show_text(struct show *s, const char *path) {
    struct pager pager = {.pid = 0};
    int r;

    s->ladder.is_colour = isatty(STDOUT_FILENO);
    if (!s->is_pageless)
        pager_start(&pager);
    r = dialogue_read(path, &s->filter, show_line, s);
    pager_end(&pager);
    return show_end(r == 0 && s->ladder.is_starved ? -ENOMEM : r);
}

/* --- as a page --- */

struct show_page {
    struct page page;
    int error;
};

static int show_page_line(void *userdata, const struct dialogue_line *line) {
    struct show_page *p = userdata;

    p->error = page_line(&p->page, line);
    return p->error || ferror(p->page.file);
}

static int show_write_page(const struct show *s, const char *path, FILE *file) {
    const char *name = strrchr(path, '/');
    struct show_page p = {.error = 0};
    int r;

    page_begin(&p.page, file);
    r = dialogue_read(path, &s->filter, show_page_line, &p);
    if (r == 0)
        r = p.error;
    if (r == 0)
        r = page_end(&p.page, name ? name + 1 : path);
    page_deinit(&p.page);
    return r;
}

/* what was said is nobody else's business: the mode is that of a trace */
static FILE *show_open_page(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (fd >= 0 && !file)
        close(fd);
    return file;
}

static int show_html(const struct show *s, const char *path) {
    FILE *file = show_open_page(s->html_path);
    bool is_written;
    int r;

    if (!file) {
        fprintf(stderr, "cannot write %s: %s\n", s->html_path, strerror(errno));
        return COMMAND_FAILED;
    }
    r = show_write_page(s, path, file);
    is_written = !ferror(file);
    if ((fclose(file) != 0 || !is_written) && r == 0) {
        fprintf(stderr, "cannot write %s: %s\n", s->html_path, strerror(errno));
        return COMMAND_FAILED;
    }
    return show_end(r);
}

/* --- the command --- */

/* Return: 0 or an exit status */
static int show_set(void *userdata, const struct command *c, int option, const char *value) {
    struct show *s = userdata;

    switch (option) {
    case SHOW_SESSION:
        return options_session(c, value, &s->filter.session);
    case SHOW_COMMAND:
        s->filter.command = value;
        return 0;
    case SHOW_EVENT:
        s->filter.event = value;
        return 0;
    case SHOW_RULE:
        s->filter.rule = value;
        return 0;
    case SHOW_CHANGED:
        s->filter.is_changed = true;
        return 0;
    case SHOW_FAILED:
        s->filter.is_failed = true;
        return 0;
    case SHOW_NO_PAGER:
        s->is_pageless = true;
        return 0;
    case SHOW_HTML:
        s->html_path = value;
        return 0;
    default:
        s->ladder.is_full = true;
        return 0;
    }
}

static int show_run(const struct command *c, int argc, char **argv) {
    struct show show = {0};
    const char *path;
    int status;

    status = options_read(c, argc, argv, show_set, &show);
    if (status)
        return status == OPTIONS_HELP ? 0 : status;
    status = options_argument(c, argc, argv, "TRACE", &path);
    if (status)
        return status;
    return show.html_path ? show_html(&show, path) : show_text(&show, path);
}

const struct command command_show = {
    .name = "show",
    .summary = "draw what was recorded by run --trace",
    .synopsis = "[OPTION]… TRACE",
    .text = "Draws the dialogue that a trace has recorded, between client, shim and server: a\n"
            "line for each message, and under one that was rewritten what is gone (-), new (+)\n"
            "and different (~).  The time is that since the session began, in seconds.\n",
    .options = show_options,
    .run = show_run,
};
