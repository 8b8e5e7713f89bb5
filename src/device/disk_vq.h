/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_DISK_VQ_H
#define DEVICE_DISK_VQ_H

#include "block/block.h"
#include "device/disk.h"
#include "device/disk_worker.h"
#include "virtio/virtio.h"
#include "vring/device.h"

/*
 * A virtqueue whose chains are requests to storage, and the thread that serves it: what virtio-blk
 * and virtio-scsi have in common. Each chain taken from the ring has a slot until it is pushed
 * back, in which its parts, its block request and the model's own words about it live.
 */
struct disk_vq;

struct disk_slot {
	struct block_request req;
	struct vq_buf buf;
	struct iovec *own; /* data's iovec where the chain's own could not serve; freed with it */
	struct block_queue *io;
	uint8_t model[320]; /* the model's */
	struct disk_slot *next;
	struct iovec iov[];
};

struct disk_vq_ops {
	/** A chain was taken: ends with disk_vq_submit() or disk_vq_done(). */
	void (*handle)(struct disk_vq *q, struct disk_slot *slot);
	/** The block request is complete (slot->req.result): likewise. */
	void (*complete)(struct disk_vq *q, struct disk_slot *slot);
};

struct disk_vq {
	struct disk_worker worker; /* first */
	const struct disk_vq_ops *ops;
	struct virtio_dev *vdev;
	unsigned index; /* of the virtqueue */
	void *opaque;	/* the model's device */
	struct vq *vq;
	bool running; /* control thread, while parked; then the worker's to read */
	bool broken;
	int kick_fd, call_fd;
	struct block_queue **ios;
	unsigned nios;
	unsigned niov; /* of each slot */
	void *slots;
	struct disk_slot *free;
	unsigned pushed; /* not yet visible */
	unsigned in_flight;
	struct disk_counters c;
	struct mem_listener listener;
	bool listening;
} __cacheline_al;

struct disk_vq_params {
	const struct disk_vq_ops *ops;
	struct virtio_dev *vdev;
	unsigned index;	   /* of the virtqueue */
	unsigned worker;   /* number, for the thread's name */
	int cpu;	   /* THREAD_ANY_CPU */
	unsigned size;	   /* of the queue, at most */
	unsigned segments; /* data parts of a chain, at most */
	void *opaque;
};

/** Makes the queue's slots, block queues and thread; q is zeroed. Undone by disk_vq_fini(). */
int disk_vq_init(struct disk_vq *q, const struct disk_vq_params *params, struct error *err);
void disk_vq_fini(struct disk_vq *q);

/** Opens a queue to one more image, or closes it. The ring is not served meanwhile. */
int disk_vq_add_block(struct disk_vq *q, struct block *block, unsigned depth, struct error *err);
void disk_vq_drop_block(struct disk_vq *q, const struct block *block);

/** Control thread: begins to serve the ring, or stops, leaving its state in the device's queue. */
int disk_vq_start(struct disk_vq *q, struct error *err);
void disk_vq_stop(struct disk_vq *q);

/** Hands slot->req to slot->io; complete() follows. */
void disk_vq_submit(struct disk_vq *q, struct disk_slot *slot);
/** Gives the chain back to the driver with this many bytes written. */
void disk_vq_done(struct disk_vq *q, struct disk_slot *slot, uint32_t written);

/**
 * Makes len bytes from offset of the chain's readable (or writable) parts the data of slot->req.
 * False: out of memory. The bytes must be there.
 */
bool disk_vq_data(struct disk_slot *slot, bool writable, size_t offset, size_t len);

#endif
