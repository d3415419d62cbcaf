/* SPDX-License-Identifier: Apache-2.0
 * A participant under test, asked as an engine asks it: commands with the attributes of
 * docs/guide/participants.md, answers read from the queue that they name. It is of this library, on
 * one of its databases, or a program in another language; the cases are the same. Its service is
 * payment, its commands charge and refund; a card that ends in 0 is refused; each effect is a row
 * of its table `effect`. The test's thread sends and waits, workers note the answers. */
#ifndef TESTS_SAGA_PARTICIPANT_H
#define TESTS_SAGA_PARTICIPANT_H
#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"

#include <pthread.h>

enum { ANSWERS_MAX = 4000, ANSWER_MS = 20000 };

typedef struct answer {
    char key[80], word[16], reason[400], data[200];
    long attempt;
    bool tombstone;
} answer;

typedef struct world {
    marty_bus *bus;
    pthread_mutex_t mutex;
    answer answers[ANSWERS_MAX];
    int answer_count;
    int number; /* of the last order */
    char database[400];
    /** How many effects of a kind the order has had, read by a connection of its own. */
    int (*count)(struct world *world, const char *what, const char *order);
    /** NULL, or: the participant stands still, and goes on. */
    void (*freeze)(struct world *world, bool still);
    /** NULL, or: kill -9, and start again. */
    void (*restart)(struct world *world);
} world;

/** What is asked; zero: the first attempt of a charge, to be done, by a good card. */
typedef struct command {
    const char *service; /* NULL = payment */
    const char *type, *direction, *key, *forward, *card;
    const char *order;
    const char *act; /* what a charge of the test's own does beside, participant_effects.c */
    bool known;
    long attempt;
    uint32_t expires_ms;
} command;

/** Listen for answers; the bus is started. */
void world_listen(world *w);
/** A new order: its name, made in `ret`. */
const char *world_order(world *w, char ret[32]);
/** The key of an operation of an order, in one of a few buffers. */
const char *key_of(const char *order, const char *what);
void world_send(world *w, const command *what);
/** How many answers a key has had. */
int world_answers(world *w, const char *key);
/** The next answer after `before` of them; false when none comes. */
bool world_wait(world *w, const char *key, int before, answer *ret);
/** Ask, and wait for the answer. */
answer world_ask(world *w, const command *what);
/** Ask, and hold word, tombstone and result against what is wanted. */
void world_expect(world *w, const command *what, const char *word);

/** Open a bus whose service is the suite's. */
void world_open(world *w, const char *url);
void world_close(world *w);

/** The cases for every participant. */
void participant_cases(world *w);
/** Those for a participant of this library. */
void participant_own_cases(world *w);
#endif
