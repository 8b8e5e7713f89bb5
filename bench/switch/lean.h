/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SWITCH_LEAN_H
#define BENCH_SWITCH_LEAN_H

#include "mem/barrier.h"
#include "vring/vring.h"

/*
 * The lightest driver that a ring can have, for a load that is not to be what is measured: buffer n
 * is always at the same place and one descriptor. On a split ring descriptor n is buffer n for
 * ever, the table is written once, and to give a buffer to the device is to write its number into
 * the available ring. On a packed ring it is to write one descriptor. Calls are off. The device
 * must not use buffers in order: it could be silent about some.
 */
struct lean {
	bool packed;
	uint16_t mask, size;

	uint16_t *avail; /* split: flags, idx, ring */
	uint16_t *used;	 /* flags, idx, then pairs of 32 bits */
	uint16_t added, published, seen, known;

	uint64_t *desc; /* packed: address; length, id << 32, flags << 48 */
	const uint32_t *device;
	uint64_t gpa;
	uint32_t stride, len;
	uint16_t put_at, get_at;
	uint64_t put_flags, get_flags; /* as they stand in a descriptor in this round */
	bool fresh;		       /* descriptors since the last publication */
};

#define LEAN_AVAIL (1ULL << (48 + 7))
#define LEAN_USED  (1ULL << (48 + 15))
#define LEAN_WRITE (1ULL << (48 + 1))

/** buffers at gpa, stride apart, of len bytes each. The ring's memory is zero. */
static inline void lean_start(struct lean *l, const struct vring_config *cfg,
			      const struct mem_table *table, uint64_t gpa, uint32_t stride,
			      uint32_t len, bool writable)
{
	uint64_t *desc = mem_translate(table, cfg->desc, vring_desc_bytes(cfg), MEM_WRITE);

	*l = (struct lean){
		.packed = cfg->packed,
		.mask = (uint16_t)(cfg->size - 1),
		.size = (uint16_t)cfg->size,
		.avail = mem_translate(table, cfg->driver, vring_driver_bytes(cfg), MEM_WRITE),
		.used = mem_translate(table, cfg->device, vring_device_bytes(cfg), MEM_WRITE),
		.desc = desc,
		.gpa = gpa,
		.stride = stride,
		.len = len,
		.put_flags = LEAN_AVAIL | (writable ? LEAN_WRITE : 0),
		.get_flags = LEAN_AVAIL | LEAN_USED,
	};
	if (cfg->packed) {
		l->device = (const uint32_t *)(const void *)l->used;
		l->avail[1] = 1; /* event suppression: no calls (virtio 1.2, 2.8.14) */
		return;
	}
	for (uint32_t i = 0; i < cfg->size; i++) {
		desc[2 * i] = gpa + (uint64_t)i * stride;
		desc[2 * i + 1] = len | (uint64_t)(writable ? 2 : 0) << 32;
	}
	l->avail[0] = 1; /* no calls */
}

static inline bool lean_get_packed(struct lean *l, unsigned *id, uint32_t *len)
{
	uint64_t meta = __atomic_load_n(&l->desc[2 * l->get_at + 1], __ATOMIC_ACQUIRE);

	if ((meta & (LEAN_AVAIL | LEAN_USED)) != l->get_flags)
		return false;
	*id = (unsigned)(meta >> 32) & l->mask;
	*len = (uint32_t)meta;
	if (++l->get_at == l->size) {
		l->get_at = 0;
		l->get_flags ^= LEAN_AVAIL | LEAN_USED;
	}
	return true;
}

/** Number and length of a buffer that came back. */
static inline bool lean_get(struct lean *l, unsigned *id, uint32_t *len)
{
	const uint32_t *elem;

	if (l->packed)
		return lean_get_packed(l, id, len);
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
	uint64_t *d = &l->desc[2 * l->put_at];

	if (!l->packed) {
		WRITE_ONCE(l->avail[2 + (l->added & l->mask)], (uint16_t)id);
		l->added++;
		return;
	}
	d[0] = l->gpa + (uint64_t)id * l->stride;
	__atomic_store_n(&d[1], l->len | (uint64_t)id << 32 | l->put_flags, __ATOMIC_RELEASE);
	l->fresh = true;
	if (++l->put_at == l->size) {
		l->put_at = 0;
		l->put_flags ^= LEAN_AVAIL | LEAN_USED;
	}
}

/** Returns whether a kick is wanted. */
static inline bool lean_publish(struct lean *l)
{
	if (l->packed) {
		if (!l->fresh)
			return false;
		l->fresh = false;
		full_barrier();
		return (READ_ONCE(*l->device) >> 16 & 3) != 1;
	}
	if (l->added == l->published)
		return false;
	__atomic_store_n(&l->avail[1], l->added, __ATOMIC_RELEASE);
	l->published = l->added;
	full_barrier();
	return !(READ_ONCE(l->used[0]) & 1);
}

#endif
