/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_DEVICE_H
#define VRING_DEVICE_H

#include "vring/vring.h"

/*
 * The device side of a virtqueue.
 *
 * Used by exactly one thread at a time. Work goes in bursts:
 *
 *	n = vq_pop(vq, bufs, 32, iov, 256);      // take up to 32 chains
 *	… for each: read or fill bufs[i].iov …
 *	vq_push(vq, &bufs[i], written);          // in any order (IN_ORDER: in the order popped)
 *	if (vq_flush(vq))                        // publish them all at once, decide once
 *		eventfd_write(call_fd, 1);
 *
 * vq_unpop() gives back the last chains popped, unpushed, as if they had never been taken: how a
 * receive path returns what a frame did not need.
 *
 * Every field that the driver can write is read once into a private copy and only the copy is
 * checked and used. A malformed ring breaks the queue: vq_pop() returns -EPROTO, vq_fault() says
 * why, and nothing is touched until vq_start() is called again.
 *
 * While the memory table has a dirty log, vq_push() marks what was written in the pages that the
 * buffer's writable iovecs name: until then buf->iov[out_n …] must be as vq_pop() left them.
 */
struct vq_buf {
	struct iovec *iov; /* out_n readable parts, then in_n writable ones; none is empty */
	uint16_t out_n;
	uint16_t in_n;
	uint16_t id;	/* split: head index, below size; packed: buffer id, any 16 bits */
	uint16_t slots; /* ring slots taken: packed, the chain's descriptors; split, 1 */
	uint32_t out_len;
	uint32_t in_len;
};

struct vq;

struct vq *vq_create(void);
void vq_free(struct vq *vq);

/**
 * Starts the queue on table from state, whatever it was before. Checks sizes, alignment and that
 * all three parts lie in memory. Kicks are enabled; those for what is available already may have
 * gone to somebody else, so look before sleeping. Returns 0, or -EINVAL/-EFAULT with err set, and
 * then the queue is stopped.
 */
int vq_start(struct vq *vq, const struct vring_config *cfg, const struct vring_state *state,
	     const struct mem_table *table, struct error *err);

/**
 * Stops the queue and says where it stands (state may be NULL). What was pushed is published,
 * without deciding on a call: who takes over sends one. Chains popped but not pushed are given
 * back as if never popped when they are the last ones; otherwise (out-of-order completion) the
 * caller must complete them first.
 */
void vq_stop(struct vq *vq, struct vring_state *state);

/**
 * Takes a new memory table (at a quiescent point). iovecs popped before stay valid only where
 * their regions live on. -EFAULT and a broken queue if it lost the ring.
 */
int vq_set_memory(struct vq *vq, const struct mem_table *table);

/**
 * Takes up to max chains. iov (iov_max elements) is the caller's and is filled from its start;
 * bufs[i].iov points into it. Stops early, without error, when the next chain does not fit in
 * what is left of iov; a chain that has more than iov_max parts on its own breaks the queue.
 * Returns the number taken (0: nothing available, or not started), -EPROTO (broken; chains before
 * the bad one in this burst are not taken either), or -EAGAIN (the next chain needs a translation
 * that an IOMMU's table has not; see vq_miss()).
 */
int vq_pop(struct vq *vq, struct vq_buf *bufs, unsigned max, struct iovec *iov, unsigned iov_max);

/** Gives back the last n chains popped. They must not have been pushed. bufs: those n chains. */
void vq_unpop(struct vq *vq, const struct vq_buf *bufs, unsigned n);

/**
 * Completes a chain into which written bytes were put, not yet visible to the driver. written
 * must not exceed buf->in_len (it is clamped).
 */
void vq_push(struct vq *vq, const struct vq_buf *buf, uint32_t written);

/**
 * vq_push() for n chains in the order of bufs: written[i] bytes into bufs[i], or none at all where
 * written is NULL.
 */
void vq_push_burst(struct vq *vq, const struct vq_buf *bufs, const uint32_t *written, unsigned n);

/** Makes all pushed chains visible. Returns whether the driver wants a call now. */
bool vq_flush(struct vq *vq);

/** Pushed and flushed since the last call was asked for; lets a coalescer hold calls back:
 *  vq_flush_quiet() publishes without deciding, vq_should_call() decides later, once. */
void vq_flush_quiet(struct vq *vq);
bool vq_should_call(struct vq *vq);

/**
 * vq_should_call() after vq_flush_quiet() and a full_barrier() of the caller's: for many queues with
 * one barrier.
 */
bool vq_decide_call(struct vq *vq);

/** Tells the driver that kicks are not needed (polling). */
void vq_disable_kicks(struct vq *vq);

/**
 * Asks for kicks again, then looks once more: returns true if chains became available meanwhile,
 * in which case no kick may come for them and the caller goes on polling.
 */
bool vq_enable_kicks(struct vq *vq);

/** Asks for the lines that vq_pop() will look at first. */
void vq_prefetch(const struct vq *vq);

/** Whether something is available: one read of a shared line, no side effect. */
bool vq_available(struct vq *vq);

/** Why the queue is broken, VRING_OK if it is not. */
enum vring_fault vq_fault(const struct vq *vq);

/** What vq_pop() lacked when it last said -EAGAIN. */
struct vq_miss {
	uint64_t addr; /* of the first byte without a translation */
	bool write;    /* it must be one that allows writing */
};
struct vq_miss vq_miss(const struct vq *vq);

/**
 * Where a queue stands while it runs, in memory that outlives this process, so that a successor
 * can tell what was taken and not used when this one died. For owners that complete in the order
 * popped. Whoever shares the memory is not trusted with its contents.
 */
struct vq_track;

/** Bytes of it for a ring of so many entries, a multiple of 64. */
uint64_t vq_track_bytes(uint32_t size);

/**
 * To be called right after vq_start(): finds out from area what the last user of this ring left
 * (its size must be the ring's, or more), and keeps it up to date from now on. Chains that may have
 * been served already are completed with nothing written, so that none is served twice; with redo,
 * those of a split ring are given out again instead, which is right where serving them has no
 * effect before they are used (a receive queue). Returns how many were completed: the driver is to
 * be called then.
 */
unsigned vq_track(struct vq *vq, struct vq_track *area, uint32_t size, bool redo);

#endif
