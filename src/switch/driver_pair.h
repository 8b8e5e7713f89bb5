/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_DRIVER_PAIR_H
#define SWITCH_DRIVER_PAIR_H

#include "hostnet/hostnet.h"
#include "vring/driver.h"

/*
 * A queue pair of a virtio network device whose driver is the switch itself: rings and buffers in
 * memory of its own, for a device elsewhere (the kernel's vhost) to serve. The other way round from
 * a ring port, where the switch is the device.
 *
 * Split rings without mergeable buffers: each buffer has room for the largest frame, and of the
 * memory only what is used is ever touched.
 *
 * Threads: send by one thread, the others of the hot path by one thread, at a time.
 */
#define DRIVER_PAIR_RING 256U
#define DRIVER_PAIR_GPA	 0x10000000ULL /* where the memory begins, for the rings */

/** What a driver negotiated for these rings: VERSION_1, EVENT_IDX. */
extern const uint64_t driver_pair_features;

struct driver_pair;

/** Makes the rings and their memory, which may be given to a device then. NULL: out of memory. */
struct driver_pair *driver_pair_new(struct error *err);
void driver_pair_free(struct driver_pair *p);

/** Memory, and the two rings in it, as the device is to be told: 0 receives, 1 sends. */
const struct mem_table *driver_pair_memory(const struct driver_pair *p);
const struct vring_config *driver_pair_ring(const struct driver_pair *p, unsigned ring);

/** The eventfds: kick_fd(ring) tells the device; call_fd tells us of frames received. */
int driver_pair_kick_fd(const struct driver_pair *p, unsigned ring);
int driver_pair_call_fd(const struct driver_pair *p);

/** Posts all receive buffers: the device may begin. */
void driver_pair_start(struct driver_pair *p);

/* Hot path, as in hostnet.h. */
unsigned driver_pair_send(struct driver_pair *p, const struct net_frame *frames, unsigned n);
unsigned driver_pair_borrow(struct driver_pair *p, struct iovec *iov, struct net_offload *off,
			    unsigned n);
void driver_pair_give_back(struct driver_pair *p, unsigned n);
bool driver_pair_notify(struct driver_pair *p, bool on);
void driver_pair_counters(const struct driver_pair *p, struct hostnet_counters *out);

/** Whether the device has broken a ring. */
bool driver_pair_broken(const struct driver_pair *p);

#endif
