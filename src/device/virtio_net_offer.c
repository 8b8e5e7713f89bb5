// SPDX-License-Identifier: Apache-2.0
/*
 * What the guest is offered, given where it is and where it may be moved to.
 *
 * A switch must not change what the guest has negotiated. So what it may negotiate is, besides the
 * NIC's own set and what the present plane can, limited to what the planes can that it may be moved
 * to: those that planes= names; or, where that is not given, those that this host has and that can
 * carry what was asked for by name (rss=on). A plane that lacks something asked for is then simply
 * not one of them.
 */
#include "device/virtio_net.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

bool virtio_net_plane_named(const char *planes, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = planes; at; at = strchr(at, '+'), at += at != NULL)
		if (!strncmp(at, name, len) && (!at[len] || at[len] == '+'))
			return true;
	return false;
}

int virtio_net_check_planes(const struct options *opts, const struct plane_ops *plane,
			    struct error *err)
{
	const char *text = options_get(opts, "planes"), *end;
	char name[32];

	if (!text)
		return 0;
	for (const char *at = text; at; at = *end ? end + 1 : NULL) {
		end = strchrnul(at, '+');
		snprintf(name, sizeof(name), "%.*s", (int)(end - at), at);
		if (strcmp(name, plane->name) != 0 && !plane_find(name))
			return error_set(err, -EINVAL, "planes=: there is no data plane \"%s\"",
					 name);
	}
	if (!virtio_net_plane_named(text, plane->name))
		return error_set(err, -EINVAL, "planes=: must contain \"%s\", which backend= uses",
				 plane->name);
	return 0;
}

/* Takes away what this plane, where the guest may be moved to, could not carry. */
static void allow_for(struct virtio_net *net, const struct plane_ops *plane,
		      const struct virtio_features *asked, struct virtio_features *f)
{
	struct virtio_features could;
	struct error err = {0};

	if (!plane->could || (plane->probe && plane->probe(&err)) || plane->could(&could, &err)) {
		if (net->planes)
			log_info("%s: planes=: %s cannot be had now: %s", net->nic.pci.id,
				 plane->name, err.text);
		return;
	}
	if (!net->planes && !features_within(asked, &could)) {
		log_debug("%s: what was asked for rules out a later move to %s", net->nic.pci.id,
			  plane->name);
		return;
	}
	features_and(f, &could);
}

/*
 * Pages for doorbells cost the guest address space, and what lies in them is of use only to who
 * gives others for them. But a NIC cannot get them later, when it is moved to one who does.
 */
int virtio_net_plan_doorbells(struct virtio_net *net, const struct options *opts, struct error *err)
{
	const char *text = options_get(opts, "doorbell-pages");

	net->vpci.page_doorbells = net->plane->doorbells;
	return text ? option_bool("doorbell-pages", text, &net->vpci.page_doorbells, err) : 0;
}

int virtio_net_doorbell(void *opaque, unsigned queue, void *page)
{
	struct virtio_net *net = opaque;
	const struct virtio_transport *transport = net->vdev.transport;

	if (!transport || !transport->queue_doorbell)
		return page ? -ENOTSUP : 0;
	return transport->queue_doorbell(&net->vdev, queue, page);
}

int virtio_net_plan_offer(struct virtio_net *net, const struct options *opts, struct error *err)
{
	struct virtio_features asked;
	int ret = virtio_net_own_features(opts, net->pairs > 1, &net->may_offer, &asked, err);

	if (ret)
		return ret;
	for (const struct plane_ops *const *plane = plane_table; *plane; plane++)
		if (*plane != net->plane->ops &&
		    (!net->planes || virtio_net_plane_named(net->planes, (*plane)->name)))
			allow_for(net, *plane, &asked, &net->may_offer);
	virtio_net_offer(net);
	return 0;
}

void virtio_net_offer(struct virtio_net *net)
{
	struct virtio_features f = net->may_offer, can = {0};

	net->plane->ops->features(net->plane, &can);
	features_and(&f, &can);
	features_set(&f, VIRTIO_F_VERSION_1, true);
	features_set(&f, VIRTIO_NET_F_MTU, net->mtu != 0);
	virtio_net_prune(&f);
	pthread_mutex_lock(&net->vdev.lock);
	net->vdev.offered = f;
	pthread_mutex_unlock(&net->vdev.lock);
}
