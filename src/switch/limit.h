/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_LIMIT_H
#define SWITCH_LIMIT_H

#include "base/util.h"

#include <stdatomic.h>

/*
 * Rate limits: the generic cell rate algorithm. `tat` is the time at which the bucket would be full
 * again; what passes moves it on by its cost, and what would move it further than the burst ahead
 * of now does not pass. One word, so a port's queues share it with no more than a compare-and-swap,
 * and ports without a limit never touch it.
 */
static inline bool limit_pass(_Atomic uint64_t *tat, uint64_t now, uint64_t cost, uint64_t burst)
{
	uint64_t old = atomic_load_explicit(tat, memory_order_relaxed), from;

	do {
		from = (int64_t)(old - now) > 0 ? old : now;
		if (from - now > burst)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		tat, &old, from + cost, memory_order_relaxed, memory_order_relaxed));
	return true;
}

#endif
