/* SPDX-License-Identifier: Apache-2.0
 * Several processes on one file: this program starts itself in other roles and kills them with
 * SIGKILL at any point. Every id that was confirmed is counted afterwards. */
#include "test_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static char *self;

static pid_t start(const char *role, const char *database, const char *file)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        (void)execl("/proc/self/exe", self, role, database, file, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void kill_hard(pid_t pid)
{
    int status = 0;
    REQUIRE(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status));
}

/* One line in one write: it is there though we die the next moment. */
static void mark(int fd, const char *line)
{
    char text[100];
    int size = snprintf(text, sizeof text, "%s\n", line);
    REQUIRE(write(fd, text, (size_t)size) == size);
}

static size_t count_lines(const char *path)
{
    char buffer[65536];
    size_t lines = 0;
    int fd = open(path, O_RDONLY);
    for (ssize_t got; fd >= 0 && (got = read(fd, buffer, sizeof buffer)) > 0;) {
        for (ssize_t i = 0; i < got; i++) {
            lines += buffer[i] == '\n';
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return lines;
}

/* As core does: again while others are in the way, of which some may stand still. */
static probe *open_path(const char *database)
{
    char url[300];
    (void)snprintf(url, sizeof url, "sqlite:%s", database);
    probe *p = probe_new(url);
    int64_t until_ms = check_now_ms() + check__patience(60000);
    while (probe_connect(p) != MARTY_STATE_UP) {
        if (p->reason != MARTY_E_UNAVAILABLE || check_now_ms() >= until_ms) {
            fprintf(stderr, "%s: %s\n", url, p->state_text);
            exit(1);
        }
    }
    return p;
}

/* ---- roles */
/* What one of them does at most, so that it does not run away from a test that is held up. */
enum { PUBLISHES_MAX = 500, CONSUMES_MAX = 40, CONSUMER_HOLDS = 8 };

static void wait_to_be_killed(probe *p)
{
    (void)probe_wait(p, &p->deliveries, NOTES_MAX, 60000);
}

/* Publishes on and on; marks what was confirmed. */
static void role_publish(const char *database, const char *file)
{
    probe *p = open_path(database);
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    for (unsigned i = 0; i < PUBLISHES_MAX; i++) {
        char id[64];
        (void)snprintf(id, sizeof id, "p%d-%u", (int)getpid(), i);
        if (say(p, MARTY_KIND_QUEUE, "commands.q", id, NULL) == MARTY_OK) {
            mark(fd, id);
        }
        probe_forget(p);
    }
    wait_to_be_killed(p);
}

/* Takes and acks; marks what was confirmed as settled. */
static void role_consume(const char *database, const char *file)
{
    probe *p = open_path(database);
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", CONSUMER_HOLDS);
    for (unsigned i = 0; i < CONSUMES_MAX; i++) {
        REQUIRE(probe_wait(p, &p->deliveries, 1, 60000));
        marty__lock(&p->lock);
        noted_delivery d = p->delivered[0];
        memmove(p->delivered, p->delivered + 1, --p->deliveries * sizeof d);
        p->settlings = 0;
        marty__unlock(&p->lock);
        if (settle(p, &d, MARTY_SETTLE_ACK, 0) == MARTY_OK) {
            mark(fd, d.message->id);
        }
        marty_message_unref(d.message);
        test_backend->grant(p->port, 1, 1);
    }
    wait_to_be_killed(p);
}

/* Answers each message of one queue with one on another. */
static void role_echo(const char *database, const char *file)
{
    probe *p = open_path(database);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.ping", "ping", 1);
    mark(open(file, O_WRONLY | O_CREAT | O_APPEND, 0644), "ready");
    for (;;) {
        REQUIRE(probe_wait(p, &p->deliveries, 1, 60000));
        CHECK_INT(settle(p, &p->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
        char id[64];
        (void)snprintf(id, sizeof id, "%s", p->delivered[0].message->id);
        probe_forget(p);
        CHECK_INT(say(p, MARTY_KIND_QUEUE, "commands.pong", id, NULL), MARTY_OK);
        test_backend->grant(p->port, 1, 1);
    }
}

/* Writes when each came, in monotonic nanoseconds, as text lines. */
static void role_clock(const char *database, const char *file)
{
    probe *p = open_path(database);
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.tick", "tick", 1);
    mark(fd, "0");
    for (;;) {
        REQUIRE(probe_wait(p, &p->deliveries, 1, 60000));
        char line[32];
        (void)snprintf(line, sizeof line, "%lld", (long long)p->delivered[0].at_ns);
        CHECK_INT(settle(p, &p->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
        mark(fd, line);
        probe_forget(p);
        test_backend->grant(p->port, 1, 1);
    }
}

/* Takes all it can get and settles nothing. */
static void role_hold(const char *database, const char *file)
{
    probe *p = open_path(database);
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    marty_want reply = {.channel = {.kind = MARTY_KIND_REPLY, .name = "replies.held.1"}};
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", 3);
    listen_to(p, 2, MARTY_KIND_REQUEST, "queries.held", "held", 3);
    listen_to(p, 3, MARTY_KIND_TOPIC, "events.x", NULL, 3);
    CHECK_INT(subscribe_with(p, 4, reply), MARTY_OK);
    await(p, 3);
    mark(fd, "held");
    wait_to_be_killed(p);
}

/* ---- tests */
static void wait_lines(const char *path, size_t lines)
{
    CHECK_SOON(count_lines(path) >= lines, 20000);
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static void read_numbers(const char *path, int64_t numbers[], size_t count)
{
    char line[64];
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL && fgets(line, sizeof line, file));
    for (size_t i = 0; i < count && fgets(line, sizeof line, file); i++) {
        numbers[i] = strtoll(line, NULL, 10);
    }
    (void)fclose(file);
}

static void another_process_is_woken_at_once(void)
{
    enum { TIMES = 200 };
    static int64_t asked[TIMES], stored[TIMES], came[TIMES];
    char *marks = strdup(test_file("ticks"));
    probe *p = probe_open("wake.db");
    pid_t clock = start("clock", test_file("wake.db"), marks);
    wait_lines(marks, 1);
    for (size_t i = 0; i < TIMES; i++) {
        asked[i] = marty__monotonic_ns();
        CHECK_INT(say(p, MARTY_KIND_QUEUE, "commands.tick", NULL, NULL), MARTY_OK);
        stored[i] = marty__monotonic_ns();
        wait_lines(marks, i + 2);
    }
    kill_hard(clock);
    read_numbers(marks, came, TIMES);
    for (size_t i = 0; i < TIMES; i++) {
        asked[i] = came[i] - asked[i];
        stored[i] = came[i] - stored[i];
    }
    qsort(asked, TIMES, sizeof asked[0], compare);
    qsort(stored, TIMES, sizeof stored[0], compare);
    printf("another process: from publish to delivery median %.3f ms, p99 %.3f ms; from stored to "
           "delivery median %.3f ms, p99 %.3f ms\n",
           (double)asked[TIMES / 2] / 1e6, (double)asked[TIMES * 99 / 100] / 1e6,
           (double)stored[TIMES / 2] / 1e6, (double)stored[TIMES * 99 / 100] / 1e6);
    CHECK(stored[TIMES / 2] < 200 * (int64_t)MARTY__NS_PER_MS); /* not by looking each quarter */
    free(marks);
    probe_close(p);
}

static void messages_go_there_and_back(void)
{
    enum { TIMES = 100 };
    probe *p = probe_open("echo.db");
    pid_t echo = start("echo", test_file("echo.db"), test_file("echo.ready"));
    wait_lines(test_file("echo.ready"), 1);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.pong", "pong", 1);
    for (int i = 0; i < TIMES; i++) {
        char id[64];
        (void)snprintf(id, sizeof id, "ping-%d", i);
        CHECK_INT(say(p, MARTY_KIND_QUEUE, "commands.ping", id, NULL), MARTY_OK);
        await(p, 1);
        CHECK_TEXT(heard(p), id);
        CHECK_INT(settle(p, &p->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
        probe_forget(p);
        test_backend->grant(p->port, 1, 1);
    }
    kill_hard(echo);
    probe_close(p);
}

static void what_a_killed_publisher_confirmed_is_there(void)
{
    enum { ROUNDS = 6 };
    size_t confirmed = 0;
    char *marks = strdup(test_file("published"));
    probe *p = probe_open("publisher.db");
    for (int round = 0; round < ROUNDS; round++) {
        pid_t one = start("publish", test_file("publisher.db"), marks);
        pid_t two = start("publish", test_file("publisher.db"), marks);
        wait_lines(marks, confirmed + 30);
        kill_hard(one);
        kill_hard(two);
        confirmed = count_lines(marks);
    }
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", NOTES_MAX);
    CHECK(probe_wait(p, &p->deliveries, confirmed, WITHIN_MS));
    barrier(p);
    printf("%zu confirmed, %zu there\n", confirmed, p->deliveries);
    CHECK(p->deliveries >= confirmed && p->deliveries <= confirmed + 2 * ROUNDS);
    char line[100];
    FILE *file = fopen(marks, "r");
    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file)) {
        size_t times = 0;
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < p->deliveries; i++) {
            times += strcmp(p->delivered[i].message->id, line) == 0;
        }
        CHECK_INT(times, 1);
    }
    (void)fclose(file);
    free(marks);
    probe_close(p);
}

static void what_a_killed_consumer_had_comes_again_and_no_more(void)
{
    enum { ROUNDS = 5, COUNT = ROUNDS * (CONSUMES_MAX + CONSUMER_HOLDS) }; /* enough for the last */
    size_t confirmed = 0;
    char *marks = strdup(test_file("consumed"));
    static bool settled[COUNT];
    probe *p = probe_open("consumer.db");
    for (int i = 0; i < COUNT; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "c%d", i);
        CHECK_INT(say(p, MARTY_KIND_QUEUE, "commands.q", id, NULL), MARTY_OK);
    }
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid = start("consume", test_file("consumer.db"), marks);
        wait_lines(marks, confirmed + 20);
        kill_hard(pid);
        confirmed = count_lines(marks);
    }
    char line[100];
    FILE *file = fopen(marks, "r");
    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file)) {
        settled[strtol(line + 1, NULL, 10)] = true;
    }
    (void)fclose(file);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", COUNT);
    CHECK(probe_wait(p, &p->deliveries, COUNT - confirmed - ROUNDS, WITHIN_MS));
    CHECK_SOON(
        strstr(ask(p, "inspect",
                   (marty_want){.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}}, NULL),
               "\"lag\":0,") != NULL,
        WITHIN_MS);
    barrier(p);
    CHECK(p->deliveries <= COUNT - confirmed && p->deliveries + confirmed + ROUNDS >= COUNT);
    size_t again = 0;
    for (size_t i = 0; i < p->deliveries; i++) {
        unsigned long number = strtoul(p->delivered[i].message->id + 1, NULL, 10);
        REQUIRE(number < COUNT);
        CHECK(!settled[number]); /* what was confirmed as settled does not come again */
        again += p->delivered[i].attempt > 1;
    }
    CHECK(again <= CONSUMER_HOLDS * ROUNDS); /* no more than were out */
    free(marks);
    probe_close(p);
}

static void a_dead_process_is_noticed_long_before_its_leases_end(void)
{
    probe *p = probe_open("dead.db");
    marty_message q = {.id = "q1"};
    marty_outgoing query = {.channel = {.kind = MARTY_KIND_REQUEST, .name = "queries.held"},
                            .reply_to = "replies.me"};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(say(p, MARTY_KIND_QUEUE, "commands.q", NULL, NULL), MARTY_OK);
    }
    pid_t pid = start("hold", test_file("dead.db"), test_file("held"));
    wait_lines(test_file("held"), 1);
    CHECK_INT(publish(p, query, &q).err, MARTY_OK);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    barrier(p);
    CHECK_INT(p->deliveries, 0);
    kill_hard(pid);
    CHECK_INT(publish(p, query, &q).err, MARTY_E_NO_RESPONDER); /* at once */
    await(p, 3); /* within its few seconds; the lease is 30 s */
    CHECK_INT(p->delivered[0].attempt, 2);
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    CHECK_HAS(ask(p, "inspect", topic, NULL), "\"groups\":[]"); /* its own group went with it */
    CHECK_HAS(ask(p, "inspect", (marty_want){.channel = {.name = "commands.q"}}, NULL),
              "\"members\":1,");
    probe_close(p);
}

static void a_frozen_process_loses_its_lease_and_learns_it(void)
{
    probe *p = probe_open("frozen.db"); /* its own lease is long: it may be held up itself */
    for (int i = 0; i < 3; i++) {
        CHECK_INT(say(p, MARTY_KIND_QUEUE, "commands.q", NULL, NULL), MARTY_OK);
    }
    char database[200];
    (void)snprintf(database, sizeof database, "%s?lease=500ms", test_file("frozen.db"));
    pid_t pid = start("hold", database, test_file("frozen"));
    wait_lines(test_file("frozen"), 1);
    REQUIRE(kill(pid, SIGSTOP) == 0);
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    await(p, 3);
    CHECK(p->delivered[0].attempt >= 2); /* more, if its lease was over before it froze */
    ack_all(p);
    kill_hard(pid);
    probe_close(p);
}

static void many_start_at_once(void)
{
    enum { PROCESSES = 6 };
    pid_t pids[PROCESSES];
    char *marks = strdup(test_file("together"));
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = start("publish", test_file("together.db"), marks);
    }
    wait_lines(marks, 100);
    for (int i = 0; i < PROCESSES; i++) {
        kill_hard(pids[i]);
    }
    probe *p = probe_open("together.db");
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "q", NOTES_MAX);
    CHECK(probe_wait(p, &p->deliveries, count_lines(marks), WITHIN_MS));
    free(marks);
    probe_close(p);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const char *database, const char *file);
    } roles[] = {{"publish", role_publish},
                 {"consume", role_consume},
                 {"echo", role_echo},
                 {"clock", role_clock},
                 {"hold", role_hold}};
    self = argv[0];
    for (size_t i = 0; i < sizeof roles / sizeof roles[0] && argc == 4; i++) {
        if (strcmp(argv[1], roles[i].name) == 0) {
            roles[i].run(argv[2], argv[3]);
            return check_result();
        }
    }
    another_process_is_woken_at_once();
    messages_go_there_and_back();
    what_a_killed_publisher_confirmed_is_there();
    what_a_killed_consumer_had_comes_again_and_no_more();
    a_dead_process_is_noticed_long_before_its_leases_end();
    a_frozen_process_loses_its_lease_and_learns_it();
    many_start_at_once();
    test_folder_remove();
    return check_result();
}
