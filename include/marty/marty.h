/* SPDX-License-Identifier: Apache-2.0
 * Marty: one API for every message broker. This header includes all that a service author uses;
 * <marty/backend.h> is for authors of backends.
 *
 * What holds for every declaration, and is not repeated there:
 *  - Any thread may call any function, in handlers and callbacks too, unless @threads says less.
 *    What is passed in is borrowed for the call, and copied where it is kept; what a callback gets
 *    is borrowed until it returns. A ret_ parameter is written on success only. `why` may be NULL.
 *  - The common errors are MARTY_E_ARGUMENT, MARTY_E_NO_MEMORY, MARTY_E_CLOSED (drained or closed)
 *    and MARTY_E_FORKED (in a child that inherited the object). An error return means that nothing
 *    was done and that no completion will come; functions that differ say so.
 *  - Every wait is bounded, and a function without @blocks does not wait. timeout_ms: 0 = the
 *    documented default, above 0 = that long, MARTY_NO_WAIT = not at all.
 *  - Your code (handlers, completions, state) runs on a worker, never inside the call that caused
 *    it, and never under a lock of ours. A completion may run on another thread before that call
 *    has returned: prepare `user` first. On a driven bus your code runs only in marty_bus_process,
 *    marty_bus_run and marty_bus_close; other blocking calls move bytes but start no callback. Our
 *    threads block all signals.
 *  - What must be answered later has its memory from birth: settling and completing never fail for
 *    want of memory.
 *  - Callbacks return: no longjmp, C++ exception or pthread_exit out of them. fork and exec in them
 *    is fine (descriptors are close-on-exec).
 *  - Strings are UTF-8. Times end in their unit: _ms, _us (Unix time), _ns (monotonic).
 *
 * ABI: zero means the documented default, so a struct that the caller makes ends in `reserved`, and
 * new fields take its slots; a slot that is set and that this library does not know is
 * MARTY_E_UNSUPPORTED ("made for a newer Marty"). What only the library makes is read in place, and
 * grows at its end. The backend table has an abi and a size. */
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
