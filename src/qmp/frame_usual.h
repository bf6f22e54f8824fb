#pragma once

/*
 * The usual object of a server, in one go: a reply or an event as QEMU
 * writes them, whole in one buffer.  All else is left to frame_server.c, to
 * whose outcome this one is always equal; a test compares them.
 */

#include "qmp/frame.h"

/*
 * frame_usual() - read an object
 * @text:      begins with its opening brace
 * @ret_frame: what is known of it; written only if it is read
 *
 * Return: bytes that it has; 0: it is not whole, or not as usual.
 */
size_t frame_usual(const char *text, size_t n, struct frame *ret_frame);
