/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_TX_H
#define DEVICE_NIC_TX_H

#include "hostnet/hostnet.h"
#include "net/offload.h"

/*
 * From an emulated NIC to its frame back-end. What is left to do to a frame (checksum,
 * segmentation) is handed on where the back-end can finish it, which spares a pass over the data
 * and most system calls; else src/net finishes it here.
 */
enum nic_drop {
	NIC_DROP_NO_BACKEND,  /* backend=none */
	NIC_DROP_LINK_DOWN,   /* the cable is unplugged */
	NIC_DROP_DISABLED,    /* the receiver is off */
	NIC_DROP_FILTERED,    /* not for this guest: address, multicast or VLAN filter */
	NIC_DROP_OVERSIZE,    /* longer than the driver allowed, or than the chip can take */
	NIC_DROP_UNDERSIZE,   /* not even an Ethernet header */
	NIC_DROP_BAD_ADDRESS, /* a descriptor points outside guest memory */
	NIC_DROP_BAD_RING,    /* descriptors that make no sense */
	NIC_DROP_BAD_OFFLOAD, /* offload fields that do not fit the frame */
	NIC_DROP_NO_BUFFER,   /* looped back, and no receive descriptor for it */
	NIC_DROP_BACKEND,     /* the frame back-end was full */
	NIC_DROP_COUNT
};
const char *nic_drop_name(enum nic_drop drop);

/** One direction: in = out + the sum of the drops (+ what is held, receiving). */
struct nic_flow {
	uint64_t in, out, bytes_in, bytes_out;
	uint64_t drops[NIC_DROP_COUNT];
};

/** Emits "<prefix>_in 12" and so on; drops that never happened are left out. */
void nic_flow_emit(const struct nic_flow *flow, const char *prefix,
		   void (*emit)(void *arg, const char *name, uint64_t value), void *arg);

/**
 * Sends frames, finishing what hn (NULL: none) cannot. Returns how many were consumed, i.e. are
 * counted in flow->out or as a drop; less than n only when the back-end is full.
 */
unsigned nic_tx_send(struct hostnet *hn, struct nic_flow *flow, const struct net_frame *frames,
		     unsigned n);

#endif
