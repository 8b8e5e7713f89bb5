/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_PACKETS_H
#define TESTS_NET_PACKETS_H

#include "net/ether.h"

#include <stdlib.h>

/*
 * Frames for tests, and a second, naive way to look at them: no code of src/net is used here, so
 * that a mistake there does not hide itself.
 */
struct packet {
	uint8_t *p;
	uint32_t len;
	unsigned l3, l4, payload;
};

/** The Internet checksum, two bytes at a time. Returns the folded sum in host order. */
static inline uint16_t naive_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint32_t naive_pseudo(const struct packet *k, uint8_t proto, uint32_t len)
{
	uint32_t sum = proto + (len >> 16) + (len & 0xffff);

	if (k->p[k->l3] >> 4 == 4)
		return naive_sum(k->p + k->l3 + 12, 8, sum);
	return naive_sum(k->p + k->l3 + 8, 32, sum);
}

/** Whether the TCP, UDP or ICMPv6 checksum is right; the datagram ends with the frame. */
static inline bool naive_l4_good(const struct packet *k, uint8_t proto)
{
	uint32_t len = k->len - k->l4;

	return naive_sum(k->p + k->l4, len, naive_pseudo(k, proto, len)) == 0xffff;
}

static inline bool naive_ip4_good(const struct packet *k)
{
	return naive_sum(k->p + k->l3, (k->p[k->l3] & 15u) * 4, 0) == 0xffff;
}

#define PACKET_SEQ 0xfffff000u /* so that sequence numbers wrap */
#define PACKET_ID  0xfffe

struct packet_shape {
	bool v6;
	uint8_t proto; /* IP_PROTO_TCP or IP_PROTO_UDP */
	unsigned vlans;
	unsigned ip_options;  /* bytes, IPv4; IPv6: of a destination options header, 8 or 0 */
	unsigned tcp_options; /* bytes */
	uint8_t tcp_flags;
	uint32_t payload;
};

static inline unsigned packet_ip(uint8_t *ip, const struct packet_shape *s, uint32_t l4_len)
{
	if (s->v6) {
		ip[0] = 0x60;
		store_be16(ip + 4, (uint16_t)(s->ip_options + l4_len));
		ip[6] = s->ip_options ? 60 : s->proto;
		ip[7] = 64;
		for (unsigned i = 0; i < 32; i++)
			ip[8 + i] = (uint8_t)(0x20 + i);
		if (s->ip_options) {
			ip[40] = s->proto;
			ip[41] = (uint8_t)(s->ip_options / 8 - 1);
			ip[42] = 1; /* PadN */
			ip[43] = (uint8_t)(s->ip_options - 4);
		}
		return 40 + s->ip_options;
	}
	ip[0] = (uint8_t)(0x45 + s->ip_options / 4);
	store_be16(ip + 2, (uint16_t)(20 + s->ip_options + l4_len));
	store_be16(ip + 4, PACKET_ID);
	ip[8] = 64;
	ip[9] = s->proto;
	for (unsigned i = 0; i < 8; i++)
		ip[12 + i] = (uint8_t)(10 + i);
	memset(ip + 20, 1, s->ip_options); /* no-operation */
	store_be16(ip + 10, 0);
	store_be16(ip + 10, (uint16_t)~naive_sum(ip, 20 + s->ip_options, 0));
	return 20 + s->ip_options;
}

/**
 * A frame whose checksum field holds the pseudo header's sum, as a driver leaves it. The payload
 * counts up in a way that no two segments share. Free packet.p.
 */
static inline struct packet packet_make(const struct packet_shape *s)
{
	unsigned hlen = s->proto == IP_PROTO_TCP ? 20 + s->tcp_options : 8;
	uint32_t room = 14 + s->vlans * 4 + 100 + hlen + s->payload;
	struct packet k = {.p = calloc(1, room)};
	uint8_t *p = k.p + 12, *l4;

	memcpy(k.p, "\x52\x54\x00\x00\x00\x01\x52\x54\x00\x00\x00\x02", 12);
	for (unsigned i = 0; i < s->vlans; i++, p += 4) {
		store_be16(p, s->vlans == 2 && i == 0 ? ETHER_QINQ : ETHER_VLAN);
		store_be16(p + 2, (uint16_t)(100 + i));
	}
	store_be16(p, s->v6 ? ETHER_IPV6 : ETHER_IPV4);
	k.l3 = (unsigned)(p + 2 - k.p);
	k.l4 = k.l3 + packet_ip(k.p + k.l3, s, hlen + s->payload);
	k.payload = k.l4 + hlen;
	k.len = k.payload + s->payload;
	l4 = k.p + k.l4;
	store_be16(l4, 1000);
	store_be16(l4 + 2, 2000);
	if (s->proto == IP_PROTO_TCP) {
		store_be32(l4 + 4, PACKET_SEQ);
		store_be32(l4 + 8, 77);
		l4[12] = (uint8_t)(hlen / 4 << 4);
		l4[13] = s->tcp_flags;
		store_be16(l4 + 14, 4096);
		memset(l4 + 20, 1, s->tcp_options);
		store_be16(l4 + 16, naive_sum(NULL, 0, naive_pseudo(&k, s->proto, k.len - k.l4)));
	} else {
		store_be16(l4 + 4, (uint16_t)(8 + s->payload));
		store_be16(l4 + 6, naive_sum(NULL, 0, naive_pseudo(&k, s->proto, k.len - k.l4)));
	}
	for (uint32_t i = 0; i < s->payload; i++)
		k.p[k.payload + i] = (uint8_t)(i * 7 + (i >> 8) * 13);
	return k;
}

#endif
