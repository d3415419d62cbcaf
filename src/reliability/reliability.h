/* SPDX-License-Identifier: Apache-2.0
 * What every pattern needs beyond delivery: another try, an end to trying, an end to waiting.
 * Called by the bus through its hooks, on workers or housekeeping, with no lock held. */
#ifndef MARTY_RELIABILITY_RELIABILITY_H
#define MARTY_RELIABILITY_RELIABILITY_H
#include "bus/internal.h"

/** Hook `admit`: not what has expired, nor what has killed its process again and again. */
bool marty__retry_admit(marty__delivery *delivery);
/** Hook `failed`: another try after a delay, or the dead letters when the attempts are used up. */
void marty__retry_failed(marty__delivery *delivery, marty_err err, uint32_t delay_ms,
                         const char *reason);
/** Hook `given_back`: again later, not counted. */
void marty__retry_given_back(marty__delivery *delivery, uint32_t delay_ms);
/** Hook `rejected`: to the dead letters, with cause and origin. */
void marty__dead_letter(marty__delivery *delivery, marty_err code, const char *reason);
/** An id made of an id, a word and a number: the same whenever it is made of the same. */
void marty__derived_id(char out[37], const char *id, const char *word, uint32_t number);
/** The id that a copy for one group goes out with; verb: "retry" or "replay". */
void marty__copy_id(char out[37], const char *id, const char *verb, const char *group,
                    uint32_t number);
#endif
