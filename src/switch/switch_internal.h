/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_INTERNAL_H
#define SWITCH_INTERNAL_H

#include "switch/switch.h"
#include "switch/worker.h"

/* Private to src/switch/. */
#define SW_ANNOUNCE (1ULL << 63)

struct sw {
	struct sw_options options;
	struct loop *loop;
	struct fdb *fdb;
	_Atomic(struct sw_plan *) plan;
	uint64_t generation;
	struct sw_capture *capture; /* NULL: none */
	_Atomic uint16_t now;
	_Atomic uint64_t announce; /* a MAC, the port's number above it, SW_ANNOUNCE; 0: none */
	uint64_t next_age;	   /* seconds on clock_ns() */
	struct loop_timer timer;
	unsigned nworkers;
	struct sw_worker *workers[SW_WORKERS_MAX];
	struct sw_port *ports[SW_PORTS_MAX]; /* by number */
};

/**
 * Builds a plan of what is started now, gives it to the workers and waits until no worker uses the
 * one before. 0 or -ENOMEM, and then the old one is in force.
 */
int sw_publish(struct sw *sw);

#endif
