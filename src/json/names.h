#pragma once

/*
 * The names of an object's members: is one there twice?  What reads objects
 * asks; whether that is a fault is its business.
 */

#include <stddef.h>
#include "json/value.h"

/*
 * names_find_twice() - the first member whose name one before it has
 * @ret_twice: NULL when there is none
 *
 * Return: 0 or -ENOMEM.
 */
int names_find_twice(const struct json *members, size_t n, const struct json **ret_twice);
