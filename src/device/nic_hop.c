// SPDX-License-Identifier: Apache-2.0
#include "device/nic_hop.h"

void nic_hop_more(struct nic_hop *hop, const char *name, uint64_t value)
{
	if (hop->nmore == NIC_HOP_MORE)
		return;
	hop->more[hop->nmore].name = name;
	hop->more[hop->nmore++].value = value;
}

void nic_hop_drop(struct nic_hop *hop, const char *cause, const char *text, uint64_t count)
{
	if (!count || hop->ndrops == NIC_HOP_DROPS)
		return;
	hop->drops[hop->ndrops].cause = cause;
	hop->drops[hop->ndrops].text = text;
	hop->drops[hop->ndrops++].count = count;
}

void nic_hop_backend(struct nic_hop *hop, const char *name, enum nic_direction direction, int queue,
		     const struct hostnet_counters *c)
{
	bool rx = direction == NIC_RX;

	*hop = (struct nic_hop){
		.name = name,
		.direction = direction,
		.queue = queue,
		.counted = true,
		.frames_out = rx ? c->rx_frames : c->tx_frames,
		.bytes_out = rx ? c->rx_bytes : c->tx_bytes,
		.last_drop = -1,
	};
	hop->frames_in = hop->frames_out;
	hop->bytes_in = hop->bytes_out;
	for (unsigned i = 0; i < HOSTNET_DROP_COUNT; i++) {
		uint64_t n = rx ? c->rx_drops[i] : c->drops[i] - c->rx_drops[i];

		hop->frames_in += n;
		nic_hop_drop(hop, hostnet_drop_word(i), hostnet_drop_name(i), n);
	}
}
