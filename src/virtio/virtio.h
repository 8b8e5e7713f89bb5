/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include "base/loop.h"
#include "mem/guest_mem.h"
#include "vring/features.h"
#include "vring/vring.h"

#include <pthread.h>

/*
 * A virtio device as its driver sees it, whatever the transport: status, features, config space
 * and the queues' registers (virtio 1.2, 2 and 3.1). A device model embeds struct virtio_dev and
 * gives it ops; a transport (virtio/virtio_pci.h) turns register accesses into the calls of
 * virtio/transport.h.
 *
 * Threads and locks. vCPUs write registers; what these set off in the device (start, stop, reset,
 * queue start and stop) happens in the control thread, the one that created the device and runs
 * the main loop: all of virtio_ops is called there, without dev->lock, except for
 * check_features() and config_written(). dev->lock guards everything that the driver's registers
 * hold. Order: pci_dev.lock, then dev->lock, then the interrupt locks of bus/. See virtio.c for
 * how a vCPU waits.
 */
#define VIRTIO_CONFIG_MAX 256
#define VIRTIO_NO_VECTOR  0xffff

enum {
	VIRTIO_STATUS_ACKNOWLEDGE = 1,
	VIRTIO_STATUS_DRIVER = 2,
	VIRTIO_STATUS_DRIVER_OK = 4,
	VIRTIO_STATUS_FEATURES_OK = 8,
	VIRTIO_STATUS_NEEDS_RESET = 64,
	VIRTIO_STATUS_FAILED = 128,
};

struct virtio_queue {
	uint16_t size_max; /* what the device offers */
	uint16_t size;	   /* what the driver chose */
	uint16_t vector;   /* MSI-X, or VIRTIO_NO_VECTOR */
	bool enabled;	   /* by the driver: addresses and size are frozen then */
	bool active;	   /* the device was told so; control thread */
	bool resetting;	   /* queue_reset was written; the device has not let go of it yet */
	uint64_t desc, driver, device;
	struct vring_state state; /* where it stands while stopped; control thread */
	int kick_fd, call_fd;	  /* the device's, for life */
};

struct virtio_dev;

struct virtio_ops {
	/**
	 * Whether the device can work with the features the driver chose (all of them offered,
	 * VERSION_1 among them): their dependencies. 0, or -EINVAL with err set. From a vCPU's
	 * thread, with dev->lock held.
	 */
	int (*check_features)(const struct virtio_dev *dev, const struct virtio_features *acked,
			      struct error *err);

	/** The driver wrote config space (dev->config has it already). May be NULL. As above. */
	void (*config_written)(struct virtio_dev *dev, unsigned offset, unsigned len);

	/**
	 * DRIVER_OK, or going on after a pause: serve the queues that virtio_queue_config() gives,
	 * each from its state. On failure the device is left as it was.
	 */
	int (*start)(struct virtio_dev *dev, struct error *err);

	/** Stops serving; leaves in each queue's state where it stands. */
	void (*stop)(struct virtio_dev *dev);

	/** The driver enabled a queue, or resets one, while the device runs. -ENOTSUP: restart. */
	int (*queue_start)(struct virtio_dev *dev, unsigned index, struct error *err);
	int (*queue_stop)(struct virtio_dev *dev, unsigned index);

	/** Stopped already: forget all that the driver configured. May be NULL. */
	void (*reset)(struct virtio_dev *dev);

	/** Off the bus: release everything and free the device. */
	void (*destroy)(struct virtio_dev *dev);
};

/** What the core needs from a transport. Called with dev->lock held. */
struct virtio_transport {
	/** Tell the driver that config space or NEEDS_RESET changed. */
	void (*config_changed)(struct virtio_dev *dev);
	/**
	 * Without the lock, control thread: the driver's kicks of a queue go to this page of host
	 * memory from now on; NULL: to its kick_fd again, and then nobody writes to the page any
	 * more. 0, or a negative errno with nothing changed.
	 */
	int (*queue_doorbell)(struct virtio_dev *dev, unsigned index, void *page);
	/** Queue (or all: index == nqueues) is back to its reset state: forget its vector. */
	void (*queue_forgotten)(struct virtio_dev *dev, unsigned index);
};

struct virtio_dev {
	const char *id;
	uint16_t type; /* 1: network card, … */
	const struct virtio_ops *ops;
	const struct virtio_transport *transport; /* NULL until there is one */
	void *transport_data;
	struct loop *loop;
	struct guest_mem *mem;
	pthread_t control;
	pthread_mutex_t lock;

	struct virtio_features offered;
	struct virtio_features acked;
	uint8_t status;

	uint8_t config[VIRTIO_CONFIG_MAX];
	uint8_t config_writable[VIRTIO_CONFIG_MAX]; /* bits the driver may change */
	unsigned config_len;
	uint8_t generation;
	bool generation_seen; /* the driver looked at it since config last changed */

	unsigned nqueues;
	struct virtio_queue *queues;

	bool dma_allowed; /* the transport's: bus master */
	bool paused;
	bool running;	   /* between start and stop; written by the control thread */
	bool start_failed; /* until reset: do not try again */
	bool reset_wanted;
	bool in_work;

	/* vCPUs waiting for the control thread; see virtio.c. */
	pthread_cond_t settled;
	uint64_t asked, done;
	bool no_waiting;
	struct loop_fd work;
};

struct virtio_params {
	const char *id; /* kept */
	uint16_t type;
	const struct virtio_ops *ops;
	struct loop *loop;
	struct guest_mem *mem;
	unsigned nqueues;
	const uint16_t *queue_sizes; /* one a queue; each a power of two */
};

/**
 * Prepares a device. The caller then sets offered (ring features included; VERSION_1 is) and
 * config. 0 or negative errno.
 */
int virtio_init(struct virtio_dev *dev, const struct virtio_params *params, struct error *err);
/** Closes the eventfds. The device must be stopped: virtio_reset() first. Harmless when zeroed. */
void virtio_fini(struct virtio_dev *dev);

/** Whether the driver and the device agreed on it. Stable from FEATURES_OK to reset. */
static inline bool virtio_has(const struct virtio_dev *dev, unsigned bit)
{
	return features_has(&dev->acked, bit);
}

/** A queue as the driver set it up. Returns whether it is to be served. For ops. */
bool virtio_queue_config(struct virtio_dev *dev, unsigned index, struct vring_config *cfg);

/** Changes len bytes of config space and tells the driver, if that is a change. Any thread. */
void virtio_config_update(struct virtio_dev *dev, unsigned offset, const void *data, unsigned len);

/** The device cannot go on without a reset: sets NEEDS_RESET and tells the driver. Any thread. */
void virtio_needs_reset(struct virtio_dev *dev);

/** Stops (and later goes on with) the data path without the driver noticing. Control thread. */
void virtio_pause(struct virtio_dev *dev, bool paused);

/** A reset as the machine's: complete on return. Control thread. */
void virtio_reset(struct virtio_dev *dev);

#endif
