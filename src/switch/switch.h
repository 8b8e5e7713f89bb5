/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_SWITCH_H
#define SWITCH_SWITCH_H

#include "base/loop.h"
#include "switch/fdb.h"
#include "switch/port.h"

/*
 * The switch: ports, workers, and the forwarding database between them. All functions are for the
 * control thread, the one that runs the loop, unless they say otherwise.
 */
struct sw_options {
	unsigned nworkers;
	int cpus[64];	    /* THREAD_ANY_CPU: wherever the kernel likes */
	unsigned poll_us;   /* a worker without work polls for this long before it sleeps */
	unsigned retry_us;  /* how long frames wait for a receiver without buffers */
	unsigned fdb_max;   /* learnt addresses */
	unsigned fdb_age_s; /* an address not seen for so long is forgotten */
	unsigned rebalance; /* percent: how far apart workers' loads may be; 0: any */
	bool threads;	    /* false: workers are stepped by hand (tests, fuzzing) */
};

#define SW_WORKERS_MAX 64

/** What is used when nothing is said: one worker on any CPU. */
void sw_options_init(struct sw_options *options);

struct sw;

/** A switch without ports. loop may be NULL (then nothing ages). NULL with err set if not. */
struct sw *sw_create(const struct sw_options *options, struct loop *loop, struct error *err);

/** Removes all ports and ends the workers. sw may be NULL. */
void sw_destroy(struct sw *sw);

/**
 * Adds a port: KEY=VALUE,… as given to --port. id is made up where it is missing. Returns 0 with
 * the port in *out (which may be NULL), or -EINVAL (a bad option), -EEXIST, -ENOSPC, -ENOMEM or
 * what the type failed with; err says what it was.
 */
int sw_add_port(struct sw *sw, const char *options, struct sw_port **out, struct error *err);

/** The same for a type that need not be in port_table[]: NULL is as sw_add_port(). */
int sw_add_port_of(struct sw *sw, const struct port_ops *ops, const char *options,
		   struct sw_port **out, struct error *err);

/** Removes a port; no frame goes to it any more when this returns. */
void sw_remove_port(struct sw_port *port);

struct sw_port *sw_find_port(struct sw *sw, const char *id);

/** The port of this number, or NULL. */
struct sw_port *sw_port_at(struct sw *sw, unsigned index);

/** Replaces a port's settings (those of sw_port_keys). */
int sw_configure_port(struct sw_port *port, const struct sw_port_config *config, struct error *err);

/** The forwarding database was changed by hand: a takeover that is under way has to know. */
void sw_note_change(struct sw *sw);

/** Any thread. */
struct fdb *sw_fdb(struct sw *sw);

/** The forwarding database's clock, seconds. Any thread. */
uint16_t sw_now(const struct sw *sw);

unsigned sw_workers(const struct sw *sw);
struct sw_worker *sw_worker_at(struct sw *sw, unsigned index);

/** Without threads: steps every worker once. Returns how many frames were moved. */
unsigned sw_step(struct sw *sw);

/** What workers see; see plan.h. Any thread that is a registered reader, or the control thread. */
struct sw_plan;
const struct sw_plan *sw_plan(struct sw *sw);

#endif
