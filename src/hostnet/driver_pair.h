/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_DRIVER_PAIR_H
#define HOSTNET_DRIVER_PAIR_H

#include "hostnet/hostnet.h"
#include "vring/driver.h"

/*
 * A queue pair of a virtio network device whose driver is this process itself: rings and buffers in
 * memory of its own, for a device elsewhere to serve. The other way round from a NIC's plane, or a
 * switch's ring port, where we are the device.
 *
 * Each buffer has room for the largest frame, and of the memory only what is used is ever touched.
 *
 * Threads: send by one thread, the others of the hot path by one thread, at a time.
 */
#define DRIVER_PAIR_RING 256U	       /* entries of a ring, at most */
#define DRIVER_PAIR_GPA	 0x10000000ULL /* where memory of its own begins, for the rings */

/** What a driver negotiated for the rings that are made at first: VERSION_1, EVENT_IDX. */
extern const uint64_t driver_pair_features;

/** Other ones, and what else was negotiated for them. */
struct driver_pair_config {
	uint32_t size[2]; /* entries, at most DRIVER_PAIR_RING: 0 receives, 1 sends */
	bool packed, event_idx, in_order;
	bool mergeable; /* a received frame may take several buffers */
};

struct driver_pair;

/** Bytes of memory that a pair takes: a multiple of 4 KiB. */
size_t driver_pair_bytes(void);

/**
 * Makes the rings, which may be given to a device then. They lie in `memory`, the caller's, of
 * driver_pair_bytes() from its beginning; NULL: in memory of their own, which has no file. NULL:
 * it cannot, and err says why.
 */
struct driver_pair *driver_pair_new(const struct mem_region *memory, struct error *err);
void driver_pair_free(struct driver_pair *p);

/** Makes the rings anew, empty, for a device that has no longer the old ones. 0 or -errno. */
int driver_pair_renew(struct driver_pair *p, const struct driver_pair_config *config,
		      struct error *err);

/** Memory, and the two rings in it, as the device is to be told: 0 receives, 1 sends. */
const struct mem_table *driver_pair_memory(const struct driver_pair *p);
const struct vring_config *driver_pair_ring(const struct driver_pair *p, unsigned ring);

/** The eventfds: kick_fd(ring) tells the device; call_fd tells us of frames received. */
int driver_pair_kick_fd(const struct driver_pair *p, unsigned ring);
int driver_pair_call_fd(const struct driver_pair *p);

/** Posts all receive buffers: the device may begin. */
void driver_pair_start(struct driver_pair *p);

/*
 * From one pair to another, while neither device nor workers are at them. A frame is as it came, with its
 * header; one that was put is borrowed before all that the device receives, and is put before start.
 */

/** Takes note of all that the device has received: how many frames wait to be given back. */
unsigned driver_pair_waiting(struct driver_pair *p);
/** One of these. */
const void *driver_pair_frame(const struct driver_pair *p, unsigned i, uint32_t *len);
/** -EINVAL: not the length of a frame; -ENOSPC. */
int driver_pair_put(struct driver_pair *p, const void *frame, uint32_t len);

/* Hot path, as in hostnet.h. */
unsigned driver_pair_send(struct driver_pair *p, const struct net_frame *frames, unsigned n);
unsigned driver_pair_borrow(struct driver_pair *p, struct iovec *iov, struct net_offload *off,
			    unsigned n);
void driver_pair_give_back(struct driver_pair *p, unsigned n);
bool driver_pair_notify(struct driver_pair *p, bool on);

/** Instead of borrowing, as hostnet.h's recv; mergeable rings have only this. Polls call_fd. */
ssize_t driver_pair_recv(struct driver_pair *p, const struct iovec *iov, unsigned niov,
			 struct net_offload *off);

/** How many frames the device has not sent yet; in the place of send. */
unsigned driver_pair_unsent(struct driver_pair *p);

void driver_pair_counters(const struct driver_pair *p, struct hostnet_counters *out);

/** Whether the device has broken a ring. */
bool driver_pair_broken(const struct driver_pair *p);

#endif
