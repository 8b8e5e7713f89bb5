/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_ETHER_H
#define NET_ETHER_H

#include "base/util.h"

/* Ethernet, and what a frame's headers say. */
#define ETHER_HLEN	14
#define ETHER_VLAN_HLEN 4
#define ETHER_MIN_LEN	60 /* without FCS */

#define ETHER_IPV4	0x0800
#define ETHER_ARP	0x0806
#define ETHER_RARP	0x8035
#define ETHER_VLAN	0x8100 /* 802.1Q */
#define ETHER_IPV6	0x86dd
#define ETHER_QINQ	0x88a8 /* 802.1ad */

#define IP_PROTO_ICMP	1
#define IP_PROTO_TCP	6
#define IP_PROTO_UDP	17
#define IP_PROTO_ICMPV6 58
#define IP_PROTO_NONE	59

#define IPV4_HLEN	20
#define IPV6_HLEN	40
#define IPV6_FRAG_HLEN	8
#define TCP_HLEN	20
#define UDP_HLEN	8

/* Where fields stand in their header. */
#define IPV4_LEN      2
#define IPV4_ID	      4
#define IPV4_FRAG     6
#define IPV4_PROTO    9
#define IPV4_CHECK    10
#define IPV4_SRC      12
#define IPV4_DST      16
#define IPV4_FRAG_MF  0x2000
#define IPV4_FRAG_OFF 0x1fff
#define IPV6_LEN      4
#define IPV6_NEXT     6
#define IPV6_SRC      8
#define IPV6_DST      24
#define TCP_SEQ	      4
#define TCP_FLAGS     13
#define TCP_CHECK     16
#define UDP_LEN	      4
#define UDP_CHECK     6

#define TCP_FIN	      0x01
#define TCP_PSH	      0x08
#define TCP_CWR	      0x80

/* As much of a frame as is worth copying to look at its headers. */
#define NET_HEADERS_MAX 256

/**
 * A frame's headers. Offsets are from the start of the frame; 0 stands for "not there, or beyond
 * the bytes that were looked at".
 */
struct net_headers {
	uint16_t ethertype;  /* behind the VLAN tags */
	uint8_t vlan_count;  /* 0 to 2 */
	uint16_t vlan[2];    /* tag control information, outer first */
	uint16_t l3;	     /* IPv4 or IPv6 header, whole */
	uint8_t ip_version;  /* 4, 6 or 0 */
	uint8_t proto;	     /* of l4, also in fragments; IP_PROTO_NONE where the chain is cut */
	bool fragment;	     /* part of a fragmented datagram */
	bool later_fragment; /* … and not its first part: there is no l4 header in it */
	bool extensions;     /* IPv6 extension headers are present */
	uint16_t l3_payload; /* the first byte behind the IPv4 header, or the IPv6 fixed header */
	uint16_t proto_at;   /* IPv6: the byte that says what stands at l4 */
	uint16_t home;	     /* IPv6: address in the home address option */
	uint16_t route2;     /* IPv6: address in a type 2 routing header */
	uint16_t l4;	     /* TCP, UDP or other header, whole where TCP or UDP */
	uint16_t payload;    /* behind a TCP or UDP header */
	uint32_t l3_len;     /* the datagram's length by its own header, from l3 on */
};

/**
 * Takes the headers from the frame's first len bytes (at most 65535 are looked at). What is cut
 * off or nonsense ends the walk: the fields found so far stand. Returns 0, or -EINVAL when not
 * even the Ethernet header is there.
 */
int net_headers_parse(const uint8_t *frame, size_t len, struct net_headers *out);

static inline bool ether_is_multicast(const uint8_t *mac)
{
	return mac[0] & 1;
}

static inline bool ether_is_broadcast(const uint8_t *mac)
{
	return load_be32(mac) == 0xffffffff && load_be16(mac + 4) == 0xffff;
}

static inline bool ether_equal(const uint8_t *a, const uint8_t *b)
{
	return !memcmp(a, b, 6);
}

#endif
