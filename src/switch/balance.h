/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_BALANCE_H
#define SWITCH_BALANCE_H

#include "switch/switch.h"

/* Which worker has which queue, by load. Control thread. */
#define SW_BALANCED_MAX 4096 /* queues that are looked at */

/** What a queue kept its worker busy for. */
struct sw_load {
	unsigned worker;
	uint64_t cycles;
};

/**
 * The queue that should go from the busiest worker to the idlest, *to, if these two are further apart
 * than threshold cycles and a move brings them closer; or -1.
 */
int sw_balance_pick(const struct sw_load *loads, unsigned n, unsigned nworkers, uint64_t threshold,
		    unsigned *to);

/**
 * Looks at what queues have cost since it was called last, elapsed cycles ago, notes each worker's
 * load, and moves a queue if there is reason to. Whether one was moved.
 */
bool sw_balance(struct sw *sw, uint64_t elapsed);

#endif
