// SPDX-License-Identifier: Apache-2.0
/*
 * What a virtio-net tells of itself: its state, its counters, and the way of its frames.
 *
 * A plane's counters begin with the plane. What earlier planes counted is kept (net->past), so that
 * the NIC's own counters only grow; the hops are those of the present plane.
 */
#include "device/virtio_net.h"

#include <stdio.h>

#include "device/nic_hop.h"

void virtio_net_state(struct nic *nic, struct nic_state *out)
{
	struct virtio_net *net = container_of(nic, struct virtio_net, nic);
	const struct plane *plane = net->plane;

	*out = (struct nic_state){
		.queue_pairs = net->pairs,
		.mtu = net->mtu ? net->mtu : plane->mtu,
		.admin_up = net->admin_up,
		.carrier = plane->link_up,
		.running = net->plane_running,
		.capturing = net->capture,
	};
	pthread_mutex_lock(&net->vdev.lock);
	memcpy(out->mac, net->vdev.config + VNET_CONFIG_MAC, sizeof(out->mac));
	out->needs_reset = net->vdev.status & VIRTIO_STATUS_NEEDS_RESET;
	pthread_mutex_unlock(&net->vdev.lock);
	snprintf(out->backend, sizeof(out->backend), "%s", net->backend);
	snprintf(out->plane, sizeof(out->plane), "%s", plane->ops->name);
	if (plane->ops->attachment)
		plane->ops->attachment(net->plane, out->attachment, sizeof(out->attachment));
}

/*
 * Counters, one by one.
 */

typedef void emit_fn(void *arg, const char *name, uint64_t value);

static void emit_queue(const char *prefix, const struct plane_queue_counters *c, emit_fn *emit,
		       void *arg)
{
	const struct {
		const char *name;
		uint64_t value;
	} plain[] = {
		{"frames_in", c->frames_in},
		{"frames_out", c->frames_out},
		{"bytes_in", c->bytes_in},
		{"bytes_out", c->bytes_out},
		{"kicks", c->kicks},
		{"calls", c->calls},
		{"bursts", c->bursts},
		{"polls", c->polls},
		{"bad_buffers", c->bad_buffers},
	};
	char name[64];

	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
		snprintf(name, sizeof(name), "%s_%s", prefix, plain[i].name);
		emit(arg, name, plain[i].value);
	}
	for (unsigned i = 0; i < PLANE_DROP_COUNT; i++) {
		snprintf(name, sizeof(name), "%s_drop_%s", prefix, plane_drop_word(i));
		emit(arg, name, c->drops[i]);
	}
}

void virtio_net_counters(struct nic *nic, emit_fn *emit, void *arg)
{
	struct virtio_net *net = container_of(nic, struct virtio_net, nic);
	uint64_t faults = 0;
	char prefix[16];

	for (unsigned i = 0; i < 2 * net->pairs; i++) {
		struct plane_queue_counters c = {0};

		net->plane->ops->counters(net->plane, i, &c);
		plane_counters_add(&c, &net->past[i]);
		snprintf(prefix, sizeof(prefix), "%s%u", i % 2 ? "tx" : "rx", i / 2);
		emit_queue(prefix, &c, emit, arg);
	}
	for (unsigned i = 0; i < VRING_FAULT_COUNT; i++)
		faults += net->faults[i];
	emit(arg, "ring_faults", faults);
	emit(arg, "ctrl_commands", net->ctrl_commands);
	emit(arg, "ctrl_refused", net->ctrl_refused);
}

/*
 * Hops.
 */

/* The virtqueue itself, which anybody can look at. */
static void ring_hop(struct virtio_net *net, unsigned index, nic_hop_fn *fn, void *arg)
{
	const struct plane_queue *pq = &net->pq[index];
	struct vring_view view;
	struct nic_hop hop = {
		.name = "ring",
		.what = index % 2 ? "transmitq: the driver puts frames there"
				  : "receiveq: the driver puts empty buffers there",
		.direction = index % 2 ? NIC_TX : NIC_RX,
		.queue = (int)(index / 2),
		.last_drop = -1,
	};

	if (!net->plane_running || !pq->enabled) {
		hop.unknown = "the driver has not set it going";
	} else if (vring_look(&pq->cfg, guest_mem_table(net->vdev.mem), &view)) {
		hop.unknown = "the ring is not in guest memory";
	} else {
		nic_hop_more(&hop, "size", pq->cfg.size);
		nic_hop_more(&hop, "waiting", view.waiting);
		if (view.indexes) {
			nic_hop_more(&hop, "available_index", view.avail_idx);
			nic_hop_more(&hop, "used_index", view.used_idx);
		} else {
			hop.unknown = "a packed ring does not show how far it has come";
		}
	}
	fn(arg, &hop);
}

static void plane_drops(struct nic_hop *hop, const struct plane_queue_counters *c)
{
	for (unsigned i = 0; i < PLANE_DROP_COUNT; i++) {
		if (c->last_drop == i + 1 && c->drops[i])
			hop->last_drop = (int)hop->ndrops;
		nic_hop_drop(hop, plane_drop_word(i), plane_drop_name(i), c->drops[i]);
	}
}

static void plane_hop(struct virtio_net *net, unsigned index, nic_hop_fn *fn, void *arg)
{
	const struct plane_ops *ops = net->plane->ops;
	struct plane_queue_counters c = {0};
	struct nic_hop hop = {
		.name = "plane",
		.what = ops->help,
		.direction = index % 2 ? NIC_TX : NIC_RX,
		.queue = (int)(index / 2),
		.counted = !ops->unknown,
		.last_drop = -1,
		.unknown = ops->unknown,
	};

	if (hop.counted) {
		ops->counters(net->plane, index, &c);
		hop.frames_in = c.frames_in;
		hop.bytes_in = c.bytes_in;
		hop.frames_out = c.frames_out;
		hop.bytes_out = c.bytes_out;
		plane_drops(&hop, &c);
		nic_hop_more(&hop, "kicks", c.kicks);
		nic_hop_more(&hop, "calls", c.calls);
		nic_hop_more(&hop, "bursts", c.bursts);
		nic_hop_more(&hop, "polls", c.polls);
		nic_hop_more(&hop, "bad_buffers", c.bad_buffers);
	}
	fn(arg, &hop);
}

static void attachment_hop(struct virtio_net *net, unsigned index, nic_hop_fn *fn, void *arg)
{
	const struct plane_ops *ops = net->plane->ops;
	enum nic_direction direction = index % 2 ? NIC_TX : NIC_RX;
	unsigned pair = index / 2;
	struct hostnet_counters c;
	struct nic_state state;
	struct nic_hop hop;
	bool whole = false;

	if (!ops->attachment_counters || !ops->attachment_counters(net->plane, pair, &c, &whole))
		return;
	virtio_net_state(&net->nic, &state);
	nic_hop_backend(&hop, "backend", direction, whole ? -1 : (int)pair, &c);
	hop.what = state.attachment[0] ? state.attachment : net->backend;
	if (c.syscalls)
		nic_hop_more(&hop, "system_calls", c.syscalls);
	fn(arg, &hop);
}

void virtio_net_hops(struct nic *nic, nic_hop_fn *fn, void *arg)
{
	struct virtio_net *net = container_of(nic, struct virtio_net, nic);

	for (unsigned i = 0; i < net->pairs; i++) {
		ring_hop(net, 2 * i + 1, fn, arg);
		plane_hop(net, 2 * i + 1, fn, arg);
		attachment_hop(net, 2 * i + 1, fn, arg);
		attachment_hop(net, 2 * i, fn, arg);
		plane_hop(net, 2 * i, fn, arg);
		ring_hop(net, 2 * i, fn, arg);
	}
}
