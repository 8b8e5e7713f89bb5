/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/error.h"

#include <pthread.h>

#define THREAD_ANY_CPU (-1)

/**
 * Starts fn(arg) in a thread with all signals but those of faults blocked, named name (15 characters are kept), bound
 * to the given CPU unless THREAD_ANY_CPU. what failed is told in err. Join with pthread_join().
 */
int thread_start(pthread_t *thread, const char *name, int cpu, void *(*fn)(void *), void *arg,
		 struct error *err);

/** The CPUs this process may run on, so that a bad cpu= is found at start. */
bool thread_cpu_usable(int cpu);

#endif
