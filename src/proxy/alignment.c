#include "proxy/alignment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json/reader.h"
#include "proxy/compare.h"
#include "proxy/exchanges.h"
#include "proxy/session.h"

struct message_sent {
    struct list in_alignment;
    char *text;
    uint64_t ms;
};

void alignment_init(struct alignment *a, alignment_fn tell, void *userdata) {
    *a = (struct alignment){.tell = tell, .userdata = userdata};
    list_init(&a->messages[ALIGNMENT_THEN]);
    list_init(&a->messages[ALIGNMENT_NOW]);
}

static struct message_sent *first(const struct alignment *a, enum alignment_time time) {
    return list_is_empty(&a->messages[time])
               ? NULL
               : list_entry(a->messages[time].next, struct message_sent, in_alignment);
}

static void drop(struct alignment *a, enum alignment_time time, struct message_sent *m) {
    list_remove(&m->in_alignment);
    a->n[time]--;
    free(m->text);
    free(m);
}

void alignment_deinit(struct alignment *a) {
    for (size_t time = 0; time < 2; time++)
        list_for_each_safe(i, &a->messages[time])
            drop(a, (enum alignment_time)time, list_entry(i, struct message_sent, in_alignment));
}

int alignment_add(struct alignment *a, enum alignment_time time, const char *text, uint64_t ms) {
    struct message_sent *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    m->text = strdup(text);
    m->ms = ms;
    list_append(&a->messages[time], &m->in_alignment);
    a->n[time]++;
    return m->text ? 0 : -ENOMEM;
}

bool alignment_is_same(const char *a, const char *b, bool *is_starved) {
    static const char *const ignored[] = {"id", "timestamp",
                                          NULL}; /* an event of the shim's own has its own time */
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    struct json *va, *vb;
    struct compare c;
    bool is_same;
    int r;

    if (exchange_is_same(a, b, is_starved))
        return true;
    if (exchange_label(a, SIDE_SERVER).kind != FRAME_EVENT)
        return false;
    r = json_read(&arena, a, strlen(a), false, &va, NULL);
    if (r == 0)
        r = json_read(&arena, b, strlen(b), false, &vb, NULL);
    *is_starved = *is_starved || r < 0;
    if (r)
        return false;
    compare_init(&c);
    is_same = va->type == JSON_OBJECT && vb->type == JSON_OBJECT &&
              compare_members(&c, va, vb, ignored) == 0;
    compare_deinit(&c);
    return is_same;
}

/* Return: how many messages of @time come before one like @m; the number of all when there is none */
static size_t find(struct alignment *a, enum alignment_time time, const struct message_sent *m) {
    size_t n = 0;

    list_for_each(i, &a->messages[time]) {
        if (alignment_is_same(list_entry(i, struct message_sent, in_alignment)->text, m->text,
                              &a->is_starved))
            return n;
        n++;
    }
    return n;
}

static void differs(struct alignment *a, struct message_sent *then, struct message_sent *now) {
    a->tell(a->userdata, then ? then->text : NULL, now ? now->text : NULL, (then ? then : now)->ms);
    if (then)
        drop(a, ALIGNMENT_THEN, then);
    if (now)
        drop(a, ALIGNMENT_NOW, now);
}

/* the first of the two are not the same: which of them is the one too many? */
static void settle_difference(struct alignment *a, struct message_sent *then,
                              struct message_sent *now) {
    size_t n_then = now ? find(a, ALIGNMENT_THEN, now) : 0; /* only then: these */
    size_t n_now = then ? find(a, ALIGNMENT_NOW, then) : 0;
    bool is_then = n_then < a->n[ALIGNMENT_THEN], is_now = n_now < a->n[ALIGNMENT_NOW];

    if (then && now && !is_then && !is_now)
        differs(a, then, now);
    else if (then && (!now || (is_then && (!is_now || n_then <= n_now))))
        differs(a, then, NULL);
    else
        differs(a, NULL, now);
}

int alignment_settle(struct alignment *a, bool is_end) {
    for (;;) {
        struct message_sent *then = first(a, ALIGNMENT_THEN), *now = first(a, ALIGNMENT_NOW);

        if (then && now && alignment_is_same(then->text, now->text, &a->is_starved)) {
            drop(a, ALIGNMENT_THEN, then);
            drop(a, ALIGNMENT_NOW, now);
        } else if ((then || now) && (is_end || a->n[ALIGNMENT_THEN] >= ALIGNMENT_MAX_APART ||
                                     a->n[ALIGNMENT_NOW] >= ALIGNMENT_MAX_APART)) {
            settle_difference(a, then, now);
        } else {
            return a->is_starved ? -ENOMEM : 0;
        }
    }
}
