/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_COUNTERS_H
#define SWITCH_COUNTERS_H

#include "switch/port.h"

/*
 * Reading counters while workers write them: each is read whole, and they are not all of the same
 * moment. Any thread, as long as the port exists.
 */
#define LOOP_BUCKETS 32 /* steps by duration: bucket n counts those of less than 2^n cycles */

/** What a worker counts. */
struct sw_worker_stats {
	uint64_t busy_cycles, idle_cycles; /* asleep is neither */
	uint64_t steps, busy_steps, sleeps;
	uint64_t frames;
	/* The control thread's, once a second. */
	uint64_t load_percent, queues;
	uint64_t moved;		     /* queues that came from other workers */
	uint64_t loop[LOOP_BUCKETS]; /* busy steps */
};

void sw_in_read(const struct sw_in *in, struct sw_in_counters *out);
void sw_out_read(const struct sw_out *queue, struct sw_out_counters *out);

/** The sums over a port's queues. */
void sw_port_totals(const struct sw_port *port, struct sw_in_counters *in,
		    struct sw_out_counters *out);

struct sw_worker;
void sw_worker_read(const struct sw_worker *w, struct sw_worker_stats *out);

/** Of the cycles above. */
uint64_t sw_cycles_per_us(void);

#endif
