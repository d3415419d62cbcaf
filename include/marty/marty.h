/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_MARTY_H
#define MARTY_MARTY_H
#include <marty/bus.h>
#include <marty/capability.h>
#include <marty/dead_letter.h>
#include <marty/delivery.h>
#include <marty/error.h>
#include <marty/message.h>
#include <marty/publish.h>
#include <marty/query.h>
#include <marty/subscribe.h>
#include <marty/topology.h>
#include <marty/types.h>
#endif
