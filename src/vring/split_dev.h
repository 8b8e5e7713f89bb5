/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_SPLIT_DEV_H
#define VRING_SPLIT_DEV_H

#include "vring/chain.h"

/* The device side of a split ring (virtio 1.2, 2.7). Its counterpart is packed_dev.h. */

static inline uint16_t *split_used_event(const struct vq *vq)
{
	struct split_avail *avail = vq->ring.driver;

	return &avail->ring[vq->size];
}

static inline uint16_t *split_avail_event(const struct vq *vq)
{
	struct split_used *used = vq->ring.device;

	return (uint16_t *)&used->ring[vq->size];
}

static inline bool split_available(const struct vq *vq)
{
	const struct split_avail *avail = vq->ring.driver;

	return ring_load(&avail->idx) != vq->avail;
}

/* The chain that starts at desc[head]; the parts may end in an indirect table (2.7.5.3.2). */
static inline enum vring_fault split_chain(struct vq *vq, struct chain *c, uint16_t head)
{
	for (uint32_t seen = 1;; seen++) {
		const struct ring_desc *at = &vq->ring.desc[head];
		struct desc d = desc_from_split(ring_load(&at->addr), ring_load(&at->meta));
		enum vring_fault fault;

		if (d.flags & DESC_INDIRECT) {
			if (!vq->indirect || d.flags & DESC_NEXT)
				return VRING_BAD_INDIRECT;
			return chain_indirect(vq, c, &d, false);
		}
		fault = chain_part(vq, c, &d);
		if (unlikely(fault) || !(d.flags & DESC_NEXT))
			return fault;
		if (unlikely(seen == vq->size))
			return VRING_CHAIN_LOOP;
		head = d.link;
		if (unlikely(head >= vq->size))
			return VRING_BAD_HEAD;
	}
}

/*
 * How many chains can be popped, at most max. The driver's index is read only when what is known
 * of it does not do: its line is the one that both sides fight for.
 */
static inline enum vring_fault split_ready(struct vq *vq, unsigned max, unsigned *ready)
{
	const struct split_avail *avail = vq->ring.driver;

	*ready = (uint16_t)(vq->avail_seen - vq->avail);
	if (*ready < max) {
		uint16_t idx = ring_acquire(&avail->idx);

		*ready = (uint16_t)(idx - vq->avail);
		if (unlikely(*ready > vq->size - vq->busy))
			return VRING_BAD_INDEX;
		vq->avail_seen = idx;
	}
	*ready = MIN(*ready, max);
	return VRING_OK;
}

/* What a burst is going to touch: its descriptors, and the used entries that will be written. */
static inline void split_prefetch_burst(const struct vq *vq, unsigned n)
{
	const struct split_avail *avail = vq->ring.driver;
	const struct split_used *used = vq->ring.device;
	const unsigned per_line = CACHE_LINE / sizeof(struct ring_desc);
	uint32_t mask = vq->size - 1, last = UINT32_MAX;

	for (unsigned i = 0; i < n; i++) { /* what is read here is not used */
		uint32_t at = ring_load(&avail->ring[(vq->avail + i) & mask]) & mask;

		if (at / per_line != last)
			__builtin_prefetch(&vq->ring.desc[at]);
		last = at / per_line;
	}
	for (unsigned i = 0; i < n; i += CACHE_LINE / sizeof(used->ring[0]))
		prefetch_write(&used->ring[(vq->used + i) & mask]);
}

static inline enum vring_fault split_pop(struct vq *vq, struct vq_buf *bufs, unsigned max,
					 struct iovec *iov, unsigned room, unsigned *taken)
{
	const struct split_avail *avail = vq->ring.driver;
	uint32_t mask = vq->size - 1;
	struct iovec *end = iov + room;
	unsigned ready = 0, n = 0;
	enum vring_fault fault = split_ready(vq, max, &ready);
	const struct mem_region near = chain_near(vq);
	const struct ring_desc *table = vq->ring.desc;
	uint16_t head, next, at = vq->avail;

	if (unlikely(fault) || !ready)
		return fault;
	split_prefetch_burst(vq, ready);
	next = ring_load(&avail->ring[at & mask]);
	for (; n < ready; n++) {
		struct chain c;
		struct desc d;

		head = next;
		if (unlikely(head > mask))
			return VRING_BAD_HEAD;
		if (n + 1 < ready)
			next = ring_load(&avail->ring[(at + n + 1) & mask]);
		d = desc_from_split(ring_load(&table[head].addr), ring_load(&table[head].meta));
		if (chain_is_single(&d) && iov < end &&
		    likely(chain_single(vq, &near, &bufs[n], iov, &d, head))) {
			iov++;
			continue;
		}
		chain_begin(&c, iov, (unsigned)(end - iov));
		fault = split_chain(vq, &c, head); /* reads it afresh */
		if (unlikely((fault == VRING_CHAIN_TOO_LONG || fault == VRING_MISS) && n))
			break; /* next time it may fit, or be known */
		if (unlikely(fault))
			return fault;
		chain_end(&c, &bufs[n], head, 1);
		iov += c.n;
	}
	vq->avail = (uint16_t)(vq->avail + n);
	vq->busy += n;
	vq->inflight += n;
	*taken = n;
	return VRING_OK;
}

static inline void split_rewind(struct vq *vq, uint32_t slots)
{
	vq->avail = (uint16_t)(vq->avail - slots);
}

/* Used entries for n chains of one slot each: what split_put() does, one after another. */
static inline void split_put_burst(struct vq *vq, const struct vq_buf *bufs,
				   const uint32_t *written, unsigned n)
{
	struct split_used *used = vq->ring.device;
	uint32_t mask = vq->size - 1, at = vq->used;

	for (unsigned i = 0; i < n; i++, at++) {
		struct split_used_elem *to = &used->ring[at & mask];

		ring_store(&to->id, (uint32_t)bufs[i].id);
		ring_store(&to->len, written ? MIN(written[i], bufs[i].in_len) : 0);
	}
	vq->used = (uint16_t)at;
}

/* One used entry that stands for `slots` chains (more than one: IN_ORDER, 2.7.9). */
static inline void split_put(struct vq *vq, uint16_t id, uint32_t len, uint32_t slots)
{
	struct split_used *used = vq->ring.device;
	struct split_used_elem *at = &used->ring[vq->used & (vq->size - 1)];

	ring_store(&at->id, (uint32_t)id);
	ring_store(&at->len, len);
	vq->used = (uint16_t)(vq->used + slots);
}

static inline void split_publish(struct vq *vq)
{
	struct split_used *used = vq->ring.device;

	ring_release(&used->idx, vq->used);
}

static inline bool split_wants_call(const struct vq *vq)
{
	const struct split_avail *avail = vq->ring.driver;
	uint16_t used = (uint16_t)(vq->used - vq->pending);

	if (!vq->event_idx)
		return !(ring_load(&avail->flags) & AVAIL_NO_INTERRUPT);
	if (unlikely(vq->call_unknown || vq->undecided > UINT16_MAX))
		return true;
	return ring_passed(ring_load(split_used_event(vq)), used, (uint16_t)(used - vq->undecided));
}

/*
 * With EVENT_IDX nothing says "no kicks" (2.7.10.1: flags is ignored): the event index is left
 * behind, where the driver's index has passed it.
 */
static inline void split_kicks(struct vq *vq, bool on)
{
	struct split_used *used = vq->ring.device;

	if (!vq->event_idx)
		ring_store(&used->flags, on ? 0 : USED_NO_NOTIFY);
	else if (on)
		ring_store(split_avail_event(vq), vq->avail);
}

#endif
