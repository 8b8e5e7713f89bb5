/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_planes.h"

#include "base/log.h"
#include "hostnet/netif_watch.h"
#include "hostnet/tap.h"
#include "mem/dirty_log.h"
#include "net/announce.h"
#include "vhost/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * backend=vhost-net: the host kernel moves the frames between the rings and a TAP.
 *
 * Theory of operation. Each queue pair has a descriptor of /dev/vhost-net, hence a thread of the
 * kernel, and the TAP queue of the same number. Nothing of this process is in the data path: kick
 * eventfds are read and call eventfds written by the kernel. What remains here is to keep the
 * kernel's memory table in step (a mem_listener that changes all descriptors or none) and to watch
 * each ring's error eventfd.
 *
 * The kernel looks at a ring when it is kicked, and a kick that came while a ring was at rest has
 * gone: so a ring is kicked once by us whenever it was set going.
 */
#define VHOST_NET_PATH "/dev/vhost-net"

struct vk_ring {
	struct vk_plane *p;
	unsigned index; /* as in the device */
	struct plane_queue q;
	bool set;   /* the kernel knows it */
	bool going; /* … and moves its frames */
	bool broken;
	struct loop_fd err;
};

struct vk_plane {
	struct plane plane;
	char id[32];
	uint8_t mac[6];
	struct hostnet *tap;
	struct netif_watch watch; /* of the TAP's interface */
	struct loop *loop;
	const struct plane_events *events;
	struct guest_mem *mem;
	struct mem_listener listener;
	unsigned busy_poll;
	bool started;
	bool link_up;
	uint64_t acked;
	struct netif_counters base; /* of the TAP, when it was opened */
	unsigned npairs;
	struct vhost_kernel *kernels; /* one a pair */
	struct vk_ring *rings;	      /* two a pair */
};

static struct vk_plane *to_vk(struct plane *plane)
{
	return container_of(plane, struct vk_plane, plane);
}

static struct vhost_kernel *kernel_of(struct vk_ring *r)
{
	return &r->p->kernels[r->index / 2];
}

static struct vhost_ring ring_args(const struct vk_ring *r)
{
	return (struct vhost_ring){
		.index = r->index % 2,
		.cfg = &r->q.cfg,
		.state = &r->q.state,
		.kick_fd = r->q.kick_fd,
		.call_fd = r->q.call_fd,
		.err_fd = r->err.fd,
	};
}

/* The kernel met something in the ring that cannot be; it says no more than that. */
static void vk_ring_error(struct loop_fd *watch, uint32_t events)
{
	struct vk_ring *r = watch->opaque;
	struct vk_plane *p = r->p;
	enum vring_fault fault;
	uint64_t n;

	if (read(watch->fd, &n, sizeof(n)) < 0 || !r->set || r->broken)
		return;
	r->broken = true;
	vhost_net_set_backend(kernel_of(r), r->index % 2, -1, NULL);
	r->going = false;
	fault = vhost_ring_diagnose(&r->q.cfg, &r->q.state, guest_mem_table(p->mem));
	log_warn_limited("%s: queue %u: the kernel's vhost reports an error: %s", p->id, r->index,
			 vring_fault_name(fault));
	if (p->events)
		p->events->queue_broken(p->events->opaque, r->index, fault);
}

/* Logging on or off in all descriptors, with the rings that they have. */
static int vk_set_logging(struct vk_plane *p, const struct mem_table *table, struct error *err)
{
	uint64_t features = p->acked | (table->dirty ? 1ULL << VHOST_F_LOG_ALL : 0);
	int rc = 0;

	for (unsigned i = 0; i < p->npairs && rc == 0; i++) {
		rc = vhost_kernel_set_log(&p->kernels[i], table, err);
		if (rc == 0 && p->started)
			rc = vhost_kernel_set_features(&p->kernels[i], features, err);
	}
	for (unsigned i = 0; i < 2 * p->npairs && rc == 0; i++) {
		struct vhost_ring args = ring_args(&p->rings[i]);

		if (p->rings[i].set)
			rc = vhost_kernel_set_addresses(kernel_of(&p->rings[i]), &args, table,
							false, err);
	}
	return rc;
}

static int vk_set_memory(struct vk_plane *p, const struct mem_table *table, bool logging,
			 struct error *err)
{
	for (unsigned i = 0; i < p->npairs; i++) {
		int rc = vhost_kernel_set_memory(&p->kernels[i], table, err);

		if (rc)
			return rc;
	}
	return logging ? vk_set_logging(p, table, err) : 0;
}

static int vk_mem_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct vk_plane *p = listener->opaque;
	bool logging = table->dirty || (old && old->dirty);
	int rc = vk_set_memory(p, table, logging, err);

	/* Whoever changed it takes the change back from those before us, we from the pairs. */
	if (rc && old)
		vk_set_memory(p, old, logging, NULL);
	return rc;
}

static void vk_free(struct vk_plane *p)
{
	for (unsigned i = 0; p->kernels && i < p->npairs; i++)
		vhost_kernel_close(&p->kernels[i]);
	for (unsigned i = 0; p->rings && i < 2 * p->npairs; i++) {
		loop_remove(p->loop, &p->rings[i].err);
		if (p->rings[i].err.fd >= 0)
			close(p->rings[i].err.fd);
	}
	netif_watch_stop(&p->watch);
	if (p->tap)
		hostnet_close(p->tap);
	free(p->kernels);
	free(p->rings);
	free(p);
}

static struct vk_plane *vk_alloc(const struct plane_params *params)
{
	struct vk_plane *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->plane.ops = &vhost_kernel_ops;
	snprintf(p->id, sizeof(p->id), "%s", params->id);
	memcpy(p->mac, params->mac, sizeof(p->mac));
	p->loop = params->loop;
	p->events = params->events;
	p->mem = params->mem;
	p->npairs = params->queue_pairs;
	p->kernels = calloc(p->npairs, sizeof(*p->kernels));
	p->rings = calloc(2 * (size_t)p->npairs, sizeof(*p->rings));
	for (unsigned i = 0; p->kernels && i < p->npairs; i++)
		p->kernels[i].fd = -1;
	for (unsigned i = 0; p->rings && i < 2 * p->npairs; i++)
		p->rings[i] = (struct vk_ring){
			.p = p,
			.index = i,
			.err = {.fd = -1, .fn = vk_ring_error, .opaque = &p->rings[i]},
		};
	if (p->kernels && p->rings)
		return p;
	vk_free(p);
	return NULL;
}

static int vk_open_kernels(struct vk_plane *p, struct error *err)
{
	for (unsigned i = 0; i < p->npairs; i++) {
		int rc = vhost_kernel_open(&p->kernels[i], VHOST_NET_PATH, 0, err);

		if (rc)
			return rc;
	}
	for (unsigned i = 0; i < 2 * p->npairs; i++) {
		struct loop_fd *watch = &p->rings[i].err;
		int rc;

		watch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rc = watch->fd < 0 ? -errno : loop_add(p->loop, watch, EPOLLIN);
		if (rc)
			return error_set(err, rc, "%s: cannot watch a ring: %s", p->id,
					 error_name(rc));
	}
	return 0;
}

static int vk_open_tap(struct vk_plane *p, const struct options *opts,
		       const struct plane_params *params, struct error *err)
{
	const struct hostnet_params hp = {
		.id = params->id,
		.queues = params->queue_pairs,
		.mtu = params->mtu,
		.mac = params->mac,
		.loop = params->loop,
	};
	int rc = 0;

	if (params->frames)
		p->tap = hostnet_share(params->frames);
	else
		rc = tap_ops.open(opts, &hp, &p->tap, err);
	if (rc)
		return rc;
	if (p->tap->queues < p->npairs)
		return error_set(err, -EINVAL, "%s: the TAP has %u queues, not %u", p->id,
				 p->tap->queues, p->npairs);
	if (!tap_has_header(p->tap))
		return error_set(err, -EINVAL,
				 "%s: the TAP given with fd= has no header before its frames: "
				 "open it with IFF_VNET_HDR",
				 p->id);
	p->plane.mtu = p->tap->mtu;
	p->plane.link_up = true;
	netif_counters(tap_ifname(p->tap), &p->base);
	return 0;
}

static void carrier_changed(void *opaque, bool up)
{
	struct vk_plane *p = opaque;

	p->plane.link_up = up;
	if (p->events)
		p->events->link_changed(p->events->opaque, up);
}

static int vk_open(const char *backend, const struct options *opts,
		   const struct plane_params *params, struct plane **out, struct error *err)
{
	const char *poll = options_get(opts, "busy-poll-us");
	struct vk_plane *p = vk_alloc(params);
	uint64_t usecs = 0;
	int rc;

	if (!p)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	rc = poll ? option_u64("busy-poll-us", poll, 0, 1000000, &usecs, err) : 0;
	p->busy_poll = (unsigned)usecs;
	if (rc == 0)
		rc = vk_open_kernels(p, err);
	if (rc == 0)
		rc = vk_open_tap(p, opts, params, err);
	if (rc)
		goto fail;
	p->listener = (struct mem_listener){
		.name = "vhost-net",
		.changed = vk_mem_changed,
		.opaque = p,
	};
	rc = guest_mem_listen(p->mem, &p->listener, err);
	if (rc)
		goto fail;
	if (netif_watch_start(&p->watch, p->loop, tap_ifname(p->tap), carrier_changed, p) == 0)
		p->plane.link_up = p->watch.up;
	*out = &p->plane;
	return 0;
fail:
	vk_free(p);
	return error_prefix(err, rc, "backend=vhost-net");
}

static void vk_close(struct plane *plane)
{
	struct vk_plane *p = to_vk(plane);

	guest_mem_unlisten(p->mem, &p->listener);
	vk_free(p);
}

static void vk_features(struct plane *plane, struct virtio_features *out)
{
	struct vk_plane *p = to_vk(plane);

	*out = (struct virtio_features){{p->kernels[0].features & VHOST_RING_FEATURES}};
	vhost_nic_features(out);
	vhost_offload_features(out, p->tap->offloads_tx, p->tap->offloads_rx);
	features_set(out, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, true);
	features_set(out, VIRTIO_NET_F_MRG_RXBUF,
		     p->kernels[0].features >> VIRTIO_NET_F_MRG_RXBUF & 1);
	features_set(out, VIRTIO_NET_F_MQ, p->tap->ops->set_queues != NULL);
}

/* On a TAP that can do whatever a TAP of this kernel may. */
static int vk_could(struct virtio_features *out, struct error *err)
{
	struct vhost_kernel vk = {.fd = -1};
	int rc = vhost_kernel_open(&vk, VHOST_NET_PATH, 0, err);

	if (rc)
		return rc;
	*out = (struct virtio_features){
		{vk.features & (VHOST_RING_FEATURES | 1ULL << VIRTIO_NET_F_MRG_RXBUF)}};
	vhost_nic_features(out);
	vhost_offload_features(out, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO,
			       NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO);
	features_set(out, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, true);
	features_set(out, VIRTIO_NET_F_MQ, true);
	vhost_kernel_close(&vk);
	return 0;
}

/* Sets one ring going, or has the kernel finish with it. */
static int vk_ring_go(struct vk_ring *r, bool go, struct error *err)
{
	int fd = go ? tap_queue_fd(r->p->tap, r->index / 2) : -1;
	int rc;

	if (r->going == go)
		return 0;
	rc = vhost_net_set_backend(kernel_of(r), r->index % 2, fd, err);
	if (rc)
		return rc;
	r->going = go;
	if (go)
		eventfd_write(r->q.kick_fd, 1);
	return 0;
}

static int vk_ring_start(struct vk_ring *r, const struct plane_queue *q, struct error *err)
{
	struct vk_plane *p = r->p;
	struct vhost_ring args;
	int rc;

	r->q = *q;
	r->broken = false;
	args = ring_args(r);
	rc = vhost_kernel_set_ring(kernel_of(r), &args, guest_mem_table(p->mem), false, err);
	if (rc)
		return rc;
	r->set = true;
	if (p->busy_poll) {
		rc = vhost_kernel_set_busy_poll(kernel_of(r), args.index, p->busy_poll, err);
		if (rc)
			return rc;
	}
	return p->link_up ? vk_ring_go(r, true, err) : 0;
}

static void vk_ring_stop(struct vk_ring *r, struct plane_queue *q)
{
	struct vhost_ring args = ring_args(r);
	struct vring_state state;

	if (!r->set)
		return;
	vk_ring_go(r, false, NULL);
	if (vhost_kernel_get_base(kernel_of(r), &args, guest_mem_table(r->p->mem), &state))
		log_warn("%s: queue %u: the kernel left its ring in a state that cannot be",
			 r->p->id, r->index);
	vhost_kernel_clear_ring(kernel_of(r), args.index);
	r->set = false;
	if (q)
		q->state = state;
	/* What had been reported up to now belongs to the ring as it was. */
	eventfd_read(r->err.fd, &(eventfd_t){0});
}

static int vk_configure(struct plane *plane, const struct plane_net_config *config)
{
	struct vk_plane *p = to_vk(plane);
	int rc = 0;

	if (config->rss.enabled)
		return -ENOTSUP;
	rc = p->tap->ops->set_offloads(p->tap, config->guest_offloads & p->tap->offloads_rx);
	if (rc == 0 && config->active_pairs)
		rc = p->tap->ops->set_queues(p->tap, MIN(config->active_pairs, p->npairs));
	if (rc == 0)
		rc = tap_set_filter(p->tap, &config->filter);
	p->link_up = config->link_up;
	for (unsigned i = 0; i < 2 * p->npairs && rc == 0; i++) {
		struct vk_ring *r = &p->rings[i];

		if (r->set && !r->broken)
			rc = vk_ring_go(r, p->link_up, NULL);
	}
	return rc;
}

static void vk_stop(struct plane *plane, struct plane_queue *queues, unsigned nqueues)
{
	struct vk_plane *p = to_vk(plane);

	for (unsigned i = 0; i < 2 * p->npairs; i++)
		vk_ring_stop(&p->rings[i], i < nqueues ? &queues[i] : NULL);
	tap_set_filter(p->tap, NULL);
	p->started = false;
}

static int vk_start(struct plane *plane, const struct plane_start *start, struct error *err)
{
	struct vk_plane *p = to_vk(plane);
	const struct mem_table *table = guest_mem_table(p->mem);
	uint64_t log = table->dirty ? 1ULL << VHOST_F_LOG_ALL : 0;
	struct virtio_features can;
	int rc;

	vk_features(plane, &can);
	rc = vhost_check_start(p->id, "the kernel's vhost", start, &can, 2 * p->npairs, err);
	if (rc)
		return rc;
	p->acked = start->features.w[0] & p->kernels[0].features;
	for (unsigned i = 0; i < p->npairs && rc == 0; i++)
		rc = vhost_kernel_set_features(&p->kernels[i], p->acked | log, err);
	if (rc)
		return rc;
	p->started = true;
	rc = vk_configure(plane, start->config);
	if (rc)
		error_set(err, rc, "%s: %s does not take the guest's settings: %s", p->id,
			  tap_ifname(p->tap), error_name(rc));
	for (unsigned i = 0; i < start->nqueues && rc == 0; i++)
		if (start->queues[i].enabled)
			rc = vk_ring_start(&p->rings[i], &start->queues[i], err);
	if (rc)
		vk_stop(plane, NULL, 0);
	return rc;
}

static int vk_queue_set(struct plane *plane, unsigned index, struct plane_queue *queue)
{
	struct vk_plane *p = to_vk(plane);
	struct error err;
	int rc;

	if (index >= 2 * p->npairs)
		return -EINVAL;
	vk_ring_stop(&p->rings[index], queue->enabled ? NULL : queue);
	if (!queue->enabled)
		return 0;
	rc = vk_ring_start(&p->rings[index], queue, &err);
	if (rc) {
		vk_ring_stop(&p->rings[index], NULL);
		log_warn("%s: queue %u: %s", p->id, index, err.text);
	}
	return rc;
}

/*
 * The kernel counts frames for the interface, not for its queues: the first pair stands for all.
 * What is dropped on the way to the guest is dropped because its TAP queue is full.
 */
static void vk_counters(struct plane *plane, unsigned queue, struct plane_queue_counters *out)
{
	struct vk_plane *p = to_vk(plane);
	struct netif_counters c;

	*out = (struct plane_queue_counters){0};
	if (queue > 1 || netif_counters(tap_ifname(p->tap), &c) < 0)
		return;
	if (queue == 1) {
		out->frames_in = out->frames_out = c.rx_frames - p->base.rx_frames;
		out->bytes_in = out->bytes_out = c.rx_bytes - p->base.rx_bytes;
		return;
	}
	out->frames_out = c.tx_frames - p->base.tx_frames;
	out->bytes_out = out->bytes_in = c.tx_bytes - p->base.tx_bytes;
	out->drops[PLANE_DROP_NO_RX_BUFFER] = c.tx_dropped - p->base.tx_dropped;
	out->frames_in = out->frames_out + out->drops[PLANE_DROP_NO_RX_BUFFER];
}

static void vk_attachment(struct plane *plane, char *out, size_t size)
{
	snprintf(out, size, "%s", tap_ifname(to_vk(plane)->tap));
}

static bool vk_attachment_counters(struct plane *plane, unsigned pair, struct hostnet_counters *out,
				   bool *whole)
{
	struct vk_plane *p = to_vk(plane);
	struct netif_counters c;

	*out = (struct hostnet_counters){0};
	*whole = true;
	if (pair > 0 || netif_counters(tap_ifname(p->tap), &c) < 0)
		return false;
	out->tx_frames = c.rx_frames - p->base.rx_frames;
	out->tx_bytes = c.rx_bytes - p->base.rx_bytes;
	out->rx_frames = c.tx_frames - p->base.tx_frames;
	out->rx_bytes = c.tx_bytes - p->base.tx_bytes;
	out->rx_drops[HOSTNET_DROP_FULL] = c.tx_dropped - p->base.tx_dropped;
	out->drops[HOSTNET_DROP_FULL] = out->rx_drops[HOSTNET_DROP_FULL];
	return true;
}

static struct hostnet *vk_frames(struct plane *plane)
{
	return to_vk(plane)->tap;
}

static int vk_announce(struct plane *plane)
{
	struct vk_plane *p = to_vk(plane);
	uint8_t rarp[ETHER_MIN_LEN];
	struct iovec iov = {rarp, sizeof(rarp)};
	struct net_frame frame = {.iov = &iov, .niov = 1, .len = sizeof(rarp)};

	net_announce_rarp(rarp, p->mac);
	return p->tap->ops->send(p->tap, 0, &frame, 1) == 1 ? 0 : -EAGAIN;
}

static int vk_probe(struct error *err)
{
	int rc = vhost_kernel_probe(VHOST_NET_PATH, err);

	return rc ? rc : tap_ops.probe(err);
}

static bool vk_serves(const char *backend)
{
	return !strcmp(backend, "vhost-net");
}

static const struct option_key vk_keys[] = {
	{"ifname", "NAME", "the TAP interface; made if it is not there (default: a new tapN)"},
	{"bridge", "NAME", "the bridge to make it a port of"},
	{"fd", "N[+N…]", "open TAP descriptors, one a queue pair, instead of ifname="},
	{"busy-poll-us", "N", "microseconds the kernel polls before it sleeps (default: 0)"},
	{NULL},
};

const struct plane_ops vhost_kernel_ops = {
	.name = "vhost-net",
	.help = "the host kernel, on a TAP",
	.keys = vk_keys,
	.serves = vk_serves,
	.probe = vk_probe,
	.open = vk_open,
	.features = vk_features,
	.could = vk_could,
	.start = vk_start,
	.stop = vk_stop,
	.configure = vk_configure,
	.queue_set = vk_queue_set,
	.counters = vk_counters,
	.unknown = "the kernel counts for the interface, not for each queue, and neither kicks nor "
		   "calls",
	.attachment = vk_attachment,
	.attachment_counters = vk_attachment_counters,
	.announce = vk_announce,
	.frames = vk_frames,
	.close = vk_close,
};
