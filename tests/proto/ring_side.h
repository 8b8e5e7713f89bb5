/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RING_SIDE_H
#define TESTS_RING_SIDE_H

#include "unit/unit.h"

#include "vhost/user_request.h"
#include "vring/driver.h"

#include <sys/eventfd.h>
#include <unistd.h>

/*
 * One ring's driver, for tests that say to a back-end themselves what a front-end would. Its parts are
 * in the first three pages at `where`, as the driver's table has them.
 */
#define SIDE_PAGE 4096ULL

struct side {
	struct vdrv *drv;
	struct vring_config cfg;
	uint64_t bufs; /* the test's */
	int kick, call;
};

static inline void side_open(struct side *s, const struct mem_table *table, uint64_t where,
			     unsigned size, bool packed, bool indirect)
{
	struct error err;

	s->cfg = (struct vring_config){
		.size = size,
		.packed = packed,
		.event_idx = true,
		.indirect = indirect,
		.desc = where,
		.driver = where + SIDE_PAGE,
		.device = where + 2 * SIDE_PAGE,
	};
	s->drv = vdrv_create();
	s->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(vdrv_start(s->drv, &s->cfg, table, &err), 0);
}

static inline void side_close(struct side *s)
{
	vdrv_free(s->drv);
	close(s->kick);
	close(s->call);
}

/* Gives the ring to the back-end, its addresses as the table has them for it, and enables it. */
static inline void side_give(struct side *s, struct vhost_user_frontend *fe, unsigned index,
			     const struct mem_table *table)
{
	const struct vring_state state = VRING_STATE_INIT;
	const struct vhost_user_ring ring = {index, &s->cfg, &state, s->kick, s->call, -1};
	struct error err;

	vhost_user_within(fe, PATIENCE_MS);
	assert_int_equal(vhost_user_set_ring(fe, &ring, table, &err), 0);
	assert_int_equal(vhost_user_enable_ring(fe, index, true, &err), 0);
}

#endif
