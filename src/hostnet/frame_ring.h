/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_FRAME_RING_H
#define HOSTNET_FRAME_RING_H

#include "net/offload.h"

#include <sys/types.h>

/*
 * A bounded queue of frames between two threads, with a descriptor that polls readable while
 * there is one in it. One producer at a time and one consumer at a time.
 */
struct frame_ring;

/** bytes: how much it holds, headers included. Returns 0 or a negative errno. */
int frame_ring_create(struct frame_ring **out, size_t bytes);
void frame_ring_destroy(struct frame_ring *ring);

/** Appends a copy of a frame. -ENOBUFS when it is full. */
int frame_ring_push(struct frame_ring *ring, const struct iovec *iov, unsigned niov, uint32_t len,
		    const struct net_offload *off);

/**
 * Takes the first frame. Returns its length, -EAGAIN when there is none, -EMSGSIZE when it did not
 * fit iov (it is gone then).
 */
ssize_t frame_ring_pop(struct frame_ring *ring, const struct iovec *iov, unsigned niov,
		       struct net_offload *off);

/** Bytes in it now. */
size_t frame_ring_used(struct frame_ring *ring);

int frame_ring_fd(const struct frame_ring *ring);

/** System calls made for the descriptor so far, by the consumer. */
uint64_t frame_ring_syscalls(const struct frame_ring *ring);

#endif
