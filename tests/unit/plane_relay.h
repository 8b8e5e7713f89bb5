/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PLANE_RELAY_H
#define TESTS_PLANE_RELAY_H

/*
 * A relay in front of the plane of a plane_bed.h: it comes and goes as a NIC's capture has it.
 */
#include "plane_bed.h"

#include "dataplane/handover.h"
#include "dataplane/relay.h"

static inline int relay_hand_over(struct pb *pb, struct plane *to, struct error *err)
{
	struct plane_params params = pb_params(pb);
	struct plane_start start = pb_plane_start(pb);
	struct plane_handover ho = {
		.to = to,
		.params = &params,
		.need = pb->features,
		.start = &start,
		.plane = pb->plane,
	};
	int rc = plane_handover(&ho, err);

	pb->plane = ho.plane;
	assert_false(ho.moved);
	return rc;
}

static inline void relay_begin(struct pb *pb)
{
	struct plane_params params = pb_params(pb);
	struct error err = {0};
	struct plane *relay;

	if (plane_relay_open(pb->plane, &params, &relay, &err) || relay_hand_over(pb, relay, &err))
		fail_msg("%s", err.text);
	assert_ptr_equal(pb->plane, relay);
}

static inline void relay_end(struct pb *pb)
{
	struct plane *relay = pb->plane, *behind = plane_relay_behind(relay);
	struct error err = {0};

	assert_non_null(behind);
	if (relay_hand_over(pb, behind, &err))
		fail_msg("%s", err.text);
	plane_relay_leave(relay);
	assert_null(plane_relay_behind(pb->plane));
}

#endif
