// SPDX-License-Identifier: Apache-2.0
#include "device/disk_virtio.h"

#include <errno.h>
#include <stdio.h>

#include "base/thread.h"
#include "device/disk.h"

int disk_virtio_feature(const struct options *opts, const char *key, unsigned bit, bool on,
			struct virtio_features *f, struct error *err)
{
	const char *text = options_get(opts, key);
	int ret = text ? option_bool(key, text, &on, err) : 0;

	if (!ret)
		features_set(f, bit, on);
	return ret;
}

static int read_cpus(const char *text, struct disk_virtio_options *o, struct error *err)
{
	while (text && *text) {
		size_t len = strcspn(text, "+");
		char one[16];
		uint64_t cpu;
		int ret;

		snprintf(one, sizeof(one), "%.*s", (int)len, text);
		ret = option_u64("worker-cpus", one, 0, 4095, &cpu, err);
		if (ret)
			return ret;
		if (!thread_cpu_usable((int)cpu))
			return error_set(err, -EINVAL,
					 "worker-cpus: this process may not run on CPU %s", one);
		if (o->cpu_count == ARRAY_SIZE(o->cpus))
			return error_set(err, -EINVAL, "worker-cpus: more than %zu CPUs",
					 ARRAY_SIZE(o->cpus));
		o->cpus[o->cpu_count++] = (int)cpu;
		text += len + (text[len] == '+');
	}
	return 0;
}

int disk_virtio_options(const struct options *opts, struct disk_virtio_options *o,
			struct error *err)
{
	static const struct {
		const char *key;
		unsigned bit;
		bool on;
	} rings[] = {
		{"packed", VIRTIO_F_RING_PACKED, false},
		{"indirect", VIRTIO_RING_F_INDIRECT_DESC, true},
		{"event-idx", VIRTIO_RING_F_EVENT_IDX, true},
		{"ring-reset", VIRTIO_F_RING_RESET, true},
	};
	int ret;

	*o = (struct disk_virtio_options){.queues = 1, .queue_size = 256, .seg_max = 126};
	ret = disk_option(opts, "queues", 1, DISK_VIRTIO_QUEUES_MAX, &o->queues, err);
	if (!ret)
		ret = disk_option(opts, "queue-size", 4, 4096, &o->queue_size, err);
	if (!ret)
		ret = disk_option(opts, "seg-max", 1, 1024, &o->seg_max, err);
	if (!ret && !is_pow2(o->queue_size))
		ret = error_set(err, -EINVAL, "queue-size=%u: not a power of two: use 128, 256, …",
				o->queue_size);
	if (!ret)
		ret = read_cpus(options_get(opts, "worker-cpus"), o, err);
	for (unsigned i = 0; i < ARRAY_SIZE(rings) && !ret; i++)
		ret = disk_virtio_feature(opts, rings[i].key, rings[i].bit, rings[i].on,
					  &o->features, err);
	features_set(&o->features, VIRTIO_F_VERSION_1, true);
	/* Without indirect descriptors a request's parts must fit in the ring. */
	if (!ret && !features_has(&o->features, VIRTIO_RING_F_INDIRECT_DESC))
		o->seg_max = MIN(o->seg_max, o->queue_size - 2);
	return ret;
}

int disk_virtio_cpu(const struct disk_virtio_options *o, unsigned queue)
{
	return o->cpu_count ? o->cpus[queue % o->cpu_count] : THREAD_ANY_CPU;
}
