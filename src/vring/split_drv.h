/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_SPLIT_DRV_H
#define VRING_SPLIT_DRV_H

#include "vring/drv.h"

/*
 * The driver side of a split ring (virtio 1.2, 2.7). Its counterpart is packed_drv.h.
 *
 * next[] links free descriptors into a list, and those of a buffer that is out into its chain;
 * what lies in shared memory is never read back. What comes back goes to the list's end, so that
 * descriptors of buffers added one after another lie beside each other: fewer lines for both sides. With IN_ORDER descriptors are taken in the order
 * of the table, around and around (2.7.5.1), and come back in that order, so the links never
 * change.
 */
static inline void split_drv_start(struct vdrv *drv)
{
	for (uint32_t i = 0; i < drv->size; i++)
		drv->next[i] = (uint16_t)((i + 1) & (drv->size - 1));
	drv->free_last = (uint16_t)(drv->size - 1);
}

static inline void split_drv_table(const struct drv_add *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct ring_desc d = {a->sg[i].gpa,
				      split_meta(a->sg[i].len, drv_flags(a, i), (uint16_t)(i + 1))};

		memcpy(&a->table[i], &d, sizeof(d));
	}
}

static inline uint16_t split_drv_add(struct vdrv *drv, const struct drv_add *a)
{
	struct split_avail *avail = drv->ring.driver;
	uint16_t head = drv->free_id, at = head;

	if (a->table) {
		split_drv_table(a);
		ring_store(&drv->ring.desc[at].addr, a->table_gpa);
		ring_store(&drv->ring.desc[at].meta, split_meta(a->n * 16, DESC_INDIRECT, 0));
		at = drv->next[at];
	} else {
		for (unsigned i = 0; i < a->n; i++) {
			uint16_t next = drv->next[at];

			ring_store(&drv->ring.desc[at].addr, a->sg[i].gpa);
			ring_store(&drv->ring.desc[at].meta,
				   split_meta(a->sg[i].len, drv_flags(a, i), next));
			at = next;
		}
	}
	drv->free_id = at;
	ring_store(&avail->ring[drv->avail & (drv->size - 1)], head);
	drv->avail++;
	drv->added++;
	return head;
}

static inline bool split_drv_publish(struct vdrv *drv)
{
	struct split_avail *avail = drv->ring.driver;
	const struct split_used *used = drv->ring.device;

	ring_release(&avail->idx, drv->avail);
	full_barrier(); /* the publication before the look at what the device asks for */
	if (!drv->event_idx)
		return !(ring_load(&used->flags) & USED_NO_NOTIFY);
	return ring_passed(ring_load((const uint16_t *)&used->ring[drv->size]), drv->avail,
			   (uint16_t)(drv->avail - drv->added));
}

/* Reads the used entry that is next: 1, 0 if there is none, -1 if there cannot be one. */
static inline int split_drv_used(struct vdrv *drv, uint32_t *id, uint32_t *len)
{
	const struct split_used *used = drv->ring.device;
	const struct split_used_elem *at = &used->ring[drv->used & (drv->size - 1)];

	if (drv->used == drv->used_seen) {
		uint16_t idx = ring_acquire(&used->idx);

		if ((uint16_t)(idx - drv->used) > drv->seq_published - drv->seq_returned)
			return -1;
		drv->used_seen = idx;
		if (idx == drv->used)
			return 0;
	}
	*id = ring_load(&at->id);
	*len = ring_load(&at->len);
	return 1;
}

static inline bool split_drv_has_used(const struct vdrv *drv)
{
	const struct split_used *used = drv->ring.device;

	return ring_load(&used->idx) != drv->used;
}

static inline void split_drv_release(struct vdrv *drv, uint16_t id)
{
	drv->used++;
	if (!drv->in_order) {
		uint16_t last = id;

		for (unsigned i = 1; i < drv->bufs[id].slots; i++)
			last = drv->next[last];
		if (drv->free)
			drv->next[drv->free_last] = id;
		else
			drv->free_id = id;
		drv->free_last = last;
	}
}

static inline void split_drv_calls(struct vdrv *drv, bool on)
{
	struct split_avail *avail = drv->ring.driver;

	if (!drv->event_idx)
		ring_store(&avail->flags, on ? 0 : AVAIL_NO_INTERRUPT);
	else if (on)
		ring_store(&avail->ring[drv->size], drv->used);
}

#endif
