#pragma once

/*
 * Plans: what two pictures of the same message make of it, worked out when
 * they are loaded.  A message that fits is read past (skim.h) and written in
 * one go: no values are made, and no memory is taken.
 *
 * What comes out is, byte for byte, what match.h and build.h make of the
 * message.  A plan only does what most pictures ask for: members with
 * constants and plain variables.  Whatever else they ask for, or a message
 * has that is unusual, is left to those two.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "rule/pattern.h"
#include "rule/vars.h"

struct plan;

enum {
    _PLAN_E_SUCCESS,
    PLAN_E_READ, /* it takes more than a plan: the message has to be read */
};

/*
 * plan_make()
 * @read, @write: the whole message, as either side shows it; they and @vars stay
 *
 * Return: 0, -ENOMEM, PLAN_E_READ.
 */
int plan_make(struct arena *arena, const struct vars *vars, const struct pattern *read,
              const struct pattern *write, const struct plan **ret_plan);

struct plan_id {
    const char *text; /* JSON */
    size_t n;
};

struct plan_result {
    bool is_changed;   /* for sure, not only its id; otherwise perhaps */
    bool is_id_neat;   /* else blanks come or go when it is written */
    struct plan_id id; /* as it came; n is 0: there was none */
    size_t id_at;      /* where its value stands in what was written, if there was one */
};

/* the id, as it is written when it stays */
void plan_write_id(const struct plan_result *result, struct buffer *to);

/*
 * plan_apply() - rewrite one message
 * @text: one object, nothing around it; strings in double quotes
 * @id:   is written in the place of the message's own, if it has one; NULL: that stays
 * @to:   appended to; what was appended is unusable after an outcome
 *
 * Return: 0, -ENOMEM, PLAN_E_READ.
 */
int plan_apply(const struct plan *plan, const char *text, size_t n, const struct plan_id *id,
               struct buffer *to, struct plan_result *ret);
