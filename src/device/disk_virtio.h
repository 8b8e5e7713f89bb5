/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_DISK_VIRTIO_H
#define DEVICE_DISK_VIRTIO_H

#include "base/options.h"
#include "vring/features.h"

/** The options that virtio disk models have in common: queues, and what their rings can do. */
struct disk_virtio_options {
	unsigned queues, queue_size, seg_max, cpu_count;
	int cpus[64]; /* worker-cpus=, cpu_count of them */
	struct virtio_features features;
};

#define DISK_VIRTIO_QUEUES_MAX 64

#define DISK_VIRTIO_KEYS                                                                         \
	{"queues", "N", "request queues, each with a thread, 1 to 64 (1)"},                      \
		{"queue-size", "N", "descriptors of a queue, a power of two, 4 to 4096 (256)"},  \
		{"seg-max", "N", "data parts of a request, 1 to 1024 (126)"},                    \
		{"worker-cpus", "A+B+…", "CPUs that the queues' threads are bound to, in turn"}, \
		{"packed", "on|off", "packed virtqueues (off)"},                                 \
		{"indirect", "on|off", "indirect descriptors (on)"},                             \
		{"event-idx", "on|off", "EVENT_IDX notification suppression (on)"},              \
	{                                                                                        \
		"ring-reset", "on|off", "queues can be reset one by one (on)"                    \
	}

/** Reads them. 0, or -EINVAL or -ERANGE with err set. */
int disk_virtio_options(const struct options *opts, struct disk_virtio_options *out,
			struct error *err);

/** Sets feature bit in f as option key says, or as on where it does not. */
int disk_virtio_feature(const struct options *opts, const char *key, unsigned bit, bool on,
			struct virtio_features *f, struct error *err);

/** The CPU of queue's thread. */
int disk_virtio_cpu(const struct disk_virtio_options *o, unsigned queue);

#endif
