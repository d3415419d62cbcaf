/* SPDX-License-Identifier: Apache-2.0
 * Handing what is queued to the adapter, in batches, by the one thread that runs the port's ops. */
#include "call_parts.h"

#include "base/unset.h"

enum { AT_ONCE = 256 };

/* With port->lock held: the next ones, marked as sent. One that cancels goes alone. None while a
 * command waits: a reply channel is subscribed to before its first query goes out. */
static size_t take(marty__port *port, marty_outgoing *batch, bool *ret_cancels)
{
    size_t count = 0;
    bool cancels = false;
    bool open = marty__port_usable_held(port) && marty__list_empty(&port->commands) && !port->full;
    marty__link *link = port->posts.next;
    while (open && link != &port->posts && count < AT_ONCE && !cancels) {
        marty__post *post = MARTY__OWNER(link, marty__post, link);
        const marty__way *way = post->way;
        if (way->cancels && count) {
            break;
        }
        link = link->next;
        if (way->like.reply_to && !port->reply_stands) {
            marty__list_remove(&post->link);
            marty__list_push(&port->asks, &post->link);
            continue;
        }
        post->state = MARTY__POST_SENT;
        batch[count] = way->like;
        batch[count].token = post->token;
        batch[count].message = post->message;
        count++;
        cancels = way->cancels;
    }
    marty__list_cut(&port->posts, link);
    *ret_cancels = cancels;
    port->handing = count > 0;
    return count;
}

/* With port->lock held: those not taken stand in front again, in their order. */
static void put_back(marty__port *port, const marty_outgoing *batch, size_t count)
{
    while (count-- > 0) {
        marty__post **place = marty__token_place(port, batch[count].token);
        if (place) {
            (*place)->state = MARTY__POST_QUEUED;
            marty__list_push_first(&port->posts, &(*place)->link);
        }
    }
}

static void refuse(marty__port *port, const marty_outgoing *batch, size_t count, marty_err err,
                   const char *text)
{
    for (size_t i = 0; i < count; i++) {
        marty_published result = {.token = batch[i].token, .err = err, .text = text};
        marty__published(port, &result, 1);
    }
}

static marty_err cancel(marty__port *port, const marty_outgoing *out, size_t *ret_taken,
                        marty_error *why)
{
    marty_err err =
        port->backend->cancel(port->adapter, &out->channel, out->message->id, out->token, why);
    *ret_taken = err ? 0 : 1;
    return err;
}

/* The message that an op reads is not lost before its end. */
static void op_is_over(marty__port *port)
{
    port->handing = false;
    port->handed++;
    marty__wake_all(&port->changed);
}

void marty__posts_run(marty__port *port)
{
    MARTY__UNSET marty_outgoing batch[AT_ONCE];
    MARTY__UNSET marty_error why;
    bool cancels;
    size_t count = take(port, batch, &cancels), taken = 0;
    uint64_t answers = port->answers;
    if (!count) {
        return;
    }
    marty__unlock(&port->lock);
    why.text[0] = '\0';
    marty_err err = cancels ? cancel(port, &batch[0], &taken, &why)
                            : port->backend->publish(port->adapter, batch, count, &taken, &why);
    bool refused = err && err != MARTY_E_FULL;
    if (refused) {
        refuse(port, batch, count, err, why.text);
    }
    taken = err && taken >= count ? 0 : taken; /* FULL may come as an error, too */
    marty__lock(&port->lock);
    if (!refused && taken < count) {
        put_back(port, batch + taken, count - taken);
        port->full = port->answers == answers;
    }
    op_is_over(port);
}
