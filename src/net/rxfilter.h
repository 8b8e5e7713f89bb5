/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_RXFILTER_H
#define NET_RXFILTER_H

#include "base/util.h"

/*
 * Receive filtering as virtio-net's control queue describes it (virtio 1.2, 5.1.6.5.1 to .3).
 * A plain value: the control path fills one in and hands a copy to the data path.
 */
#define RX_FILTER_MACS 64 /* unicast and multicast entries together; more: promiscuous by kind */

struct rx_filter {
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool mac_overflow_uni, mac_overflow_multi; /* the guest gave more than fit: accept all */
	uint8_t mac[6];
	unsigned uni_count, multi_count;
	uint8_t macs[RX_FILTER_MACS][6]; /* uni_count unicast, then multi_count multicast */
	bool vlan_filter;		 /* CTRL_VLAN negotiated: only listed VLANs pass */
	uint8_t vlans[4096 / 8];
};

/** Accepts everything: what a driver without the control queue gets. */
void rx_filter_init(struct rx_filter *filter, const uint8_t mac[6]);

/** Whether a frame whose first hdr_len bytes (at least 14, better 18) are hdr is for this guest. */
bool rx_filter_accepts(const struct rx_filter *filter, const uint8_t *hdr, unsigned hdr_len);

#endif
