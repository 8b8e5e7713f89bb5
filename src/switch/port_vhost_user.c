/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user: the other end is a VMM with a guest, or a user-space driver. src/vhost/ holds the
 * conversation and says when a queue may be used; this hands the queue to the workers and takes it
 * back.
 */
#include "switch/port_state.h"
#include "switch/ring_features.h"
#include "switch/types.h"
#include "vhost/backend.h"
#include "vring/features.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BIT(n) (1ULL << (n))

static const struct option_key keys[] = {
	{"socket", "PATH", "the UNIX socket"},
	{"server", "on|off", "listen at it, instead of connecting to it (default off)"},
	{"queues", "PAIRS", "the most queue pairs (default 8)"},
	{"mtu", "BYTES", "tell the guest to use this MTU, and give it no larger frames"},
	RING_FEATURES_KEYS,
	{NULL},
};

struct vhost_port {
	struct vhost_backend *be;
	char path[128];
	bool server;
	unsigned mtu;	   /* mtu=; 0: none */
	unsigned told_mtu; /* by the front-end; 0: it said nothing */
	bool mtu_agreed;   /* VIRTIO_NET_F_MTU */
};

static struct vhost_port *to_vhost(struct sw_port *port)
{
	return port->impl;
}

static void call(void *opaque)
{
	vhost_backend_call(opaque);
}

static void attention(void *opaque)
{
	vhost_backend_attention(opaque);
}

static int queue_start(void *opaque, struct vhost_backend_queue *q, struct error *err)
{
	struct sw_port *port = opaque;
	unsigned pair = q->index / 2;
	const struct sw_ring ring = {
		.vq = q->vq,
		.kick_fd = q->kick_fd,
		.opaque = q,
		.call = call,
		.attention = attention,
	};
	int ret = sw_port_pairs(port, pair + 1);

	if (!ret && q->index % 2)
		ret = sw_in_start(port, pair, &ring);
	else if (!ret)
		ret = sw_out_start(port, pair, &ring);
	return ret ? error_set(err, ret, "queue %u: %s", q->index, error_name(ret)) : 0;
}

static void queue_stop(void *opaque, struct vhost_backend_queue *q)
{
	if (q->index % 2)
		sw_in_stop(opaque, q->index / 2);
	else
		sw_out_stop(opaque, q->index / 2);
}

/* 5.1.6.4.1: a guest that was told an MTU gets no larger frames. */
static void limit(struct sw_port *port)
{
	const struct vhost_port *v = to_vhost(port);

	sw_port_set_mtu(port, v->told_mtu ? v->told_mtu : v->mtu_agreed ? v->mtu : 0);
}

static void features(void *opaque, uint64_t agreed)
{
	struct vhost_port *v = to_vhost(opaque);

	ring_features_agreed(opaque, agreed);
	v->mtu_agreed = agreed & BIT(VIRTIO_NET_F_MTU);
	if (!agreed)
		v->told_mtu = 0;
	limit(opaque);
}

/* The front-end has told its guest an MTU: what is larger is nothing for that guest. */
static int mtu(void *opaque, uint16_t told)
{
	struct vhost_port *v = to_vhost(opaque);

	if (v->mtu && told > v->mtu)
		return -EINVAL;
	v->told_mtu = told;
	limit(opaque);
	return 0;
}

static void connection(void *opaque, bool connected, const char *why)
{
	struct vhost_port *v = to_vhost(opaque);

	v->told_mtu = 0;
	v->mtu_agreed = false;
	limit(opaque);
}

static void announce(void *opaque, const uint8_t mac[6])
{
	sw_port_announce(opaque, mac);
}

static unsigned save_state(void *opaque, struct device_state_address *list, unsigned max)
{
	return sw_port_save_addresses(opaque, list, max);
}

static void load_state(void *opaque, const struct device_state_address *list, unsigned n)
{
	sw_port_load_addresses(opaque, list, n);
}

static const struct vhost_backend_ops backend_ops = {
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.features = features,
	.connection = connection,
	.mtu = mtu,
	.announce = announce,
	.save_state = save_state,
	.load_state = load_state,
};

static int take_options(struct sw_port *port, const struct options *opts,
			struct vhost_backend_params *params, struct error *err)
{
	const char *path = options_get(opts, "socket"), *server = options_get(opts, "server");
	const char *queues = options_get(opts, "queues"), *at_most = options_get(opts, "mtu");
	struct vhost_port *v = to_vhost(port);
	uint64_t pairs = 8, bytes = 0;
	int ret = 0;

	if (!path || !*path)
		return error_set(err, -EINVAL, "--port %s: socket= is missing", port->id);
	/* The control queue is the front-end's, and tells us nothing of changed offloads. */
	params->features = vhost_backend_features & ~BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) &
			   ~BIT(VIRTIO_NET_F_MAC);
	if (!at_most)
		params->features &= ~BIT(VIRTIO_NET_F_MTU);
	if (server)
		ret = option_bool("server", server, &params->server, err);
	if (!ret && queues)
		ret = option_u64("queues", queues, 1, VHOST_BACKEND_PAIRS_MAX, &pairs, err);
	if (!ret && at_most)
		ret = option_u64("mtu", at_most, 68, 65535, &bytes, err);
	if (!ret)
		ret = ring_features_offered(opts, &params->features, err);
	if (ret)
		return error_prefix(err, ret, "--port %s", port->id);
	params->path = path;
	params->queue_pairs = (unsigned)pairs;
	params->mtu = (uint16_t)bytes;
	v->server = params->server;
	v->mtu = params->mtu;
	snprintf(v->path, sizeof(v->path), "%s", path);
	return 0;
}

static int vhost_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	struct vhost_backend_params params = {
		.name = port->id,
		.loop = sw_port_loop(port),
		.ops = &backend_ops,
		.opaque = port,
		.inherit = port->inherit,
	};
	struct vhost_port *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return error_set(err, -ENOMEM, "--port %s: out of memory", port->id);
	port->impl = v;
	ret = take_options(port, opts, &params, err);
	if (!ret) {
		v->be = vhost_backend_create(&params, err);
		ret = v->be ? 0 : err->code;
	}
	if (ret)
		free(v);
	return ret;
}

static void vhost_close(struct sw_port *port)
{
	vhost_backend_destroy(to_vhost(port)->be);
	free(port->impl);
}

static void vhost_status(struct sw_port *port, char *text, size_t size)
{
	const struct vhost_port *v = to_vhost(port);
	struct vhost_backend_info info;

	vhost_backend_info(v->be, &info);
	snprintf(text, size, "%s, %s, %u queues running", v->path,
		 info.connected ? "connected"
		 : v->server	? "listening"
				: "connecting",
		 info.queues_running);
}

static int vhost_save(struct sw_port *port, struct parcel_out *p, struct error *err)
{
	int ret = vhost_backend_can_save(to_vhost(port)->be, err);

	if (!ret)
		vhost_backend_save(to_vhost(port)->be, p);
	return ret;
}

static void vhost_hold(struct sw_port *port)
{
	vhost_backend_hold(to_vhost(port)->be);
}

static void vhost_save_rings(struct sw_port *port, struct parcel_out *p)
{
	vhost_backend_save_rings(to_vhost(port)->be, p);
}

static int vhost_restore_rings(struct sw_port *port, struct parcel_in *p, struct error *err)
{
	return vhost_backend_restore_rings(to_vhost(port)->be, p, err);
}

static void vhost_resume(struct sw_port *port)
{
	vhost_backend_resume(to_vhost(port)->be);
}

const struct port_ops port_vhost_user = {
	.name = "vhost-user",
	.help = "a guest's NIC, over a UNIX socket and shared memory",
	.keys = keys,
	.open = vhost_open,
	.close = vhost_close,
	.status = vhost_status,
	.heritable = true,
	.save = vhost_save,
	.hold = vhost_hold,
	.save_rings = vhost_save_rings,
	.restore_rings = vhost_restore_rings,
	.resume = vhost_resume,
};
