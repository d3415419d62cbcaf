/* SPDX-License-Identifier: Apache-2.0
 * Configurations: what a document means, where values come from, and that every mistake names its
 * file, line and field; with every allocation of a load failing in turn. */
#include "config.h"

#include "base/alloc.h"
#include "config_yaml.h"
#include "tests/check.h"

#include <unistd.h>

static const char *const full =
    "service: orders\n"
    "backends:\n"
    "  main: nats://user:secret@127.0.0.1:4222?replicas=3\n"
    "  log:  memory:log\n"
    "  local: ${MARTY_TEST_URL:-sqlite:orders.db}\n"
    "routes:\n"
    "  - {events: \"order.*\",  to: log, order: key, shards: 4, on_dead: go_on}\n"
    "  - {events: \">\", to: main, channel: \"events.{type}\", channels: [events.a, events.b.c]}\n"
    "  - {commands: \"*\",      to: main}\n"
    "  - {queries: \"*\",       to: main}\n"
    "  - streams: \"clicks\"\n"
    "    to: local\n"
    "    need: [replay, order_by_key]\n"
    "  - {streams: \"*\", to: log, order: none, name: legacy.stream}\n"
    "retry:       {attempts: 7, first: 100ms, max: 1m, jitter: none, hold_max: 2s}\n"
    "dead_letter: {channel: \"lost.{channel}\"}\n"
    "topology: check\n";

static marty_err load_text(const char *text, marty__config **ret, marty_error *why)
{
    *ret = NULL;
    return marty__config_load(ret, NULL, &(marty_bus_options){.config_text = text}, why);
}

static void test_a_full_document(void)
{
    marty__config *c = NULL;
    marty_error why = {0};
    REQUIRE(load_text(full, &c, &why) == MARTY_OK || (fprintf(stderr, "%s\n", why.text), false));
    CHECK_TEXT(c->service, "orders");
    CHECK_TEXT(c->service_from, "config_text:1");
    REQUIRE(c->backend_count == 3);
    CHECK_TEXT(c->backends[0].name, "main");
    CHECK_TEXT(c->backends[0].url, "nats://user:secret@127.0.0.1:4222?replicas=3&topology=check");
    CHECK(!strstr(c->backends[0].redacted, "secret"));
    CHECK_TEXT(c->backends[1].url, "memory:log?topology=check");
    CHECK_TEXT(c->backends[1].from, "config_text:4");
    CHECK_TEXT(c->backends[2].from, "config_text:5, $MARTY_TEST_URL");
    REQUIRE(c->route_count == 6); /* several backends: nothing is guessed */
    CHECK_INT(c->routes[0].backend, 1);
    CHECK_INT(c->routes[0].order, MARTY_ORDER_KEY);
    CHECK_INT(c->routes[0].shards, 4);
    CHECK_TEXT(c->routes[0].channel, "events.{domain}");
    CHECK_TEXT(c->routes[1].channel, "events.{type}");
    CHECK_INT(c->routes[1].channel_count, 2);
    CHECK_TEXT(c->routes[1].channels[1], "events.b.c");
    CHECK_INT(c->routes[4].need, MARTY_CAN_REPLAY | MARTY_CAN_ORDER_BY_KEY);
    CHECK_INT(c->routes[4].order, MARTY_ORDER_KEY);
    CHECK_INT(c->routes[4].shards, 12);
    CHECK_TEXT(c->routes[4].from, "config_text:11");
    CHECK_TEXT(c->routes[5].native, "legacy.stream");
    CHECK_INT(c->routes[5].order, MARTY_ORDER_NONE);
    CHECK_INT(c->retry.attempts, 7);
    CHECK_INT(c->retry.first_ms, 100);
    CHECK_INT(c->retry.max_ms, 60000);
    CHECK(c->retry.no_jitter);
    CHECK_INT(c->hold_max_ms, 2000);
    CHECK_TEXT(c->dead_channel, "lost.{channel}");
    CHECK_INT(c->topology, MARTY__TOPOLOGY_CHECK);
    marty__config_free(c);
}

static void test_a_url_is_one_backend(void)
{
    marty__config *c = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = "billing"};
    REQUIRE(marty__config_load(&c, "memory:", &options, &why) == MARTY_OK);
    CHECK_TEXT(c->backends[0].name, "main");
    CHECK_TEXT(c->backends[0].url, "memory:");
    CHECK_TEXT(c->backends[0].from, "the URL");
    CHECK_TEXT(c->service, "billing");
    CHECK_TEXT(c->service_from, "the program");
    CHECK_INT(c->route_count, 5);
    CHECK_INT(c->retry.attempts, 5);
    CHECK_INT(c->hold_max_ms, 5000);
    CHECK_TEXT(c->dead_from, "default");
    marty__config_free(c);
    CHECK_INT(marty__config_load(&c, "nats://u:hush@h:bad", NULL, &why), MARTY_E_CONFIG);
    CHECK(!strstr(why.text, "hush"));
    options.service = "a*";
    CHECK_INT(marty__config_load(&c, "memory:", &options, &why), MARTY_E_ARGUMENT);
}

static void test_json(void)
{
    marty__config *c = NULL;
    marty_error why = {0};
    marty__buffer json = {0};
    REQUIRE(load_text(full, &c, &why) == MARTY_OK);
    marty__config_json(c, &json);
    CHECK(!json.failed);
    CHECK_HAS(json.data, "{\"service\":\"orders\",\"service_from\":\"config_text:1\"");
    CHECK_HAS(json.data,
              "{\"pattern\":\"event\",\"match\":\"order.*\",\"to\":\"log\",\"channel\":"
              "\"events.{domain}\",\"order\":\"key\",\"shards\":4,\"from\":\"config_text:7\"}");
    CHECK_HAS(json.data, "\"channels\":[\"events.a\",\"events.b.c\"]");
    CHECK_HAS(json.data, "\"need\":[\"replay\",\"order_by_key\"]");
    CHECK_HAS(json.data, "\"channel\":null,\"name\":\"legacy.stream\"");
    CHECK_HAS(json.data, "\"retry\":{\"attempts\":7,\"first_ms\":100,\"max_ms\":60000,\"jitter\":"
                         "\"none\",\"hold_max_ms\":2000,\"from\":\"config_text:15\"}");
    CHECK(!strstr(json.data, "secret"));
    marty__buffer_free(&json);
    marty__config_free(c);
}

#define BACKENDS "backends: {main: \"memory:\", log: \"memory:log\", local: \"memory:x\"}\n"
#define ROUTE(text) BACKENDS "routes:\n  - {commands: \"*\", to: main}\n  - {" text "}\n"
static const struct {
    const char *text, *complaint;
} mistakes[] = {
    {"", "config_text: it is empty; the least is a backend"},
    {"---\n", "config_text: it is empty"},
    {"service: x\n", "config_text: backends: expected a mapping of 1 to 64 names and URLs"},
    {"backends: {}\n", "config_text:1: backends: expected a mapping"},
    {"just words\n", "config_text:1: expected a mapping (key: value), found a text"},
    {"backends: [a]\n", "config_text:1: backends: expected a mapping"},
    {"backends:\n  main:\n", "config_text:2: backends.main: expected a URL"},
    {"backends:\n  main: [x]\n", "config_text:2: backends.main: expected a URL"},
    {"backends: {auto: \"memory:\"}\n", "\"auto\": the name of a backend has 1 to 63 letters"},
    {"backends: {a.b: \"memory:\"}\n", "\"a.b\": the name of a backend has 1 to 63 letters"},
    {"backends: {main: nonsense}\n", "config_text:1: backends.main: nonsense: a URL begins with"},
    {BACKENDS "servcie: x\n",
     "config_text:2: unknown key \"servcie\"; did you mean \"service\"? there are service, "},
    {BACKENDS "service: [x]\n", "config_text:2: service: expected a text, found a list"},
    {BACKENDS "service: 'a>'\n", "config_text:2: service: the service \"a>\" contains \">\""},
    {BACKENDS "service:\n", "config_text:2: service: expected a text, found nothing"},
    {BACKENDS "topology: chek\n", "topology: there is no \"chek\"; did you mean \"check\"?"},
    {BACKENDS "routes: {}\n", "config_text:2: routes: expected a list of 1 to 2000 routes"},
    {BACKENDS "routes:\n- x\n", "config_text:3: routes[0]: expected a mapping"},
    {ROUTE("events: 'a.*', to: logs"),
     "config_text:4: routes[1].to: no backend called \"logs\"; there are main, log, local"},
    {ROUTE("events: 'a.*'"), "routes[1].to: missing; name a backend: there are main, log, local"},
    {ROUTE("evnts: 'a.*', to: log"), "routes[1]: unknown key \"evnts\"; did you mean \"events\"?"},
    {ROUTE("to: log"), "routes[1]: a route says what it takes, by one of events, commands"},
    {ROUTE("events: a, queries: b, to: log"),
     "routes[1].queries: a route is for one of them, and \"events\" is there already"},
    {ROUTE("events: 'a*', to: log"), "routes[1].events: pattern \"a*\": \"a*\" mixes a word"},
    {ROUTE("events: [a], to: log"), "routes[1].events: expected a text, found a list"},
    {ROUTE("events: '>', to: log, channel: '{type}'"),
     "routes[1].channel: \"{type}\" is no name of channels: it must begin with a word"},
    {ROUTE("events: '>', to: log, channel: 'x.{type}.y'"), "so it must be the last segment"},
    {ROUTE("events: '>', to: log, channel: 'x.{domain}.{domain}'"), "a placeholder is in it twice"},
    {ROUTE("events: '>', to: log, channel: 'x-{type}'"), "so it must be the last segment"},
    {ROUTE("events: '>', to: log, channel: 'x.{service}'"),
     "the placeholders are {domain} and {type}"},
    {ROUTE("events: '>', to: log, channel: 'x.{type'"), "the placeholders are {domain} and"},
    {ROUTE("streams: 'x', to: log, channel: 'x.{type}'"), "the only placeholder is {name}"},
    {ROUTE("queries: 'x', to: log, channel: 'x.}'"), "the placeholders are {service} and {type}"},
    {ROUTE("events: '>', to: log, channel: 'x.*'"), "expected words joined by dots"},
    {ROUTE("events: '>', to: log, channel: 'dead.x'"), "\"dead\" is reserved for channels of"},
    {ROUTE("events: '>', to: log, channel: commands.x"), "\"commands\" is reserved"},
    {ROUTE("events: '>', to: log, channels: x"), "channels: expected a list of 1 to 64 channels"},
    {ROUTE("events: '>', to: log, channels: []"), "channels: expected a list of 1 to 64 channels"},
    {ROUTE("events: '>', to: log, channels: ['events.*']"), "\"events.*\" is no channel"},
    {ROUTE("events: '>', to: log, channels: [marty.x]"), "\"marty\" is reserved"},
    {ROUTE("events: '>', to: log, name: a, channel: b"),
     "routes[1].name: the broker's own name stands for the channel; take \"channel\" away"},
    {ROUTE("events: '>', to: log, order: keys"),
     "order: there is no \"keys\"; did you mean \"key\""},
    {ROUTE("queries: 'x', to: log, order: key"), "order: queries and broadcasts have no order"},
    {ROUTE("events: '>', to: log, shards: 3"), "shards: only streams and channels with order: key"},
    {ROUTE("streams: x, to: log, shards: 0"), "\"0\": expected a whole number from 1 to 4096"},
    {ROUTE("streams: x, to: log, shards: 4x"), "\"4x\": expected a whole number from 1 to 4096"},
    {ROUTE("streams: x, to: log, shards: 99999999999999999999"), "expected a whole number"},
    {ROUTE("streams: x, to: log, need: [replya]"),
     "need: there is no \"replya\"; did you mean \"replay\"? there are groups, replay, delay, "},
    {ROUTE("streams: x, to: log, need: {a: b}"), "need: expected a list of capabilities"},
    {ROUTE("events: x, to: log, on_dead: stop_key"), "a key can only be stopped where there is"},
    {ROUTE("commands: payment, to: log"),
     "config_text:4: routes[1]: nothing can reach it: routes[0], which comes first, takes all"},
    {BACKENDS "retry: {atempts: 3}\n",
     "retry: unknown key \"atempts\"; did you mean \"attempts\"?"},
    {BACKENDS "retry: {attempts: 0}\n", "retry.attempts: \"0\": expected a whole number from 1"},
    {BACKENDS "retry: {first: 3}\n", "retry.first: \"3\": expected a whole number and a unit"},
    {BACKENDS "retry: {max: 99d}\n", "retry.max: \"99d\": expected a whole number and a unit"},
    {BACKENDS "retry: {first: 1m, max: 1s}\n", "retry: first is 60000 ms and max is 1000 ms"},
    {BACKENDS "retry: {jitter: some}\n",
     "retry.jitter: there is no \"some\"; there are full, none"},
    {BACKENDS "dead_letter: {chanel: x}\n", "dead_letter: unknown key \"chanel\"; did you mean"},
    {BACKENDS "dead_letter: {channel: 'dead.{type}'}\n", "the only placeholder is {channel}"},
    {BACKENDS "dead_letter: {channel: 'retry.{channel}'}\n", "\"retry\" is reserved"},
    {"backends:\n  main: memory:\n",
     "config_text:2: no valid YAML: mapping values are not allowed in "
     "this context; a value with a colon at its end, such as"},
    {"backends:\n  main: 'memory:'\n  main: 'memory:'\n",
     "config_text:3: the key \"main\" is given twice; first in line 2"},
    {"a: &x 1\nb: *x\n", "config_text:1: anchors (&) and tags (!) are not allowed"},
    {"a: *x\n", "config_text:1: aliases (*name) are not allowed"},
    {"a: !!int 3\n", "config_text:1: anchors (&) and tags (!) are not allowed"},
    {"a: !!seq [3]\n", "config_text:1: anchors (&) and tags (!) are not allowed"},
    {"[a]: b\n", "config_text:1: a key must be a word"},
    {"a: \"x\\0y\"\n", "config_text:1: a value contains a NUL character"},
    {"a: 1\n---\nb: 2\n", "config_text:2: a second document begins; one is allowed"},
    {"a: {b\n", "config_text:2: no valid YAML: did not find expected ',' or '}'"},
    {"a: \xff\n", "config_text: byte 3: invalid leading UTF-8 octet; it must be UTF-8 text"},
    {"a: ${MARTY_TEST_NONE}\n",
     "config_text:1: the environment has no variable MARTY_TEST_NONE; set it, or write"},
    {"a: ${3}\n", "config_text:1: after \"${\" there must be the name of an environment variable"},
    {"a: ${A\n", "config_text:1: after \"${\" there must be the name"},
    {"a: [[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]\n", "nested over 16 deep"},
};

static void test_every_mistake_names_its_place(void)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        marty__config *c = NULL;
        marty_error why = {0};
        marty_err err = load_text(mistakes[i].text, &c, &why);
        if (!CHECK_INT(err, MARTY_E_CONFIG) || !CHECK_HAS(why.text, mistakes[i].complaint)) {
            fprintf(stderr, "    of: %s\n", mistakes[i].text);
        }
        CHECK(!c);
    }
}

static void test_what_is_not_supported_yet(void)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {BACKENDS "outbox: {backend: local}\n",
         "config_text:2: outbox: this version has no outbox"},
        {BACKENDS "scheduler: local\n", "config_text:2: scheduler: this version cannot schedule"},
        {ROUTE("streams: x, to: log, on_dead: stop_key"),
         "routes[1].on_dead: this version always goes on with the next of the key"},
        {ROUTE("streams: x, to: auto"), "routes[1].to: this version cannot choose a backend"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty__config *c = NULL;
        marty_error why = {0};
        CHECK_INT(load_text(cases[i].text, &c, &why), MARTY_E_UNSUPPORTED);
        CHECK_HAS(why.text, cases[i].complaint);
    }
}

static void test_the_environment(void)
{
    marty__config *c = NULL;
    marty_error why = {0};
    setenv("MARTY_TEST_PASSWORD", "hush", 1);
    REQUIRE(load_text("backends: {main: \"nats://me:${MARTY_TEST_PASSWORD}@h/$${x\"}\n"
                      "service: ${MARTY_TEST_NONE:-orders}\n",
                      &c, &why) == MARTY_OK);
    CHECK_TEXT(c->backends[0].url, "nats://me:hush@h/${x");
    CHECK(!strstr(c->backends[0].redacted, "hush"));
    CHECK_TEXT(c->backends[0].from, "config_text:1, $MARTY_TEST_PASSWORD");
    CHECK_TEXT(c->service, "orders");
    marty__config_free(c);
    /* what came from the environment is in no error, wherever it was put */
    static const char *const places[] = {
        BACKENDS "routes: [{events: '>', to: \"${MARTY_TEST_PASSWORD}\"}]\n",
        BACKENDS "routes: [{events: '${MARTY_TEST_PASSWORD}*', to: main}]\n",
        BACKENDS "service: '${MARTY_TEST_PASSWORD}*'\n",
        BACKENDS "topology: ${MARTY_TEST_PASSWORD}\n",
        BACKENDS "retry: {first: \"${MARTY_TEST_PASSWORD}\"}\n",
        BACKENDS "retry: {attempts: \"${MARTY_TEST_PASSWORD}\"}\n",
        BACKENDS "dead_letter: {channel: \"${MARTY_TEST_PASSWORD}.{x}\"}\n",
        "backends: {main: \"nats://me:${MARTY_TEST_PASSWORD}@h:x\"}\n",
        "backends: {main: \"nats://h:1?password=${MARTY_TEST_PASSWORD}&a\"}\n",
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        CHECK_INT(load_text(places[i], &c, &why), MARTY_E_CONFIG);
        CHECK(!strstr(why.text, "hush"));
    }
}

static void test_files(void)
{
    char folder[] = "/tmp/marty-config-XXXXXX";
    marty__config *c = NULL;
    marty_error why = {0};
    REQUIRE(mkdtemp(folder) && chdir(folder) == 0);
    unsetenv("MARTY_CONFIG");
    CHECK_INT(marty__config_load(&c, NULL, NULL, &why), MARTY_E_NOT_FOUND);
    CHECK_TEXT(why.text, "marty.yaml: no such file here; give a URL, such as sqlite:orders.db or "
                         "memory:, the path of a configuration file, or set MARTY_CONFIG");
    CHECK_INT(marty__config_load(&c, "other.yaml", NULL, &why), MARTY_E_NOT_FOUND);
    CHECK_HAS(why.text, "other.yaml: no such file; give a URL");
    CHECK_INT(marty__config_load(&c, "/", NULL, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "/: is no file");

    FILE *file = fopen("marty.yaml", "w");
    REQUIRE(file && fputs("backends:\n  main: 'memory:'\n", file) >= 0 && fclose(file) == 0);
    REQUIRE(marty__config_load(&c, NULL, NULL, &why) == MARTY_OK);
    CHECK_TEXT(c->backends[0].from, "marty.yaml:2");
    CHECK_TEXT(c->from, "marty.yaml");
    marty__config_free(c);

    setenv("MARTY_CONFIG", "gone.yaml", 1);
    CHECK_INT(marty__config_load(&c, NULL, NULL, &why), MARTY_E_NOT_FOUND);
    CHECK_HAS(why.text, "gone.yaml: no such file, which $MARTY_CONFIG names");
    setenv("MARTY_CONFIG", "memory:env", 1);
    REQUIRE(marty__config_load(&c, NULL, NULL, &why) == MARTY_OK);
    CHECK_TEXT(c->backends[0].from, "$MARTY_CONFIG");
    marty__config_free(c);

    char *big = malloc(MARTY__YAML_BYTES_MAX + 2);
    REQUIRE(big && (file = fopen("big.yaml", "w")));
    memset(big, '#', MARTY__YAML_BYTES_MAX + 1);
    big[MARTY__YAML_BYTES_MAX + 1] = '\0';
    REQUIRE(fputs(big, file) >= 0 && fclose(file) == 0);
    CHECK_INT(marty__config_load(&c, "./big.yaml", NULL, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "./big.yaml: over 1048576 bytes; that is the limit");
    memset(big, ',', 30000);
    for (size_t i = 0; i < 30000; i += 2) {
        big[i] = 'x';
    }
    memcpy(big, "a: [", 4);
    memcpy(big + 30000, "x]", 3);
    CHECK_INT(load_text(big, &c, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "config_text:1: over 10000 values");
    free(big);
    CHECK(unlink("marty.yaml") == 0 && unlink("big.yaml") == 0 && chdir("/") == 0 &&
          rmdir(folder) == 0);
}

static long allowed = -1;

static bool may_allocate(size_t size)
{
    (void)size;
    return allowed < 0 || allowed-- > 0;
}

static void test_no_memory(void)
{
    marty__alloc_set_hook(may_allocate);
    marty_err err = MARTY_E_NO_MEMORY;
    for (long limit = 0; err == MARTY_E_NO_MEMORY && limit < 10000; limit++) {
        marty__config *c = NULL;
        marty_error why = {0};
        allowed = limit;
        err = load_text(full, &c, &why);
        allowed = -1;
        CHECK((err == MARTY_OK) == (c != NULL) && why.code == err);
        marty__config_free(c);
    }
    CHECK_INT(err, MARTY_OK);
    marty__alloc_set_hook(NULL);
}

int main(void)
{
    test_a_full_document();
    test_a_url_is_one_backend();
    test_json();
    test_every_mistake_names_its_place();
    test_what_is_not_supported_yet();
    test_the_environment();
    test_files();
    test_no_memory();
    marty__config_free(NULL);
    return check_result();
}
