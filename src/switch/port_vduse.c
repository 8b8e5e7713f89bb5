/* SPDX-License-Identifier: Apache-2.0 */
/* A vDPA device in software as a port: the host's own stack, or who opens /dev/vhost-vdpa-N. */
#include "switch/ring_features.h"
#include "switch/types.h"
#include "vhost/vduse.h"
#include "vring/features.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>

#define BIT(n) (1ULL << (n))

static const struct option_key keys[] = {
	{"name", "NAME", "the device's name on the vDPA bus (default: the port's)"},
	{"mac", "MAC", "the device's address (default: its driver makes one up)"},
	{"mtu", "BYTES", "tell the driver to use this MTU"},
	RING_FEATURES_KEYS,
	{NULL},
};

struct vduse_port {
	struct vduse *dev;
	char name[64];
};

static struct vduse_port *to_vduse(struct sw_port *port)
{
	return port->impl;
}

static void call(void *opaque)
{
	vduse_call(opaque);
}

static void attention(void *opaque)
{
	vduse_attention(opaque);
}

static int queue_start(void *opaque, struct vduse_queue *q, struct error *err)
{
	const struct sw_ring ring = {
		.vq = q->vq,
		.kick_fd = q->kick_fd,
		.opaque = q,
		.call = call,
		.attention = attention,
	};
	int ret = q->index ? sw_in_start(opaque, 0, &ring) : sw_out_start(opaque, 0, &ring);

	return ret ? error_set(err, ret, "%s", error_name(ret)) : 0;
}

static void queue_stop(void *opaque, struct vduse_queue *q)
{
	if (q->index)
		sw_in_stop(opaque, 0);
	else
		sw_out_stop(opaque, 0);
}

static void features(void *opaque, uint64_t agreed)
{
	ring_features_agreed(opaque, agreed);
}

static const struct vduse_ops vduse_ops = {
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.features = features,
};

/* It becomes the name of a file in /dev/vduse. */
static int take_name(struct sw_port *port, const struct options *opts, struct error *err)
{
	const char *name = options_get(opts, "name");
	struct vduse_port *v = to_vduse(port);
	size_t len;

	name = name ? name : port->id;
	len = strlen(name);
	if (!len || len >= sizeof(v->name) || *name == '.' || strchr(name, '/') ||
	    !strcmp(name, "control"))
		return error_set(err, -EINVAL, "name=%s: cannot be a device's name", name);
	memcpy(v->name, name, len + 1);
	return 0;
}

static int take_options(struct sw_port *port, const struct options *opts,
			struct vduse_params *params, struct error *err)
{
	const char *mac = options_get(opts, "mac"), *mtu = options_get(opts, "mtu");
	uint64_t bytes = 0;
	int ret = take_name(port, opts, err);

	params->features = vduse_features;
	if (!mac)
		params->features &= ~BIT(VIRTIO_NET_F_MAC);
	if (!mtu)
		params->features &= ~BIT(VIRTIO_NET_F_MTU);
	if (!ret && mac)
		ret = option_mac("mac", mac, params->mac, err);
	if (!ret && mtu)
		ret = option_u64("mtu", mtu, 68, 65535, &bytes, err);
	if (!ret)
		ret = ring_features_offered(opts, &params->features, err);
	params->mtu = (uint16_t)bytes;
	params->name = to_vduse(port)->name;
	return ret;
}

static int vduse_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	struct vduse_params params = {.loop = sw_port_loop(port),
				      .ops = &vduse_ops,
				      .opaque = port,
				      .inherit = port->inherit};
	struct vduse_port *v = calloc(1, sizeof(*v));
	int ret;

	if (!v || sw_port_pairs(port, 1)) {
		free(v);
		return error_set(err, -ENOMEM, "--port %s: out of memory", port->id);
	}
	port->impl = v;
	ret = take_options(port, opts, &params, err);
	if (!ret)
		ret = vduse_probe(err);
	if (!ret) {
		v->dev = vduse_create(&params, err);
		ret = v->dev ? 0 : err->code;
	}
	if (!ret)
		return 0;
	free(v);
	return error_prefix(err, ret, "--port %s", port->id);
}

static void vduse_close(struct sw_port *port)
{
	vduse_destroy(to_vduse(port)->dev);
	free(port->impl);
}

static void vduse_status(struct sw_port *port, char *text, size_t size)
{
	const struct vduse_port *v = to_vduse(port);
	struct vduse_info info;

	vduse_info(v->dev, &info);
	snprintf(text, size, "%s, %s, %u queues running", v->name,
		 info.status & VIRTIO_CONFIG_S_DRIVER ? "has a driver" : "no driver",
		 info.queues_running);
}

static int save(struct sw_port *port, struct parcel_out *p, struct error *err)
{
	vduse_save(to_vduse(port)->dev, p);
	return 0;
}

static void hold(struct sw_port *port)
{
	vduse_hold(to_vduse(port)->dev);
}

static void save_rings(struct sw_port *port, struct parcel_out *p)
{
	vduse_save_rings(to_vduse(port)->dev, p);
}

static int restore_rings(struct sw_port *port, struct parcel_in *p, struct error *err)
{
	return vduse_restore_rings(to_vduse(port)->dev, p, err);
}

static void resume(struct sw_port *port)
{
	vduse_resume(to_vduse(port)->dev);
}

const struct port_ops port_vduse = {
	.name = "vduse",
	.help = "a vDPA device: a NIC for the host itself, or behind /dev/vhost-vdpa-N",
	.keys = keys,
	.open = vduse_open,
	.close = vduse_close,
	.status = vduse_status,
	.heritable = true,
	.save = save,
	.hold = hold,
	.save_rings = save_rings,
	.restore_rings = restore_rings,
	.resume = resume,
};
