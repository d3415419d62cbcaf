/* SPDX-License-Identifier: Apache-2.0
 * Where freed blocks go: how much a thread keeps, that another thread's come back, that the end of
 * a thread and of memory are survived. */
#include "block.h"

#include "base/alloc.h"
#include "base/random.h"
#include "tests/check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 4000, THREAD_KEEPS = 256 * 1024, DEPOT_KEEPS = 8 * 1024 * 1024 };
static marty__block *blocks[MANY];
static atomic_long asked;

static bool count(size_t size)
{
    (void)size;
    atomic_fetch_add(&asked, 1);
    return true;
}

static bool refuse(size_t size)
{
    (void)size;
    return false;
}

static void what_a_thread_keeps_is_bounded(void)
{
    marty__block_trim();
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = marty__block_new(sizeof(marty__block) + i % 1900);
        REQUIRE(blocks[i]);
        memset(blocks[i]->headers, 0xa5, i % 1900);
    }
    for (size_t i = 0; i < MANY; i++) {
        marty__block_free(blocks[i]);
    }
    CHECK(marty__block_kept() > 0);
    CHECK(marty__block_kept() <= THREAD_KEEPS);
    CHECK(marty__block_depot() > 0);
    marty__block_trim();
    CHECK_INT(marty__block_kept(), 0);
    CHECK_INT(marty__block_depot(), 0);
}

static void make_and_free(size_t size, size_t count)
{
    marty__block **some = marty_alloc_zero(count, sizeof *some);
    REQUIRE(some);
    for (size_t i = 0; i < count; i++) {
        some[i] = marty__block_new(size);
        REQUIRE(some[i]);
    }
    for (size_t i = 0; i < count; i++) {
        marty__block_free(some[i]);
    }
    marty_free(some);
}

/* What traffic of another size has left does not keep the room from what is used now. */
static void the_depot_keeps_what_is_used_now(void)
{
    marty__block_trim();
    make_and_free(500, 3 * (DEPOT_KEEPS / 512) / 2);
    CHECK(marty__block_depot() > DEPOT_KEEPS * 3 / 4);
    make_and_free(1500, DEPOT_KEEPS / 1536 / 2);
    CHECK(marty__block_depot() <= DEPOT_KEEPS);
    size_t depot = marty__block_depot();
    make_and_free(1500, DEPOT_KEEPS / 1536 / 4);
    CHECK_INT(marty__block_depot(), depot); /* all of it came from there */
    marty__block_trim();
    CHECK_INT(marty__block_depot(), 0);
}

static void a_block_is_used_again(void)
{
    marty__block *first = marty__block_new(300);
    REQUIRE(first);
    marty__block_free(first);
    marty__block *second = marty__block_new(400);
    CHECK(second == first);
    CHECK_INT(atomic_load(&second->refs), 1);
    marty__block_free(second);
    marty__block *large = marty__block_new(100000);
    REQUIRE(large);
    CHECK_INT(large->size_class, 0);
    size_t kept = marty__block_kept();
    marty__block_free(large);
    CHECK_INT(marty__block_kept(), kept);
}

static void the_hook_is_asked_also_of_kept_ones(void)
{
    marty__block_free(marty__block_new(300));
    size_t kept = marty__block_kept();
    marty__alloc_set_hook(refuse);
    marty__block *none = marty__block_new(300);
    marty__alloc_set_hook(count);
    atomic_store(&asked, 0);
    marty__block *one = marty__block_new(300);
    marty__alloc_set_hook(NULL);
    CHECK(!none);
    CHECK(one != NULL);
    CHECK_INT(atomic_load(&asked), 1);
    marty__block_free(one);
    CHECK_INT(marty__block_kept(), kept);
}

static void *free_half(void *argument)
{
    size_t from = *(size_t *)argument;
    for (size_t i = from; i < MANY; i += 2) {
        marty__block_free(blocks[i]);
    }
    return NULL;
}

static void others_threads_frees_come_back(void)
{
    size_t even = 0, odd = 1;
    pthread_t threads[2];
    marty__block_trim();
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = marty__block_new(500);
        REQUIRE(blocks[i]);
    }
    REQUIRE(pthread_create(&threads[0], NULL, free_half, &even) == 0);
    REQUIRE(pthread_create(&threads[1], NULL, free_half, &odd) == 0);
    REQUIRE(pthread_join(threads[0], NULL) == 0);
    REQUIRE(pthread_join(threads[1], NULL) == 0);
    size_t depot = marty__block_depot();
    CHECK(depot >= 64 * 1024);
    marty__block *block = marty__block_new(500);
    CHECK(marty__block_depot() < depot); /* from the depot, not from malloc */
    marty__block_free(block);
    marty__block_trim();
}

/* Threads that hand blocks to each other through slots. */
enum { SLOTS = 64, ROUNDS = 30000, THREADS = 4 };
static _Atomic(marty__block *) slots[SLOTS];

static void *swap(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t chance = 0;
        marty__random_bytes(&chance, sizeof chance);
        marty__block *block = marty__block_new(sizeof(marty__block) + 64 + chance % 1000);
        if (block) {
            memset(block->headers, 0x5a, 64);
        }
        block = atomic_exchange(&slots[chance >> 16 & (SLOTS - 1)], block);
        if (block) {
            marty__block_free(block);
        }
    }
    return NULL;
}

static void threads_trade_blocks(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, swap, NULL) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        marty__block *block = atomic_exchange(&slots[i], NULL);
        if (block) {
            marty__block_free(block);
        }
    }
    marty__block_trim();
    CHECK_INT(marty__block_kept(), 0);
}

static pthread_key_t late_key;

static void free_late(void *block)
{
    marty__block_free(block); /* after the thread's own blocks went, perhaps */
}

static void *leave_one(void *unused)
{
    (void)unused;
    marty__block_free(marty__block_new(300));
    CHECK(pthread_setspecific(late_key, marty__block_new(300)) == 0);
    return NULL;
}

static void the_end_of_a_thread_leaks_nothing(void)
{
    pthread_t thread;
    marty__block_trim();
    REQUIRE(pthread_key_create(&late_key, free_late) == 0);
    REQUIRE(pthread_create(&thread, NULL, leave_one, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK_INT(marty__block_depot(), 0);
    CHECK(pthread_key_delete(late_key) == 0);
}

static void a_child_of_fork_can_make_messages(void)
{
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        for (int i = 0; i < 1000; i++) {
            blocks[i] = marty__block_new(600);
        }
        for (int i = 0; i < 1000; i++) {
            marty__block_free(blocks[i]);
        }
        _exit(0);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    marty__block_keep(true);
    what_a_thread_keeps_is_bounded();
    the_depot_keeps_what_is_used_now();
    a_block_is_used_again();
    the_hook_is_asked_also_of_kept_ones();
    others_threads_frees_come_back();
    threads_trade_blocks();
    the_end_of_a_thread_leaks_nothing();
    a_child_of_fork_can_make_messages();
    marty__block_keep(false);
    marty__block_free(marty__block_new(300));
    marty__block_trim();
    return check_result();
}
