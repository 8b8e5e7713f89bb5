/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ether.h"

#include <errno.h>

/* A chain of IPv6 extension headers longer than this is nobody's. */
#define IPV6_EXTENSIONS_MAX 16

#define IPV6_HOP_BY_HOP	    0
#define IPV6_ROUTING	    43
#define IPV6_FRAGMENT	    44
#define IPV6_AUTH	    51
#define IPV6_DESTINATION    60
#define IPV6_MOBILITY	    135
#define IPV6_HIP	    139
#define IPV6_SHIM6	    140
#define IPV6_OPT_PAD1	    0
#define IPV6_OPT_HOME	    0xc9 /* RFC 6275, 6.3 */
#define IPV6_ROUTE_TYPE_2   2	 /* RFC 6275, 6.4 */

static void parse_l4(const uint8_t *p, unsigned len, unsigned at, struct net_headers *h)
{
	unsigned size;

	if (at >= len)
		return;
	if (h->proto == IP_PROTO_UDP) {
		size = UDP_HLEN;
	} else if (h->proto == IP_PROTO_TCP) {
		if (at + TCP_HLEN > len)
			return;
		size = (unsigned)(p[at + 12] >> 4) * 4;
		if (size < TCP_HLEN)
			return;
	} else {
		h->l4 = (uint16_t)at;
		return;
	}
	if (at + size > len)
		return;
	h->l4 = (uint16_t)at;
	h->payload = (uint16_t)(at + size);
}

static void parse_ipv4(const uint8_t *p, unsigned len, struct net_headers *h)
{
	unsigned at = h->l3, size;
	uint16_t frag;

	h->l3 = 0;
	if (at + IPV4_HLEN > len || p[at] >> 4 != 4)
		return;
	size = (p[at] & 15u) * 4;
	if (size < IPV4_HLEN || at + size > len)
		return;
	h->l3 = (uint16_t)at;
	h->ip_version = 4;
	h->l3_len = load_be16(p + at + IPV4_LEN);
	h->l3_payload = (uint16_t)(at + size);
	h->proto = p[at + IPV4_PROTO];
	frag = load_be16(p + at + IPV4_FRAG);
	h->fragment = frag & (IPV4_FRAG_MF | IPV4_FRAG_OFF);
	h->later_fragment = frag & IPV4_FRAG_OFF;
	if (!h->later_fragment)
		parse_l4(p, len, at + size, h);
}

/* Looks for the home address option among the options of a destination options header. */
static void parse_home(const uint8_t *p, unsigned at, unsigned end, struct net_headers *h)
{
	at += 2;
	while (at < end) {
		unsigned size;

		if (p[at] == IPV6_OPT_PAD1) {
			at++;
			continue;
		}
		if (at + 2 > end)
			return;
		size = 2u + p[at + 1];
		if (at + size > end)
			return;
		if (p[at] == IPV6_OPT_HOME && size == 18) {
			h->home = (uint16_t)(at + 2);
			return;
		}
		at += size;
	}
}

/*
 * One extension header at *at, which is whole up to its length field. Returns whether there is a
 * next one to look at: not when this one is cut, or the datagram's rest is another fragment's.
 */
static bool parse_extension(const uint8_t *p, unsigned len, unsigned *at, uint8_t type,
			    struct net_headers *h)
{
	unsigned size = (p[*at + 1] + 1u) * 8;

	if (type == IPV6_FRAGMENT)
		size = IPV6_FRAG_HLEN;
	else if (type == IPV6_AUTH)
		size = (p[*at + 1] + 2u) * 4;
	if (*at + size > len)
		return false;
	switch (type) {
	case IPV6_DESTINATION:
		parse_home(p, *at, *at + size, h);
		break;
	case IPV6_ROUTING:
		if (p[*at + 2] == IPV6_ROUTE_TYPE_2 && size == 24)
			h->route2 = (uint16_t)(*at + 8);
		break;
	case IPV6_FRAGMENT:
		h->fragment = load_be16(p + *at + 2) & ~6u; /* a lone fragment is whole */
		h->later_fragment = load_be16(p + *at + 2) & ~7u;
		break;
	}
	h->proto_at = (uint16_t)*at;
	h->proto = p[*at];
	*at += size;
	return true;
}

static bool ipv6_is_extension(uint8_t type)
{
	switch (type) {
	case IPV6_HOP_BY_HOP:
	case IPV6_ROUTING:
	case IPV6_FRAGMENT:
	case IPV6_AUTH:
	case IPV6_DESTINATION:
	case IPV6_MOBILITY:
	case IPV6_HIP:
	case IPV6_SHIM6:
		return true;
	default:
		return false;
	}
}

static void parse_ipv6(const uint8_t *p, unsigned len, struct net_headers *h)
{
	unsigned at = h->l3;

	h->l3 = 0;
	if (at + IPV6_HLEN > len || p[at] >> 4 != 6)
		return;
	h->l3 = (uint16_t)at;
	h->ip_version = 6;
	h->l3_len = IPV6_HLEN + load_be16(p + at + IPV6_LEN);
	h->proto_at = (uint16_t)(at + IPV6_NEXT);
	h->proto = p[at + IPV6_NEXT];
	at += IPV6_HLEN;
	h->l3_payload = (uint16_t)at;
	for (unsigned n = 0; ipv6_is_extension(h->proto) && !h->later_fragment; n++) {
		h->extensions = true;
		if (n == IPV6_EXTENSIONS_MAX || at + 8 > len ||
		    !parse_extension(p, len, &at, h->proto, h)) {
			h->proto = IP_PROTO_NONE;
			return;
		}
	}
	if (!h->later_fragment)
		parse_l4(p, len, at, h);
}

int net_headers_parse(const uint8_t *frame, size_t bytes, struct net_headers *out)
{
	unsigned len = (unsigned)MIN(bytes, 65535u);
	unsigned at = 12;

	*out = (struct net_headers){0};
	if (len < ETHER_HLEN)
		return -EINVAL;
	out->ethertype = load_be16(frame + at);
	while ((out->ethertype == ETHER_VLAN || out->ethertype == ETHER_QINQ) &&
	       out->vlan_count < 2 && at + 2 + ETHER_VLAN_HLEN <= len) {
		out->vlan[out->vlan_count++] = load_be16(frame + at + 2);
		at += ETHER_VLAN_HLEN;
		out->ethertype = load_be16(frame + at);
	}
	out->l3 = (uint16_t)(at + 2);
	if (out->ethertype == ETHER_IPV4)
		parse_ipv4(frame, len, out);
	else if (out->ethertype == ETHER_IPV6)
		parse_ipv6(frame, len, out);
	else
		out->l3 = 0;
	return 0;
}
