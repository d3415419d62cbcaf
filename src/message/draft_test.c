/* SPDX-License-Identifier: Apache-2.0
 * Messages made like the one before: the same words at places of their own, whatever of them is
 * there and however much data, and nothing shared with what they were made from. */
#include "draft.h"

#include "block.h"
#include "test_tools.h"

enum { LONGEST = 3000 };
static char bytes[LONGEST];

/* What a message made from scratch of the same template has. */
static marty_message *like_none(const marty_message *template_)
{
    marty__making how = {.now_us = 1};
    marty_message *made = NULL;
    REQUIRE(marty__message_make(&made, template_, &how, NULL) == MARTY_OK);
    return made;
}

static void check_same(marty_message *made, const marty_message *template_)
{
    marty_message *other = like_none(template_), as_other = *made;
    CHECK(strcmp(made->id, other->id) != 0);
    CHECK_INT(strlen(made->id), 36);
    as_other.id = other->id;
    as_other.correlation_id = template_->correlation_id ? made->correlation_id : other->id;
    as_other.causation_id = template_->causation_id ? made->causation_id : other->id;
    CHECK(same(&as_other, other, true));
    CHECK(template_->correlation_id || made->correlation_id == made->id);
    CHECK(template_->causation_id || made->causation_id == made->id);
    CHECK((uintptr_t)made->data.data % 16 == 0);
    CHECK_INT(((const char *)made->data.data)[made->data.size], 0);
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const char *text = *marty__field_in(made, (marty__field)i);
        CHECK_INT(marty__block_of(made)->sizes[i], text ? strlen(text) : 0);
    }
    marty_message_unref(other);
}

/* Each of a run is made like the one before, which is gone when it is looked at. */
static void make_run(marty_message template_)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 500, 1500, LONGEST, 128, 0};
    marty__making how = {.now_us = 1, .source = "/here", .unseen = true};
    marty_message *last = NULL, *made = NULL;
    template_.source = template_.source ? template_.source : "/here";
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        template_.data = (marty_bytes){bytes, sizes[i]};
        template_.time_us = (int64_t)i;
        template_.expires_us = i % 2 ? 77 : 0;
        template_.priority = (int32_t)i;
        REQUIRE(marty__message_make(&made, &template_, &how, NULL) == MARTY_OK);
        CHECK(how.like_template == &template_);
        if (last) {
            CHECK(strcmp(made->id, last->id) > 0);
            CHECK(marty__block_akin(marty__block_of(made), marty__block_of(last)));
            CHECK(marty__block_of(made)->fresh);
            CHECK(marty__block_of(made)->source == marty__block_of(last)->source);
            CHECK(memcmp(marty__block_of(made)->id, marty__block_of(last)->id, 16) != 0);
            memset((void *)(uintptr_t)last->type, '#', marty__block_of(last)->words);
            marty_message_unref(last);
        }
        template_.time_us = template_.time_us ? template_.time_us : 1;
        check_same(made, &template_);
        last = made;
        how.like = made;
    }
    marty_message_unref(last);
}

static void only_those_made_like_each_other_are_akin(void)
{
    marty_message one = {.type = "a"}, *first = NULL, *like = NULL, *apart = NULL, *copy = NULL;
    marty__making how = {.now_us = 1, .unseen = true}, anew = how;
    REQUIRE(!marty__message_make(&first, &one, &how, NULL));
    REQUIRE(!marty__message_make(&like, &one, &how, NULL));
    REQUIRE(!marty__message_make(&apart, &one, &anew, NULL));
    REQUIRE(!marty__message_copy_with(&copy, like, &(marty__change){.type = "b"}, NULL));
    CHECK(marty__block_akin(marty__block_of(first), marty__block_of(like)));
    CHECK(!marty__block_akin(marty__block_of(first), marty__block_of(apart)));
    CHECK(!marty__block_akin(marty__block_of(like), marty__block_of(copy)));
    CHECK(!marty__block_akin(marty__block_of(copy), marty__block_of(copy)));
    marty_message_unref(copy);
    marty_message_unref(apart);
    marty_message_unref(like);
    marty_message_unref(first);
}

static void words_are_those_of_the_one_before(void)
{
    marty_message whole = event_with(NULL, 0);
    whole.id = NULL;
    whole.content_type = "text/plain";
    make_run(whole);
    make_run((marty_message){.type = "a"});
    for (size_t i = MARTY__SOURCE; i < MARTY__TRACE_STATE; i++) { /* each absent, each alone */
        marty_message less = whole, one = {.type = "order.created"};
        less.trace_state = i == MARTY__TRACE_PARENT ? NULL : less.trace_state;
        *marty__field_of(&less, (marty__field)i) = NULL;
        *marty__field_of(&one, (marty__field)i) = *marty__field_in(&whole, (marty__field)i);
        make_run(less);
        make_run(one);
    }
}

static void other_words_are_not_taken_over(void)
{
    marty__making how = {.now_us = 1};
    marty_header header = {"x", marty_text("y"), MARTY_HEADER};
    marty_message template_ = {.type = "a", .key = "one"}, other = {.type = "a", .key = "two"};
    marty_message *first = NULL, *second = NULL, *third = NULL;
    REQUIRE(marty__message_make(&first, &template_, &how, NULL) == MARTY_OK);
    REQUIRE(marty__message_make(&second, &other, &how, NULL) == MARTY_OK);
    other.headers = &header;
    other.header_count = 1;
    REQUIRE(marty__message_make(&third, &other, &how, NULL) == MARTY_OK);
    CHECK_TEXT(first->key, "one");
    CHECK_TEXT(second->key, "two");
    CHECK_INT(third->header_count, 1);
    CHECK(!how.like && !how.like_template);
    marty_message_unref(first);
    marty_message_unref(second);
    marty_message_unref(third);
}

static marty_err make_two(void *user)
{
    marty__making how = {.now_us = 1};
    marty_message *first = NULL, *second = NULL;
    marty_error why = {0};
    marty_err err = marty__message_make(&first, user, &how, &why);
    err = err ? err : marty__message_make(&second, user, &how, &why);
    marty_message_unref(first);
    marty_message_unref(second);
    return err;
}

static void want_of_memory_is_answered(void)
{
    marty_message template_ = {.type = "a", .data = {bytes, 100}};
    CHECK_INT(torture(make_two, &template_), 2);
    template_.data.size = LONGEST;
    CHECK_INT(torture(make_two, &template_), 2);
}

int main(void)
{
    memset(bytes, 'x', sizeof bytes);
    words_are_those_of_the_one_before();
    only_those_made_like_each_other_are_akin();
    other_words_are_not_taken_over();
    want_of_memory_is_answered();
    marty__block_keep(true); /* also with blocks that are used again, under sanitizers too */
    words_are_those_of_the_one_before();
    want_of_memory_is_answered();
    marty__block_trim();
    return check_result();
}
