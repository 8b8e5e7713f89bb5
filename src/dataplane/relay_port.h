/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_RELAY_PORT_H
#define DATAPLANE_RELAY_PORT_H

#include "dataplane/plane.h"
#include "hostnet/driver_pair.h"
#include "hostnet/hostnet.h"

#include <stdatomic.h>

/*
 * The relay's frame back-end: for each queue pair the driver's side of one more, in memory that the
 * plane behind can see. Private to src/dataplane/relay*.c and its tests.
 */
struct relay_port_pair {
	struct driver_pair *rings;
	bool used;	   /* the plane behind has them */
	_Atomic bool last; /* nothing more comes: the worker says when it has all */
	_Atomic bool empty;
};

struct relay_port {
	struct hostnet hn;
	struct relay_port_pair pairs[];
};

/** Makes one of that many pairs, in that memory. hn's close frees it. */
int relay_port_new(const char *id, unsigned pairs, const struct mem_region *memory,
		   struct relay_port **out, struct error *err);

/** Bytes of memory that it needs. */
uint64_t relay_port_bytes(unsigned pairs);

/**
 * Makes the rings anew for a guest that starts with these: of its rings' format and sizes, up to what
 * fits, and filled in in queues[] as the plane behind is to get them. 0 or a negative errno.
 */
int relay_port_renew(struct relay_port *port, const struct plane_start *guest,
		     struct plane_queue *queues, struct error *err);

/** Waits until the other side has sent all that it was given, or for msecs. How many it did not. */
unsigned relay_port_drain_sent(struct relay_port *port, unsigned msecs);

/**
 * The other side has stopped: waits until workers have received all that came through the first n
 * pairs, or for msecs.
 */
void relay_port_drain_received(struct relay_port *port, unsigned n, unsigned msecs);

/** The workers have stopped: throws away what they could not receive. How many frames. */
unsigned relay_port_discard(struct relay_port *port);

#endif
