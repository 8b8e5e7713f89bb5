/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/vduse_internal.h"

#include "base/log.h"
#include "vhost/ring_base.h"
#include "vring/features.h"

#include <errno.h>
#include <linux/vduse.h>
#include <linux/virtio_config.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define AGAIN_MS 20

int vduse_rings_init(struct vduse *v, struct error *err)
{
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		struct vduse_ring *r = &v->rings[i];
		struct vduse_vq_config cfg = {.index = i, .max_size = VDUSE_RING_MAX};

		r->pub.vq = vq_create();
		r->pub.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (!r->pub.vq || r->pub.kick_fd < 0)
			return error_set(err, -ENOMEM, "queue %u: out of memory", i);
		if (!v->found && ioctl(v->dev.fd, VDUSE_VQ_SETUP, &cfg) < 0)
			return error_set(err, -errno, "queue %u: cannot be set up: %s", i,
					 error_name(errno));
	}
	return 0;
}

void vduse_rings_free(struct vduse *v)
{
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		struct vduse_ring *r = &v->rings[i];

		vq_free(r->pub.vq);
		if (r->pub.kick_fd >= 0)
			close(r->pub.kick_fd);
	}
}

static struct vring_state packed_state(const struct vduse_vq_info *info)
{
	return (struct vring_state){
		.avail_idx = info->packed.last_avail_idx,
		.used_idx = info->packed.last_used_idx,
		.avail_wrap = info->packed.last_avail_counter,
		.used_wrap = info->packed.last_used_counter,
	};
}

/* What the kernel says of where the ring stands, before it has run here. */
static int first_state(const struct vduse *v, const struct vring_config *cfg,
		       const struct vduse_vq_info *info, struct vring_state *state)
{
	int ret = 0;

	if (cfg->packed)
		*state = packed_state(info);
	else
		ret = vhost_base_decode(cfg, v->table, info->split.avail_index, state);
	/* What was taken and not used is taken again. */
	state->avail_idx = state->used_idx;
	state->avail_wrap = state->used_wrap;
	return ret == -EFAULT ? ret : 0;
}

/* Where a predecessor that was killed has left the ring. */
static int left_state(const struct vduse *v, const struct vring_config *cfg,
		      const struct vduse_vq_info *info, struct vring_state *state)
{
	const struct vring_state first = packed_state(info);
	unsigned mended;
	int ret =
		vhost_base_recover(cfg, v->table, cfg->packed ? &first : &VRING_STATE_INIT, state);

	return ret ? ret : vhost_base_mend(cfg, v->table, state, &mended);
}

static int start(struct vduse *v, struct vduse_ring *r, const struct vduse_vq_info *info,
		 struct error *err)
{
	/* The kernel forgets it with each reset. */
	const struct vduse_vq_eventfd kick = {.index = r->pub.index, .fd = r->pub.kick_fd};
	struct vring_state state = r->state;
	int ret = 0;

	r->cfg = (struct vring_config){
		.size = info->num,
		.packed = v->features >> VIRTIO_F_RING_PACKED & 1,
		.event_idx = v->features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.indirect = v->features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
		.in_order = v->features >> VIRTIO_F_IN_ORDER & 1,
		.desc = info->desc_addr,
		.driver = info->driver_addr,
		.device = info->device_addr,
	};
	if (r->left)
		ret = left_state(v, &r->cfg, info, &state);
	else if (!r->has_run)
		ret = first_state(v, &r->cfg, info, &state);
	if (ret)
		return error_set(err, ret, "the ring is not in memory");
	ret = vq_start(r->pub.vq, &r->cfg, &state, v->table, err);
	if (ret)
		return ret;
	if (ioctl(v->dev.fd, VDUSE_VQ_SETUP_KICKFD, &kick) < 0) {
		ret = -errno;
		vq_stop(r->pub.vq, NULL);
		return error_set(err, ret, "its kicks: %s", error_name(ret));
	}
	if (vduse_keep_track(v, r->pub.index))
		vduse_call(&r->pub);
	atomic_store(&r->attention, false);
	r->left = false;
	r->running = r->has_run = true;
	ret = v->ops->queue_start(v->opaque, &r->pub, err);
	if (ret) {
		r->running = false;
		vq_stop(r->pub.vq, &r->state);
	}
	return ret;
}

static void stop(struct vduse *v, struct vduse_ring *r)
{
	if (!r->running)
		return;
	v->ops->queue_stop(v->opaque, &r->pub);
	r->running = false;
	vq_stop(r->pub.vq, &r->state);
}

static void try_again(struct vduse *v)
{
	if (!v->again.active)
		loop_timer_set(v->loop, &v->again, clock_ns() + AGAIN_MS * NSEC_PER_MSEC);
}

static bool call(struct vduse_ring *r)
{
	uint32_t index = r->pub.index;

	return ioctl(r->pub.dev->dev.fd, VDUSE_VQ_INJECT_IRQ, &index) == 0;
}

void vduse_rings_start(struct vduse *v)
{
	struct error err = {0};

	if (v->held || !(v->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	for (unsigned i = 0; i < VDUSE_QUEUES; i++)
		if (atomic_exchange(&v->rings[i].uncalled, false))
			call(&v->rings[i]);
	if (!v->table && vduse_map(v, &err)) {
		log_warn_limited("%s: its memory: %s", v->name, err.text);
		try_again(v);
		return;
	}
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		struct vduse_vq_info info = {.index = i};
		struct vduse_ring *r = &v->rings[i];

		if (r->running || r->broken)
			continue;
		/* Not ready: some drivers make it so after DRIVER_OK, and nothing tells us. */
		if (ioctl(v->dev.fd, VDUSE_VQ_GET_INFO, &info) < 0 || !info.ready) {
			try_again(v);
		} else if (start(v, r, &info, &err)) {
			log_warn_limited("%s: queue %u: %s", v->name, i, err.text);
			try_again(v);
		}
	}
}

void vduse_rings_stop(struct vduse *v)
{
	loop_timer_cancel(v->loop, &v->again);
	for (unsigned i = 0; i < VDUSE_QUEUES; i++)
		stop(v, &v->rings[i]);
}

void vduse_rings_reset(struct vduse *v)
{
	vduse_rings_stop(v);
	for (unsigned i = 0; i < VDUSE_QUEUES; i++)
		v->rings[i].has_run = v->rings[i].broken = v->rings[i].left = false;
}

int vduse_ring_state(struct vduse *v, unsigned index, struct vring_state *state)
{
	struct vduse_ring *r;

	if (index >= VDUSE_QUEUES)
		return -EINVAL;
	r = &v->rings[index];
	if (!r->has_run) { /* as the driver has set it */
		struct vduse_vq_info info = {.index = index};

		r->cfg.packed = v->features >> VIRTIO_F_RING_PACKED & 1;
		if (ioctl(v->dev.fd, VDUSE_VQ_GET_INFO, &info) < 0)
			return -errno;
		*state = (struct vring_state){.avail_idx = info.split.avail_index};
		if (r->cfg.packed)
			*state = packed_state(&info);
		return 0;
	}
	if (r->running) {
		stop(v, r);
		try_again(v); /* it runs on, if the driver did not mean to stop it */
	}
	*state = r->state;
	return 0;
}

void vduse_rings_look(struct vduse *v)
{
	bool lost = vduse_map_lost(v);

	if (lost)
		log_warn_limited("%s: its memory was taken away while it was in use", v->name);
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		struct vduse_ring *r = &v->rings[i];
		enum vring_fault fault;

		if (atomic_load(&r->uncalled))
			try_again(v);
		if (!atomic_exchange(&r->attention, false) || !r->running)
			continue;
		stop(v, r);
		fault = vq_fault(r->pub.vq);
		if (fault == VRING_OK) { /* an address that the table has not */
			lost = true;
			continue;
		}
		r->broken = true;
		log_warn_limited("%s: queue %u is broken: %s", v->name, i, vring_fault_name(fault));
	}
	if (!lost)
		return;
	/* Maps all anew, a moment later: it cannot be had to do so all the time. */
	vduse_rings_stop(v);
	vduse_unmap(v);
	try_again(v);
}

void vduse_call(struct vduse_queue *q)
{
	struct vduse_ring *r = container_of(q, struct vduse_ring, pub);

	/*
	 * The kernel takes calls from the moment on that it has seen our answer to DRIVER_OK, and
	 * refuses those before: they are made up for. (Those after a reset are for nobody.)
	 */
	if (unlikely(!call(r)) && !atomic_exchange(&r->uncalled, true))
		eventfd_write(q->dev->attention.fd, 1);
}

void vduse_attention(struct vduse_queue *q)
{
	struct vduse_ring *r = container_of(q, struct vduse_ring, pub);

	if (!atomic_exchange(&r->attention, true))
		eventfd_write(q->dev->attention.fd, 1);
}
