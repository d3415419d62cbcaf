/* SPDX-License-Identifier: Apache-2.0
 * URLs: what they mean, what their errors say, and that no secret is ever shown. */
#include "url.h"

#include "base/alloc.h"
#include "check.h"

static marty_url *parse(const char *text)
{
    marty_error why = {0};
    marty_url *url = NULL;
    if (!CHECK(marty_url_parse(&url, text, &why) == MARTY_OK)) {
        fprintf(stderr, "    %s: %s\n", text, why.text);
        exit(1);
    }
    return url;
}

static void each_part_is_found(void)
{
    marty_url *url = parse("NATS://u%40x:p%3Aq@h1:4222,[::1]:4223,h3/a%20b?replicas=3&name=x%26y");
    CHECK_TEXT(url->scheme, "nats");
    CHECK_TEXT(url->user, "u@x");
    CHECK_TEXT(url->password, "p:q");
    CHECK_INT(url->host_count, 3);
    CHECK_TEXT(url->hosts[0].host, "h1");
    CHECK_INT(url->hosts[0].port, 4222);
    CHECK_TEXT(url->hosts[1].host, "::1");
    CHECK_INT(url->hosts[1].port, 4223);
    CHECK_TEXT(url->hosts[2].host, "h3");
    CHECK_INT(url->hosts[2].port, 0);
    CHECK_TEXT(url->path, "/a b");
    CHECK_INT(url->parameter_count, 2);
    CHECK_TEXT(marty_url_get(url, "replicas"), "3");
    CHECK_TEXT(marty_url_get(url, "name"), "x&y");
    CHECK(marty_url_get(url, "absent") == NULL);
    CHECK_TEXT(url->redacted, "NATS://u%40x:***@h1:4222,[::1]:4223,h3/a%20b?replicas=3&name=x%26y");
    marty_url_free(url);
}

static void a_path_may_stand_alone(void)
{
    static const struct {
        const char *text, *scheme, *path;
    } cases[] = {{"memory:", "memory", NULL},
                 {"memory:orders", "memory", "orders"},
                 {"sqlite:orders.db?x=y", "sqlite", "orders.db"},
                 {"sqlite:/abs/path", "sqlite", "/abs/path"},
                 {"sqlite:///abs/path", "sqlite", "/abs/path"},
                 {"sqlite:a:b@c", "sqlite", "a:b@c"},
                 {"memory:?lease=1s", "memory", NULL},
                 {"log:a%3Fb", "log", "a?b"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_url *url = parse(cases[i].text);
        CHECK_TEXT(url->scheme, cases[i].scheme);
        CHECK_TEXT(url->path, cases[i].path);
        CHECK_INT(url->host_count, 0);
        CHECK_TEXT(url->redacted, cases[i].text);
        marty_url_free(url);
    }
}

static void a_malformed_url_says_what_is_wrong(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {{"orders.db", "begins with its backend"},
                 {"", "begins with its backend"},
                 {":x", "begins with its backend"},
                 {"4a:x", "begins with its backend"},
                 {"nats://", "no host"},
                 {"nats://?x=1", "no host"},
                 {"nats://a,,b", "host 2 is empty"},
                 {"nats://u:p@", "host 1 is empty"},
                 {"nats://a,", "host 2 is empty"},
                 {"nats://[::1", "host 1 is empty or malformed"},
                 {"nats://[::1]x", "host 1 is empty or malformed"},
                 {"nats://a:0", "port of host 1"},
                 {"nats://a:65536", "port of host 1"},
                 {"nats://a:99999999999999999999", "port of host 1"},
                 {"nats://a:", "port of host 1"},
                 {"nats://a:4x", "port of host 1"},
                 {"nats://a/%zz", "two hexadecimal digits"},
                 {"nats://a/%4", "two hexadecimal digits"},
                 {"nats://a/%00", "not 00"},
                 {"memory:?a", "parameter 1 after the ? is not key=value"},
                 {"memory:?a=1&&b=2", "parameter 2"},
                 {"memory:?=1", "parameter 1"},
                 {"memory:?a=1&a=2", "a is given twice"},
                 {"memory:a\nb", "byte 8 of the URL is a control character"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_error why = {0};
        marty_url *url = NULL;
        CHECK_INT(marty_url_parse(&url, cases[i].text, &why), MARTY_E_CONFIG);
        CHECK_HAS(why.text, cases[i].says);
        CHECK(url == NULL);
    }
}

static void a_very_long_url_is_refused(void)
{
    char *text = malloc(20001);
    marty_error why = {0};
    marty_url *url = NULL;
    memset(text, 'a', 20000);
    memcpy(text, "x:", 2);
    text[20000] = '\0';
    CHECK_INT(marty_url_parse(&url, text, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "longer than 16384");
    free(text);
}

/* Whatever is wrong with it, and wherever the canary stands. */
static void no_secret_is_ever_shown(void)
{
    static const char *const cases[] = {
        "nats://u:canary@h",
        "nats://canary@h",
        "nats://u:can%61ry%zz@h",
        "nats://u:canary@h:99999",
        "//u:canary@h",
        "nats://u:x@canary@h:99999",
        "nats://u:canary/x@h",
        "nats://u:canary?x@h",
        "nats://u:x/canary@h:x",
        "nats://u:canary",
        "nats://h?token=canary",
        "nats://h?my_PASSword=canary&x",
        "nats://h?nkey=canary&nkey=canary",
        "nats://h?tls_key_secret=canary&a=%z",
        "nats://h?p%61ss=canary&a",
        "nats://h?x_creds=canary",
        "nats://h?seed=canary&lease=x",
        "memory:?token=canary&bad",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_error why = {0};
        marty_url *url = NULL;
        marty_err err = marty_url_parse(&url, cases[i], &why);
        if (!err) {
            CHECK(!strstr(url->redacted, "canary"));
            CHECK_INT(marty_url_check(url, (const char *const[]){"a", NULL}, &why) != MARTY_OK,
                      strstr(cases[i], "x_creds") || strstr(cases[i], "seed"));
        }
        if (strstr(why.text, "canary") || (url && strstr(url->redacted, "canary"))) {
            fprintf(stderr, "    %s: %s\n", cases[i], why.text);
        }
        CHECK(!strstr(why.text, "canary"));
        marty_url_free(url);
    }
}

static void an_unknown_key_names_the_known_ones(void)
{
    static const char *const known[] = {"limit", "history", NULL};
    marty_url *url = parse("memory:?limit=1&lease=2s&limmit=3");
    marty_error why = {0};
    CHECK_INT(marty_url_check(url, known, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text,
              "unknown key \"limmit\"; did you mean \"limit\"?; known are limit, history");
    CHECK_HAS(why.text, "replicas");
    CHECK_INT(marty_url_check(url, NULL, &why), MARTY_E_CONFIG);
    marty_url_free(url);
    url = parse("memory:?liimt=1&lease=2s"); /* letters swapped */
    CHECK_INT(marty_url_check(url, known, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "did you mean \"limit\"?");
    marty_url_free(url);
    url = parse("memory:?limit=1&lease=2s");
    CHECK_INT(marty_url_check(url, known, &why), MARTY_OK);
    marty_url_free(url);
}

static void durations_and_sizes_are_read(void)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},        {"200ms", 200},    {"30s", 30000}, {"5m", 300000},
                {"2h", 7200000}, {"7d", 604800000}, {"0s", 0}};
    static const char *const bad[] = {
        "", "30", "s", "-1s", "1.5s", "30 s", "3x", "99999999999999999999s", "999999999999999999d"};
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {{"0", 0},         {"1000000", 1000000},   {"5B", 5},
                 {"64KiB", 65536}, {"10GiB", 10737418240}, {"2MB", 2000000}};
    static const char *const bad_sizes[] = {
        "", "KiB", "1k", "-1", "1 KiB", "99999999999999999999", "9999999999TiB"};
    marty_error why = {0};
    uint64_t value = 7;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_INT(marty_parse_duration(&value, "lease", good[i].text, &why), MARTY_OK);
        CHECK_INT(value, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_INT(marty_parse_duration(&value, "lease", bad[i], &why), MARTY_E_CONFIG);
        CHECK_HAS(why.text, "lease: ");
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_INT(marty_parse_size(&value, "limit", sizes[i].text, &why), MARTY_OK);
        CHECK_INT(value, sizes[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad_sizes / sizeof bad_sizes[0]; i++) {
        CHECK_INT(marty_parse_size(&value, "limit", bad_sizes[i], &why), MARTY_E_CONFIG);
        CHECK_HAS(why.text, "limit: ");
    }
}

static bool never(size_t size)
{
    (void)size;
    return false;
}

static void without_memory_it_says_so(void)
{
    marty_error why = {0};
    marty_url *url = NULL, *good = parse("memory:?limmit=1");
    marty__alloc_set_hook(never);
    CHECK_INT(marty_url_parse(&url, "nats://a", &why), MARTY_E_NO_MEMORY);
    CHECK_INT(marty_url_check(good, NULL, &why), MARTY_E_CONFIG);
    marty__alloc_set_hook(NULL);
    CHECK_HAS(why.text, "limmit");
    marty_url_free(good);
}

int main(void)
{
    each_part_is_found();
    a_path_may_stand_alone();
    a_malformed_url_says_what_is_wrong();
    a_very_long_url_is_refused();
    no_secret_is_ever_shown();
    an_unknown_key_names_the_known_ones();
    durations_and_sizes_are_read();
    without_memory_it_says_so();
    return check_result();
}
