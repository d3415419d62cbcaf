/* SPDX-License-Identifier: Apache-2.0
 * Streams: a log that is kept and read again, in order for each key. Four lanes work at once; the
 * clicks of one user never overtake each other.
 *   streams [BUS-URL] */
#include <marty/marty.h>

#include <stdatomic.h>
#include <stdio.h>

enum { CLICKS = 6 };

/* A batch: deliveries linked by next. What the handler returns settles all of them. */
static marty_err on_clicks(void *user, marty_delivery *batch)
{
    atomic_int *seen = user;
    marty_bus *bus = batch->bus;
    int count = 0;
    for (marty_delivery *click = batch; click; click = click->next, count++) {
        printf("%s clicked %.*s\n", click->message->key, MARTY_BYTES_ARGS(click->message->data));
    }
    if (atomic_fetch_add(seen, count) + count == CLICKS) {
        marty_bus_stop(bus);
    }
    return MARTY_OK;
}

int main(int argc, char **argv)
{
    static const char *const users[] = {"ada", "bob", "eve"}, *const places[] = {"home", "cart"};
    atomic_int seen = 0;
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_message clicks[CLICKS] = {0};
    const marty_message *messages[CLICKS];
    for (int i = 0; i < CLICKS; i++) {
        clicks[i].type = "click";
        clicks[i].key = users[i % 3];
        clicks[i].data = marty_text(places[i / 3]);
        clicks[i].content_type = "text/plain";
        messages[i] = &clicks[i];
    }
    marty_subscribe_options options = {
        .start = {.from = MARTY_FROM_EARLIEST}, .concurrency = 4, .batch_max = 100};
    bool failed = marty_bus_open(&bus, argc > 1 ? argv[1] : "memory:",
                                 &(marty_bus_options){.service = "statistics"}, &why) ||
                  marty_stream_events(bus, "clicks", messages, CLICKS, NULL, &why) ||
                  /* a group that comes later reads all that is there */
                  marty_process_stream(bus, "clicks", on_clicks, &seen, &options, NULL, &why) ||
                  marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "%s\n", why.text);
    }
    marty_bus_free(bus);
    return failed;
}
