/* SPDX-License-Identifier: Apache-2.0
 * Finding backends: registered ones, modules that are refused and why, schemes that are known but
 * absent or not known at all; and the words for capabilities. */
#include "registry.h"

#include "base/alloc.h"
#include "capability.h"
#include "check.h"

#include <ctype.h>
#include <sys/stat.h>
#include <unistd.h>

static const marty_capabilities claims = {.can = {MARTY_CAN_GROUPS}};

/* Slots that are there and never called. */
static marty_err no_open(marty_port **ret_port, const char *url, const marty_sink *sink,
                         marty_error *why)
{
    (void)ret_port, (void)url, (void)sink;
    return marty_error_set(why, MARTY_E_UNSUPPORTED, "never called");
}
static marty_err no_connect(marty_port *port, marty_error *why)
{
    (void)port;
    return marty_error_set(why, MARTY_E_UNSUPPORTED, "never called");
}
static marty_err no_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    (void)port, (void)batch, (void)count, (void)ret_taken;
    return marty_error_set(why, MARTY_E_UNSUPPORTED, "never called");
}
static marty_err no_subscribe(marty_port *port, uint64_t subscription, const marty_want *want,
                              marty_error *why)
{
    (void)port, (void)subscription, (void)want;
    return marty_error_set(why, MARTY_E_UNSUPPORTED, "never called");
}
static void no_grant(marty_port *port, uint64_t subscription, uint32_t credit)
{
    (void)port, (void)subscription, (void)credit;
}
static void no_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    (void)port, (void)batch, (void)count;
}
static void no_unsubscribe(marty_port *port, uint64_t subscription)
{
    (void)port, (void)subscription;
}
static void no_close(marty_port *port, int64_t deadline_ns)
{
    (void)port, (void)deadline_ns;
}
static void no_free(marty_port *port)
{
    (void)port;
}

static const marty_backend whole = {.abi = MARTY_BACKEND_ABI,
                                    .size = sizeof(marty_backend),
                                    .scheme = "third",
                                    .package = "marty-third",
                                    .claims = &claims,
                                    .open = no_open,
                                    .connect = no_connect,
                                    .publish = no_publish,
                                    .subscribe = no_subscribe,
                                    .grant = no_grant,
                                    .settle = no_settle,
                                    .unsubscribe = no_unsubscribe,
                                    .close = no_close,
                                    .free = no_free};

static void a_registered_backend_is_found(void)
{
    marty_error why = {0};
    CHECK(marty__backend_find("third", &why) == NULL);
    CHECK_INT(why.code, MARTY_E_CONFIG);
    CHECK_INT(marty_backend_register(&whole, &why), MARTY_OK);
    CHECK(marty__backend_find("third", &why) == &whole);
    CHECK_INT(marty_backend_register(&whole, &why), MARTY_E_EXISTS);
    CHECK_HAS(why.text, "third:");
    const marty_backend *found = NULL;
    CHECK_INT(marty_backend_find(&found, "third", &why), MARTY_OK);
    CHECK(found == &whole);
    CHECK_INT(marty_backend_find(&found, "none-such", &why), MARTY_E_CONFIG);
    CHECK(!strstr(why.text, "postgres"));
    CHECK_INT(marty_backend_find(&found, "", &why), MARTY_E_ARGUMENT);
}

static void a_store_of_sagas_is_no_backend(void)
{
    static const char *const schemes[] = {"postgres", "postgresql"};
    for (size_t i = 0; i < 2; i++) {
        marty_error why = {0};
        const marty_backend *found = NULL;
        CHECK_INT(marty_backend_find(&found, schemes[i], &why), MARTY_E_CONFIG);
        CHECK_HAS(why.text, "keeps sagas (--store, marty_saga_open) and is no backend of a bus");
    }
}

static void a_table_with_a_gap_is_refused(void)
{
    marty_error why = {0};
    marty_backend wrong = whole;
    wrong.scheme = "fourth";
    wrong.abi = 99;
    CHECK_INT(marty_backend_register(&wrong, &why), MARTY_E_UNSUPPORTED);
    CHECK_HAS(why.text, "ABI 99");
    wrong.abi = MARTY_BACKEND_ABI;
    wrong.size = 8;
    CHECK_INT(marty_backend_register(&wrong, &why), MARTY_E_UNSUPPORTED);
    wrong.size = sizeof wrong;
    wrong.settle = NULL;
    CHECK_INT(marty_backend_register(&wrong, &why), MARTY_E_ARGUMENT);
    wrong.settle = no_settle;
    wrong.scheme = "../x";
    CHECK_INT(marty_backend_register(&wrong, &why), MARTY_E_ARGUMENT);
    CHECK_INT(marty_backend_register(NULL, &why), MARTY_E_UNSUPPORTED);
}

static void an_absent_backend_names_its_package(void)
{
    marty_error why = {0};
    setenv("MARTY_MODULE_PATH", "/nonexistent/a:/nonexistent/b", 1);
    CHECK(marty__backend_find("kafka", &why) == NULL);
    CHECK_INT(why.code, MARTY_E_MISSING_MODULE);
    CHECK_HAS(why.text, "marty-kafka");
    CHECK_HAS(why.text, "/nonexistent/a:/nonexistent/b");
    CHECK(marty__backend_find("tls", &why) == NULL);
    CHECK_HAS(why.text, "marty-nats");
}

static void an_unknown_scheme_lists_the_known(void)
{
    marty_error why = {0};
    CHECK(marty__backend_find("kafak", &why) == NULL);
    CHECK_INT(why.code, MARTY_E_CONFIG);
    CHECK_HAS(why.text, "did you mean kafka:");
    CHECK_HAS(why.text, "memory: ");
    CHECK_HAS(why.text, "third:");
    CHECK(marty__backend_find("zzzzzz", &why) == NULL);
    CHECK(!strstr(why.text, "did you mean"));
    CHECK(marty__backend_find("../../etc", &why) == NULL);
    CHECK_INT(why.code, MARTY_E_CONFIG);
}

static void expect_refused(const char *folder, marty_err code, const char *says)
{
    marty_error why = {0};
    setenv("MARTY_MODULE_PATH", folder, 1);
    CHECK(marty__backend_find("odd", &why) == NULL);
    CHECK_INT(why.code, code);
    CHECK_HAS(why.text, says);
}

static void a_doubtful_module_is_refused(void)
{
    char folder[] = "/tmp/marty-registry-XXXXXX", path[128], real[128];
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/marty-odd.so", folder);
    (void)snprintf(real, sizeof real, "%s/real.so", folder);
    FILE *file = fopen(real, "w");
    REQUIRE(file && fputs("no library", file) >= 0 && fclose(file) == 0);
    CHECK(symlink(real, path) == 0);
    expect_refused(folder, MARTY_E_CONFIG, "symbolic link");
    CHECK(unlink(path) == 0 && rename(real, path) == 0);
    CHECK(chmod(path, 0666) == 0);
    expect_refused(folder, MARTY_E_CONFIG, "everyone may write it");
    CHECK(chmod(path, 0644) == 0 && chmod(folder, 0777) == 0);
    expect_refused(folder, MARTY_E_CONFIG, "everyone may write its folder");
    CHECK(chmod(folder, 0755) == 0);
    expect_refused(folder, MARTY_E_MISSING_MODULE, "does not load");
    CHECK(unlink(path) == 0 && mkdir(path, 0755) == 0);
    expect_refused(folder, MARTY_E_CONFIG, "no regular file");
    CHECK(rmdir(path) == 0 && rmdir(folder) == 0);
    marty_error why = {0};
    setenv("MARTY_MODULE_PATH", "modules", 1);
    CHECK(marty__backend_find("kafka", &why) == NULL);
    CHECK_INT(why.code, MARTY_E_CONFIG);
    CHECK_HAS(why.text, "absolute");
}

static void each_capability_has_its_word(void)
{
#define ROW(name, bit) {#name, bit},
    static const struct {
        const char *name;
        unsigned bit;
    } rows[] = {MARTY_CAPABILITIES(ROW)};
#undef ROW
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lower[32] = {0};
        for (size_t at = 0; rows[i].name[at]; at++) {
            lower[at] = (char)tolower((unsigned char)rows[i].name[at]);
        }
        CHECK_TEXT(marty__capability_name(rows[i].bit), lower);
    }
    CHECK(marty__capability_name(marty__capability_count()) == NULL);
    CHECK_TEXT(marty__kind_name(MARTY_KIND_DEAD), "dead");
    CHECK_INT(marty__kind_by_name("broadcast"), MARTY_KIND_BROADCAST);
    CHECK_INT(marty__kind_by_name("unknown"), 0);
    CHECK_TEXT(marty__level_name(MARTY_LEVEL_SYNCED), "synced");
    CHECK(marty__capability_has(&claims, MARTY_KIND_TOPIC, MARTY_ORDER_KEY, MARTY_CAN_GROUPS));
    CHECK(!marty__capability_has(&claims, MARTY_KIND_TOPIC, MARTY_ORDER_NONE,
                                 MARTY_CAN_GROUPS | MARTY_CAN_DELAY));
}

/* As of SQS: a delay without order by key only, duplicates are seen with it only. */
static void order_takes_some_and_gives_some(void)
{
    const marty_capabilities fifo = {
        .can = {[MARTY_KIND_QUEUE] = MARTY_CAN_CONFIRM | MARTY_CAN_DELAY | MARTY_CAN_DEDUPLICATE},
        .only_unordered = MARTY_CAN_DELAY,
        .only_ordered = MARTY_CAN_DEDUPLICATE};
    CHECK_INT(marty__capability_of(&fifo, MARTY_KIND_QUEUE, MARTY_ORDER_KEY),
              MARTY_CAN_CONFIRM | MARTY_CAN_DEDUPLICATE);
    CHECK_INT(marty__capability_of(&fifo, MARTY_KIND_QUEUE, MARTY_ORDER_NONE),
              MARTY_CAN_CONFIRM | MARTY_CAN_DELAY);
    CHECK_INT(marty__capability_of(&fifo, MARTY_KIND_QUEUE, MARTY_ORDER_DEFAULT),
              MARTY_CAN_CONFIRM | MARTY_CAN_DELAY | MARTY_CAN_DEDUPLICATE);
    CHECK_INT(marty__capability_of(&fifo, MARTY_KIND_TOPIC, MARTY_ORDER_NONE), 0);
}

static bool never(size_t size)
{
    (void)size;
    return false;
}

static void without_memory_it_says_so(void)
{
    marty_error why = {0};
    marty_backend another = whole;
    another.scheme = "another";
    marty__alloc_set_hook(never);
    CHECK_INT(marty_backend_register(&another, &why), MARTY_E_NO_MEMORY);
    CHECK(marty__backend_find("zzzzzz", &why) == NULL);
    marty__alloc_set_hook(NULL);
    CHECK_INT(why.code, MARTY_E_CONFIG);
    CHECK(marty__backend_find("another", &why) == NULL);
}

int main(void)
{
    a_registered_backend_is_found();
    a_store_of_sagas_is_no_backend();
    a_table_with_a_gap_is_refused();
    an_absent_backend_names_its_package();
    an_unknown_scheme_lists_the_known();
    a_doubtful_module_is_refused();
    each_capability_has_its_word();
    order_takes_some_and_gives_some();
    without_memory_it_says_so();
    return check_result();
}
