#pragma once

/*
 * Skeletons: a rule file for gaps (gap.h), its pictures filled in as far as
 * the schemas tell, with a TODO in a comment where a human must decide.
 * Renames are guessed (guess.h), and said to be guesses.
 */

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "rule/gap.h"
#include "rule/schema.h"

struct skeleton {
    const char *client_name, *server_name; /* as the operator calls them */
    struct schema client, server;
    bool is_new_client; /* the client is on the new side of the rules */
    const struct gap **gaps;
    size_t n_gaps;
};

/* append the file.  Return: 0 or -ENOMEM */
int skeleton_write(const struct skeleton *k, struct buffer *b);
