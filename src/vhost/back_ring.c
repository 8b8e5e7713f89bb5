/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"
#include "vhost/ring_base.h"
#include "vring/features.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * The rings. What the front-end says of one is noted; back_ring_update() compares that with
 * whether it runs. A ring runs, that is, its owner has it, while all of this is so: size and
 * addresses are told, SET_VRING_KICK came (which QEMU, DPDK and ours send last), it is enabled or
 * there is no enabling (no PROTOCOL_FEATURES), there is memory, and it is not broken.
 *
 * Where it stands is one number, as SET_VRING_BASE says it and GET_VRING_BASE asks for it, which is
 * brought up to date whenever the ring stops, for whatever reason. A split ring's used index is in
 * the ring. What a former back-end had taken but not used is taken anew: network back-ends use
 * what they take in order and at once.
 *
 * Eventfds are checked to be that: a pipe or a file could make a worker wait. Those that are written
 * are made non-blocking (which the front-end can undo: back_watch.c). The one for calls is kept under a number of our own behind which files are exchanged (dup3),
 * because front-ends exchange it while the ring runs, for each masking of its vector.
 */
static int get_queue(struct vhost_backend *be, uint64_t index, struct back_queue **q,
		     struct error *err)
{
	if (index >= be->nqueues)
		return error_set(err, -EINVAL, "queue %llu, where there are %u",
				 (unsigned long long)index, be->nqueues);
	*q = &be->queues[index];
	return 0;
}

int back_rings_init(struct vhost_backend *be, unsigned n, struct error *err)
{
	be->queues = calloc(n, sizeof(*be->queues));
	if (!be->queues)
		return error_set(err, -ENOMEM, "%s: out of memory", be->name);
	be->nqueues = n;
	for (unsigned i = 0; i < n; i++) {
		struct back_queue *q = &be->queues[i];

		q->pub = (struct vhost_backend_queue){
			.backend = be, .index = i, .vq = vq_create(), .kick_fd = -1};
		q->call_fd = q->err_fd = -1;
		if (!q->pub.vq)
			return error_set(err, -ENOMEM, "%s: out of memory", be->name);
	}
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void back_rings_free(struct vhost_backend *be)
{
	for (unsigned i = 0; i < be->nqueues; i++) {
		close_fd(&be->queues[i].pub.kick_fd);
		back_close_signal(&be->queues[i].call_fd);
		back_close_signal(&be->queues[i].err_fd);
		vq_free(be->queues[i].pub.vq);
	}
	free(be->queues);
	be->queues = NULL;
	be->nqueues = 0;
}

/* Where the parts of the ring are, in the addresses that descriptors use. */
static int locate(struct vhost_backend *be, struct back_queue *q, struct vring_config *cfg,
		  struct error *err)
{
	const struct {
		uint64_t user, len, *out;
	} parts[] = {
		{q->addr.desc, vring_desc_bytes(cfg), &cfg->desc},
		{q->addr.avail, vring_driver_bytes(cfg), &cfg->driver},
		{q->addr.used, vring_device_bytes(cfg), &cfg->device},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(parts) && back_iotlb_on(be); i++) {
		int rc = back_iotlb_locate(be, q, parts[i].user, parts[i].len,
					   cfg->packed ? i != 1 : i == 2, err);

		if (rc)
			return rc;
		*parts[i].out = parts[i].user;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(parts) && !back_iotlb_on(be); i++) {
		const struct mem_region *r = mem_find_user(be->table, parts[i].user, parts[i].len);

		if (!r)
			return error_set(err, -EFAULT,
					 "queue %u: the ring at %#llx is not in the memory given",
					 q->pub.index, (unsigned long long)parts[i].user);
		*parts[i].out = r->gpa + (parts[i].user - r->user_addr);
	}
	return 0;
}

static int configure(struct vhost_backend *be, struct back_queue *q, struct vring_state *state,
		     struct error *err)
{
	struct vring_config cfg = {
		.size = q->size,
		.packed = back_feature(be, VIRTIO_F_RING_PACKED),
		.event_idx = back_feature(be, VIRTIO_RING_F_EVENT_IDX),
		.indirect = back_feature(be, VIRTIO_RING_F_INDIRECT_DESC),
		.in_order = back_feature(be, VIRTIO_F_IN_ORDER),
		.transmit = q->pub.index % 2,
	};
	int rc;

	if (!cfg.packed && !is_pow2(cfg.size))
		return error_set(err, -EINVAL, "queue %u: a split ring of %u entries", q->pub.index,
				 cfg.size);
	rc = locate(be, q, &cfg, err);
	if (rc)
		return rc;
	/* DPDK's virtio-user leaves the used half out: then it is where the available one is. */
	if (cfg.packed && !(q->base >> 16))
		q->base |= q->base << 16;
	if (back_postcopy_on(be) && !back_postcopy_has_ring(be, q, &cfg))
		return -EAGAIN;
	rc = vhost_base_decode(&cfg, back_postcopy_on(be) ? be->table : back_ring_table(be),
			       q->base, state);
	if (rc == -EFAULT)
		return error_set(err, rc, "queue %u: the ring is not in memory", q->pub.index);
	if (rc)
		log_warn_limited("%s: queue %u: cannot stand at %#x: taking it to be where its "
				 "used ring ends",
				 be->name, q->pub.index, q->base);
	state->avail_idx = state->used_idx;
	state->avail_wrap = state->used_wrap;
	q->cfg = cfg;
	return 0;
}

static bool should_run(const struct vhost_backend *be, const struct back_queue *q)
{
	bool enabled = q->enabled || !back_feature(be, VHOST_USER_F_PROTOCOL_FEATURES);

	return !be->held && q->size && q->addr_set && q->kick_set && enabled && !q->broken &&
	       !q->waiting && be->table && be->features_set && back_postcopy_may_run(be);
}

static int start(struct vhost_backend *be, struct back_queue *q, struct error *err)
{
	struct vring_state state;
	int rc;

	if (q->call_fd < 0)
		q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->call_fd < 0)
		return error_set(err, -errno, "eventfd: %s", error_name(errno));
	rc = configure(be, q, &state, err);
	if (rc == 0 && back_postcopy_on(be))
		back_postcopy_look_ahead(be, q, &state);
	if (rc == 0)
		rc = vq_start(q->pub.vq, &q->cfg, &state, back_ring_table(be), err);
	if (rc)
		return rc;
	back_inflight_start(be, q);
	if (back_iotlb_on(be) && !back_iotlb_look_ahead(be, q)) {
		vq_stop(q->pub.vq, NULL);
		return 0;
	}
	atomic_store(&q->attention, false);
	q->running = true;
	rc = be->ops->queue_start(be->opaque, &q->pub, err);
	if (rc) {
		q->running = false;
		vq_stop(q->pub.vq, NULL);
	}
	return rc;
}

void back_ring_stop(struct vhost_backend *be, struct back_queue *q)
{
	struct vring_state state;

	if (!q->running)
		return;
	be->ops->queue_stop(be->opaque, &q->pub);
	q->running = false;
	vq_stop(q->pub.vq, &state);
	q->base = vhost_base_encode(&q->cfg, &state);
}

int back_ring_update(struct vhost_backend *be, struct back_queue *q, struct error *err)
{
	bool should = should_run(be, q);

	if (should && !q->running) {
		int rc = start(be, q, err);

		/* What it lacks has been asked for; it is tried again when that comes. */
		return rc == -EAGAIN || (rc == -EFAULT && back_iotlb_on(be)) ? 0 : rc;
	}
	if (!should)
		back_ring_stop(be, q);
	return 0;
}

void back_rings_stop(struct vhost_backend *be)
{
	for (unsigned i = 0; i < be->nqueues; i++)
		back_ring_stop(be, &be->queues[i]);
}

int back_rings_resume(struct vhost_backend *be, struct error *err)
{
	for (unsigned i = 0; i < be->nqueues; i++) {
		int rc = back_ring_update(be, &be->queues[i], err);

		if (rc == -EFAULT)
			log_info("%s: %s: waiting for it", be->name, err->text);
		else if (rc)
			return rc;
	}
	return 0;
}

void back_rings_reset(struct vhost_backend *be)
{
	back_rings_stop(be);
	for (unsigned i = 0; i < be->nqueues; i++) {
		struct back_queue *q = &be->queues[i];

		close_fd(&q->pub.kick_fd);
		back_close_signal(&q->call_fd);
		back_close_signal(&q->err_fd);
		q->size = q->base = 0;
		q->addr_set = q->kick_set = q->enabled = q->broken = q->waiting = false;
		q->asked_at = 0;
		atomic_store(&q->silenced, false);
	}
}

void back_ring_attention(struct vhost_backend *be, struct back_queue *q)
{
	enum vring_fault fault;
	struct vq_miss miss;

	if (!q->running)
		return;
	back_ring_stop(be, q);
	fault = vq_fault(q->pub.vq);
	if (fault == VRING_OK) {
		miss = vq_miss(q->pub.vq);
		if (back_postcopy_on(be)) {
			back_postcopy_wait(be, q, miss.addr);
			return;
		}
		q->waiting = true;
		back_iotlb_ask(be, q, miss.addr, miss.write);
		return;
	}
	q->broken = true;
	log_warn_limited("%s: queue %u is broken: %s", be->name, q->pub.index,
			 vring_fault_name(fault));
	if (q->err_fd >= 0)
		back_signal(q, &q->err_fd);
}

void vhost_backend_call(struct vhost_backend_queue *q)
{
	struct back_queue *bq = container_of(q, struct back_queue, pub);

	back_signal(bq, &bq->call_fd);
}

int back_set_vring_num(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int rc = get_queue(be, msg->payload.state.index, &q, err);

	if (rc)
		return rc;
	if (q->running && q->size != msg->payload.state.num)
		return error_set(err, -EBUSY, "queue %u is running", q->pub.index);
	q->size = msg->payload.state.num;
	return 0;
}

/* Allowed while it runs: this is how logging of the used ring is switched. */
int back_set_vring_addr(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_vring_addr *a = &msg->payload.addr;
	struct back_queue *q;
	int rc = get_queue(be, a->index, &q, err);

	if (rc)
		return rc;
	if (q->addr_set &&
	    (q->addr.desc != a->desc || q->addr.avail != a->avail || q->addr.used != a->used))
		back_ring_stop(be, q);
	q->addr = *a;
	q->addr_set = true;
	return back_ring_update(be, q, err);
}

int back_set_vring_base(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int rc = get_queue(be, msg->payload.state.index, &q, err);

	if (rc)
		return rc;
	if (q->running)
		return error_set(err, -EBUSY, "queue %u is running", q->pub.index);
	q->base = msg->payload.state.num;
	q->broken = false;
	return 0;
}

int back_get_vring_base(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int rc = get_queue(be, msg->payload.state.index, &q, err);

	if (rc)
		return rc;
	q->kick_set = q->broken = false;
	back_ring_stop(be, q);
	close_fd(&q->pub.kick_fd);
	msg->payload.state.num = q->base;
	return 0;
}

static int check_eventfd(int fd, struct error *err)
{
	char path[32], target[32] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof(target) - 1) < 0 ||
	    strcmp(target, "anon_inode:[eventfd]") != 0)
		return error_set(err, -EINVAL, "the descriptor is no eventfd");
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return 0;
}

/* The descriptor of a SET_VRING_KICK, CALL or ERR, to be owned: -1 when it has none. */
static int get_vring_fd(struct vhost_backend *be, struct vhost_user_msg *msg, struct back_queue **q,
			int *fd, struct error *err)
{
	int rc = get_queue(be, msg->payload.u64 & VHOST_USER_VRING_MASK, q, err);

	*fd = -1;
	if (rc || msg->nfds == 0)
		return rc;
	rc = check_eventfd(msg->fds[0], err);
	if (rc == 0)
		*fd = back_take_fd(msg);
	return rc;
}

int back_set_vring_kick(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int fd, rc = get_vring_fd(be, msg, &q, &fd, err);

	if (rc)
		return rc;
	back_ring_stop(be, q);
	close_fd(&q->pub.kick_fd);
	q->pub.kick_fd = fd;
	q->kick_set = true;
	return back_ring_update(be, q, err);
}

int back_set_vring_call(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int fd, rc = get_vring_fd(be, msg, &q, &fd, err);

	if (rc)
		return rc;
	if (fd < 0)
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* nobody hears it */
	if (fd < 0)
		return error_set(err, -errno, "eventfd: %s", error_name(errno));
	if (q->call_fd < 0) {
		q->call_fd = fd;
		return 0;
	}
	rc = dup3(fd, q->call_fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	if (rc)
		return error_set(err, rc, "dup3: %s", error_name(rc));
	/* A call that went to the old one may have been meant for this one. */
	if (q->running)
		back_signal(q, &q->call_fd);
	return 0;
}

int back_set_vring_err(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int fd, rc = get_vring_fd(be, msg, &q, &fd, err);

	if (rc)
		return rc;
	back_close_signal(&q->err_fd);
	q->err_fd = fd;
	return 0;
}

int back_set_vring_enable(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_queue *q;
	int rc = get_queue(be, msg->payload.state.index, &q, err);

	if (rc)
		return rc;
	/* QEMU enables rings also before it has set any features. */
	if (be->features_set && !back_feature(be, VHOST_USER_F_PROTOCOL_FEATURES))
		return error_set(err, -EPROTO, "PROTOCOL_FEATURES was not agreed on");
	q->enabled = msg->payload.state.num;
	return back_ring_update(be, q, err);
}
