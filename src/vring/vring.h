/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_VRING_H
#define VRING_VRING_H

#include "base/error.h"
#include "mem/guest_mem.h"

#include <sys/uio.h>

/*
 * Virtqueues (virtio 1.2, 2.6 to 2.8): what split and packed rings, device side and driver side,
 * have in common. The device side is in vring/device.h, the driver side in vring/driver.h.
 */

#define VRING_SIZE_MAX 32768

/** How a ring is laid out and what was negotiated for it. Addresses are guest-physical. */
struct vring_config {
	uint32_t size;	/* entries: a power of two up to 32768 if split, any 1..32768 if packed */
	bool packed;	/* VIRTIO_F_RING_PACKED */
	bool event_idx; /* VIRTIO_F_EVENT_IDX */
	bool indirect;	/* VIRTIO_F_INDIRECT_DESC */
	bool in_order;	/* VIRTIO_F_IN_ORDER */
	bool transmit;	/* device side: every part of a chain is to be read; see chain_indirect() */
	uint64_t desc;	/* descriptor table; packed: descriptor ring */
	uint64_t driver; /* available ring; packed: driver event suppression */
	uint64_t device; /* used ring; packed: device event suppression */
};

/**
 * Where a stopped ring stands, enough to start it again here or in another plane (vhost's
 * VRING_BASE, virtio 1.2's packed wrap counters). Split: avail_idx is the next available entry to
 * read, used_idx the next used entry to write (free-running 16 bit), wraps unused. Packed: both
 * are slot numbers below size, with their wrap counters. The state of a fresh ring is
 * VRING_STATE_INIT.
 */
struct vring_state {
	uint16_t avail_idx;
	uint16_t used_idx;
	bool avail_wrap;
	bool used_wrap;
};
#define VRING_STATE_INIT ((struct vring_state){0, 0, true, true})

/** Why a queue was declared broken. vring_fault_name() explains each in one line. */
enum vring_fault {
	VRING_OK,
	VRING_BAD_ADDRESS, /* a descriptor's range does not lie inside one memory region */
	VRING_BAD_RING,	   /* the ring itself does not lie inside guest memory or is misaligned */
	VRING_BAD_INDEX,   /* available index moved by more than the ring's size */
	VRING_BAD_HEAD,	   /* a head or next index is outside the table */
	VRING_CHAIN_LOOP,  /* a chain is longer than the ring (or has a loop) */
	VRING_CHAIN_TOO_LONG, /* a chain has more parts than the caller's bound */
	VRING_BAD_INDIRECT,   /* indirect table: not negotiated, nested, empty or of a wrong size */
	VRING_BAD_ORDER,      /* a readable descriptor follows a writable one */
	VRING_BAD_LENGTH,     /* the parts of a chain add up to 4 GiB or more */
	VRING_BAD_USED,	      /* driver side: the device returned an id that is not out */
	VRING_MISS,	      /* a translation is not known yet: no fault, see vq_miss() */
	VRING_FAULT_COUNT
};
const char *vring_fault_name(enum vring_fault fault);

/** Bytes needed for the three parts of a ring, for whoever allocates one. */
uint64_t vring_desc_bytes(const struct vring_config *cfg);
uint64_t vring_driver_bytes(const struct vring_config *cfg);
uint64_t vring_device_bytes(const struct vring_config *cfg);

/**
 * A split ring's used index as it stands in memory: for whoever is told only the available index
 * when it takes over a ring (vhost's VRING_BASE). 0, or -EFAULT when the ring is not in memory.
 */
int vring_used_idx(const struct vring_config *cfg, const struct mem_table *table, uint16_t *idx);

/** What anybody can see of a ring, whoever works on it. */
struct vring_view {
	uint32_t
		waiting; /* split: chains, packed: descriptors that are available and not yet used */
	bool indexes;	 /* the two below are known: split rings show them */
	uint16_t avail_idx, used_idx;
};

/** Looks at a ring that others are working on: a moment's picture. 0 or -EFAULT. */
int vring_look(const struct vring_config *cfg, const struct mem_table *table,
	       struct vring_view *view);

#endif
