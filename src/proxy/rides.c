#include "proxy/rides.h"

#include <errno.h>
#include <stdlib.h>

void rides_close(struct rides *r) {
    for (size_t i = 0; i < r->n; i++)
        fds_deinit(&r->ride[i].fds);
    free(r->ride);
    *r = (struct rides)RIDES_INIT;
}

int rides_add_more(struct rides *r, size_t at, struct fds *fds) {
    struct ride *more = realloc(r->ride, (r->n + 1) * sizeof(*more));

    if (!more) {
        fds_deinit(fds);
        return -ENOMEM;
    }
    r->ride = more;
    r->ride[r->n++] = (struct ride){at, fds_steal(fds)};
    return 0;
}

static int push(struct out *o, const char *text, size_t n, bool is_borrowed) {
    return is_borrowed ? out_borrow(o, text, n) : out_copy(o, text, n);
}

int rides_push(struct rides *r, struct out *o, const char *text, size_t n, bool is_borrowed) {
    size_t at = 0;
    int x;

    for (size_t i = 0; i < r->n; i++) {
        x = push(o, text + at, r->ride[i].at - at, is_borrowed);
        if (x < 0)
            return x;
        at = r->ride[i].at;
        out_ride_take(o, &r->ride[i].fds);
    }
    rides_deinit(r);
    return n > at ? push(o, text + at, n - at, is_borrowed) : 0;
}

struct fds rides_last(struct rides *r) {
    struct fds last = FDS_INIT;

    if (r->n > 0)
        last = fds_steal(&r->ride[r->n - 1].fds);
    rides_deinit(r);
    return last;
}
