/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_DRV_H
#define VRING_DRV_H

#include "mem/barrier.h"
#include "vring/driver.h"
#include "vring/layout.h"

/* The driver side's own state. Private to vring/; see driver.c. */

/* A buffer that is out with the device, by its id: split, its head; packed, its buffer id. */
struct drv_buf {
	void *cookie;
	uint32_t in_len;
	uint32_t seq;	/* count of buffers added before it */
	uint16_t slots; /* descriptors of the ring it takes */
	bool out;
};

/* One buffer to be added: the caller's arguments. */
struct drv_add {
	const struct vdrv_sg *sg;
	unsigned out_n;
	unsigned n;
	struct ring_desc *table; /* its indirect table, NULL if it has none */
	uint64_t table_gpa;
};

struct vdrv {
	struct ring_parts ring;
	uint32_t size;
	bool dead;
	bool packed;
	bool event_idx;
	bool indirect;
	bool in_order;

	/* Positions, as in struct vq: split, free-running; packed, slots with wrap counters. */
	uint16_t avail; /* next to add */
	uint16_t used;	/* next to look at */
	bool avail_wrap;
	bool used_wrap;
	uint16_t used_seen; /* split: the device's index when it was last read */

	uint32_t free;	/* descriptors */
	uint32_t added; /* split: buffers, packed: slots: since the last publication */

	/* Packed: the first word of what is not published, written last. */
	struct ring_desc *first;
	uint64_t first_meta;

	/* IN_ORDER: the used entry being taken apart, if batch. */
	bool batch;
	uint16_t batch_id;
	uint32_t batch_len;

	/* Buffers ever added, published and returned, modulo 2^32. */
	uint32_t seq_added;
	uint32_t seq_published;
	uint32_t seq_returned;

	uint16_t free_id;     /* first of a list: split, descriptors; packed, ids */
	uint16_t free_last;   /* its last one: split only */
	uint16_t *next;	      /* its links; split: also those of the chains that are out */
	uint16_t *order;      /* ids out in the order added, from order_first up to order_end */
	uint32_t order_first; /* (only IN_ORDER returns them so) */
	uint32_t order_end;
	struct drv_buf *bufs; /* by id */

	const struct mem_table *table;
	struct vring_config cfg;
	enum vring_fault fault;
} __cacheline_al;

/* The flags of part i, apart from what is the ring's own business. */
static inline uint16_t drv_flags(const struct drv_add *a, unsigned i)
{
	return (i >= a->out_n ? DESC_WRITE : 0) | (i + 1 < a->n ? DESC_NEXT : 0);
}

#endif
