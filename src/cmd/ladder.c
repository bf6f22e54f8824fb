#include "cmd/ladder.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "json/reader.h"
#include "proxy/changes.h"
#include "proxy/session.h"

enum {
    LADDER_MAX_TEXT = 70,    /* of a message, unless it is to be full */
    LADDER_MAX_CHANGES = 12, /* of one message, likewise */
    LADDER_CHANGES_COLUMN = 36,
};

/* --- text ----------------------------------------------------------------------------------------------- */

/* a terminal obeys bytes that it should not get from here */
static void put_text(const char *text, size_t n, size_t max) {
    for (size_t i = 0; i < n && i < max; i++)
        putchar(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    if (n > max)
        fputs("...", stdout);
}

static void put_value(const struct ladder *s, const struct json *v) {
    put_text(v->text, v->n_text, s->is_full ? SIZE_MAX : LADDER_MAX_TEXT);
}

static void put_colour(const struct ladder *s, const char *code) {
    if (s->is_colour)
        printf("\033[%sm", code);
}

/* --- changes --------------------------------------------------------------------------------------------- */

struct changing {
    const struct ladder *ladder;
    size_t n; /* so far, of this message */
};

static void put_change(void *userdata, const struct change *c) {
    struct changing *k = userdata;
    const struct ladder *s = k->ladder;

    if (++k->n > LADDER_MAX_CHANGES && !s->is_full)
        return;
    printf("%*s", LADDER_CHANGES_COLUMN, "");
    put_colour(s, c->was && c->is ? "33" : c->was ? "31" : "32");
    printf("%c ", c->was && c->is ? '~' : c->was ? '-' : '+');
    put_text(c->path, strlen(c->path), LADDER_MAX_TEXT);
    fputs(": ", stdout);
    if (c->was)
        put_value(s, c->was);
    if (c->was && c->is)
        fputs(" -> ", stdout);
    if (c->is)
        put_value(s, c->is);
    put_colour(s, "0");
    putchar('\n');
}

static void put_changes(struct ladder *s, const struct exchanged *x) {
    struct changing k = {.ladder = s};

    if (x->kind != EXCHANGE_REWRITTEN || !x->text || !x->to_text)
        return;
    if (changes_find(x->text, x->to_text, put_change, &k) < 0)
        s->is_starved = true;
    if (!s->is_full && k.n > LADDER_MAX_CHANGES)
        printf("%*s... %zu more (--full)\n", LADDER_CHANGES_COLUMN, "", k.n - LADDER_MAX_CHANGES);
}

/* --- a line ------------------------------------------------------------------------------------------------ */

static const char *lanes_of(const struct exchanged *x) {
    bool is_client = x->from == SIDE_CLIENT;

    switch (x->kind) {
    case EXCHANGE_PASSED:
        return is_client ? "|--------+------->|" : "|<-------+--------|";
    case EXCHANGE_REWRITTEN:
        return is_client ? "|------->*------->|" : "|<-------*<-------|";
    case EXCHANGE_ASKED:
        return "|        *------->|";
    case EXCHANGE_EMITTED:
    case EXCHANGE_ANSWERED:
        return "|<-------*        |";
    case EXCHANGE_NOTE:
        return "|        .        |";
    default:
        return is_client ? "|------->*        |" : "|        *<-------|";
    }
}

static const char *word_of(const struct exchanged *x) {
    switch (x->kind) {
    case EXCHANGE_DROPPED:
        return "dropped ";
    case EXCHANGE_ANSWERED:
        return "answered by the shim: ";
    case EXCHANGE_ASKED:
        return "asked by the shim: ";
    case EXCHANGE_SWALLOWED:
        return "its answer: ";
    case EXCHANGE_EMITTED:
        return "the shim's own: ";
    default:
        return "";
    }
}

/* the inside of a message: arguments, what is returned, … */
static const char *const insides[] = {
    [FRAME_COMMAND] = "arguments", [FRAME_COMMAND_OOB] = "arguments",
    [FRAME_RETURN] = "return",     [FRAME_ERROR] = "error",
    [FRAME_EVENT] = "data",        [FRAME_GREETING] = "QMP",
};

static void put_message(struct ladder *s, const char *text, int from, const char *call) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct exchange_label label = exchange_label(text, from);
    const struct json *inside = NULL;
    struct json *root;
    int r;

    if (label.kind == FRAME_UNKNOWN) {
        put_text(text, strlen(text), s->is_full ? SIZE_MAX : LADDER_MAX_TEXT);
        return;
    }
    if (label.n > 0)
        put_text(label.text, (size_t)label.n, LADDER_MAX_TEXT);
    else
        fputs(label.kind == FRAME_RETURN  ? "return"
              : label.kind == FRAME_ERROR ? "error"
                                          : "greeting",
              stdout);
    if (call)
        printf(" (%s)", call);
    r = json_read(&arena, text, strlen(text), false, &root, NULL);
    s->is_starved = s->is_starved || r < 0;
    if (r == 0)
        inside = json_member(root, insides[label.kind]);
    if (inside) {
        putchar(' ');
        put_value(s, inside);
    }
}

static void put_remarks(const struct ladder *s, const struct exchanged *x) {
    if (x->fds)
        printf("  [fds: %s]", x->fds);
    if (x->is_blanked)
        fputs("  [secret]", stdout);
    if (x->kind == EXCHANGE_OPEN)
        fputs("  [goes no further]", stdout);
    if (x->is_held || x->sent_ms > x->ms)
        printf("  [waited %.3f s]", (double)(x->sent_ms - x->ms) / 1000);
    if (x->is_failed) {
        put_colour(s, "31");
        printf("  [failed: %s]", x->note ? x->note : "a wait");
        put_colour(s, "0");
    }
    if (x->rule) {
        put_colour(s, "36");
        printf("  <%s>", x->rule);
        put_colour(s, "0");
    }
}

static void put_note(const struct ladder *s, const struct exchanged *x) {
    printf("%s%s%s",
           x->from == SIDE_CLIENT   ? "the client "
           : x->from == SIDE_SERVER ? "the server "
                                    : "",
           x->to_text, x->note ? ": " : "");
    if (x->note)
        put_text(x->note, strlen(x->note), s->is_full ? SIZE_MAX : LADDER_MAX_TEXT);
}

/* a name that the rules have changed */
static void put_new_name(const struct dialogue_line *l) {
    struct exchange_label label = exchange_label(l->x->text, l->from);
    struct exchange_label to = exchange_label(l->x->to_text, l->from);

    if (l->x->kind != EXCHANGE_REWRITTEN || to.n == 0 ||
        (to.n == label.n && memcmp(to.text, label.text, (size_t)to.n) == 0))
        return;
    fputs(" -> ", stdout);
    put_text(to.text, (size_t)to.n, LADDER_MAX_TEXT);
}

void ladder_head(void) {
    printf("           time  client  shim  server\n");
}

void ladder_line(struct ladder *s, const struct dialogue_line *l) {
    const struct exchanged *x = l->x;

    printf("%-3llu %9.3f  %s  %s", (unsigned long long)x->session, (double)l->ms / 1000,
           lanes_of(x), word_of(x));
    if (x->kind == EXCHANGE_NOTE)
        put_note(s, x);
    else
        put_message(s, l->text, l->from, l->call);
    put_new_name(l);
    put_remarks(s, x);
    putchar('\n');
    put_changes(s, x);
}
