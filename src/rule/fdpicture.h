#pragma once

/*
 * What pictures say of file descriptors: read of one that came with a
 * command, written of one that is to go with it.  Private to the engine.
 *
 * A rule sees {"kind": "file", "access": "write", "offset": 4096, "number": 1};
 * the number is what variables hold, and the kernel's is nobody's business.
 */

#include "rule/engine.h"

/* does what came with @x fit @picture, which may say nothing of it?  Return: 0, -ENOMEM, MATCH_E_NO */
int fdpicture_match(struct exchange *x, enum vars_side side, const struct picture *picture,
                    struct bindings *b);

/*
 * fdpicture_build() - which one goes with @picture, by x->bindings
 * @ret: what it held is dropped; its entry is NULL when the picture shows none
 *
 * Return: 0, -ENOMEM, BUILD_E_UNBOUND (also when that one is closed by now).
 */
int fdpicture_build(struct exchange *x, enum vars_side side, const struct picture *picture,
                    struct engine_fd *ret);

void fdpicture_drop(struct engine_fd *fd);

/* @from, if it holds one, takes the place of what @to held; @from is empty afterwards */
void fdpicture_move(struct engine_fd *to, struct engine_fd *from);

/* the one of x that @fact speaks of; NULL: none, or closed by now */
struct fdtable_entry *fdpicture_of_fact(const struct exchange *x, const struct fact_picture *fact,
                                        const struct bindings *b);
