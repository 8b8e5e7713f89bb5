/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: receive-side scaling between workers.
 *
 * The back-end decides which of its queues a frame comes out of (a TAP by a hash of its own, and
 * by where the flow was last sent from); with RSS it is the guest that decides, by its table, into
 * which receive queue it goes. Where the two differ the frame has to cross from the worker that
 * received it to the one that owns the receive queue. The alternatives were an eBPF program in the
 * TAP, which needs privilege and computes no Toeplitz hash for a guest's key without a verifier
 * arguing about it; and one worker that fills all receive queues, which gives up what several
 * queues are for. A copy to the other worker costs the frames that need it, and those only: with
 * the flows sent from the queue they are received on, which is what a guest that uses RSS arranges,
 * the TAP comes to agree with the table.
 *
 * Each pair has STEER_FRAMES frames of its own. For each pair of pairs there is a ring of frame
 * numbers with one producer and one consumer; a ring has as many places as its producer has
 * frames, so it is never full. The consumer gives a frame back by clearing `busy`; the producer
 * looks for one that is not. A frame's bytes are published by the release of the ring's head, and
 * given back by that of `busy`.
 *
 * Sleeping. The consumer says `asleep` and then looks at its rings; the producer publishes and
 * then looks at `asleep`; all four are sequentially consistent, so one of them sees the other.
 */
#include "dataplane/inprocess.h"

#include <stdlib.h>

#define STEER_FRAMES 64

struct steer_ring {
	_Atomic uint32_t head __cacheline_al; /* producer's */
	uint8_t frame[STEER_FRAMES];
	_Atomic uint32_t tail __cacheline_al; /* consumer's */
};

struct steer_pair {
	struct rx_frame *frames; /* STEER_FRAMES; its worker takes them */
	unsigned next;		 /* where it looks first */
	unsigned turn;		 /* the ring it serves first */
	struct steer_ring *in;	 /* one from each pair */
};

struct steer {
	unsigned npairs;
	struct steer_pair pairs[];
};

void steer_free(struct steer *steer)
{
	if (!steer)
		return;
	for (unsigned i = 0; i < steer->npairs; i++) {
		free(steer->pairs[i].frames);
		free(steer->pairs[i].in);
	}
	free(steer);
}

struct steer *steer_new(unsigned npairs)
{
	struct steer *steer = calloc(1, sizeof(*steer) + npairs * sizeof(steer->pairs[0]));
	size_t bytes = npairs * sizeof(struct steer_ring);

	if (!steer)
		return NULL;
	steer->npairs = npairs;
	for (unsigned i = 0; i < npairs; i++) {
		struct steer_pair *sp = &steer->pairs[i];

		/* Large: comes as untouched pages, which cost nothing until they are used. */
		sp->frames = calloc(STEER_FRAMES, sizeof(*sp->frames));
		sp->in = aligned_alloc(CACHE_LINE, bytes);
		if (!sp->frames || !sp->in) {
			steer_free(steer);
			return NULL;
		}
		memset(sp->in, 0, bytes);
	}
	return steer;
}

struct rx_frame *steer_frame(struct inproc_pair *pair)
{
	struct steer *steer = atomic_load_explicit(&pair->p->steer, memory_order_acquire);
	struct steer_pair *sp = &steer->pairs[pair->index];

	for (unsigned i = 0; i < STEER_FRAMES; i++) {
		unsigned at = (sp->next + i) % STEER_FRAMES;

		if (!atomic_load_explicit(&sp->frames[at].busy, memory_order_acquire)) {
			sp->next = at;
			return &sp->frames[at];
		}
	}
	return NULL;
}

void steer_give(struct inproc_pair *pair, struct rx_frame *frame, unsigned to)
{
	struct inproc *p = pair->p;
	struct steer *steer = atomic_load_explicit(&p->steer, memory_order_acquire);
	struct steer_pair *sp = &steer->pairs[pair->index];
	struct steer_ring *ring = &steer->pairs[to].in[pair->index];
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	enum inproc_sleep asleep = INPROC_ASLEEP;

	frame->since = 0;
	atomic_store_explicit(&frame->busy, true, memory_order_relaxed);
	ring->frame[head % STEER_FRAMES] = (uint8_t)(frame - sp->frames);
	sp->next = (sp->next + 1) % STEER_FRAMES;
	atomic_store(&ring->head, head + 1);
	if (atomic_load(&p->pairs[to]->asleep) == INPROC_ASLEEP &&
	    atomic_compare_exchange_strong(&p->pairs[to]->asleep, &asleep, INPROC_AWAKE))
		inproc_wake(p->pairs[to]);
}

struct rx_frame *steer_peek(struct inproc_pair *pair, unsigned *from)
{
	struct steer *steer = atomic_load_explicit(&pair->p->steer, memory_order_acquire);
	struct steer_pair *sp = &steer->pairs[pair->index];

	for (unsigned i = 0; i < steer->npairs; i++) {
		unsigned at = (sp->turn + i) % steer->npairs;
		struct steer_ring *ring = &sp->in[at];
		uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

		if (atomic_load(&ring->head) != tail) {
			*from = at;
			return &steer->pairs[at].frames[ring->frame[tail % STEER_FRAMES]];
		}
	}
	return NULL;
}

void steer_done(struct inproc_pair *pair, unsigned from)
{
	struct steer *steer = atomic_load_explicit(&pair->p->steer, memory_order_acquire);
	struct steer_pair *sp = &steer->pairs[pair->index];
	struct steer_ring *ring = &sp->in[from];
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	struct rx_frame *frame = &steer->pairs[from].frames[ring->frame[tail % STEER_FRAMES]];

	atomic_store_explicit(&ring->tail, tail + 1, memory_order_relaxed);
	atomic_store_explicit(&frame->busy, false, memory_order_release);
	sp->turn = (from + 1) % steer->npairs;
}
