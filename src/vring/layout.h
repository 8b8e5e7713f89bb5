/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_LAYOUT_H
#define VRING_LAYOUT_H

#include "vring/vring.h"

#include <assert.h>

/*
 * Rings as they lie in memory (virtio 1.2, 2.7 and 2.8), and the only ways to touch them. Private
 * to vring/.
 *
 * All fields are little-endian, as is every host this runs on. A descriptor of either kind is two
 * 64-bit words, and is read as such: one load each, into a private struct desc. What the other
 * side may be writing at the same time is accessed with the functions below and with nothing else.
 */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");

enum {
	DESC_NEXT = 1 << 0,
	DESC_WRITE = 1 << 1,
	DESC_INDIRECT = 1 << 2,
	DESC_AVAIL = 1 << 7, /* packed only */
	DESC_USED = 1 << 15, /* packed only */
};

/* Split: meta is len, flags << 32, next << 48. Packed: meta is len, id << 32, flags << 48. */
struct ring_desc {
	uint64_t addr;
	uint64_t meta;
};
static_assert(sizeof(struct ring_desc) == 16, "2.7.5, 2.8.13");

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t link; /* split: next; packed: buffer id */
};

static inline struct desc desc_from_split(uint64_t addr, uint64_t meta)
{
	return (struct desc){addr, (uint32_t)meta, (uint16_t)(meta >> 32), (uint16_t)(meta >> 48)};
}

static inline struct desc desc_from_packed(uint64_t addr, uint64_t meta)
{
	return (struct desc){addr, (uint32_t)meta, (uint16_t)(meta >> 48), (uint16_t)(meta >> 32)};
}

static inline uint64_t split_meta(uint32_t len, uint16_t flags, uint16_t next)
{
	return len | (uint64_t)flags << 32 | (uint64_t)next << 48;
}

static inline uint64_t packed_meta(uint32_t len, uint16_t id, uint16_t flags)
{
	return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* 2.7.6; used_event, for EVENT_IDX, is ring[size]. */
struct split_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

struct split_used_elem {
	uint32_t id;
	uint32_t len;
};

/* 2.7.8; avail_event, for EVENT_IDX, is the 16 bits at ring[size]. */
struct split_used {
	uint16_t flags;
	uint16_t idx;
	struct split_used_elem ring[];
};

/* 2.8.14: an event suppression structure as one word: slot, wrap << 15, flags << 16. */
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

static inline uint32_t packed_event(uint16_t slot, bool wrap, uint16_t flags)
{
	return slot | (uint32_t)wrap << 15 | (uint32_t)flags << 16;
}

/* Flags with which a packed slot is available, or used, in a round (2.8.1). */
static inline uint16_t packed_avail_flags(bool wrap)
{
	return wrap ? DESC_AVAIL : DESC_USED;
}

static inline uint16_t packed_used_flags(bool wrap)
{
	return wrap ? DESC_AVAIL | DESC_USED : 0;
}

static inline bool packed_flags_match(uint64_t meta, uint16_t flags)
{
	return ((meta >> 48) & (DESC_AVAIL | DESC_USED)) == flags;
}

/* Moves a position in a packed ring forward by at most a whole round. */
static inline void packed_advance(uint16_t *slot, bool *wrap, uint32_t by, uint32_t size)
{
	uint32_t to = *slot + by;

	if (to >= size) {
		to -= size;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)to;
}

/* And back. */
static inline void packed_retreat(uint16_t *slot, bool *wrap, uint32_t by, uint32_t size)
{
	if (by > *slot) {
		*slot = (uint16_t)(*slot + size - by);
		*wrap = !*wrap;
	} else {
		*slot = (uint16_t)(*slot - by);
	}
}

#define ring_load(p)	   __atomic_load_n(p, __ATOMIC_RELAXED)
#define ring_acquire(p)	   __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ring_store(p, v)   __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define ring_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* An indirect table need not be aligned (2.7.5.3 asks for nothing): still one load a word. */
struct ring_word {
	uint64_t v;
} __attribute__((packed, may_alias));

static inline uint64_t ring_load_unaligned(const void *p)
{
	return ((const volatile struct ring_word *)p)->v;
}

/*
 * Whether moving an index from old to new passed event (2.7.7.2, 2.7.10). All are free-running 16
 * bits, or slot numbers shifted so that they compare like it.
 */
static inline bool ring_passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* The same for a packed ring: `event` is the peer's word, `moved` slots led to (slot, wrap). */
static inline bool packed_passed(uint32_t event, uint32_t size, uint16_t slot, bool wrap,
				 uint32_t moved)
{
	uint16_t at = event & 0x7fff;

	if ((event >> 15 & 1) != wrap)
		at = (uint16_t)(at - size); /* it was in the round before */
	return ring_passed(at, slot, (uint16_t)(slot - moved));
}

/* A ring's three parts, mapped. */
struct ring_parts {
	struct ring_desc *desc;
	void *driver;
	void *device;
};

/* Checks size and alignment. 0 or -EINVAL. */
int ring_check(const struct vring_config *cfg, struct error *err);

/* Maps the parts for the device side (driver_side: for the driver's). 0 or -EFAULT. */
int ring_map(const struct vring_config *cfg, const struct mem_table *table, bool driver_side,
	     struct ring_parts *parts, struct error *err);

#endif
