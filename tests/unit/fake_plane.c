// SPDX-License-Identifier: Apache-2.0
#include "fake_plane.h"

#include <errno.h>
#include <stdlib.h>

struct fake_plane fake_plane;

void fake_plane_reset(void)
{
	memset(&fake_plane, 0, sizeof(fake_plane));
	memset(&fake_plane.features, 0xff, sizeof(fake_plane.features));
	fake_plane.leave = VRING_STATE_INIT;
	fake_plane.mtu = 1500;
}

static bool fake_serves(const char *backend)
{
	return true;
}

static int fake_open(const char *backend, const struct options *opts,
		     const struct plane_params *params, struct plane **out, struct error *err)
{
	fake_plane.plane = (struct plane){&fake_plane_ops, fake_plane.mtu, true};
	fake_plane.events = params->events;
	fake_plane.pairs = params->queue_pairs;
	fake_plane.mem = params->mem;
	fake_plane.open = true;
	fake_plane.opens++;
	*out = &fake_plane.plane;
	return 0;
}

static void fake_features(struct plane *plane, struct virtio_features *out)
{
	*out = fake_plane.features;
}

static int fake_start(struct plane *plane, const struct plane_start *start, struct error *err)
{
	if (fake_plane.running)
		abort();
	fake_plane.starts++;
	if (fake_plane.lost_once) {
		fake_plane.lost_once = false;
		return error_set(err, -ENOTCONN, "the fake plane was told to fail once");
	}
	if (fake_plane.start_result)
		return error_set(err, fake_plane.start_result, "the fake plane was told to fail");
	fake_plane.running = true;
	fake_plane.acked = start->features;
	fake_plane.nqueues = start->nqueues;
	memcpy(fake_plane.queues, start->queues, start->nqueues * sizeof(*start->queues));
	fake_plane.config = *start->config;
	return 0;
}

static void fake_stop(struct plane *plane, struct plane_queue *queues, unsigned nqueues)
{
	if (!fake_plane.running)
		abort();
	fake_plane.stops++;
	fake_plane.running = false;
	if (fake_plane.break_at_stop)
		fake_plane.events->queue_broken(fake_plane.events->opaque, 1, VRING_BAD_INDEX);
	for (unsigned i = 0; i < nqueues; i++)
		queues[i].state = fake_plane.leave;
}

static int fake_configure(struct plane *plane, const struct plane_net_config *config)
{
	if (!fake_plane.running)
		abort();
	fake_plane.configures++;
	if (!fake_plane.configure_result)
		fake_plane.config = *config;
	return fake_plane.configure_result;
}

static int fake_queue_set(struct plane *plane, unsigned index, struct plane_queue *queue)
{
	if (!fake_plane.running)
		abort();
	fake_plane.queue_sets++;
	if (fake_plane.queue_result)
		return fake_plane.queue_result;
	if (fake_plane.queues[index].enabled == queue->enabled)
		abort();
	fake_plane.queues[index] = *queue;
	return 0;
}

static int fake_use_memory(struct plane *plane, struct guest_mem *mem, struct error *err)
{
	fake_plane.mem = mem;
	return fake_plane.memory_result
		       ? error_set(err, fake_plane.memory_result, "the fake plane has no room")
		       : 0;
}

static void fake_attachment(struct plane *plane, char *out, size_t size)
{
	*out = 0;
}

static void fake_counters(struct plane *plane, unsigned queue, struct plane_queue_counters *out)
{
	*out = (struct plane_queue_counters){.frames_in = 100 + queue};
}

static void fake_close(struct plane *plane)
{
	if (fake_plane.running)
		abort();
	fake_plane.open = false;
}

const struct plane_ops fake_plane_ops = {
	.name = "fake",
	.help = "records",
	.serves = fake_serves,
	.open = fake_open,
	.features = fake_features,
	.start = fake_start,
	.stop = fake_stop,
	.configure = fake_configure,
	.queue_set = fake_queue_set,
	.counters = fake_counters,
	.attachment = fake_attachment,
	.use_memory = fake_use_memory,
	.close = fake_close,
};
