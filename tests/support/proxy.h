/* SPDX-License-Identifier: Apache-2.0
 * A TCP proxy on loopback in this process, to break connections for real: cut, swallow (half-open:
 * nothing passes, nothing closes), hold back, slow down. One background thread; any thread may
 * call. */
#ifndef TESTS_SUPPORT_PROXY_H
#define TESTS_SUPPORT_PROXY_H
#include <stdbool.h>
#include <stdint.h>

typedef struct test_proxy test_proxy;
typedef enum test_proxy_mode {
    TEST_PROXY_PASS,
    TEST_PROXY_SWALLOW, /* bytes vanish both ways, connections stay and new ones are taken */
    TEST_PROXY_DEAF,    /* what the server says vanishes, what clients say passes */
    TEST_PROXY_HOLD,    /* nothing is read: it passes later, even when its sender is gone by then */
    TEST_PROXY_SLOW,    /* 20 ms later per read, at most 16 KiB at once */
    TEST_PROXY_REFUSE   /* cuts what there is and what comes */
} test_proxy_mode;

/** Listens on a free port and passes everything to 127.0.0.1:port; NULL when it cannot. */
test_proxy *test_proxy_start(int port);
int test_proxy_port(const test_proxy *proxy);
/** What is sent from then on goes by that mode. */
void test_proxy_set(test_proxy *proxy, test_proxy_mode mode);
/** Cuts all connections that there are now (RST); nothing more passes on them. */
void test_proxy_cut(test_proxy *proxy);
/** How often it has passed something on to the server. */
uint64_t test_proxy_said(test_proxy *proxy);
/** How many connections it has taken since the start. */
uint64_t test_proxy_taken(test_proxy *proxy);
void test_proxy_stop(test_proxy *proxy);
#endif
