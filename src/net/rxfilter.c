/* SPDX-License-Identifier: Apache-2.0 */
#include "net/rxfilter.h"

#include "net/ether.h"

void rx_filter_init(struct rx_filter *filter, const uint8_t mac[6])
{
	*filter = (struct rx_filter){.promisc = true};
	memcpy(filter->mac, mac, 6);
}

static bool rx_filter_listed(const uint8_t (*macs)[6], unsigned count, const uint8_t *mac)
{
	for (unsigned i = 0; i < count; i++) {
		if (ether_equal(macs[i], mac))
			return true;
	}
	return false;
}

/* VLAN 0 only carries a priority: such a frame belongs to no VLAN (IEEE 802.1Q, 9.6). */
static bool rx_filter_vlan(const struct rx_filter *filter, const uint8_t *hdr, unsigned hdr_len)
{
	unsigned vid;

	if (load_be16(hdr + 12) != ETHER_VLAN)
		return true;
	if (hdr_len < ETHER_HLEN + ETHER_VLAN_HLEN)
		return false;
	vid = load_be16(hdr + 14) & 0xfff;
	return vid == 0 || (filter->vlans[vid / 8] >> (vid % 8) & 1);
}

bool rx_filter_accepts(const struct rx_filter *filter, const uint8_t *hdr, unsigned hdr_len)
{
	unsigned uni = MIN(filter->uni_count, (unsigned)RX_FILTER_MACS);
	unsigned multi = MIN(filter->multi_count, RX_FILTER_MACS - uni);

	if (hdr_len < ETHER_HLEN)
		return false;
	if (filter->promisc)
		return true;
	if (filter->vlan_filter && !rx_filter_vlan(filter, hdr, hdr_len))
		return false;
	if (ether_is_broadcast(hdr))
		return !filter->nobcast;
	if (ether_is_multicast(hdr)) {
		if (filter->nomulti)
			return false;
		return filter->allmulti || filter->mac_overflow_multi ||
		       rx_filter_listed(filter->macs + uni, multi, hdr);
	}
	if (filter->nouni)
		return false;
	return filter->alluni || filter->mac_overflow_uni || ether_equal(hdr, filter->mac) ||
	       rx_filter_listed(filter->macs, uni, hdr);
}
