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
	uint64_t changes;	    /* of what a takeover saves, so far */
	uint64_t saved;		    /* changes when it was saved */
	bool held;		    /* no plan is made: on the way from or to another process */
	struct sw_capture *capture; /* NULL: none */
	_Atomic uint16_t now;
	_Atomic uint64_t announce; /* a MAC, the port's number above it, SW_ANNOUNCE; 0: none */
	uint64_t balanced_at;	   /* cycles */
	bool balance_pause;	   /* a queue was moved since */
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

/** ports.c: gives a started queue to another worker. 0 or -ENOMEM, and then it is stopped. */
int sw_in_move(struct sw_in *in, unsigned worker);

/** ports.c: takes back all queues of all ports at once. */
void sw_stop_all(struct sw *sw);

/** A port that another process had. */
struct sw_adopted {
	const char *id, *options;
	unsigned index;
	const struct sw_port_config *config;
	struct parcel_in *inherit; /* NULL: it is made anew */
};
int sw_adopt_port(struct sw *sw, const struct sw_adopted *from, struct sw_port **out,
		  struct error *err);

#endif
