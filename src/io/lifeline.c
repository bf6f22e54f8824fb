#include "io/lifeline.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

static void lifeline_on_poll(uv_poll_t *handle, int status, int events) {
    struct lifeline *l = container_of(handle, struct lifeline, poll);
    char byte;

    (void)events;
    if (status == 0 && recv(l->fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
        return;
    uv_poll_stop(&l->poll);
    l->cut(l->userdata);
}

int lifeline_start_take(struct lifeline *l, uv_loop_t *loop, int fd, lifeline_cut_fn cut,
                        void *userdata) {
    int r = uv_poll_init(loop, &l->poll, fd);

    if (r < 0) {
        close(fd);
        return r;
    }
    l->fd = fd;
    l->is_open = true;
    l->cut = cut;
    l->userdata = userdata;
    return uv_poll_start(&l->poll, UV_READABLE | UV_DISCONNECT, lifeline_on_poll);
}

void lifeline_tell_ready(struct lifeline *l) {
    if (l->is_open)
        send(l->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* if it is gone, we are told so later */
}

void lifeline_close(struct lifeline *l) {
    if (!l->is_open)
        return;
    l->is_open = false;
    uv_close((uv_handle_t *)&l->poll, NULL);
    close(l->fd);
}
