/* SPDX-License-Identifier: Apache-2.0
 * The intrusive list: the order of what is put in, taken out and moved, and that the ring stays
 * whole in both directions. */
#include "list.h"

#include "tests/check.h"

typedef struct item {
    int number;
    marty__link link;
} item;

static void is(const marty__link *head, const char *want)
{
    char have[16] = "";
    size_t size = 0;
    for (const marty__link *at = head->next; at != head && size < 15; at = at->next) {
        const item *each = MARTY__OWNER(at, const item, link);
        have[size++] = (char)('0' + each->number);
        CHECK(at->next->before == at && at->before->next == at);
    }
    CHECK_TEXT(have, want);
}

int main(void)
{
    marty__link head, other;
    item items[5];
    memset(items, 0, sizeof items);
    marty__list_init(&head);
    marty__list_init(&other);
    CHECK(marty__list_empty(&head));
    CHECK(!marty__list_pop(&head));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        marty__list_remove(&items[i].link); /* in none: fine */
    }
    marty__list_push(&head, &items[1].link);
    marty__list_push(&head, &items[2].link);
    marty__list_push_first(&head, &items[0].link);
    is(&head, "012");
    marty__list_insert(&items[0].link, &items[3].link);
    is(&head, "0312");
    marty__list_remove(&items[1].link);
    marty__list_remove(&items[1].link);
    is(&head, "032");
    CHECK(!items[1].link.next && !items[1].link.before);
    marty__list_push(&other, &items[4].link);
    marty__list_push(&other, &items[1].link);
    marty__list_move(&head, &other);
    is(&head, "03241");
    is(&other, "");
    marty__list_move(&head, &other);
    is(&head, "03241");
    marty__list_move(&other, &head);
    is(&other, "03241");
    CHECK(marty__list_empty(&head));
    CHECK(marty__list_pop(&other) == &items[0].link);
    CHECK(!items[0].link.next);
    is(&other, "3241");
    marty__list_move_until(&head, &other, &items[4].link);
    is(&head, "32");
    is(&other, "41");
    marty__list_move_until(&head, &other, &items[4].link); /* nothing before it */
    is(&head, "32");
    marty__list_move_until(&head, &other, &other);
    is(&head, "3241");
    is(&other, "");
    return check_result();
}
