/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

#include "base/util.h"

#include <sys/uio.h>

/*
 * What is left to do to a frame. The layout and values are those of Linux's struct
 * virtio_net_hdr_mrg_rxbuf in little-endian order (virtio 1.2, 5.1.6), so that it can be handed to
 * a TAP or taken from a ring as it is; the names here are the field's own.
 */
enum {
	NET_NEEDS_CSUM = 1, /* flags: checksum from csum_start on is to be put at csum_offset */
	NET_DATA_VALID = 2, /* flags: checksums were verified */
};

enum {
	NET_GSO_NONE = 0,
	NET_GSO_TCPV4 = 1,
	NET_GSO_UDP = 3, /* UFO: IP fragmentation */
	NET_GSO_TCPV6 = 4,
	NET_GSO_UDP_L4 = 5, /* USO */
	NET_GSO_ECN = 0x80,
};

struct net_offload {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;     /* all headers; a hint */
	uint16_t gso_size;    /* payload bytes a segment */
	uint16_t csum_start;  /* from the start of the frame */
	uint16_t csum_offset; /* from csum_start */
	uint16_t num_buffers; /* as virtio_net_hdr_mrg_rxbuf; unused outside rings */
};
_Static_assert(sizeof(struct net_offload) == 12, "layout of virtio_net_hdr_mrg_rxbuf");

/* Sets of capabilities: the same bits for what may be sent and what may be received. */
enum {
	NET_OFFLOAD_CSUM = 1 << 0,
	NET_OFFLOAD_TSO4 = 1 << 1,
	NET_OFFLOAD_TSO6 = 1 << 2,
	NET_OFFLOAD_ECN = 1 << 3,
	NET_OFFLOAD_UFO = 1 << 4,
	NET_OFFLOAD_USO4 = 1 << 5,
	NET_OFFLOAD_USO6 = 1 << 6,
};
#define NET_OFFLOAD_GSO                                                            \
	(NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN | NET_OFFLOAD_UFO | \
	 NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6)

/** A frame to send: its bytes and what is left to do. */
struct net_frame {
	const struct iovec *iov;
	unsigned niov;
	uint32_t len; /* bytes in iov */
	struct net_offload off;
};

#define NET_FRAME_MAX (65535 + 14 + 4 + 4) /* the largest GSO frame with two VLAN tags */

/** The longest frame that a receiver with these offloads and this MTU (0: any) can be given. */
static inline uint32_t net_frame_max(uint32_t offloads, unsigned mtu)
{
	return (offloads & NET_OFFLOAD_GSO) || !mtu ? NET_FRAME_MAX : MIN(mtu, 65535u) + 22;
}

/**
 * Checks the fields against the frame: gso_type known and allowed by the set, gso_size not 0,
 * checksum field within the frame. Whether the headers are what gso_type says is for whoever
 * segments to see (net_gso_finish(), or the kernel). off is a private copy. 0 or -EINVAL.
 */
int net_offload_check(const struct net_offload *off, uint32_t frame_len, uint32_t allowed);

#endif
