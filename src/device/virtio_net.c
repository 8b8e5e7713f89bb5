// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net: the device between a virtio driver and a data plane.
 *
 * The NIC owns what the driver sees: registers, config space, the control queue, and the queues'
 * kick and call eventfds, which stay registered whatever the plane does. The plane owns the data
 * queues from start to stop, and gets the driver's wishes as one plane_net_config. All of this is
 * in the control thread, so nothing here has a lock of its own.
 *
 * The rings' state lives in the virtio core's queues while the device is stopped: start hands it
 * to the plane, stop takes it back, and so a pause or another plane goes on where this one was.
 */
#include "device/virtio_net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "bus/msix.h"

/*
 * Configuration.
 */

int virtio_net_configure(struct virtio_net *net, const struct plane_net_config *next)
{
	int ret = 0;

	if (net->plane_running)
		ret = net->plane->ops->configure(net->plane, next);
	if (ret) {
		log_warn_limited("%s: the data plane refused a setting: %s", net->nic.pci.id,
				 error_name(ret));
		return ret;
	}
	net->config = *next;
	return 0;
}

static bool link_is_up(const struct virtio_net *net)
{
	return net->admin_up && net->plane->link_up;
}

void virtio_net_update_status(struct virtio_net *net, bool announce)
{
	uint8_t status[2] = {0};

	if (link_is_up(net))
		status[0] |= VNET_STATUS_LINK_UP;
	pthread_mutex_lock(&net->vdev.lock);
	status[0] |= net->vdev.config[VNET_CONFIG_STATUS] & VNET_STATUS_ANNOUNCE;
	pthread_mutex_unlock(&net->vdev.lock);
	if (announce && virtio_has(&net->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE))
		status[0] |= VNET_STATUS_ANNOUNCE;
	virtio_config_update(&net->vdev, VNET_CONFIG_STATUS, status, sizeof(status));
}

void virtio_net_link_update(struct virtio_net *net, bool moved)
{
	struct plane_net_config next = net->config;
	bool was_up = net->config.link_up, up = link_is_up(net);

	next.link_up = up;
	if (up != was_up)
		(void)virtio_net_configure(net, &next);
	net->config.link_up = up;
	virtio_net_update_status(net, up && (moved || !was_up));
	if (up != was_up)
		nic_notify(&net->nic, NIC_EVENT_LINK, "the guest's link is %s", up ? "up" : "down");
}

/* What holds for a driver that has configured nothing yet. */
static void config_defaults(struct virtio_net *net)
{
	const struct virtio_dev *vdev = &net->vdev;

	net->config = (struct plane_net_config){.active_pairs = 1, .link_up = link_is_up(net)};
	rx_filter_init(&net->config.filter, net->mac);
	net->config.filter.vlan_filter = virtio_has(vdev, VIRTIO_NET_F_CTRL_VLAN);
	net->config.rss.hash_report = virtio_has(vdev, VIRTIO_NET_F_HASH_REPORT);
	net->config.guest_offloads =
		virtio_net_guest_offloads(virtio_net_offload_bits(&vdev->acked));
	net->configured = true;
}

/*
 * virtio_ops.
 */

/* Fills pq[index]; returns whether the driver enabled it. */
static bool plane_queue_fill(struct virtio_net *net, unsigned index)
{
	struct virtio_queue *q = &net->vdev.queues[index];
	struct plane_queue *pq = &net->pq[index];

	*pq = (struct plane_queue){.state = q->state, .kick_fd = q->kick_fd, .call_fd = q->call_fd};
	pq->enabled = index < virtio_net_ctrl_index(net) &&
		      virtio_queue_config(&net->vdev, index, &pq->cfg);
	return pq->enabled;
}

static void plane_stop(struct virtio_net *net)
{
	if (!net->plane_running)
		return;
	net->plane->ops->stop(net->plane, net->pq, 2 * net->pairs);
	net->plane_running = false;
	for (unsigned i = 0; i < 2 * net->pairs; i++)
		if (net->pq[i].enabled)
			net->vdev.queues[i].state = net->pq[i].state;
}

static int plane_start(struct virtio_net *net, struct error *err)
{
	struct plane_start start = {
		.features = net->vdev.acked,
		.queues = net->pq,
		.nqueues = 2 * net->pairs,
		.config = &net->config,
	};
	int ret;

	for (unsigned i = 0; i < 2 * net->pairs; i++)
		plane_queue_fill(net, i);
	ret = net->plane->ops->start(net->plane, &start, err);
	net->plane_running = !ret;
	return ret;
}

static int net_start(struct virtio_dev *vdev, struct error *err)
{
	struct virtio_net *net = virtio_net_of(vdev);
	int ret;

	if (!net->configured)
		config_defaults(net);
	ret = plane_start(net, err);
	if (ret)
		return ret;
	ret = virtio_net_ctrl_start(net, err);
	if (ret)
		plane_stop(net);
	return ret;
}

static void net_stop(struct virtio_dev *vdev)
{
	struct virtio_net *net = virtio_net_of(vdev);

	virtio_net_ctrl_stop(net);
	plane_stop(net);
}

static int net_queue_start(struct virtio_dev *vdev, unsigned index, struct error *err)
{
	struct virtio_net *net = virtio_net_of(vdev);
	int ret;

	if (index == virtio_net_ctrl_index(net))
		return virtio_net_ctrl_start(net, err);
	if (index > virtio_net_ctrl_index(net) || !plane_queue_fill(net, index))
		return 0;
	ret = net->plane->ops->queue_set(net->plane, index, &net->pq[index]);
	if (ret) /* the plane does not have it: nothing to take back at stop */
		net->pq[index].enabled = false;
	if (ret && ret != -ENOTSUP)
		error_set(err, ret, "the data plane cannot start it: %s", error_name(ret));
	return ret;
}

static int net_queue_stop(struct virtio_dev *vdev, unsigned index)
{
	struct virtio_net *net = virtio_net_of(vdev);
	int ret;

	if (index == virtio_net_ctrl_index(net)) {
		virtio_net_ctrl_stop(net);
		return 0;
	}
	if (index > virtio_net_ctrl_index(net))
		return 0;
	net->pq[index].enabled = false;
	ret = net->plane->ops->queue_set(net->plane, index, &net->pq[index]);
	net->pq[index].enabled = ret != 0;
	return ret;
}

static void net_reset(struct virtio_dev *vdev)
{
	struct virtio_net *net = virtio_net_of(vdev);

	net->configured = false;
	pthread_mutex_lock(&vdev->lock);
	memcpy(vdev->config + VNET_CONFIG_MAC, net->mac, 6);
	vdev->config[VNET_CONFIG_STATUS] &= (uint8_t)~VNET_STATUS_ANNOUNCE;
	pthread_mutex_unlock(&vdev->lock);
	/* The next driver meets the plane that is there now, which may be another. */
	virtio_net_offer(net);
}

static void net_destroy(struct virtio_dev *vdev)
{
	struct virtio_net *net = virtio_net_of(vdev);

	virtio_net_ctrl_fini(net);
	virtio_net_capture_fini(net);
	if (net->plane)
		net->plane->ops->close(net->plane);
	virtio_pci_fini(&net->vpci);
	virtio_fini(vdev);
	free(net->planes);
	free(net);
}

static const struct virtio_ops net_virtio_ops = {
	.check_features = virtio_net_check_features,
	.start = net_start,
	.stop = net_stop,
	.queue_start = net_queue_start,
	.queue_stop = net_queue_stop,
	.reset = net_reset,
	.destroy = net_destroy,
};

/*
 * What the plane tells.
 */

static void queue_broken(void *opaque, unsigned queue, enum vring_fault fault)
{
	struct virtio_net *net = opaque;

	if ((unsigned)fault < VRING_FAULT_COUNT)
		net->faults[fault]++;
	log_warn_limited("%s: queue %u is broken until the guest resets the device: %s",
			 net->nic.pci.id, queue, vring_fault_name(fault));
	virtio_needs_reset(&net->vdev);
	nic_notify(&net->nic, NIC_EVENT_QUEUE_BROKEN, "queue %u: %s", queue,
		   vring_fault_name(fault));
}

static void link_changed(void *opaque, bool up)
{
	struct virtio_net *net = opaque;

	net->plane->link_up = up;
	virtio_net_link_update(net, false);
}

static void backend_changed(void *opaque, bool there, const char *why)
{
	struct virtio_net *net = opaque;

	nic_notify(&net->nic, there ? NIC_EVENT_BACKEND_FOUND : NIC_EVENT_BACKEND_LOST, "%s", why);
}

/*
 * nic_ops.
 */

static int net_set_link(struct nic *nic, bool up)
{
	struct virtio_net *net = container_of(nic, struct virtio_net, nic);

	net->admin_up = up;
	virtio_net_link_update(net, false);
	return 0;
}

/*
 * Making one.
 */

struct net_options {
	uint64_t pairs, queue_size, speed;
};

static int read_number(const struct options *opts, const char *key, uint64_t min, uint64_t max,
		       uint64_t *out, struct error *err)
{
	const char *text = options_get(opts, key);

	return text ? option_u64(key, text, min, max, out, err) : 0;
}

static int read_options(const struct options *opts, struct net_options *o, struct error *err)
{
	int ret;

	*o = (struct net_options){1, VIRTIO_NET_QUEUE_SIZE, 10000};
	ret = read_number(opts, "queues", 1, VIRTIO_NET_PAIRS_MAX, &o->pairs, err);
	if (!ret)
		ret = read_number(opts, "queue-size", 16, VRING_SIZE_MAX, &o->queue_size, err);
	if (!ret)
		ret = read_number(opts, "speed", 1, INT32_MAX, &o->speed, err);
	if (!ret && !is_pow2(o->queue_size))
		ret = error_set(err, -EINVAL,
				"queue-size=%llu: not a power of two: use 128, 256, 512, …",
				(unsigned long long)o->queue_size);
	return ret;
}

static void fill_config(struct virtio_net *net, uint64_t speed)
{
	uint8_t *config = net->vdev.config;

	net->vdev.config_len = VNET_CONFIG_SIZE;
	memcpy(config + VNET_CONFIG_MAC, net->mac, 6);
	config[VNET_CONFIG_STATUS] = link_is_up(net) ? VNET_STATUS_LINK_UP : 0;
	store_le16(config + VNET_CONFIG_MAX_PAIRS, (uint16_t)net->pairs);
	store_le16(config + VNET_CONFIG_MTU, (uint16_t)net->mtu);
	store_le32(config + VNET_CONFIG_SPEED, (uint32_t)speed);
	config[VNET_CONFIG_DUPLEX] = 1; /* full */
	config[VNET_CONFIG_RSS_KEY] = RSS_KEY_MAX;
	store_le16(config + VNET_CONFIG_RSS_TABLE, RSS_TABLE_MAX);
	store_le32(config + VNET_CONFIG_HASH_TYPES, RSS_ALL);
}

static int make_virtio(struct virtio_net *net, const struct nic_params *params,
		       const struct net_options *o, struct error *err)
{
	uint16_t sizes[2 * VIRTIO_NET_PAIRS_MAX + 1];
	struct virtio_params vp = {
		.id = net->nic.pci.id,
		.type = VIRTIO_NET_TYPE,
		.ops = &net_virtio_ops,
		.loop = params->loop,
		.mem = params->mem,
		.nqueues = 2 * net->pairs + 1,
		.queue_sizes = sizes,
	};

	for (unsigned i = 0; i < 2 * net->pairs; i++)
		sizes[i] = (uint16_t)o->queue_size;
	sizes[2 * net->pairs] = VIRTIO_NET_CTRL_SIZE;
	return virtio_init(&net->vdev, &vp, err);
}

struct plane_params virtio_net_plane_params(struct virtio_net *net)
{
	return (struct plane_params){
		.id = net->nic.pci.id,
		.queue_pairs = net->pairs,
		.mtu = net->mtu,
		.mac = net->mac,
		.mem = net->vdev.mem,
		.loop = net->vdev.loop,
		.events = &net->events,
	};
}

static int open_one(struct virtio_net *net, const struct plane_ops *ops, const char *backend,
		    const struct nic_params *params, struct error *err)
{
	struct plane_params pp = virtio_net_plane_params(net);
	int ret = ops->probe ? ops->probe(err) : 0;

	pp.mtu = params->mtu;
	if (!ret)
		ret = ops->open(backend, params->opts, &pp, &net->plane, err);
	if (ret)
		return ret;
	snprintf(net->backend, sizeof(net->backend), "%s", backend);
	ret = virtio_net_keep_options(net, params->opts);
	return ret ? error_set(err, ret, "%s: out of memory", params->id) : 0;
}

/* Where the kernel refuses vhost, the same TAP can be served here, if that is permitted. */
static int open_plane(struct virtio_net *net, const struct plane_ops *ops,
		      const struct nic_params *params, struct error *err)
{
	const struct plane_ops *other = plane_for_backend("tap");
	struct error why = {0};
	int ret = open_one(net, ops, params->backend, params, &why);

	if (ret && strcmp(params->backend, "vhost-net") == 0 && ret != -EINVAL && ret != -ERANGE &&
	    virtio_net_plane_named(net->planes, other->name)) {
		log_warn("%s: %s; instead its frames are moved by %s, as planes= permits",
			 params->id, why.text, other->help);
		return open_one(net, other, "tap", params, err);
	}
	if (ret && err)
		*err = why;
	return ret;
}

int virtio_net_create_on(const struct plane_ops *plane, const struct nic_params *params,
			 struct nic **out, struct error *err)
{
	struct virtio_net *net = calloc(1, sizeof(*net));
	struct net_options o;
	int ret;

	if (!net)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	snprintf(net->nic.pci.id, sizeof(net->nic.pci.id), "%s", params->id);
	net->nic.pci.host = params->host;
	net->nic.nic_ops = &virtio_net_ops;
	net->admin_up = true;
	net->events = (struct plane_events){queue_broken, link_changed, backend_changed,
					    virtio_net_doorbell, net};
	memcpy(net->mac, params->mac, 6);
	ret = read_options(params->opts, &o, err);
	if (!ret)
		ret = virtio_net_check_planes(params->opts, plane, err);
	net->pairs = (unsigned)o.pairs;
	if (!ret && options_get(params->opts, "planes")) {
		net->planes = strdup(options_get(params->opts, "planes"));
		if (!net->planes)
			ret = error_set(err, -ENOMEM, "%s: out of memory", params->id);
	}
	if (!ret)
		ret = make_virtio(net, params, &o, err);
	if (!ret)
		ret = virtio_net_ctrl_init(net, err);
	if (!ret)
		ret = open_plane(net, plane, params, err);
	if (ret)
		goto fail;
	/* An MTU that the guest would assume anyway is not worth holding it to. */
	net->mtu = params->mtu ? params->mtu : net->plane->mtu == 1500 ? 0 : net->plane->mtu;
	config_defaults(net);
	net->configured = false;
	fill_config(net, o.speed);
	ret = virtio_net_plan_offer(net, params->opts, err);
	if (!ret)
		ret = virtio_net_plan_doorbells(net, params->opts, err);
	if (!ret)
		ret = virtio_pci_init(&net->vpci, &net->nic.pci, &net->vdev, VIRTIO_NET_CLASS, err);
	if (ret)
		goto fail;
	*out = &net->nic;
	return 0;
fail:
	net_destroy(&net->vdev);
	return ret;
}

static int net_create(const struct nic_params *params, struct nic **out, struct error *err)
{
	const struct plane_ops *plane = plane_for_backend(params->backend);

	if (!plane)
		return error_set(err, -EINVAL, "%s: virtio-net has no back-end \"%s\"", params->id,
				 params->backend);
	return virtio_net_create_on(plane, params, out, err);
}

const struct nic_ops virtio_net_ops = {
	.name = "virtio-net",
	.help = "paravirtualized: virtio 1.2 over PCI",
	.keys = virtio_net_keys,
	.create = net_create,
	.set_link = net_set_link,
	.counters = virtio_net_counters,
	.state = virtio_net_state,
	.hops = virtio_net_hops,
	.set_backend = virtio_net_set_backend,
	.capture_start = virtio_net_capture_start,
	.capture_stop = virtio_net_capture_stop,
	.capture_stats = virtio_net_capture_stats,
};
