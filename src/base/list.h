#pragma once

/*
 * Intrusive doubly linked list.  An element embeds a struct list named after
 * the list it is in; a list's head is a struct list of its own.
 */

#include <stdbool.h>
#include "base/util.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(head)                                                                            \
    { &(head), &(head) }
#define list_entry(link, type, member) container_of(link, type, member)

static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l) {
    return l->next == l;
}

/* @link becomes the last element of @head */
static inline void list_append(struct list *head, struct list *link) {
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* @link leaves its list; harmless when it is in none but initialised */
static inline void list_remove(struct list *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

#define list_for_each(i, head) for (struct list *i = (head)->next; i != (head); i = i->next)
#define list_for_each_safe(i, head)                                                                \
    for (struct list *i = (head)->next, *i##_next = i->next; i != (head);                          \
         i = i##_next, i##_next = i->next)
