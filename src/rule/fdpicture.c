#include "rule/fdpicture.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "json/number.h"
#include "json/reader.h"
#include "json/writer.h"
#include "rule/build.h"
#include "rule/match.h"

/* --- reading ------------------------------------------------------------------------------------- */

static int describe(struct arena *arena, const struct fdtable_entry *e, struct json **ret) {
    _cleanup_(buffer_deinit) struct buffer b = BUFFER_INIT;
    const char *access = fdlook_access_name(e->look.access), *text;
    int r;

    buffer_printf(&b, "{\"kind\": \"%s\"", e->look.kind);
    if (access)
        buffer_printf(&b, ", \"access\": \"%s\"", access);
    if (e->look.has_offset)
        buffer_printf(&b, ", \"offset\": %lld", (long long)e->look.offset);
    buffer_printf(&b, ", \"number\": %llu}", (unsigned long long)e->number);
    text = b.failed ? NULL : arena_copy(arena, b.data, b.n);
    if (!text)
        return -ENOMEM;
    r = json_read(arena, text, b.n, false, ret, NULL);
    return error_fold(r);
}

int fdpicture_match(struct exchange *x, enum vars_side side, const struct picture *picture,
                    struct bindings *b) {
    struct json *value = NULL;
    int r;

    if (!picture->fd)
        return 0;
    r = x->fd ? describe(&x->arena, x->fd, &value) : 0;
    return r < 0 ? r : match_value(&x->arena, side, picture->fd, value, b);
}

/* --- writing ------------------------------------------------------------------------------------- */

/* Return: is @value an integer from 0 to INT64_MAX? */
static bool to_integer(const struct json *value, int64_t *ret) {
    struct number n;

    if (!value || value->type != JSON_NUMBER || number_read(value->text, value->n_text, &n) ||
        n.negative || n.exponent < 0)
        return false;
    for (; n.exponent > 0 && n.mantissa <= INT64_MAX; n.exponent--)
        n.mantissa *= 10;
    if (n.mantissa > INT64_MAX)
        return false;
    *ret = (int64_t)n.mantissa;
    return true;
}

static bool read_wish(const struct json *value, struct fdlook_wish *ret) {
    const struct json *access = json_member(value, "access"),
                      *offset = json_member(value, "offset");

    *ret = (struct fdlook_wish){.access = FDLOOK_ANY};
    for (enum fdlook_access a = FDLOOK_READ; access && a <= FDLOOK_WRITE; a++)
        if (json_is_string(access, fdlook_access_name(a)))
            ret->access = a;
    ret->has_offset = offset != NULL;
    return !offset || to_integer(offset, &ret->offset);
}

int fdpicture_build(struct exchange *x, enum vars_side side, const struct picture *picture,
                    struct engine_fd *ret) {
    struct json *value;
    const char *text;
    int64_t number;
    size_t n;
    int r;

    fdpicture_drop(ret);
    if (!picture->fd || !x->from_client)
        return 0;
    r = build_new(&x->arena, side, picture->fd, x->bindings, &text, &n);
    if (r)
        return r;
    r = json_read(&x->arena, text, n, false, &value, NULL);
    if (r)
        return error_fold(r);
    if (!to_integer(json_member(value, "number"), &number) || !read_wish(value, &ret->wish))
        return BUILD_E_UNBOUND;
    ret->entry = fdtable_ref(fdtable_find(&x->engine->fds, (uint64_t)number));
    return ret->entry ? 0 : BUILD_E_UNBOUND;
}

void fdpicture_drop(struct engine_fd *fd) {
    fd->entry = fdtable_unref(fd->entry);
}

void fdpicture_move(struct engine_fd *to, struct engine_fd *from) {
    if (!from->entry)
        return;
    fdpicture_drop(to);
    *to = *from;
    from->entry = NULL;
}

struct fdtable_entry *fdpicture_of_fact(const struct exchange *x, const struct fact_picture *fact,
                                        const struct bindings *b) {
    int64_t number;

    if (!fact->has_fd || !to_integer(bindings_get(b, fact->fd_var), &number))
        return NULL;
    return fdtable_find(&x->engine->fds, (uint64_t)number);
}
