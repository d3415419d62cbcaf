/* SPDX-License-Identifier: Apache-2.0
 * Intrusive doubly linked list: a ring with a head. No memory of its own, so nothing can fail. Not
 * thread-safe. */
#ifndef MARTY_BASE_LIST_H
#define MARTY_BASE_LIST_H
#include <marty/types.h>

typedef struct marty__link {
    struct marty__link *next, *before; /* NULL = in no list */
} marty__link;

/** The object that a link is embedded in. */
#define MARTY__OWNER(link, type, field) ((type *)((uintptr_t)(link)-offsetof(type, field)))

/** Make a head: the list is empty. */
MARTY_INLINE void marty__list_init(marty__link *head)
{
    head->next = head->before = head;
}
MARTY_INLINE bool marty__list_empty(const marty__link *head)
{
    return head->next == head;
}
MARTY_INLINE void marty__list_insert(marty__link *after, marty__link *link)
{
    link->next = after->next;
    link->before = after;
    after->next->before = link;
    after->next = link;
}
MARTY_INLINE void marty__list_push(marty__link *head, marty__link *link)
{
    marty__list_insert(head->before, link); /* at the end */
}
MARTY_INLINE void marty__list_push_first(marty__link *head, marty__link *link)
{
    marty__list_insert(head, link);
}
/** Out of its list; fine when it is in none. */
MARTY_INLINE void marty__list_remove(marty__link *link)
{
    if (link->next) {
        link->next->before = link->before;
        link->before->next = link->next;
        link->next = link->before = NULL;
    }
}
/** First of the list, taken out, or NULL. */
MARTY_INLINE marty__link *marty__list_pop(marty__link *head)
{
    marty__link *link = head->next;
    if (link == head) {
        return NULL;
    }
    marty__list_remove(link);
    return link;
}
/** After links that were chained by hand behind the last one: this is the last one now. */
MARTY_INLINE void marty__list_end(marty__link *head, marty__link *last)
{
    last->next = head;
    head->before = last;
}
/** Whatever stands before `end` leaves the list, as it is: its links say nothing any more. */
MARTY_INLINE void marty__list_cut(marty__link *head, marty__link *end)
{
    head->next = end;
    end->before = head;
}
/** What stands before `end` in `from` to the end of `to`; the head as `end`: all of it. */
MARTY_INLINE void marty__list_move_until(marty__link *to, marty__link *from, marty__link *end)
{
    marty__link *first = from->next, *last = end->before;
    if (first != end) {
        from->next = end;
        end->before = from;
        first->before = to->before;
        to->before->next = first;
        last->next = to;
        to->before = last;
    }
}
/** All of `from` to the end of `to`; `from` is empty then. */
MARTY_INLINE void marty__list_move(marty__link *to, marty__link *from)
{
    marty__list_move_until(to, from, from);
}
#endif
