/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_CHAIN_H
#define VRING_CHAIN_H

#include "vring/vq.h"

/*
 * Turning a chain of descriptors into iovecs: what the two kinds of ring have in common. The
 * caller hands in private copies of descriptors; every check is made on those. Private to vring/.
 *
 * Everything here is bounded: a part that holds data takes an iovec and those are counted; a part
 * without data takes none (2.7.4 does not forbid it), but the walk that finds it is bounded by the
 * size of the ring or of the indirect table.
 */
struct chain {
	struct iovec *iov;
	unsigned room; /* elements iov has */
	unsigned n;    /* of them used */
	unsigned out_n;
	uint64_t len; /* of all parts so far; of the readable ones: out_len */
	uint64_t out_len;
	bool writable; /* a writable part was seen: no readable one may follow (2.7.4.2) */
};

static inline void chain_begin(struct chain *c, struct iovec *iov, unsigned room)
{
	*c = (struct chain){.iov = iov, .room = room};
}

/* What is missing of a table of translations; in any other table nothing can be. */
static inline enum vring_fault chain_miss(struct vq *vq, uint64_t addr, bool write)
{
	if (!vq->table->physical)
		return VRING_BAD_ADDRESS;
	vq->miss = (struct vq_miss){addr, write};
	return VRING_MISS;
}

/*
 * The region of an address, in memory whose pages are still on their way, with *len cut to what it has of
 * it; NULL: vq->miss says what is missing, or *fault what is wrong. What is to be read now has to be
 * there even where misses are only noted.
 */
static __attribute__((noinline)) const struct mem_region *chain_late(struct vq *vq, uint64_t addr,
								     uint32_t *len, bool write,
								     bool now,
								     enum vring_fault *fault)
{
	const struct mem_late *late = vq->table->late;
	const struct mem_region *r = mem_find(vq->table->physical, addr, 1);
	uint64_t at = addr, end;

	*fault = VRING_BAD_ADDRESS;
	if (!r)
		return NULL;
	*len = (uint32_t)MIN(*len, r->size - (addr - r->gpa));
	end = addr + *len;
	while ((at = mem_find_missing(r, at, end - at)) < end) {
		if (late->missing)
			late->missing(late, r, at);
		if (now || !late->missing) {
			vq->miss = (struct vq_miss){at, write};
			*fault = VRING_MISS;
			return NULL;
		}
		at = MIN(end, at + MEM_PAGE_SIZE);
	}
	return r;
}

/* A part that does not lie in one region: in several adjacent ones, or not at all. */
static __attribute__((noinline)) enum vring_fault chain_pieces(struct vq *vq, struct chain *c,
							       uint64_t addr, uint32_t len)
{
	while (len) {
		const struct mem_region *r;
		enum vring_fault fault;
		uint32_t here = len;

		if (vq->table->late) {
			r = chain_late(vq, addr, &here, c->writable, false, &fault);
			if (!r)
				return fault;
		} else {
			r = mem_find(vq->table, addr, 1);
		}
		if (!r || (c->writable && r->readonly))
			return chain_miss(vq, addr, c->writable);
		if (c->n == c->room)
			return VRING_CHAIN_TOO_LONG;
		here = (uint32_t)MIN(here, r->size - (addr - r->gpa));
		c->iov[c->n].iov_base = r->hva + (addr - r->gpa);
		c->iov[c->n++].iov_len = here;
		c->len += here;
		addr += here;
		len -= here;
	}
	return unlikely(c->len > UINT32_MAX) ? VRING_BAD_LENGTH : VRING_OK;
}

static inline enum vring_fault chain_part(struct vq *vq, struct chain *c, const struct desc *d)
{
	void *at;

	if (d->flags & DESC_WRITE) {
		if (!c->writable) {
			c->writable = true;
			c->out_n = c->n;
			c->out_len = c->len;
		}
	} else if (unlikely(c->writable)) {
		return VRING_BAD_ORDER;
	}
	if (unlikely(!d->len))
		return VRING_OK;
	if (unlikely(c->n == c->room))
		return VRING_CHAIN_TOO_LONG;
	at = mem_translate_hit(vq->table, &vq->hit, d->addr, d->len,
			       c->writable ? MEM_WRITE : MEM_READ);
	if (unlikely(!at))
		return chain_pieces(vq, c, d->addr, d->len);
	c->iov[c->n].iov_base = at;
	c->iov[c->n++].iov_len = d->len;
	c->len += d->len;
	/* 2.7.5.1 allows 2^32 bytes; what a used entry can say is one byte less. */
	return unlikely(c->len > UINT32_MAX) ? VRING_BAD_LENGTH : VRING_OK;
}

/* An indirect table must lie in one piece; where it is missing a part of it, that is asked for. */
static __attribute__((noinline)) enum vring_fault chain_table_miss(struct vq *vq, uint64_t addr,
								   uint32_t len)
{
	while (len) {
		const struct mem_region *r = mem_find(vq->table, addr, 1);
		uint32_t here;

		if (!r)
			return chain_miss(vq, addr, false);
		here = (uint32_t)MIN(len, r->size - (addr - r->gpa));
		addr += here;
		len -= here;
	}
	return VRING_BAD_ADDRESS;
}

/* An indirect table, where mem_translate_hit() did not find it; NULL: *fault says why not. */
static __attribute__((noinline)) const struct ring_desc *chain_find_table(struct vq *vq,
									  uint64_t addr,
									  uint32_t len,
									  enum vring_fault *fault)
{
	const struct mem_region *r;
	uint32_t here = len;

	if (!vq->table->late) {
		*fault = chain_table_miss(vq, addr, len);
		return NULL;
	}
	r = chain_late(vq, addr, &here, false, true, fault);
	*fault = r ? VRING_BAD_ADDRESS : *fault;
	return r && here == len ? (const void *)(r->hva + (addr - r->gpa)) : NULL;
}

/* Whether a descriptor is all of its chain, as most are: then chain_single() does. */
static inline bool chain_is_single(const struct desc *d)
{
	return likely(!(d->flags & (DESC_NEXT | DESC_INDIRECT)) && d->len);
}

/* The region where the last address was found, copied so that a loop can keep it in registers. */
static inline struct mem_region chain_near(const struct vq *vq)
{
	return vq->hit ? *vq->hit : (struct mem_region){0};
}

/*
 * Such a one, without the state that a walk needs. False if it does not lie in one region: whether
 * in several, not yet known, or not at all is for the walk to say.
 */
static inline bool chain_single(struct vq *vq, const struct mem_region *near, struct vq_buf *buf,
				struct iovec *iov, const struct desc *d, uint16_t id)
{
	bool in = d->flags & DESC_WRITE;
	void *at;

	if (likely(mem_region_holds(near, d->addr, d->len) && !(in && near->readonly)))
		at = near->hva + (d->addr - near->gpa);
	else
		at = mem_translate_hit(vq->table, &vq->hit, d->addr, d->len,
				       in ? MEM_WRITE : MEM_READ);
	if (unlikely(!at))
		return false;
	iov->iov_base = at;
	iov->iov_len = d->len;
	buf->iov = iov;
	buf->out_n = !in;
	buf->in_n = in;
	buf->id = id;
	buf->slots = 1;
	buf->out_len = in ? 0 : d->len;
	buf->in_len = in ? d->len : 0;
	return true;
}

/*
 * The parts in the indirect table that d describes (2.7.5.3, 2.8.7); its own WRITE flag means
 * nothing. The table may have more entries than the ring: Linux makes such tables for small
 * rings, although 2.7.5.3.1 tells it not to; the caller's iovecs bound what is taken. A split
 * ring's table is a chain in itself; a packed ring's is taken from first to last, with no flag but
 * WRITE. In a transmit queue's table that flag is not looked at: DPDK's driver (22.11 at least) leaves
 * it set in packed tables, on the part with the header, and there is nothing to be written there.
 */
static inline enum vring_fault chain_indirect(struct vq *vq, struct chain *c, const struct desc *d,
					      bool packed)
{
	uint32_t count = d->len / sizeof(struct ring_desc), at = 0;
	const struct ring_desc *table;

	if (!count || d->len % sizeof(struct ring_desc) || count > VRING_SIZE_MAX)
		return VRING_BAD_INDIRECT;
	table = mem_translate_hit(vq->table, &vq->hit, d->addr, d->len, MEM_READ);
	if (unlikely(!table)) {
		enum vring_fault fault;

		table = chain_find_table(vq, d->addr, d->len, &fault);
		if (!table)
			return fault;
	}
	for (uint32_t seen = 1;; seen++) {
		uint64_t addr = ring_load_unaligned((const char *)&table[at]);
		uint64_t meta = ring_load_unaligned((const char *)&table[at] + 8);
		struct desc e = packed ? desc_from_packed(addr, meta) : desc_from_split(addr, meta);
		enum vring_fault fault;

		if (!packed && unlikely(e.flags & DESC_INDIRECT))
			return VRING_BAD_INDIRECT;
		if (vq->cfg.transmit)
			e.flags &= ~DESC_WRITE;
		fault = chain_part(vq, c, &e);
		if (unlikely(fault))
			return fault;
		if (packed ? seen == count : !(e.flags & DESC_NEXT))
			return VRING_OK;
		if (unlikely(seen == count))
			return VRING_CHAIN_LOOP;
		at = packed ? seen : e.link;
		if (unlikely(at >= count))
			return VRING_BAD_HEAD;
	}
}

static inline void chain_end(const struct chain *c, struct vq_buf *buf, uint16_t id, uint16_t slots)
{
	unsigned out_n = c->writable ? c->out_n : c->n;
	uint64_t out_len = c->writable ? c->out_len : c->len;

	buf->iov = c->iov;
	buf->out_n = (uint16_t)out_n;
	buf->in_n = (uint16_t)(c->n - out_n);
	buf->id = id;
	buf->slots = slots;
	buf->out_len = (uint32_t)out_len;
	buf->in_len = (uint32_t)(c->len - out_len);
}

#endif
