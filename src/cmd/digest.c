#include "cmd/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proxy/session.h"

enum { FIRST_PLACES = 64 };

/* --- names --------------------------------------------------------------------------------------------- */

static size_t hash(const char *text, size_t n) {
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3;
    return (size_t)(h ^ h >> 32);
}

/* Return: where @text is, or would be */
static struct digest_name *place_of(const struct digest_names *names, const char *text, size_t n,
                                    const char *what) {
    for (size_t i = hash(text, n);; i++) {
        struct digest_name *p = &names->place[i & (names->n_places - 1)];

        if (!p->text || (strlen(p->text) == n && memcmp(p->text, text, n) == 0 && p->what == what))
            return p;
    }
}

static int grow(struct digest_names *names) {
    struct digest_names more = *names;

    if (names->n * 2 < names->n_places)
        return 0;
    more.n_places = names->n_places ? names->n_places * 2 : FIRST_PLACES;
    more.place = calloc(more.n_places, sizeof(*more.place));
    if (!more.place)
        return -ENOMEM;
    for (size_t i = 0; i < names->n_places; i++) {
        const struct digest_name *p = &names->place[i];

        if (p->text)
            *place_of(&more, p->text, strlen(p->text), p->what) = *p;
    }
    free(names->place);
    *names = more;
    return 0;
}

static int count(struct digest_names *names, const char *text, size_t n, const char *what) {
    struct digest_name *p;

    if (grow(names) < 0)
        return -ENOMEM;
    p = place_of(names, text, n, what);
    if (!p->text && names->n >= DIGEST_MAX_NAMES) {
        names->n_lost++;
        return 0;
    }
    if (!p->text) {
        p->text = strndup(text, n);
        if (!p->text)
            return -ENOMEM;
        p->what = what;
        names->n++;
    }
    p->n++;
    return 0;
}

uint64_t digest_count(const struct digest_names *names, const char *text) {
    return names->n_places ? place_of(names, text, strlen(text), NULL)->n : 0;
}

static void names_deinit(struct digest_names *names) {
    for (size_t i = 0; i < names->n_places; i++)
        free(names->place[i].text);
    free(names->place);
}

void digest_deinit(struct digest *d) {
    names_deinit(&d->active);
    names_deinit(&d->used);
    names_deinit(&d->strange);
    for (size_t i = 0; i < d->n_holds; i++)
        free(d->holds[i].name);
}

/* --- what is counted ---------------------------------------------------------------------------------------- */

/* "file: rule rule; file: rule", as a session tells which rules it has chosen */
static int add_active(struct digest *d, const char *text) {
    while (*text) {
        size_t n = strcspn(text, " ;");
        int r = n > 0 && text[n - 1] != ':' && strcmp(text, "none") != 0
                    ? count(&d->active, text, n, NULL)
                    : 0;

        if (r < 0)
            return r;
        text += n;
        text += strspn(text, " ;");
    }
    return 0;
}

static void add_session(struct digest *d, uint64_t id) {
    if (d->n_sessions > 0 && d->sessions[d->n_sessions - 1] == id)
        return;
    for (size_t i = 0; i < d->n_sessions; i++)
        if (d->sessions[i] == id)
            return;
    if (d->n_sessions < DIGEST_MAX_SESSIONS)
        d->sessions[d->n_sessions++] = id;
    else
        d->n_sessions_lost++;
}

static void add_kind(struct digest *d, const struct exchanged *x) {
    uint64_t *const counts[] = {
        [EXCHANGE_PASSED] = &d->n_passed,      [EXCHANGE_REWRITTEN] = &d->n_rewritten,
        [EXCHANGE_DROPPED] = &d->n_dropped,    [EXCHANGE_ANSWERED] = &d->n_answered,
        [EXCHANGE_ASKED] = &d->n_asked,        [EXCHANGE_EMITTED] = &d->n_emitted,
        [EXCHANGE_SWALLOWED] = &(uint64_t){0}, [EXCHANGE_OPEN] = &(uint64_t){0},
        [EXCHANGE_NOTE] = &(uint64_t){0},
    };

    ++*counts[x->kind];
    if (x->from >= 0 && x->kind != EXCHANGE_NOTE)
        d->n_from[x->from]++;
    d->n_failed += x->is_failed;
    d->n_held += x->is_held;
}

/* Return: what to call it; not NUL-terminated */
static struct exchange_label name_of(const struct dialogue_line *line) {
    struct exchange_label label = exchange_label(line->text, line->from);

    if (label.n == 0 && line->call)
        label = (struct exchange_label){label.kind, line->call, (int)strlen(line->call)};
    if (label.n == 0 && label.kind == FRAME_GREETING)
        label = (struct exchange_label){label.kind, "greeting", 8};
    return label;
}

static int add_strange(struct digest *d, const struct dialogue_line *line) {
    struct exchange_label label = name_of(line);
    const struct exchanged *x = line->x;

    if (x->from != SIDE_SERVER || label.n == 0 || !x->rule)
        return 0;
    if (x->kind == EXCHANGE_DROPPED)
        return count(&d->strange, label.text, (size_t)label.n, "dropped");
    if (x->kind == EXCHANGE_REWRITTEN)
        return count(&d->strange, label.text, (size_t)label.n, "rewritten");
    return 0;
}

static int add_hold(struct digest *d, const struct dialogue_line *line, size_t index) {
    struct exchange_label label = name_of(line);
    uint64_t ms = line->x->sent_ms > line->x->ms ? line->x->sent_ms - line->x->ms : 0;
    size_t i = d->n_holds;

    if (ms == 0 || line->x->kind == EXCHANGE_NOTE ||
        (i == DIGEST_MAX_HOLDS && d->holds[i - 1].ms >= ms))
        return 0;
    if (i == DIGEST_MAX_HOLDS)
        free(d->holds[--i].name);
    for (; i > 0 && d->holds[i - 1].ms < ms; i--)
        d->holds[i] = d->holds[i - 1];
    d->n_holds += d->n_holds < DIGEST_MAX_HOLDS;
    d->holds[i] = (struct digest_hold){strndup(label.text, (size_t)label.n), ms, index};
    return d->holds[i].name ? 0 : -ENOMEM;
}

int digest_add(struct digest *d, const struct dialogue_line *line, size_t index) {
    const struct exchanged *x = line->x;
    int r = 0;

    if (d->first_us == 0)
        d->first_us = x->us;
    if (x->us > d->last_us)
        d->last_us = x->us;
    add_session(d, x->session);
    add_kind(d, x);
    if (x->to == SIDE_CLIENT || x->kind == EXCHANGE_ANSWERED)
        d->n_errors += exchange_label(x->to_text, SIDE_SERVER).kind == FRAME_ERROR;
    if (x->kind == EXCHANGE_NOTE && x->is_active && x->note)
        r = add_active(d, x->note);
    if (r == 0 && x->rule)
        r = count(&d->used, x->rule, strlen(x->rule), NULL);
    if (r == 0)
        r = add_strange(d, line);
    return r < 0 ? r : add_hold(d, line, index);
}
