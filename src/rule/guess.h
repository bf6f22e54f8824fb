#pragma once

/*
 * Guesses: what a thing that is gone may be called today, from names and
 * types.  Always to be told as a guess.
 */

#include "rule/schema.h"

/* Return: a command or event (@meta_type) of @server, best one that @client has not got, that may be @name of @client; NULL: none */
const struct json *guess_entry(const struct schema *client, const struct schema *server,
                               const char *meta_type, const char *name);

/*
 * guess_member() - the same for a member
 * @client, @server: types, of the schemas @s and @t
 * @name: of a member of @client that @server has not got
 *
 * Return: a member of @server, of the same type, that @client has not got; NULL: none
 */
const struct json *guess_member(const struct schema *s, const struct json *client,
                                const struct schema *t, const struct json *server,
                                const char *name);

/* Return: the member of this name, of whatever variant; NULL: none */
const struct json *guess_find(const struct schema *s, const struct json *type, const char *name);
