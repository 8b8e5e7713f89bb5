/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/relay_port.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

/*
 * Theory of operation. A worker sends and receives as with any frame back-end; here that is a copy
 * into, or out of, buffers that the plane behind serves (hostnet/driver_pair.c). The rings have the
 * features that the guest negotiated, so what the guest may leave unfinished in a frame the other side
 * takes, and the reverse. Therefore offloads are neither carried out nor refused here.
 *
 * It is patient: when the other side does not take frames, as when it is away, they wait in the
 * guest's ring like they would without a relay.
 */
#define ALL_OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO)

static struct relay_port *to_port(struct hostnet *hn)
{
	return container_of(hn, struct relay_port, hn);
}

uint64_t relay_port_bytes(unsigned pairs)
{
	return (uint64_t)pairs * driver_pair_bytes();
}

static unsigned rp_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			unsigned n)
{
	return driver_pair_send(to_port(hn)->pairs[queue].rings, frames, n);
}

static ssize_t rp_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
		       struct net_offload *off)
{
	struct relay_port_pair *p = &to_port(hn)->pairs[queue];
	bool last = atomic_load_explicit(&p->last, memory_order_acquire);
	ssize_t len = driver_pair_recv(p->rings, iov, niov, off);

	if (unlikely(last && len == -EAGAIN))
		atomic_store_explicit(&p->empty, true, memory_order_release);
	return len;
}

static int rp_poll_fd(struct hostnet *hn, unsigned queue)
{
	return driver_pair_call_fd(to_port(hn)->pairs[queue].rings);
}

static int rp_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	return 0; /* the plane behind is told, and gives the other side the features */
}

static void rp_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	driver_pair_counters(to_port(hn)->pairs[queue].rings, out);
}

static void rp_close(struct hostnet *hn)
{
	struct relay_port *port = to_port(hn);

	for (unsigned i = 0; i < hn->queues; i++)
		if (port->pairs[i].rings)
			driver_pair_free(port->pairs[i].rings);
	free(port);
}

static const struct hostnet_ops relay_port_ops = {
	.name = "relay",
	.help = "rings of another plane",
	.send = rp_send,
	.recv = rp_recv,
	.poll_fd = rp_poll_fd,
	.set_offloads = rp_set_offloads,
	.counters = rp_counters,
	.close = rp_close,
};

int relay_port_new(const char *id, unsigned pairs, const struct mem_region *memory,
		   struct relay_port **out, struct error *err)
{
	struct relay_port *port = calloc(1, sizeof(*port) + pairs * sizeof(port->pairs[0]));

	if (!port)
		return error_set(err, -ENOMEM, "%s: out of memory", id);
	port->hn = (struct hostnet){
		.ops = &relay_port_ops,
		.offloads_tx = ALL_OFFLOADS,
		.offloads_rx = ALL_OFFLOADS,
		.queues = pairs,
		.patient = true,
	};
	for (unsigned i = 0; i < pairs; i++) {
		struct mem_region part = *memory;

		part.size = driver_pair_bytes();
		part.gpa += i * part.size;
		part.hva += i * part.size;
		part.fd_offset += i * part.size;
		port->pairs[i].rings = driver_pair_new(&part, err);
		if (!port->pairs[i].rings) {
			rp_close(&port->hn);
			return error_prefix(err, err ? err->code : -ENOMEM, "%s", id);
		}
	}
	*out = port;
	return 0;
}

static int renew_pair(struct relay_port_pair *p, const struct plane_start *guest, unsigned index,
		      struct plane_queue *queues, struct error *err)
{
	const struct virtio_features *f = &guest->features;
	struct driver_pair_config config = {
		.packed = features_has(f, VIRTIO_F_RING_PACKED),
		.event_idx = features_has(f, VIRTIO_RING_F_EVENT_IDX),
		.in_order = features_has(f, VIRTIO_F_IN_ORDER),
		.mergeable = features_has(f, VIRTIO_NET_F_MRG_RXBUF),
	};
	int ret;

	for (unsigned i = 0; i < 2; i++) {
		const struct plane_queue *q = &guest->queues[2 * index + i];

		config.size[i] = MIN(q->enabled ? q->cfg.size : 2, DRIVER_PAIR_RING);
		queues[2 * index + i].enabled = q->enabled;
	}
	ret = driver_pair_renew(p->rings, &config, err);
	if (ret)
		return ret;
	for (unsigned i = 0; i < 2; i++) {
		queues[2 * index + i].cfg = *driver_pair_ring(p->rings, i);
		queues[2 * index + i].state = VRING_STATE_INIT;
		queues[2 * index + i].kick_fd = driver_pair_kick_fd(p->rings, i);
		queues[2 * index + i].call_fd = driver_pair_call_fd(p->rings);
	}
	p->used = queues[2 * index].enabled || queues[2 * index + 1].enabled;
	atomic_store(&p->last, false);
	atomic_store(&p->empty, !queues[2 * index].enabled);
	driver_pair_start(p->rings);
	return 0;
}

int relay_port_renew(struct relay_port *port, const struct plane_start *guest,
		     struct plane_queue *queues, struct error *err)
{
	for (unsigned i = 0; i < port->hn.queues; i++) {
		int ret = 0;

		port->pairs[i].used = false;
		if (2 * i + 1 < guest->nqueues)
			ret = renew_pair(&port->pairs[i], guest, i, queues, err);
		if (ret)
			return ret;
	}
	return 0;
}

unsigned relay_port_drain_sent(struct relay_port *port, unsigned msecs)
{
	uint64_t end = clock_ns() + msecs * NSEC_PER_MSEC;
	unsigned left;

	for (;;) {
		left = 0;
		for (unsigned i = 0; i < port->hn.queues; i++)
			if (port->pairs[i].used)
				left += driver_pair_unsent(port->pairs[i].rings);
		if (!left || clock_ns() >= end)
			return left;
		poll(NULL, 0, 1);
	}
}

void relay_port_drain_received(struct relay_port *port, unsigned n, unsigned msecs)
{
	uint64_t end = clock_ns() + msecs * NSEC_PER_MSEC;

	n = MIN(n, port->hn.queues);
	for (unsigned i = 0; i < n; i++) {
		atomic_store_explicit(&port->pairs[i].last, true, memory_order_release);
		eventfd_write(driver_pair_call_fd(port->pairs[i].rings), 1);
	}
	for (unsigned i = 0; i < n; i++)
		while (port->pairs[i].used &&
		       !atomic_load_explicit(&port->pairs[i].empty, memory_order_acquire) &&
		       clock_ns() < end)
			poll(NULL, 0, 1);
}

unsigned relay_port_discard(struct relay_port *port)
{
	struct net_offload off;
	unsigned n = 0;

	for (unsigned i = 0; i < port->hn.queues; i++)
		while (port->pairs[i].used &&
		       driver_pair_recv(port->pairs[i].rings, NULL, 0, &off) == -EMSGSIZE)
			n++;
	return n;
}
