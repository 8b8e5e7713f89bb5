/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SWITCH_LEAN_H
#define BENCH_SWITCH_LEAN_H

#include "mem/barrier.h"
#include "vring/vring.h"

/*
 * The lightest driver that a split ring can have: descriptor n is buffer n for ever, so the
 * descriptor table is written once, and to give a buffer to the device is to write its number into
 * the available ring. For a load that is not to be what is measured.
 */
struct lean {
	uint16_t *avail; /* flags, idx, ring */
	uint16_t *used;	 /* flags, idx, then pairs of 32 bits */
	uint16_t added, published, seen, known;
	uint16_t mask;
};

/** buffers at gpa, stride apart, of len bytes each. The ring's memory is zero. */
static inline void lean_start(struct lean *l, const struct vring_config *cfg,
			      const struct mem_table *table, uint64_t gpa, uint32_t stride,
			      uint32_t len, bool writable)
{
	uint64_t *desc = mem_translate(table, cfg->desc, vring_desc_bytes(cfg), MEM_WRITE);

	*l = (struct lean){
		.avail = mem_translate(table, cfg->driver, vring_driver_bytes(cfg), MEM_WRITE),
		.used = mem_translate(table, cfg->device, vring_device_bytes(cfg), MEM_WRITE),
		.mask = (uint16_t)(cfg->size - 1),
	};
	for (uint32_t i = 0; i < cfg->size; i++) {
		desc[2 * i] = gpa + (uint64_t)i * stride;
		desc[2 * i + 1] = len | (uint64_t)(writable ? 2 : 0) << 32;
	}
	l->avail[0] = 1; /* no calls */
}

/** Number and length of a buffer that came back. */
static inline bool lean_get(struct lean *l, unsigned *id, uint32_t *len)
{
	const uint32_t *elem;

	if (l->seen == l->known) {
		l->known = __atomic_load_n(&l->used[1], __ATOMIC_ACQUIRE);
		if (l->seen == l->known)
			return false;
	}
	elem = (const uint32_t *)(const void *)&l->used[2] + 2 * (l->seen++ & l->mask);
	*id = READ_ONCE(elem[0]) & l->mask;
	*len = READ_ONCE(elem[1]);
	return true;
}

static inline void lean_put(struct lean *l, unsigned id)
{
	WRITE_ONCE(l->avail[2 + (l->added++ & l->mask)], (uint16_t)id);
}

/** Returns whether a kick is wanted. */
static inline bool lean_publish(struct lean *l)
{
	if (l->added == l->published)
		return false;
	__atomic_store_n(&l->avail[1], l->added, __ATOMIC_RELEASE);
	l->published = l->added;
	full_barrier();
	return !(READ_ONCE(l->used[0]) & 1);
}

#endif
