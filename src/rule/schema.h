#pragma once

/*
 * Schema: what a server says of its own commands and events, a reply to
 * query-qmp-schema, for those who look something up in it.
 */

#include <stdbool.h>
#include <stddef.h>
#include "json/value.h"

struct schema {
    const struct json *entries; /* a list */
};

enum {
    _SCHEMA_E_SUCCESS,
    SCHEMA_E_INVALID, /* neither a reply to query-qmp-schema nor the list in it */
};

/* Return: 0, SCHEMA_E_INVALID */
int schema_read(const struct json *value, struct schema *ret);

/* Return: the entry @name of this "meta-type"; NULL when there is none */
const struct json *schema_find(const struct schema *s, const char *meta_type, const char *name,
                               size_t n_name);

/* Return: the entry of the type that @entry names under @key ("arg-type", "element-type", …); NULL when it names none */
const struct json *schema_type(const struct schema *s, const struct json *entry, const char *key);

/* is @entry of this "meta-type"? */
bool schema_is(const struct json *entry, const char *meta_type);

/*
 * schema_visit() - call @visit for each member that an object of this type may have
 * @tag_value: what is known of the member that tells the variant; NULL: nothing, so those of all variants are visited
 */
typedef void (*schema_visit_fn)(void *userdata, const struct json *member);
void schema_visit(const struct schema *s, const struct json *type, const struct json *tag_value,
                  schema_visit_fn visit, void *userdata);

/* Return: the name of the member that tells the variant, a string; NULL when the type has no variants */
const struct json *schema_tag(const struct json *type);
