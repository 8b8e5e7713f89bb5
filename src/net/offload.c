/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ether.h"
#include "net/offload.h"

#include <errno.h>

/* What must be allowed for a gso_type (without the ECN bit); 0 for one that does not exist. */
static uint32_t gso_needs(uint8_t type)
{
	switch (type) {
	case NET_GSO_TCPV4:
		return NET_OFFLOAD_TSO4;
	case NET_GSO_TCPV6:
		return NET_OFFLOAD_TSO6;
	case NET_GSO_UDP:
		return NET_OFFLOAD_UFO;
	case NET_GSO_UDP_L4:
		return NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
	default:
		return 0;
	}
}

int net_offload_check(const struct net_offload *off, uint32_t frame_len, uint32_t allowed)
{
	uint8_t type = off->gso_type & (uint8_t)~NET_GSO_ECN;
	bool tcp = type == NET_GSO_TCPV4 || type == NET_GSO_TCPV6;

	if (frame_len < ETHER_HLEN)
		return -EINVAL;
	if (off->flags & NET_NEEDS_CSUM) {
		if (!(allowed & NET_OFFLOAD_CSUM) || off->csum_start < ETHER_HLEN ||
		    (uint32_t)off->csum_start + off->csum_offset + 2 > frame_len)
			return -EINVAL;
	}
	if (off->gso_type == NET_GSO_NONE)
		return 0;
	if (!(gso_needs(type) & allowed) || !off->gso_size)
		return -EINVAL;
	if ((off->gso_type & NET_GSO_ECN) && (!tcp || !(allowed & NET_OFFLOAD_ECN)))
		return -EINVAL;
	/* virtio 1.2, 5.1.6.2.1; UFO drivers of old left the checksum to the fragments' sender. */
	if (type != NET_GSO_UDP && !(off->flags & NET_NEEDS_CSUM))
		return -EINVAL;
	return 0;
}
