/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/ring_features.h"

#include "vring/features.h"

#define BIT(n) (1ULL << (n))

/* What a guest may send unfinished, by the feature that says so; and be given. */
static const struct {
	unsigned from, to;
	uint32_t offload;
} offload_bits[] = {
	{VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, NET_OFFLOAD_CSUM},
	{VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4, NET_OFFLOAD_TSO4},
	{VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6, NET_OFFLOAD_TSO6},
	{VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN, NET_OFFLOAD_ECN},
	{VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_GUEST_UFO, NET_OFFLOAD_UFO},
	{VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO4, NET_OFFLOAD_USO4},
	{VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO6, NET_OFFLOAD_USO6},
};

/* Takes the features' bits out that a key says no to. */
static int mask(const struct options *opts, const char *key, uint64_t bits, uint64_t *features,
		struct error *err)
{
	const char *value = options_get(opts, key);
	bool on = true;
	int ret = value ? option_bool(key, value, &on, err) : 0;

	if (!on)
		*features &= ~bits;
	return ret;
}

int ring_features_offered(const struct options *opts, uint64_t *features, struct error *err)
{
	uint64_t all = 0;
	int ret;

	for (unsigned i = 0; i < ARRAY_SIZE(offload_bits); i++)
		all |= BIT(offload_bits[i].from) | BIT(offload_bits[i].to);
	ret = mask(opts, "offloads", all, features, err);
	if (!ret)
		ret = mask(opts, "packed", BIT(VIRTIO_F_RING_PACKED), features, err);
	if (!ret)
		ret = mask(opts, "mergeable", BIT(VIRTIO_NET_F_MRG_RXBUF), features, err);
	if (!ret)
		ret = mask(opts, "in-order", BIT(VIRTIO_F_IN_ORDER), features, err);
	return ret;
}

void ring_features_agreed(struct sw_port *port, uint64_t agreed)
{
	port->offloads_from = port->offloads_to = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(offload_bits); i++) {
		if (agreed & BIT(offload_bits[i].from))
			port->offloads_from |= offload_bits[i].offload;
		if (agreed & BIT(offload_bits[i].to))
			port->offloads_to |= offload_bits[i].offload;
	}
	port->mergeable = agreed & BIT(VIRTIO_NET_F_MRG_RXBUF);
	port->hdr_len = agreed & (BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1))
				? SW_HDR_LEN
				: SW_HDR_LEGACY;
}
