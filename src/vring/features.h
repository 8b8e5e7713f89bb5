/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_FEATURES_H
#define VRING_FEATURES_H

#include "base/util.h"

/*
 * Feature bits (virtio 1.2, 2.2 and 6; virtio-net's: 5.1.3), in words for more than 64 of them.
 * The names and values are the specification's, so that Linux's own headers may be included too.
 */
#define VIRTIO_FEATURE_WORDS 2
#define VIRTIO_FEATURE_BITS  (64 * VIRTIO_FEATURE_WORDS)

struct virtio_features {
	uint64_t w[VIRTIO_FEATURE_WORDS];
};

static inline bool features_has(const struct virtio_features *f, unsigned bit)
{
	return f->w[bit / 64] >> (bit % 64) & 1;
}

static inline void features_set(struct virtio_features *f, unsigned bit, bool on)
{
	if (on)
		f->w[bit / 64] |= 1ULL << (bit % 64);
	else
		f->w[bit / 64] &= ~(1ULL << (bit % 64));
}

static inline void features_and(struct virtio_features *f, const struct virtio_features *other)
{
	for (unsigned i = 0; i < VIRTIO_FEATURE_WORDS; i++)
		f->w[i] &= other->w[i];
}

/** Whether every bit of f is in all. */
static inline bool features_within(const struct virtio_features *f,
				   const struct virtio_features *all)
{
	for (unsigned i = 0; i < VIRTIO_FEATURE_WORDS; i++)
		if (f->w[i] & ~all->w[i])
			return false;
	return true;
}

/* Every device's. */
#define VIRTIO_RING_F_INDIRECT_DESC 28
#define VIRTIO_RING_F_EVENT_IDX	    29
#define VIRTIO_F_VERSION_1	    32
#define VIRTIO_F_ACCESS_PLATFORM    33
#define VIRTIO_F_RING_PACKED	    34
#define VIRTIO_F_IN_ORDER	    35
#define VIRTIO_F_ORDER_PLATFORM	    36
#define VIRTIO_F_SR_IOV		    37
#define VIRTIO_F_NOTIFICATION_DATA  38
#define VIRTIO_F_NOTIF_CONFIG_DATA  39
#define VIRTIO_F_RING_RESET	    40

/* virtio-net's. */
#define VIRTIO_NET_F_CSUM		 0
#define VIRTIO_NET_F_GUEST_CSUM		 1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU		 3
#define VIRTIO_NET_F_MAC		 5
#define VIRTIO_NET_F_GUEST_TSO4		 7
#define VIRTIO_NET_F_GUEST_TSO6		 8
#define VIRTIO_NET_F_GUEST_ECN		 9
#define VIRTIO_NET_F_GUEST_UFO		 10
#define VIRTIO_NET_F_HOST_TSO4		 11
#define VIRTIO_NET_F_HOST_TSO6		 12
#define VIRTIO_NET_F_HOST_ECN		 13
#define VIRTIO_NET_F_HOST_UFO		 14
#define VIRTIO_NET_F_MRG_RXBUF		 15
#define VIRTIO_NET_F_STATUS		 16
#define VIRTIO_NET_F_CTRL_VQ		 17
#define VIRTIO_NET_F_CTRL_RX		 18
#define VIRTIO_NET_F_CTRL_VLAN		 19
#define VIRTIO_NET_F_CTRL_RX_EXTRA	 20
#define VIRTIO_NET_F_GUEST_ANNOUNCE	 21
#define VIRTIO_NET_F_MQ			 22
#define VIRTIO_NET_F_CTRL_MAC_ADDR	 23
#define VIRTIO_NET_F_VQ_NOTF_COAL	 52
#define VIRTIO_NET_F_NOTF_COAL		 53
#define VIRTIO_NET_F_GUEST_USO4		 54
#define VIRTIO_NET_F_GUEST_USO6		 55
#define VIRTIO_NET_F_HOST_USO		 56
#define VIRTIO_NET_F_HASH_REPORT	 57
#define VIRTIO_NET_F_GUEST_HDRLEN	 59
#define VIRTIO_NET_F_RSS		 60
#define VIRTIO_NET_F_RSC_EXT		 61
#define VIRTIO_NET_F_STANDBY		 62
#define VIRTIO_NET_F_SPEED_DUPLEX	 63

#endif
