/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_PACKED_DRV_H
#define VRING_PACKED_DRV_H

#include "vring/drv.h"

/*
 * The driver side of a packed ring (virtio 1.2, 2.8). Its counterpart is split_drv.h.
 *
 * next[] links the free buffer ids. The first word of what was added since the last publication is
 * kept back: the device looks at heads in order, so it sees nothing before that one is written.
 */
static inline void packed_drv_start(struct vdrv *drv)
{
	for (uint32_t i = 0; i < drv->size; i++)
		drv->next[i] = (uint16_t)(i + 1);
}

static inline void packed_drv_put(struct vdrv *drv, uint64_t addr, uint32_t len, uint16_t id,
				  uint16_t flags)
{
	struct ring_desc *at = &drv->ring.desc[drv->avail];
	uint64_t meta = packed_meta(len, id, flags | packed_avail_flags(drv->avail_wrap));

	ring_store(&at->addr, addr);
	if (drv->added) {
		ring_store(&at->meta, meta);
	} else {
		drv->first = at;
		drv->first_meta = meta;
	}
	drv->added++;
	packed_advance(&drv->avail, &drv->avail_wrap, 1, drv->size);
}

static inline void packed_drv_table(const struct drv_add *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct ring_desc d = {a->sg[i].gpa,
				      packed_meta(a->sg[i].len, 0, i >= a->out_n ? DESC_WRITE : 0)};

		memcpy(&a->table[i], &d, sizeof(d));
	}
}

static inline uint16_t packed_drv_add(struct vdrv *drv, const struct drv_add *a)
{
	uint16_t id = drv->free_id;

	drv->free_id = drv->next[id];
	if (a->table) {
		packed_drv_table(a);
		packed_drv_put(drv, a->table_gpa, a->n * 16, id, DESC_INDIRECT);
		return id;
	}
	/* The id counts in the last descriptor only (2.8.6). */
	for (unsigned i = 0; i < a->n; i++)
		packed_drv_put(drv, a->sg[i].gpa, a->sg[i].len, i + 1 < a->n ? 0 : id,
			       drv_flags(a, i));
	return id;
}

static inline bool packed_drv_publish(struct vdrv *drv)
{
	uint32_t event;
	uint16_t flags;

	ring_release(&drv->first->meta, drv->first_meta);
	full_barrier(); /* the publication before the look at what the device asks for */
	event = ring_load((const uint32_t *)drv->ring.device);
	flags = event >> 16 & 3;
	if (flags == EVENT_DISABLE)
		return false;
	if (flags != EVENT_DESC || !drv->event_idx)
		return true;
	return packed_passed(event, drv->size, drv->avail, drv->avail_wrap, drv->added);
}

static inline bool packed_drv_has_used(const struct vdrv *drv)
{
	return packed_flags_match(ring_load(&drv->ring.desc[drv->used].meta),
				  packed_used_flags(drv->used_wrap));
}

/* Reads the used descriptor that is next: 1, 0 if there is none, -1 if there cannot be one. */
static inline int packed_drv_used(struct vdrv *drv, uint32_t *id, uint32_t *len)
{
	uint64_t meta = ring_acquire(&drv->ring.desc[drv->used].meta);
	struct desc d = desc_from_packed(0, meta);

	if (!packed_flags_match(meta, packed_used_flags(drv->used_wrap)))
		return 0;
	*id = d.link;
	*len = d.flags & DESC_WRITE ? d.len : 0; /* 2.8.2 */
	return 1;
}

static inline void packed_drv_release(struct vdrv *drv, uint16_t id)
{
	packed_advance(&drv->used, &drv->used_wrap, drv->bufs[id].slots, drv->size);
	drv->next[id] = drv->free_id;
	drv->free_id = id;
}

static inline void packed_drv_calls(struct vdrv *drv, bool on)
{
	uint32_t event = packed_event(0, false, on ? EVENT_ENABLE : EVENT_DISABLE);

	if (on && drv->event_idx)
		event = packed_event(drv->used, drv->used_wrap, EVENT_DESC);
	ring_store((uint32_t *)drv->ring.driver, event);
}

#endif
