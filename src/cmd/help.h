#pragma once

/*
 * Help: the texts made from the tables of cmd/command.h.
 */

#include <stdio.h>
#include "cmd/command.h"

/* what the program is and which commands it has */
void help_overview(FILE *file);

/* how one command is used */
void help_command(FILE *file, const struct command *c);
