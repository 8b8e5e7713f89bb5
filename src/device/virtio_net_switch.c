// SPDX-License-Identifier: Apache-2.0
/*
 * Moving a virtio-net from one data plane to another while the guest runs.
 *
 * Theory of operation. The hard part is dataplane/handover.c's. Here is what the NIC must see to:
 *
 *  - All of this is in the control thread, and so are the driver's start, stop and reset
 *    (virtio.c). A guest that resets the device in the middle therefore waits, and its reset finds
 *    the new plane, or again the old one, as if the switch had come first. What the planes tell in
 *    between (link, broken queue) comes by way of the main loop, and finds net->plane set.
 *  - A device that the driver has not set going, or that is paused, changes planes without a ring
 *    being touched; its next start is on the new one.
 */
#include "device/virtio_net.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "dataplane/handover.h"

/* How long the main loop, and so the machine's other business, waits for a back-end to appear. */
#define PATIENCE_MS 1000

/*
 * What the new plane must be able to carry: what was agreed on; or, while a driver is at it, what
 * it was offered; or, without a driver, nothing, since it will be offered what there is then.
 */
static struct virtio_features needed(struct virtio_net *net)
{
	struct virtio_features need = {0};

	pthread_mutex_lock(&net->vdev.lock);
	if (net->vdev.status & VIRTIO_STATUS_FEATURES_OK)
		need = net->vdev.acked;
	else if (net->vdev.status)
		need = net->vdev.offered;
	pthread_mutex_unlock(&net->vdev.lock);
	return need;
}

static bool no_driver(struct virtio_net *net)
{
	bool none;

	pthread_mutex_lock(&net->vdev.lock);
	none = !net->vdev.status;
	pthread_mutex_unlock(&net->vdev.lock);
	return none;
}

static int check_permitted(struct virtio_net *net, const char *backend, struct error *err)
{
	const struct plane_ops *plane = plane_for_backend(backend);

	if (!net->planes || !plane || virtio_net_plane_named(net->planes, plane->name))
		return 0;
	return error_set(err, -EPERM,
			 "%s: planes=%s does not permit the move to %s: start with planes=%s+%s",
			 net->nic.pci.id, net->planes, plane->name, net->planes, plane->name);
}

/* The new plane has its own idea of the carrier and of the MTU. */
static void adopt(struct virtio_net *net, const struct plane_handover *ho)
{
	net->plane = ho->plane;
	net->plane_running = ho->start && !ho->stopped;
	if (!ho->stopped)
		return;
	for (unsigned i = 0; i < 2 * net->pairs; i++)
		if (net->pq[i].enabled)
			net->vdev.queues[i].state = net->pq[i].state;
	virtio_needs_reset(&net->vdev);
}

static void tell(struct virtio_net *net, const struct nic_state *from,
		 const struct nic_switch *result)
{
	uint64_t gap = result->stop_ns + result->start_ns;

	log_info("%s: from %s %s to %s %s: prepared in %llu us, then nobody moved frames for "
		 "%llu us (stop %llu us, start %llu us)%s",
		 net->nic.pci.id, from->plane, from->attachment, net->plane->ops->name,
		 net->backend, (unsigned long long)(result->prepare_ns / NSEC_PER_USEC),
		 (unsigned long long)(gap / NSEC_PER_USEC),
		 (unsigned long long)(result->stop_ns / NSEC_PER_USEC),
		 (unsigned long long)(result->start_ns / NSEC_PER_USEC),
		 result->moved ? "; the attachment point is another" : "");
	nic_notify(&net->nic, NIC_EVENT_SWITCHED, "from %s to %s, %llu us without a data plane",
		   from->plane, net->plane->ops->name, (unsigned long long)(gap / NSEC_PER_USEC));
}

/* What is the same of all moves: to a plane that is open, or to a back-end. */
static int move(struct virtio_net *net, struct plane *to, const char *backend,
		const struct options *opts, struct nic_switch *result, struct error *err)
{
	struct plane_params params = virtio_net_plane_params(net);
	struct plane_start start = {
		.features = net->vdev.acked,
		.queues = net->pq,
		.nqueues = 2 * net->pairs,
		.config = &net->config,
	};
	struct plane_handover ho = {
		.backend = backend,
		.opts = opts,
		.to = to,
		.params = &params,
		.need = needed(net),
		.start = net->plane_running ? &start : NULL,
		.plane = net->plane,
		.past = net->past,
	};
	int ret;

	params.patience_ms = PATIENCE_MS;
	net->switching = true;
	ret = plane_handover(&ho, err);
	net->switching = false;
	adopt(net, &ho);
	result->moved = ho.moved;
	result->stopped = ho.stopped;
	result->prepare_ns = ho.prepare_ns;
	result->stop_ns = ho.stop_ns;
	result->start_ns = ho.start_ns;
	return ret;
}

static void moved(struct virtio_net *net, const struct nic_state *from,
		  const struct nic_switch *result)
{
	if (no_driver(net))
		virtio_net_offer(net);
	virtio_net_link_update(net, result->moved);
	tell(net, from, result);
}

/* The move itself; also for a capture, which comes and goes by itself. */
int virtio_net_move(struct virtio_net *net, const char *backend, const struct options *opts,
		    struct nic_switch *result, struct error *err)
{
	struct nic_state from;
	int ret;

	virtio_net_state(&net->nic, &from);
	ret = move(net, NULL, backend, opts, result, err);
	if (ret)
		return ret;
	snprintf(net->backend, sizeof(net->backend), "%s", backend);
	if (virtio_net_keep_options(net, opts))
		log_warn("%s: out of memory: a capture will not find the way back",
			 net->nic.pci.id);
	moved(net, &from, result);
	return 0;
}

int virtio_net_move_to(struct virtio_net *net, struct plane *to, uint64_t prepare_ns,
		       struct error *err)
{
	struct nic_switch result;
	struct nic_state from;
	int ret;

	virtio_net_state(&net->nic, &from);
	ret = move(net, to, NULL, NULL, &result, err);
	result.prepare_ns += prepare_ns;
	if (ret == 0)
		moved(net, &from, &result);
	return ret;
}

int virtio_net_set_backend(struct nic *nic, const char *backend, const struct options *opts,
			   struct nic_switch *result, struct error *err)
{
	struct virtio_net *net = container_of(nic, struct virtio_net, nic);
	int ret;

	if (net->switching)
		return error_set(err, -EBUSY,
				 "%s: a switch is under way: try again when it is done",
				 nic->pci.id);
	if (net->capture)
		return error_set(err, -EBUSY, "%s: a capture is running: end it first",
				 nic->pci.id);
	if (plane_for_backend(backend) == net->plane->ops && net->plane->ops->is_at &&
	    net->plane->ops->is_at(net->plane, opts))
		return 0;
	ret = check_permitted(net, backend, err);
	return ret ? ret : virtio_net_move(net, backend, opts, result, err);
}
