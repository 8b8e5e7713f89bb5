/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_PLAN_H
#define SWITCH_PLAN_H

#include "switch/port.h"

/*
 * What workers know of the switch: an immutable plan, replaced as a whole by the control thread.
 * A worker loads it at the start of a step and uses it to the end of the step, which is a quiescent
 * point (mem/quiesce.h): when sw_publish() returns, nobody uses what is no longer in the plan.
 */

/** A port as one worker reaches it. */
struct sw_dest {
	struct sw_port *port; /* NULL: there is no port of this number */
	const struct sw_port_config *config;
	struct hostnet *hn;   /* a frame port's */
	struct sw_out **outs; /* queues that this worker writes to */
	uint16_t nouts;	      /* 0: the port is down */
	bool shared;	      /* other workers write to them too */
	bool plain;	      /* no VLAN, no limits, no mirror: nothing to be asked */
	bool mirror_only;     /* gets copies, and nothing else */
	bool mergeable;	      /* of a ring port */
	uint8_t hdr_len;      /* of a ring port */
	uint32_t max_len;     /* of a frame that is given to a ring port */
	uint32_t offloads_to;
	uint32_t offloads_from;
	int mirror; /* where its frames are copied to; -1: nowhere */
};

struct sw_work {
	unsigned nins;
	struct sw_in **ins;
	struct sw_dest *dests; /* ndests of them, by port number */
};

struct sw_plan {
	unsigned ndests; /* one more than the highest port number */
	unsigned nworkers;
	struct sw_capture *capture; /* NULL: nothing is captured */
	uint64_t retry_cycles;	    /* how long frames wait for a receiver without buffers */
	uint64_t generation;
	struct sw_work work[];
};

#endif
