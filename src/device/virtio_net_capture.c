// SPDX-License-Identifier: Apache-2.0
/*
 * Captures of a virtio-net: its plane records what it moves. Where the plane sees no frames, because
 * others move them, the NIC moves to this process's workers on the same attachment point for as long
 * as the capture runs, and back: of vhost-net they take over the TAP, and before any other plane
 * comes a relay (dataplane/relay.h).
 */
#include "device/virtio_net.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "dataplane/relay.h"
#include "net/capture.h"

static struct virtio_net *net_of(struct nic *nic)
{
	return container_of(nic, struct virtio_net, nic);
}

static bool knows(const struct option_key *keys, const char *name)
{
	for (; keys && keys->name; keys++)
		if (!strcmp(keys->name, name))
			return true;
	return false;
}

/* A descriptor that was given is ours by now, and a name stands for it: so fd= is not kept. */
int virtio_net_keep_options(struct virtio_net *net, const struct options *opts)
{
	struct options kept = {0};

	for (unsigned i = 0; i < opts->count; i++) {
		const struct option_entry *e = &opts->entries[i];

		if (knows(net->plane->ops->keys, e->key) && strcmp(e->key, "fd") != 0 &&
		    options_set(&kept, e->key, e->value)) {
			options_free(&kept);
			return -ENOMEM;
		}
	}
	options_free(&net->kept);
	net->kept = kept;
	return 0;
}

/* To workers on the same interface. */
static int move_here(struct virtio_net *net, struct error *err)
{
	struct options opts = {0};
	struct nic_switch result;
	struct nic_state state;
	int ret;

	virtio_net_state(&net->nic, &state);
	if (options_set(&opts, "ifname", state.attachment))
		ret = error_set(err, -ENOMEM, "%s: out of memory", net->nic.pci.id);
	else
		ret = virtio_net_move(net, "tap", &opts, &result, err);
	options_free(&opts);
	return ret;
}

static int relay(struct virtio_net *net, struct error *err)
{
	struct plane_params params = virtio_net_plane_params(net);
	struct plane *relay, *behind = net->plane;
	uint64_t begin = clock_ns();
	int ret = plane_relay_open(behind, &params, &relay, err);

	if (ret)
		return error_prefix(err, ret, "cannot capture");
	ret = virtio_net_move_to(net, relay, clock_ns() - begin, err);
	if (ret && net->plane == behind)
		plane_relay_leave(relay);
	return ret;
}

/*
 * A back-end that goes away in the middle makes the first attempt fail, and is waited for by the
 * second.
 */
static int end_relay(struct virtio_net *net, struct plane *behind, struct error *err)
{
	struct plane *relay = net->plane;
	int ret = virtio_net_move_to(net, behind, 0, err);

	if (ret)
		ret = virtio_net_move_to(net, behind, 0, err);
	if (ret == 0)
		plane_relay_leave(relay);
	return ret;
}

static int move_back(struct virtio_net *net, struct error *err)
{
	struct plane *behind = plane_relay_behind(net->plane);
	struct options opts = net->captured_on;
	struct nic_switch result;
	int ret = behind ? end_relay(net, behind, err)
			 : virtio_net_move(net, "vhost-net", &opts, &result, err);

	options_free(&net->captured_on);
	net->capture_moved = false;
	return ret;
}

static int begin(struct virtio_net *net, struct error *err)
{
	struct options kept;
	int ret;

	if (net->plane->ops->capture) {
		/* A relay may be left from a capture that found no way back. */
		net->capture_moved = plane_relay_behind(net->plane);
		return 0;
	}
	if (strcmp(net->backend, "vhost-net") != 0) {
		ret = relay(net, err);
		net->capture_moved = ret == 0;
		return ret;
	}
	kept = net->kept;
	net->kept = (struct options){0};
	ret = move_here(net, err);
	if (ret) {
		net->kept = kept;
		return ret;
	}
	net->captured_on = kept;
	net->capture_moved = true;
	return 0;
}

int virtio_net_capture_start(struct nic *nic, const struct nic_capture *what, struct error *err)
{
	struct virtio_net *net = net_of(nic);
	const struct capture_params params = {
		.path = what->path,
		.fd = what->fd,
		.name = nic->pci.id,
		.snaplen = what->snaplen,
		.lanes = net->pairs,
	};
	struct capture *capture;
	int ret;

	if (net->capture || net->switching) {
		if (!what->path && what->fd >= 0)
			close(what->fd);
		return error_set(err, -EBUSY, "%s: %s", nic->pci.id,
				 net->capture ? "a capture is running: end it first"
					      : "a switch is under way");
	}
	ret = capture_start(&params, &capture, err);
	if (ret)
		return ret;
	ret = begin(net, err);
	if (!ret)
		ret = net->plane->ops->capture(net->plane, capture);
	if (ret) {
		capture_stop(capture);
		return ret;
	}
	net->capture = capture;
	return 0;
}

void virtio_net_capture_stats(struct nic *nic, struct nic_capture_stats *stats)
{
	struct virtio_net *net = net_of(nic);

	if (!net->capture)
		return;
	capture_counters(net->capture, &stats->packets, &stats->lost);
	stats->moved = net->capture_moved;
}

int virtio_net_capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err)
{
	struct virtio_net *net = net_of(nic);
	struct capture *capture = net->capture;
	int ret, ret2 = 0;

	if (!capture)
		return error_set(err, -ENOENT, "%s: no capture is running", nic->pci.id);
	net->plane->ops->capture(net->plane, NULL);
	net->capture = NULL;
	if (net->capture_moved) {
		stats->moved = true;
		ret2 = move_back(net, err);
	}
	capture_counters(capture, &stats->packets, &stats->lost);
	ret = capture_stop(capture);
	if (ret)
		return error_set(err, ret, "%s: the capture is not complete: %s", nic->pci.id,
				 error_name(ret));
	return ret2;
}

void virtio_net_capture_fini(struct virtio_net *net)
{
	if (net->capture) {
		net->plane->ops->capture(net->plane, NULL);
		capture_stop(net->capture);
		net->capture = NULL;
	}
	options_free(&net->captured_on);
	options_free(&net->kept);
}
