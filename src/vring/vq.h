/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_VQ_H
#define VRING_VQ_H

#include "vring/device.h"
#include "vring/layout.h"

/*
 * The device side's own state. Private to vring/; see device.c.
 *
 * "Slots" below are what the ring counts in: descriptors of a packed ring, entries of a split
 * ring's available and used rings (where every chain takes one).
 */
struct vq {
	struct ring_parts ring;
	uint32_t size;
	bool dead; /* not started, or broken */
	bool packed;
	bool event_idx;
	bool indirect;
	bool in_order;
	bool kicks_off;

	const struct mem_table *table;
	const struct mem_region *hit; /* of table: where the last address was found */

	/* Positions: split, free-running 16 bits; packed, slot numbers with wrap counters. */
	uint16_t avail; /* next to pop */
	uint16_t used;	/* next to push */
	bool avail_wrap;
	bool used_wrap;
	uint16_t avail_seen; /* split: the driver's index when it was last read */

	uint32_t busy; /* slots from what is published to avail: taken, and not yet given back */
	uint32_t inflight;  /* of those, taken since the start */
	uint32_t pending;   /* slots written to the used ring, not yet published */
	uint32_t undecided; /* slots published since vq_should_call() last decided */
	bool call_unknown;  /* what was decided last is not known: started from a state */

	/* Packed: the first pending entry, written last. */
	struct ring_desc *first;
	uint64_t first_meta;

	/* IN_ORDER: the last chain pushed, which the next may stand for too. */
	uint32_t held_slots; /* 0: none */
	uint32_t held_len;
	uint32_t held_in_len;
	uint16_t held_id;

	enum vring_fault fault;
	struct vq_miss miss;
	struct vq_track *track; /* NULL: nobody asked */
	struct vring_config cfg;
} __cacheline_al;

/* track.c; only while vq->track is set. */
void track_taken(struct vq *vq, const struct vq_buf *bufs, unsigned n, uint16_t from);
void track_position(struct vq *vq);
void track_publishing(struct vq *vq);
void track_published(struct vq *vq);
void track_stopped(struct vq *vq);

/* device.c: as if the n slots up to the available position had been popped. */
void vq_adopt(struct vq *vq, uint32_t slots);

#endif
