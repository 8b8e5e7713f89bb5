/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_XSK_RING_H
#define HOSTNET_XSK_RING_H

#include "base/error.h"

#include <linux/if_xdp.h>

/*
 * The rings and the memory of an AF_XDP socket, as the kernel lays them out: private to xsk.c. A
 * ring has one producer and one consumer, of which we are one; both count without end.
 */
#define XSK_RING 2048U /* entries of each ring, and frames for each direction */

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

struct xsk_ring {
	uint32_t *producer, *consumer; /* shared with the kernel */
	const uint32_t *flags;
	void *entries;
	uint32_t ours;	 /* the index that is ours, as it was published */
	uint32_t theirs; /* the other one, as it was last seen */
	void *map;
	size_t map_bytes;
};

struct xsk_umem {
	uint8_t *at;
	size_t bytes;
};

/** Allocates and registers the memory: 2 * XSK_RING frames. */
int xsk_umem_register(struct xsk_umem *umem, int fd, struct error *err);
void xsk_umem_free(struct xsk_umem *umem);

struct xsk_ring_spec {
	struct xsk_ring *ring;
	int option; /* XDP_RX_RING … */
	const char *name;
};
int xsk_ring_map(const struct xsk_ring_spec *spec, int fd, struct error *err);
/** Harmless on a ring that is zeroed. */
void xsk_ring_unmap(struct xsk_ring *ring);

/** Binds the socket to an interface's queue; with zero_copy in that mode, without in copy mode. */
int xsk_bind(int fd, unsigned ifindex, unsigned queue, bool zero_copy, struct error *err);

/** The entry i places after ours. */
static inline struct xdp_desc *xsk_ring_desc(const struct xsk_ring *r, uint32_t i)
{
	return &((struct xdp_desc *)r->entries)[(r->ours + i) & (XSK_RING - 1)];
}

static inline uint64_t *xsk_ring_addr(const struct xsk_ring *r, uint32_t i)
{
	return &((uint64_t *)r->entries)[(r->ours + i) & (XSK_RING - 1)];
}

/** As the consumer: how many entries there are, at most max. */
static inline uint32_t xsk_ring_ready(struct xsk_ring *r, uint32_t max)
{
	uint32_t n = r->theirs - r->ours;

	if (n < max) {
		r->theirs = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
		n = MIN(r->theirs - r->ours, XSK_RING);
	}
	return MIN(n, max);
}

static inline void xsk_ring_consume(struct xsk_ring *r, uint32_t n)
{
	r->ours += n;
	__atomic_store_n(r->consumer, r->ours, __ATOMIC_RELEASE);
}

/** As the producer: there is room, because there are no more frames than places. */
static inline void xsk_ring_produce(struct xsk_ring *r, uint32_t n)
{
	r->ours += n;
	__atomic_store_n(r->producer, r->ours, __ATOMIC_RELEASE);
}

static inline bool xsk_ring_wants_wakeup(const struct xsk_ring *r)
{
	return __atomic_load_n(r->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

#endif
