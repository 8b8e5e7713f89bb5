/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/vhost-net without a virtual machine. The kernel's vhost has a thread that copies frames between
 * a TAP and a virtio device's rings; here the driver of that device is the switch. So a worker moves
 * a frame with one copy in memory that is its own, and without a system call: the kernel is kicked
 * only when its thread sleeps, once a burst.
 */
#include "switch/vhost_net.h"

#include "base/log.h"
#include "hostnet/tap.h"
#include "hostnet/driver_pair.h"
#include "vhost/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define VHOST_NET_PATH "/dev/vhost-net"
#define FRAME_ROOM     (128U << 10) /* more than a frame and its header need */
#define SEND_MS	       50	    /* in which the kernel sends what it was given */

struct vn_pair {
	struct vhost_kernel vk; /* fd -1: not open */
	struct driver_pair *rings;
};

struct vn {
	struct hostnet hn;
	struct hostnet *tap;
	bool fresh; /* not started yet */
	struct vn_pair pairs[];
};

static const struct hostnet_ops vn_ops;

static struct vn *to_vn(struct hostnet *hn)
{
	return container_of(hn, struct vn, hn);
}

int vhost_net_probe(struct error *err)
{
	return vhost_kernel_probe(VHOST_NET_PATH, err);
}

bool vhost_net_works(struct hostnet *hn)
{
	for (unsigned i = 0; i < hn->queues; i++)
		if (driver_pair_broken(to_vn(hn)->pairs[i].rings))
			return false;
	return true;
}

static int set_ring(struct vn_pair *p, unsigned index, struct error *err)
{
	const struct vring_state state = VRING_STATE_INIT;
	const struct vhost_ring ring = {
		.index = index,
		.cfg = driver_pair_ring(p->rings, index),
		.state = &state,
		.kick_fd = driver_pair_kick_fd(p->rings, index),
		.call_fd = index ? -1 : driver_pair_call_fd(p->rings),
		.err_fd = -1,
	};

	return vhost_kernel_set_ring(&p->vk, &ring, driver_pair_memory(p->rings), false, err);
}

/* Has the kernel serve it, from where it stands. */
static int attach(struct vn_pair *p, int tap_fd, struct error *err)
{
	int ret = 0;

	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = vhost_net_set_backend(&p->vk, i, tap_fd, err);
	return ret;
}

static int make_pair(struct vn_pair *p, struct error *err)
{
	int ret;

	p->rings = driver_pair_new(NULL, err);
	if (!p->rings)
		return err->code;
	ret = vhost_kernel_open(&p->vk, VHOST_NET_PATH, 0, err);
	if (!ret)
		ret = vhost_kernel_set_features(&p->vk, driver_pair_features, err);
	if (!ret)
		ret = vhost_kernel_set_memory(&p->vk, driver_pair_memory(p->rings), err);
	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = set_ring(p, i, err);
	return ret;
}

static int start_pair(struct vn_pair *p, int tap_fd, struct error *err)
{
	int ret = attach(p, tap_fd, err);

	if (!ret)
		driver_pair_start(p->rings);
	return ret;
}

static void stop_pair(struct vn_pair *p)
{
	for (unsigned i = 0; p->vk.fd >= 0 && i < 2; i++)
		vhost_net_set_backend(&p->vk, i, -1, NULL);
	vhost_kernel_close(&p->vk);
	if (p->rings)
		driver_pair_free(p->rings);
}

static void vn_close(struct hostnet *hn)
{
	struct vn *v = to_vn(hn);

	for (unsigned i = 0; i < hn->queues; i++)
		stop_pair(&v->pairs[i]);
	hostnet_close(v->tap);
	free(v);
}

int vhost_net_open(struct hostnet *tap, const char *id, bool held, struct hostnet **out,
		   struct error *err)
{
	struct vn *v = calloc(1, sizeof(*v) + tap->queues * sizeof(v->pairs[0]));
	int ret = 0;

	if (!v) {
		hostnet_close(tap);
		return error_set(err, -ENOMEM, "%s: out of memory", id);
	}
	v->tap = tap;
	v->hn = (struct hostnet){
		.ops = &vn_ops,
		.offloads_tx = tap->offloads_tx,
		.offloads_rx = tap->offloads_rx,
		.queues = tap->queues,
		.mtu = tap->mtu,
	};
	for (unsigned i = 0; i < tap->queues; i++)
		v->pairs[i].vk.fd = -1;
	if (!tap_has_header(tap))
		ret = error_set(err, -EINVAL,
				"%s: vhost=on needs a TAP with headers (IFF_VNET_HDR)", id);
	v->fresh = held;
	for (unsigned i = 0; i < tap->queues && !ret; i++) {
		ret = make_pair(&v->pairs[i], err);
		if (!ret && !held)
			ret = start_pair(&v->pairs[i], tap_queue_fd(tap, i), err);
	}
	if (ret) {
		vn_close(&v->hn);
		return ret;
	}
	*out = &v->hn;
	return 0;
}

struct hostnet *vhost_net_tap(struct hostnet *hn)
{
	return hn->ops == &vn_ops ? to_vn(hn)->tap : NULL;
}

void vhost_net_hold(struct hostnet *hn)
{
	uint64_t end = clock_ns() + SEND_MS * NSEC_PER_MSEC;
	struct vn *v = to_vn(hn);

	for (unsigned i = 0; i < hn->queues; i++)
		vhost_net_set_backend(&v->pairs[i].vk, 0, -1, NULL);
	for (unsigned i = 0; i < hn->queues; i++) {
		struct vn_pair *p = &v->pairs[i];

		while (driver_pair_unsent(p->rings) && clock_ns() < end)
			usleep(50);
		vhost_net_set_backend(&p->vk, 1, -1, NULL);
	}
}

void vhost_net_save_rings(struct hostnet *hn, struct parcel_out *p)
{
	for (unsigned i = 0; i < hn->queues; i++) {
		struct driver_pair *rings = to_vn(hn)->pairs[i].rings;
		unsigned n = driver_pair_waiting(rings);

		parcel_put_u64(p, n);
		for (unsigned k = 0; k < n; k++) {
			uint32_t len;
			const void *frame = driver_pair_frame(rings, k, &len);

			parcel_put_u64(p, len);
			parcel_put(p, frame, len);
		}
	}
}

static int restore_frames(struct driver_pair *rings, struct parcel_in *p, uint8_t *room)
{
	uint64_t n = parcel_get_range(p, 0, DRIVER_PAIR_RING);

	while (n--) {
		uint32_t len = (uint32_t)parcel_get_range(p, 0, FRAME_ROOM);
		int ret = parcel_get(p, room, len) ? driver_pair_put(rings, room, len) : -EPROTO;

		if (ret)
			return ret;
	}
	return p->bad ? -EPROTO : 0;
}

int vhost_net_restore_rings(struct hostnet *hn, struct parcel_in *p, struct error *err)
{
	uint8_t *room = malloc(FRAME_ROOM);
	int ret = room ? 0 : -ENOMEM;

	for (unsigned i = 0; i < hn->queues && !ret; i++)
		ret = restore_frames(to_vn(hn)->pairs[i].rings, p, room);
	free(room);
	return ret ? error_set(err, ret, "%s: the frames that wait in it: %s",
			       tap_ifname(to_vn(hn)->tap), error_name(ret))
		   : 0;
}

void vhost_net_resume(struct hostnet *hn)
{
	struct vn *v = to_vn(hn);
	struct error err = {0};
	int ret = 0;

	for (unsigned i = 0; i < hn->queues && !ret; i++) {
		int tap_fd = tap_queue_fd(v->tap, i);

		if (v->fresh)
			ret = start_pair(&v->pairs[i], tap_fd, &err);
		else
			ret = attach(&v->pairs[i], tap_fd, &err);
	}
	v->fresh = false;
	if (ret)
		log_error("%s: its frames do not flow any more: %s", tap_ifname(v->tap), err.text);
}

static unsigned vn_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			unsigned n)
{
	return driver_pair_send(to_vn(hn)->pairs[queue].rings, frames, n);
}

static unsigned vn_borrow(struct hostnet *hn, unsigned queue, struct iovec *iov,
			  struct net_offload *off, unsigned n)
{
	return driver_pair_borrow(to_vn(hn)->pairs[queue].rings, iov, off, n);
}

static void vn_give_back(struct hostnet *hn, unsigned queue, unsigned n)
{
	driver_pair_give_back(to_vn(hn)->pairs[queue].rings, n);
}

static bool vn_notify(struct hostnet *hn, unsigned queue, bool on)
{
	return driver_pair_notify(to_vn(hn)->pairs[queue].rings, on);
}

static int vn_poll_fd(struct hostnet *hn, unsigned queue)
{
	return driver_pair_call_fd(to_vn(hn)->pairs[queue].rings);
}

static int vn_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	struct hostnet *tap = to_vn(hn)->tap;

	return tap->ops->set_offloads(tap, offloads);
}

static const char *vn_attachment(struct hostnet *hn)
{
	return tap_ifname(to_vn(hn)->tap);
}

static bool vn_link_up(struct hostnet *hn)
{
	struct hostnet *tap = to_vn(hn)->tap;

	return tap->ops->link_up(tap);
}

static void vn_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	driver_pair_counters(to_vn(hn)->pairs[queue].rings, out);
}

static const struct hostnet_ops vn_ops = {
	.name = "vhost-net",
	.help = "a TAP, by the kernel's vhost",
	.send = vn_send,
	.borrow = vn_borrow,
	.give_back = vn_give_back,
	.notify = vn_notify,
	.poll_fd = vn_poll_fd,
	.set_offloads = vn_set_offloads,
	.attachment = vn_attachment,
	.link_up = vn_link_up,
	.counters = vn_counters,
	.close = vn_close,
};
