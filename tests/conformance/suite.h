/* SPDX-License-Identifier: Apache-2.0
 * What a contract is written with. Each case runs in a process of its own against one backend: it
 * ends at the first thing that is not so (suite_fail says what and leaves the process), so there is
 * no clean-up on the way out; the runner removes the case's folder, servers die with the process.
 * Contracts use the public API only. Functions here may be called from any thread unless said. */
#ifndef TESTS_CONFORMANCE_SUITE_H
#define TESTS_CONFORMANCE_SUITE_H
#include <marty/backend.h>
#include <marty/marty.h>

#include "support/process.h"
#include "support/wait.h"

#define SUITE_KIND(kind) (1u << (kind))
#define SUITE_KEPT                                                                                 \
    (SUITE_KIND(MARTY_KIND_TOPIC) | SUITE_KIND(MARTY_KIND_QUEUE) | SUITE_KIND(MARTY_KIND_STREAM))

enum suite_flags {
    SUITE_PROCESSES = 1, /* needs a backend that several processes share */
    SUITE_SERVER = 2,    /* starts a broker of its own, to kill or to configure */
    SUITE_CLUSTER = 4,   /* the same, of three nodes */
    SUITE_DURABLE = 8,   /* needs what outlives every process */
    SUITE_LEASE = 16,    /* needs deliveries that are lent for a time */
    SUITE_ALONE = 32     /* measures time or fills memory: nothing else beside it */
};

typedef struct suite_case {
    const char *contract, *name, *says; /* "C07", "groups", a sentence */
    unsigned flags;
    unsigned kinds;  /* SUITE_KIND bits: what it runs on */
    unsigned needs;  /* MARTY_CAN bits that each of these kinds must be granted, else skipped */
    unsigned proves; /* bits that a pass shows on each of these kinds */
    int64_t limit_ms;
    void (*run)(void);
} suite_case;

/* ---- verdicts */
/** The contract is broken: says how and ends this process. */
_Noreturn void suite_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** It cannot be asked of this backend: says why and ends this process. */
_Noreturn void suite_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** A number worth reporting beside a pass ("0 duplicates"). */
void suite_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** A line for the log of the case, shown when it fails. */
void suite_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            suite_fail(__VA_ARGS__);                                                               \
        }                                                                                          \
    } while (0)
/** The call was fine, else fail with what it was about and the error's code and text. */
#define EXPECT_OK(err, why, ...) suite__expect_code((err), MARTY_OK, (why), __VA_ARGS__)
/** The call ended with that error. */
#define EXPECT_ERR(err, wanted, why, ...) suite__expect_code((err), (wanted), (why), __VA_ARGS__)
void suite__expect_code(marty_err err, marty_err wanted, const marty_error *why, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
/** "MARTY_E_LOST". */
const char *suite_err(marty_err err);

/* ---- the backend under test */
/** Its URL with keys ("lease=2s&dedup=3s" or NULL) and a prefix of this case. Lives as long as the
 * process. */
const char *suite_url(const char *keys);
/** Zeroed memory that lives as long as the process, where a leak checker finds it. */
void *suite_alloc(size_t size);
/** The same, through a wrapper of wrap.h: suite_wrapped("garble:x", keys). */
const char *suite_wrapped(const char *wrapper, const char *keys);
/** Makes suite_url name another broker (a server that the case has started itself). */
void suite_set_url(const char *url);
/** Keys that suite_url adds from now on, here and in processes started from now on. */
void suite_set_keys(const char *keys);
/** The row of the backend: "memory", "nats-old" ... */
const char *suite_backend(void);
/** Folder of this case, empty at its start. */
const char *suite_folder(void);
/** Whether the backend granted all of these bits on that kind. */
bool suite_granted(marty_kind kind, unsigned bits);
/** "delayed_retry"; "topic"; "" past the last. */
const char *suite_bit_name(unsigned bit);
const char *suite_kind_name(int kind);
/** Skips the case unless they are granted: for what only a part of a case needs. */
void suite_want(marty_kind kind, unsigned bits);
/** Limits and levels that it granted. */
const marty_capabilities *suite_capabilities(void);
/** The level of a confirmed publish, as granted. */
marty_level suite_level(void);
const char *suite_version(void);

/* ---- buses */
/** Opens a bus of that service on suite_url(keys), connected; fails the case otherwise. */
marty_bus *suite_open(const char *service, const char *keys);
/** The same with all options; where NULL = suite_url(NULL). */
marty_bus *suite_open_with(const char *where, const marty_bus_options *options);
/** With events and commands in order by their key. */
marty_bus *suite_open_ordered(const char *service);
/** Begins to deliver. */
void suite_start(marty_bus *bus);
/** Closes it: must be OK within 10 s. */
void suite_close(marty_bus *bus);

/* ---- publishing */
/** "name-0007" into a ring of static buffers of this thread. */
const char *suite_id(const char *name, int number);
/** Publishes one and waits: must be stored. id, key, to NULL = none. */
void suite_publish(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                   const char *id, const char *key, const char *body);
/** The same as suite_publish, and gives the result back; outcome may be NULL. */
marty_err suite_try_publish(marty_bus *bus, marty_pattern pattern, const char *to,
                            const marty_message *message, const marty_publish_options *options,
                            marty_outcome *outcome, marty_error *why);
/** Publishes name-FROM ... as batches: all must be stored. keys: spread over that many keys "k0",
 * "k1" ... by turns; 0 = no key. The body is the id. */
void suite_publish_many(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                        const char *name, int from, int count, int keys);
/** The name that a pattern's messages are subscribed by, and `to` when publishing: EVENT and
 * BROADCAST by type, COMMAND and QUERY to a service, STREAM by its name. */
const char *suite_to(marty_pattern pattern, const char *service, const char *stream);
/** The kind of channel that a pattern uses. */
marty_kind suite_kind_of(marty_pattern pattern);
const char *suite_pattern_name(marty_pattern pattern);

/* ---- dead letters */
typedef struct suite_dead {
    char id[64], cause[256], channel[128], group[64], type[64];
    marty_err code;
    uint32_t attempts, replays;
    size_t size, raw_size;
    char body[4096], raw[1024];
    char header[64]; /* of the header "x-kept" */
    char trace[64];
    bool readable;
} suite_dead;
/** Reads up to max dead letters of a channel, oldest first, leaving them; their number. */
size_t suite_dead_letters(marty_bus *bus, const char *channel, suite_dead ret_dead[], size_t max);
/** Waits until there are at least that many; then as suite_dead_letters. Fails the case in time. */
size_t suite_wait_dead(marty_bus *bus, const char *channel, size_t count, suite_dead ret_dead[],
                       size_t max);

/* ---- what handlers saw */
typedef struct heard {
    char id[64], key[32], type[256], body[64];
    size_t size;
    uint32_t attempt;
    int64_t at_ms, expires_us;
    const marty_bus *bus;
} heard;
typedef struct recorder recorder;
/** Decides on one delivery, after it was recorded; what it returns settles it. */
typedef marty_err (*recorder_answer)(void *user, marty_delivery *delivery, const heard *what);
/** A recorder that answers OK; or with `answer` (NULL = OK). Never freed: cases are short. */
recorder *recorder_new(recorder_answer answer, void *user);
/** The handler: user is the recorder. Of a batch each is recorded. */
marty_err recorder_handle(void *recorder_, marty_delivery *delivery);
size_t recorder_total(recorder *self);
/** Different ids heard; ids heard more than once, counted each time beyond the first. */
size_t recorder_unique(recorder *self);
size_t recorder_duplicates(recorder *self);
/** How often an id was heard. */
size_t recorder_times(recorder *self, const char *id);
/** The nth delivery, from 0; fails the case when there are fewer. */
heard recorder_at(recorder *self, size_t index);
/** Handlers that run now; most at one time. */
size_t recorder_running(recorder *self);
size_t recorder_most_at_once(recorder *self);
/** Waits for that many different ids; false in time. */
bool recorder_wait(recorder *self, size_t unique, int64_t limit_ms);
/** Waits for that many deliveries, repeated ones counted. */
bool recorder_wait_total(recorder *self, size_t total, int64_t limit_ms);
/** Exactly name-FROM ... name-(FROM + count - 1), waited for, each that often and nothing else. */
void recorder_expect(recorder *self, const char *name, int from, int count, size_t times);
/** Nothing more comes for quiet_ms; a delivery within it fails the case and is named. It is no
 * longer under a sanitizer: what is held meanwhile has a lease, and that is no longer either. */
void recorder_expect_quiet(recorder *self, int64_t quiet_ms);

/* ---- subscribing */
/** How long subscribing may take where the case does not say: a cluster on a busy machine has to
 * choose a leader for each of many consumers. */
enum { SUITE_SUBSCRIBE_MS = 20000 };
/** Subscribes the recorder: must be taken. group NULL = the service's. */
marty_subscription *suite_subscribe(marty_bus *bus, marty_pattern pattern, const char *name,
                                    recorder *recorder_, const marty_subscribe_options *options);

/* ---- other processes and their marks */
typedef void (*suite_role)(int count, char *words[]);
/** Starts this program again in a role (roles.c) with words; the same backend and prefix. */
test_process suite_spawn(const char *role, const char *const words[]);
/** The same on a host whose wall clock is so many seconds off. Skips the case where that cannot be.
 */
test_process suite_spawn_off(const char *role, const char *const words[], long shift_s);
/** Whether several processes share this backend. */
bool suite_has_processes(void);
/** Waits until it ended by itself with exit code 0. */
void suite_join(test_process *process, int64_t limit_ms);
/** Appends a line to a file of the case's folder in one write: it is there even when the process
 * dies the next moment. */
void suite_mark(const char *file, const char *line);
/** Lines of such a file; different ones; how often one occurs. */
size_t suite_marks(const char *file);
size_t suite_marks_unique(const char *file);
size_t suite_marks_of(const char *file, const char *line);
/** Waits until the file has that many different lines. */
bool suite_wait_marks(const char *file, size_t unique, int64_t limit_ms);
/** For calls whose outcome does not matter here. */
#define IGNORE(call)                                                                               \
    do {                                                                                           \
        marty_err ignored_ = (call);                                                               \
        (void)ignored_;                                                                            \
    } while (0)
/** What is due may come that much later: a machine may stand still for a second or two. What is
 * wrong comes later than that, with the end of a pull, a lease or a time limit, or never. */
enum { SUITE_PAUSE_MS = 3500 };
/** Lets so much time pass, under a sanitizer no more: leases and windows are no longer there. */
void suite_pass(int64_t ms);
/** A condition that never holds, to wait for the end with a deadline. */
bool suite_never(void *unused);
/** Nothing of that subscription is queued or unsettled, and nothing came for longer than a short
 * lease. */
bool suite_is_idle(void *subscription);
/** A completion that does nothing. */
void suite_ignore_done(void *user, const marty_outcome *outcomes, size_t count);
/** SIGKILL to this very process. */
_Noreturn void suite_die(void);

/* ---- inside the program: main, runner */
/** What the backend at MARTY_SUITE_URL grants, written to a file that suite_granted reads
 * (MARTY_SUITE_GRANTS); false: ret_why. */
bool suite_probe(const char *path, char *ret_why, size_t size);
const suite_case *suite_cases(size_t *ret_count);
suite_role suite_find_role(const char *name);
int suite_run_case(const suite_case *one);
void suite_prepare(const char *backend, const char *url, const char *folder, const char *result);
const char *suite_self(void);
#endif
