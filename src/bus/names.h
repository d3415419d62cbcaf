/* SPDX-License-Identifier: Apache-2.0
 * The objects of a running bus by name, for headers that only point to them. */
#ifndef MARTY_BUS_NAMES_H
#define MARTY_BUS_NAMES_H
#include <marty/backend.h>

typedef struct marty__port marty__port;
typedef struct marty__consumer marty__consumer;
typedef struct marty__delivery marty__delivery;
typedef struct marty__lane marty__lane;
typedef struct marty__call marty__call;
#endif
