/* SPDX-License-Identifier: Apache-2.0
 * All of the bus, for its own files and the layers above it (patterns, reliability). One header per
 * object: read threads.h, bus.h, port.h, call.h, consumer.h, subscription.h, delivery.h in this
 * order. */
#ifndef MARTY_BUS_INTERNAL_H
#define MARTY_BUS_INTERNAL_H
#include "bus/bus.h"
#include "bus/call.h"
#include "bus/consumer.h"
#include "bus/delivery.h"
#include "bus/match.h"
#include "bus/port.h"
#include "bus/route.h"
#include "bus/subscription.h"
#include "bus/threads.h"
#endif
