/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_PACKED_DEV_H
#define VRING_PACKED_DEV_H

#include "vring/chain.h"

/* The device side of a packed ring (virtio 1.2, 2.8). Its counterpart is split_dev.h. */

static inline bool packed_available(const struct vq *vq)
{
	return packed_flags_match(ring_load(&vq->ring.desc[vq->avail].meta),
				  packed_avail_flags(vq->avail_wrap));
}

/*
 * The chain whose first descriptor's second word is meta, at the ring's available position, which
 * is moved past it. That word was acquired, and the driver writes it last, so the rest of the
 * chain is there (2.8.6). The buffer id is the last descriptor's.
 */
static inline enum vring_fault packed_chain(struct vq *vq, struct chain *c, uint64_t meta,
					    uint16_t *slot, bool *wrap, uint16_t *id,
					    uint32_t *slots)
{
	uint32_t room = vq->size - vq->busy;

	for (uint32_t seen = 1;; seen++) {
		const struct ring_desc *at = &vq->ring.desc[*slot];
		struct desc d = desc_from_packed(ring_load(&at->addr), meta);
		enum vring_fault fault;

		if (unlikely(seen > room))
			return seen > 1 ? VRING_CHAIN_LOOP : VRING_BAD_INDEX;
		packed_advance(slot, wrap, 1, vq->size);
		*id = d.link;
		*slots = seen;
		if (d.flags & DESC_INDIRECT) {
			/* It must be alone (2.8.7.1). */
			if (!vq->indirect || d.flags & DESC_NEXT || seen > 1)
				return VRING_BAD_INDIRECT;
			return chain_indirect(vq, c, &d, true);
		}
		fault = chain_part(vq, c, &d);
		if (unlikely(fault) || !(d.flags & DESC_NEXT))
			return fault;
		meta = ring_load(&vq->ring.desc[*slot].meta);
	}
}

static inline enum vring_fault packed_pop(struct vq *vq, struct vq_buf *bufs, unsigned max,
					  struct iovec *iov, unsigned room, unsigned *taken)
{
	const struct mem_region near = chain_near(vq);
	struct iovec *end = iov + room;
	unsigned n = 0;

	for (; n < max; n++) {
		uint64_t meta = ring_acquire(&vq->ring.desc[vq->avail].meta);
		uint16_t slot = vq->avail, id;
		bool wrap = vq->avail_wrap;
		enum vring_fault fault;
		uint32_t slots;
		struct chain c;
		struct desc d;

		if (!packed_flags_match(meta, packed_avail_flags(wrap)))
			break;
		/* Four to a line: while this one is worked on, the next line comes. */
		__builtin_prefetch(&vq->ring.desc[vq->avail + 4]);
		prefetch_write(&vq->ring.desc[vq->avail]); /* a used one will be put there */
		d = desc_from_packed(ring_load(&vq->ring.desc[slot].addr), meta);
		if (chain_is_single(&d) && iov < end && likely(vq->busy != vq->size) &&
		    likely(chain_single(vq, &near, &bufs[n], iov, &d, d.link))) {
			iov++;
			packed_advance(&vq->avail, &vq->avail_wrap, 1, vq->size);
			vq->busy++;
			vq->inflight++;
			continue;
		}
		chain_begin(&c, iov, (unsigned)(end - iov));
		fault = packed_chain(vq, &c, meta, &slot, &wrap, &id, &slots);
		if (unlikely((fault == VRING_CHAIN_TOO_LONG || fault == VRING_MISS) && n))
			break; /* next time it may fit, or be known */
		if (unlikely(fault))
			return fault;
		chain_end(&c, &bufs[n], id, (uint16_t)slots);
		iov += c.n;
		vq->avail = slot;
		vq->avail_wrap = wrap;
		vq->busy += slots;
		vq->inflight += slots;
	}
	*taken = n;
	return VRING_OK;
}

static inline void packed_rewind(struct vq *vq, uint32_t slots)
{
	packed_retreat(&vq->avail, &vq->avail_wrap, slots, vq->size);
}

/*
 * One used descriptor that stands for `slots` slots: a chain's, or with IN_ORDER several chains'
 * (2.8.8). The first one since the last publication is kept back: as the driver looks at them in
 * order, it sees none before that one is written.
 */
static inline void packed_put(struct vq *vq, uint16_t id, uint32_t len, uint32_t slots)
{
	struct ring_desc *at = &vq->ring.desc[vq->used];
	uint16_t flags = packed_used_flags(vq->used_wrap) | (len ? DESC_WRITE : 0);
	uint64_t meta = packed_meta(len, id, flags);

	if (vq->pending) {
		ring_store(&at->meta, meta);
	} else {
		vq->first = at;
		vq->first_meta = meta;
	}
	packed_advance(&vq->used, &vq->used_wrap, slots, vq->size);
}

static inline void packed_publish(struct vq *vq)
{
	ring_release(&vq->first->meta, vq->first_meta);
}

static inline bool packed_wants_call(const struct vq *vq)
{
	uint32_t event = ring_load((uint32_t *)vq->ring.driver);
	uint16_t flags = event >> 16 & 3; /* 2.8.14: the rest is reserved */
	uint16_t used = vq->used;
	bool wrap = vq->used_wrap;

	if (flags == EVENT_DISABLE)
		return false;
	if (flags != EVENT_DESC || !vq->event_idx)
		return true;
	if (unlikely(vq->call_unknown || vq->undecided > vq->size))
		return true;
	packed_retreat(&used, &wrap, vq->pending, vq->size);
	return packed_passed(event, vq->size, used, wrap, vq->undecided);
}

static inline void packed_kicks(struct vq *vq, bool on)
{
	uint32_t event = packed_event(0, false, on ? EVENT_ENABLE : EVENT_DISABLE);

	if (on && vq->event_idx)
		event = packed_event(vq->avail, vq->avail_wrap, EVENT_DESC);
	ring_store((uint32_t *)vq->ring.device, event);
}

#endif
