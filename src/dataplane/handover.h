/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_HANDOVER_H
#define DATAPLANE_HANDOVER_H

#include "dataplane/plane.h"

/*
 * Moving a NIC's rings from one data plane to another while the guest runs. Control thread.
 */
struct plane_handover {
	/* In. */
	const char *backend; /* where to: backend= and its keys */
	const struct options *opts;
	struct plane *to; /* instead of these: open already; nothing is opened or closed then */
	const struct plane_params *params;
	struct virtio_features need; /* what the guest was offered, or has acknowledged */
	struct plane_start *start;   /* as the old plane runs; states are set. NULL: not started */

	/* In: room for a counter set for each queue, to which the old plane's are added; or NULL. */
	struct plane_queue_counters *past;

	/* In: the plane in use. Out: the one in use now; the old one is closed if it is another. */
	struct plane *plane;

	/* Out. */
	bool moved;	     /* the attachment point is another: the guest's peers must be told */
	bool stopped;	     /* neither plane could be started: the device needs a reset */
	uint64_t prepare_ns; /* the old plane was still running */
	uint64_t stop_ns, start_ns; /* nobody was: the gap is their sum */
};

/**
 * Moves it. With `to` that plane counts as the same attachment point. Returns 0 with ho->plane the
 * new plane, or a negative errno with err set; the old plane is then running again from where it was
 * (or, if it could not, ho->stopped is set). Between two planes on the same TAP the interface stays
 * open, and no frame is lost.
 */
int plane_handover(struct plane_handover *ho, struct error *err);

#endif
