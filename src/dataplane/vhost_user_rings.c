/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_user.h"

#include "base/log.h"
#include "vhost/ring_base.h"

#include <errno.h>
#include <sys/eventfd.h>

/*
 * What a vhost-user back-end is told of the rings. Runs in the control thread or in the helper:
 * see vhost_user_link.c for which, when.
 */
/* virtio 1.2, 2.1: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK. */
#define STATUS_RUNNING (1 | 2 | 4 | 8)

struct vhost_user_ring vu_ring_args(const struct vu_ring *r)
{
	return (struct vhost_user_ring){
		.index = r->index,
		.cfg = &r->q.cfg,
		.state = &r->q.state,
		.kick_fd = r->q.kick_fd,
		.call_fd = r->q.call_fd,
		.err_fd = r->err.fd,
	};
}

static int check_backend(struct vu_plane *p, struct error *err)
{
	uint64_t missing = p->acked & VU_MUST_BITS & ~p->fe.features;

	if (p->fe.queues_max < 2 * p->npairs)
		return error_set(err, -ENOTSUP,
				 "%s: the back-end has %u queue pairs%s: give it more, or "
				 "queues=%u",
				 p->path, p->fe.queues_max / 2,
				 vhost_user_has(&p->fe, VHOST_USER_PROTOCOL_F_MQ) ? "" : " (no MQ)",
				 p->fe.queues_max / 2);
	if (!(p->fe.features >> VIRTIO_F_VERSION_1 & 1))
		return error_set(err, -ENOTSUP,
				 "%s: the back-end is a legacy one (no VIRTIO_F_VERSION_1)",
				 p->path);
	if (p->started && missing)
		return error_set(err, -ENOTSUP,
				 "%s: the back-end that came back does not have %s, which the "
				 "guest uses",
				 p->path, vhost_feature_name((unsigned)__builtin_ctzll(missing)));
	return 0;
}

/*
 * A link that is down because we said so does not count: it is about to come up, and a back-end
 * throws away what it finds in a transmit queue that is disabled (vhost-user.rst, "Ring states").
 */
static bool should_run(const struct vu_ring *r)
{
	const struct vu_plane *p = r->p;

	return r->given && !r->broken && (p->nic_link_up || p->link_told_down) &&
	       r->index / 2 < p->active_pairs;
}

int vu_give_ring(struct vu_ring *r, const struct mem_table *table, struct error *err)
{
	struct vhost_user_ring args = vu_ring_args(r);
	int rc = vhost_user_set_ring(&r->p->fe, &args, table, err);

	if (rc == 0)
		r->set = true;
	r->enabled = false;
	return rc;
}

int vu_enable_rings(struct vu_plane *p, struct error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < 2 * p->npairs && rc == 0; i++) {
		struct vu_ring *r = &p->rings[i];

		if (!r->set || r->enabled == should_run(r))
			continue;
		r->enabled = should_run(r);
		rc = vhost_user_enable_ring(&p->fe, i, r->enabled, err);
	}
	return rc;
}

int vu_give_memory(struct vu_plane *p, const struct mem_table *table, struct error *err)
{
	int rc = vhost_user_set_memory(&p->fe, table, err);

	return rc == 0 ? vhost_user_set_log(&p->fe, table, err) : rc;
}

/* Whether there is a back-end, which has carried out all that it was told. */
static bool is_there(struct vu_plane *p)
{
	struct error err;

	vhost_user_within(&p->fe, OP_MS);
	if (p->state == VU_UP && vhost_user_barrier(&p->fe, &err))
		vu_op_failed(p, &err);
	return p->state == VU_UP;
}

/* A back-end that does not take it is let go by the listener: here that is an error. */
int vu_use_memory(struct plane *plane, struct guest_mem *mem, struct error *err)
{
	struct vu_plane *p = container_of(plane, struct vu_plane, plane);
	bool was_there;
	int rc;

	vu_link_settle(p);
	was_there = is_there(p);
	rc = guest_mem_move_listener(p->mem, mem, &p->listener, err);
	p->mem = mem;
	if (rc == 0 && was_there && !is_there(p))
		return error_set(err, -ECONNRESET, "%s: the back-end does not take other memory",
				 p->path);
	return rc;
}

static unsigned largest_ring(const struct vu_plane *p)
{
	unsigned size = 0;

	for (unsigned i = 0; i < 2 * p->npairs; i++)
		if (p->rings[i].given)
			size = MAX(size, p->rings[i].q.cfg.size);
	return size;
}

/* A ring's place when its owner has not told, or is gone. */
static void find_place(struct vu_ring *r, const struct mem_table *table)
{
	unsigned mended = 0;

	if (vhost_base_recover(&r->q.cfg, table, &r->q.state, &r->q.state) == 0)
		vhost_base_mend(&r->q.cfg, table, &r->q.state, &mended);
	if (mended)
		log_info("%s: queue %u: %u buffers that the back-end had not finished with are "
			 "returned empty",
			 r->p->id, r->index, mended);
}

/* The order is QEMU's, which all back-ends know. */
int vu_give_rings(struct vu_plane *p, struct error *err)
{
	const struct mem_table *table = guest_mem_table(p->mem);
	uint64_t agreed = vhost_agreed(p->acked, p->guest_offloads) & p->fe.features;
	int rc = vhost_user_set_features(&p->fe, agreed, table->dirty, err);

	if (rc == 0)
		rc = vu_give_memory(p, table, err);
	if (rc == 0 && p->mtu && (p->acked >> VIRTIO_NET_F_MTU & 1))
		rc = vhost_user_set_mtu(&p->fe, p->mtu, err);
	if (rc == 0)
		rc = vhost_user_set_inflight(&p->fe, &p->inflight, 2 * p->npairs, largest_ring(p),
					     err);
	for (unsigned i = 0; i < 2 * p->npairs && rc == 0; i++) {
		if (!p->rings[i].given)
			continue;
		/* Who answers now has seen the last connection's end, and is done with it. */
		if (p->hung_up)
			find_place(&p->rings[i], table);
		rc = vu_give_ring(&p->rings[i], table, err);
	}
	if (rc == 0)
		rc = vu_enable_rings(p, err);
	if (rc == 0)
		rc = vhost_user_set_status(&p->fe, STATUS_RUNNING, err);
	if (rc == 0)
		rc = vhost_user_barrier(&p->fe, err);
	return rc;
}

int vu_meet(struct vu_plane *p, int fd, struct error *err)
{
	int rc = vhost_user_greet(&p->fe, fd, err);

	if (rc == 0)
		rc = check_backend(p, err);
	if (rc == 0 && p->started)
		return vu_give_rings(p, err);
	/* What can be done before the start is done now: mapping memory takes time. */
	if (rc == 0)
		rc = vhost_user_set_memory(&p->fe, guest_mem_table(p->mem), err);
	return rc;
}

void vu_nudge(struct vu_plane *p)
{
	for (unsigned i = 0; i < 2 * p->npairs; i++) {
		if (!p->rings[i].set)
			continue;
		vu_doorbell_put(&p->rings[i]);
		eventfd_write(p->rings[i].q.kick_fd, 1);
		eventfd_write(p->rings[i].q.call_fd, 1);
	}
}

void vu_rings_lost(struct vu_plane *p)
{
	const struct mem_table *table = guest_mem_table(p->mem);

	for (unsigned i = 0; i < 2 * p->npairs; i++) {
		struct vu_ring *r = &p->rings[i];

		vu_doorbell_drop(r);
		if (r->set)
			find_place(r, table);
		r->set = r->enabled = false;
	}
}

void vu_stop_ring(struct vu_ring *r)
{
	struct vhost_user_ring args = vu_ring_args(r);
	struct vu_plane *p = r->p;
	struct vring_state state;
	struct error err;
	int rc;

	if (!r->set)
		return;
	vu_doorbell_drop(r);
	rc = vhost_user_stop_ring(&p->fe, &args, guest_mem_table(p->mem), &state, &err);
	if (rc)
		find_place(r, guest_mem_table(p->mem));
	else
		r->q.state = state;
	r->set = r->enabled = false;
	if (rc)
		vu_op_failed(p, &err);
}
