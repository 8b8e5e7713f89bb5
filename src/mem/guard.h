/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEM_GUARD_H
#define MEM_GUARD_H

#include "base/error.h"
#include "base/util.h"

/*
 * Memory that is somebody else's file. Its owner may cut the file short at any moment, or have no
 * page left to put behind it (huge pages), and then whoever touches the mapping gets SIGBUS. A
 * guarded mapping survives that: it is replaced, as a whole, by fresh private memory, the access
 * goes on there, and the guard says that it was hit. What is read and written from then on is
 * worth nothing; the one it belonged to is to be let go.
 */
struct mem_guard;

/**
 * Guards [at, at + len), a whole mapping, until mem_guard_remove(). When it is hit, event_fd (an
 * eventfd of the caller's, or -1) is signalled from whichever thread it was. NULL with err set.
 * The first guard installs the process's handler for SIGBUS; faults elsewhere go to whoever had
 * that signal before. Threads that touch guarded memory must not block SIGBUS. Any thread.
 */
struct mem_guard *mem_guard_add(void *at, uint64_t len, int event_fd, struct error *err);

/** Whether it was hit. */
bool mem_guard_hit(const struct mem_guard *guard);

/** Before the mapping is given up; nobody may touch it any more. NULL is allowed. */
void mem_guard_remove(struct mem_guard *guard);

#endif
