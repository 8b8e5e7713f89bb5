/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_head.h"
#include "net/checksum.h"
#include "net/gso.h"

bool nic_head_take(struct net_frame *frame, struct iovec *iov, uint8_t *head, unsigned n)
{
	struct iovec rest[NET_GSO_IOV_MAX];
	unsigned nrest;

	if (n > NIC_HEAD_MAX - ETHER_VLAN_HLEN || n > frame->len || frame->niov >= NET_GSO_IOV_MAX)
		return false;
	if (iov_read(iov, frame->niov, 0, head, n) != n)
		return false;
	nrest = iov_slice(iov, frame->niov, n, frame->len - n, rest, NET_GSO_IOV_MAX);
	iov[0] = (struct iovec){head, n};
	memcpy(iov + 1, rest, nrest * sizeof(*rest));
	frame->niov = nrest + 1;
	return true;
}

bool nic_head_tag(struct net_frame *frame, struct iovec *iov, uint8_t *head, uint16_t ethertype,
		  uint16_t tci)
{
	if (!nic_head_taken(frame, head) && !nic_head_take(frame, iov, head, ETHER_HLEN))
		return false;
	memmove(head + 12 + ETHER_VLAN_HLEN, head + 12, iov[0].iov_len - 12);
	store_be16(head + 12, ethertype);
	store_be16(head + 14, tci);
	iov[0].iov_len += ETHER_VLAN_HLEN;
	frame->len += ETHER_VLAN_HLEN;
	if (frame->off.flags & NET_NEEDS_CSUM)
		frame->off.csum_start += ETHER_VLAN_HLEN;
	if (frame->off.gso_type)
		frame->off.hdr_len += ETHER_VLAN_HLEN;
	return true;
}

static unsigned check_offset(const struct net_headers *h)
{
	return h->proto == IP_PROTO_TCP ? TCP_CHECK : UDP_CHECK;
}

static void pseudo(uint8_t *head, const struct net_headers *h, uint32_t l4_len)
{
	struct csum c = {0};
	uint16_t sum;

	csum_add_pseudo(&c, head, h, l4_len);
	sum = csum_fold(&c);
	memcpy(head + h->l4 + check_offset(h), &sum, sizeof(sum));
}

void nic_head_csum(struct net_frame *frame, uint8_t *head, const struct net_headers *h)
{
	pseudo(head, h, h->l3 + h->l3_len - h->l4);
	frame->off = (struct net_offload){
		.flags = NET_NEEDS_CSUM,
		.csum_start = h->l4,
		.csum_offset = (uint16_t)check_offset(h),
	};
}

void nic_head_tso(uint8_t *head, const struct net_headers *h, uint32_t frame_len)
{
	uint8_t *ip = head + h->l3;
	uint32_t l4_len = frame_len - h->l4;
	uint16_t check;

	if (h->ip_version == 4) {
		store_be16(ip + IPV4_LEN, (uint16_t)(frame_len - h->l3));
		check = csum_ipv4_header(ip, (unsigned)h->l3_payload - h->l3);
		memcpy(ip + IPV4_CHECK, &check, sizeof(check));
	} else {
		store_be16(ip + IPV6_LEN, (uint16_t)(frame_len - h->l3 - IPV6_HLEN));
	}
	if (h->proto == IP_PROTO_UDP)
		store_be16(head + h->l4 + UDP_LEN, (uint16_t)l4_len);
	pseudo(head, h, l4_len);
}
