#pragma once

/*
 * The ordinary object of a client, in one go: a command as clients write it,
 * whole in one buffer.  All else is left to frame_client.c, which reads as
 * QEMU does, and to whose outcome this one is always equal; a test compares
 * them.
 */

#include "qmp/frame.h"

enum {
    FRAME_QUICK_MAX_BYTES = 1 << 20, /* below all limits of a message, whatever is in it */
    FRAME_QUICK_MAX_DEPTH = 64,
};

/*
 * frame_quick() - read an object
 * @text:      begins with its opening brace, and a message with it
 * @ret_frame: what is known of it; anything if it is not read
 *
 * Return: bytes that it has; 0: it is not whole, or not ordinary, which says
 * nothing of whether it is valid.
 */
size_t frame_quick(const char *text, size_t n, struct frame *ret_frame);
