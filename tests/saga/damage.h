/* SPDX-License-Identifier: Apache-2.0
 * What somebody may do by hand to what a store keeps of five sagas; one file for each store. The
 * timers of all are made due, so that an engine looks at them. */
#ifndef TESTS_SAGA_DAMAGE_H
#define TESTS_SAGA_DAMAGE_H

enum damage_which {
    DAMAGE_SHARD,    /* its shard is beyond all that there are */
    DAMAGE_ANOTHERS, /* it has the state of WHOLE */
    DAMAGE_WHOLE,    /* left as it is */
    DAMAGE_RUBBISH,  /* its state is none, and its shard beyond all, too */
    DAMAGE_FACTS,    /* what is known of it is no word of ours */
    DAMAGE_SAGAS
};
/** The start key of each. */
static const char *const damage_keys[DAMAGE_SAGAS] = {"shard", "anothers", "whole", "rubbish",
                                                      "facts"};

/** Before the sagas are started. */
void damage_watch(const char *url);
/** While no engine runs. ids: of the sagas. */
void damage_do(const char *url, char ids[DAMAGE_SAGAS][40]);

#endif
