/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_PLANE_H
#define TESTS_FAKE_PLANE_H

#include "dataplane/plane.h"

/*
 * A data plane that records what it is asked to do. One at a time; what it can and how it behaves
 * is set in fake_plane before it is opened.
 */
struct fake_plane {
	struct plane plane;
	struct virtio_features features; /* what it can carry */
	unsigned mtu;
	int start_result, configure_result, queue_result, memory_result;
	bool lost_once;	       /* the next start fails */
	struct guest_mem *mem; /* what it was given last */

	const struct plane_events *events;
	unsigned pairs;
	bool open, running;
	bool break_at_stop; /* a queue breaks while it is stopped */
	unsigned opens, starts, stops, configures, queue_sets;
	struct virtio_features acked;
	struct plane_queue queues[64];
	unsigned nqueues;
	struct plane_net_config config;
	struct vring_state leave; /* what stop says of each queue */
};
extern struct fake_plane fake_plane;
extern const struct plane_ops fake_plane_ops;

/** Back to a plane that can everything. */
void fake_plane_reset(void);

#endif
