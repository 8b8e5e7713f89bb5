/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MINI_GUEST_H
#define TESTS_MINI_GUEST_H

/*
 * A guest in a few lines: knows Ethernet, ARP, IPv4, IPv6, UDP and as much TCP as a test needs,
 * and checks every frame it is given with code of its own.
 */
#include "unit.h"

#include "base/iov.h"
#include "hostnet/user.h"
#include "net_packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define GUEST_MSS 1400

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const uint8_t guest_ip[4] = {10, 0, 2, 15}, gateway_ip[4] = {10, 0, 2, 2};

struct guest {
	struct hostnet *hn;
	uint32_t offloads;
	uint8_t gateway_mac[6];
	uint8_t ip6[16], gateway_ip6[16];
	uint8_t rx[NET_FRAME_MAX];
	struct packet in; /* the frame last received, in rx */
	struct net_offload off;
	unsigned sent;
	uint64_t sent_bytes, received, received_bytes;
};

static inline int guest_try_open(struct guest *g, const char *text, uint32_t offloads, unsigned mtu,
				 struct error *err)
{
	const struct option_key *const tables[] = {user_ops.keys, NULL};
	struct hostnet_params params = {
		.id = "net0", .queues = 1, .offloads = offloads, .mac = guest_mac, .mtu = mtu};
	struct options opts;
	int rc;

	memset(g, 0, sizeof(*g));
	g->offloads = offloads;
	memcpy(g->gateway_mac, "\x52\x55\x0a\0\2\2", 6);
	inet_pton(AF_INET6, "fec0::5054:ff:fe12:3456", g->ip6);
	inet_pton(AF_INET6, "fec0::2", g->gateway_ip6);
	assert_int_equal(options_parse(&opts, text, err), 0);
	assert_int_equal(options_check(&opts, tables, "--net net0", err), 0);
	rc = user_ops.open(&opts, &params, &g->hn, err);
	options_free(&opts);
	return rc;
}

static inline void guest_open(struct guest *g, const char *text, uint32_t offloads)
{
	struct error err = {0};

	if (guest_try_open(g, text, offloads, 0, &err) < 0)
		fail_msg("%s", err.text);
}

static inline struct hostnet_counters guest_counters(struct guest *g)
{
	struct hostnet_counters c;

	g->hn->ops->counters(g->hn, 0, &c);
	return c;
}

/** Closes, having checked that every frame was counted. */
static inline void guest_close(struct guest *g)
{
	struct hostnet_counters c = guest_counters(g);

	assert_int_equal(c.tx_frames + c.drops[HOSTNET_DROP_MALFORMED] +
				 (c.drops[HOSTNET_DROP_OVERSIZE]),
			 g->sent);
	assert_int_equal(c.rx_frames, g->received);
	assert_int_equal(c.rx_bytes, g->received_bytes);
	g->hn->ops->close(g->hn);
}

static inline void guest_send(struct guest *g, const uint8_t *p, uint32_t len,
			      const struct net_offload *off)
{
	struct iovec iov[3] = {{(void *)(uintptr_t)p, MIN(len, 10u)},
			       {(void *)(uintptr_t)(p + MIN(len, 10u)), 0},
			       {(void *)(uintptr_t)(p + MIN(len, 10u)), len - MIN(len, 10u)}};
	struct net_frame f = {.iov = iov, .niov = 3, .len = len};

	if (off)
		f.off = *off;
	g->sent++;
	assert_int_equal(g->hn->ops->send(g->hn, 0, &f, 1), 1);
}

/* ---- frames to send ---- */

static inline uint8_t *guest_ether(struct guest *g, uint8_t *p, uint16_t type)
{
	memcpy(p, g->gateway_mac, 6);
	memcpy(p + 6, guest_mac, 6);
	store_be16(p + 12, type);
	return p + 14;
}

static inline uint8_t *guest_ip4(struct guest *g, uint8_t *p, uint8_t proto, uint32_t len)
{
	uint8_t *ip = guest_ether(g, p, ETHER_IPV4);

	memset(ip, 0, 20);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(20 + len));
	store_be16(ip + 4, (uint16_t)(1 + g->sent));
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, guest_ip, 4);
	memcpy(ip + 16, gateway_ip, 4);
	store_be16(ip + 10, (uint16_t)~naive_sum(ip, 20, 0));
	return ip + 20;
}

static inline uint8_t *guest_ip6(struct guest *g, uint8_t *p, uint8_t proto, uint32_t len)
{
	uint8_t *ip = guest_ether(g, p, ETHER_IPV6);

	memset(ip, 0, 8);
	ip[0] = 0x60;
	store_be16(ip + 4, (uint16_t)len);
	ip[6] = proto;
	ip[7] = 255;
	memcpy(ip + 8, g->ip6, 16);
	memcpy(ip + 24, g->gateway_ip6, 16);
	return ip + 40;
}

static inline void guest_finish(uint8_t *p, unsigned l3, unsigned l4, uint32_t len, uint8_t proto,
				unsigned field)
{
	struct packet k = {.p = p, .len = len, .l3 = l3, .l4 = l4};

	store_be16(p + l4 + field, 0);
	store_be16(p + l4 + field,
		   (uint16_t)~naive_sum(p + l4, len - l4, naive_pseudo(&k, proto, len - l4)));
}

static inline void guest_send_udp(struct guest *g, uint16_t sport, uint16_t dport, const void *data,
				  uint32_t n)
{
	uint8_t p[2000], *udp = guest_ip4(g, p, IP_PROTO_UDP, 8 + n);

	store_be16(udp, sport);
	store_be16(udp + 2, dport);
	store_be16(udp + 4, (uint16_t)(8 + n));
	memcpy(udp + 8, data, n);
	guest_finish(p, 14, 34, 42 + n, IP_PROTO_UDP, 6);
	guest_send(g, p, 42 + n, NULL);
}

/* From nowhere to everybody, as DHCP begins. */
static inline void guest_send_dhcp(struct guest *g, const void *data, uint32_t n)
{
	uint8_t p[2000], *udp = guest_ip4(g, p, IP_PROTO_UDP, 8 + n), *ip = p + 14;

	memset(ip + 12, 0, 4);
	memset(ip + 16, 0xff, 4);
	store_be16(ip + 10, 0);
	store_be16(ip + 10, (uint16_t)~naive_sum(ip, 20, 0));
	store_be16(udp, 68);
	store_be16(udp + 2, 67);
	store_be16(udp + 4, (uint16_t)(8 + n));
	memcpy(udp + 8, data, n);
	guest_finish(p, 14, 34, 42 + n, IP_PROTO_UDP, 6);
	guest_send(g, p, 42 + n, NULL);
}

static inline void guest_send_ping(struct guest *g, uint16_t seq, uint32_t n)
{
	uint8_t p[9000], *icmp = guest_ip4(g, p, 1, 8 + n);

	memset(icmp, 0, 8);
	icmp[0] = 8;
	store_be16(icmp + 4, 77);
	store_be16(icmp + 6, seq);
	for (uint32_t i = 0; i < n; i++)
		icmp[8 + i] = (uint8_t)(i + seq);
	store_be16(icmp + 2, (uint16_t)~naive_sum(icmp, 8 + n, 0));
	guest_send(g, p, 42 + n, NULL);
}

struct guest_tcp {
	uint16_t sport, dport;
	uint32_t seq, ack;
	bool v6;
};

/* A TCP segment. With gso_size the checksum is left partial and the segment may be of any size. */
static inline void guest_send_tcp(struct guest *g, struct guest_tcp *t, uint8_t flags,
				  const void *data, uint32_t n, unsigned gso_size)
{
	unsigned hlen = flags & 2 ? 24 : 20, l4 = t->v6 ? 54 : 34;
	uint8_t *p = malloc(l4 + hlen + n), *tcp;
	uint32_t len = l4 + hlen + n;

	tcp = t->v6 ? guest_ip6(g, p, 6, hlen + n) : guest_ip4(g, p, 6, hlen + n);
	memset(tcp, 0, hlen);
	store_be16(tcp, t->sport);
	store_be16(tcp + 2, t->dport);
	store_be32(tcp + 4, t->seq);
	store_be32(tcp + 8, t->ack);
	tcp[12] = (uint8_t)(hlen / 4 << 4);
	tcp[13] = flags;
	store_be16(tcp + 14, 65535);
	if (flags & 2) {
		tcp[20] = 2;
		tcp[21] = 4;
		store_be16(tcp + 22, GUEST_MSS);
	}
	if (n)
		memcpy(tcp + hlen, data, n);
	if (gso_size) {
		struct packet k = {.p = p, .len = len, .l3 = 14, .l4 = l4};
		struct net_offload off = {.flags = NET_NEEDS_CSUM,
					  .gso_type = t->v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
					  .hdr_len = (uint16_t)(l4 + hlen),
					  .gso_size = (uint16_t)gso_size,
					  .csum_start = (uint16_t)l4,
					  .csum_offset = 16};

		store_be16(tcp + 16, naive_sum(NULL, 0, naive_pseudo(&k, 6, len - l4)));
		guest_send(g, p, len, &off);
	} else {
		guest_finish(p, 14, l4, len, 6, 16);
		guest_send(g, p, len, NULL);
	}
	t->seq += n + !!(flags & 3);
	free(p);
}

/* ---- frames received ---- */

static inline void guest_check_ip(struct guest *g)
{
	struct packet *k = &g->in;
	const uint8_t *ip = k->p + 14;
	bool v4 = load_be16(k->p + 12) == ETHER_IPV4;
	uint8_t proto = v4 ? ip[9] : ip[6];

	k->l3 = 14;
	k->l4 = 14 + (v4 ? (ip[0] & 15u) * 4 : 40);
	if (v4) {
		assert_true(naive_ip4_good(k));
		assert_true(14u + load_be16(ip + 2) <= k->len);
		k->len = 14 + load_be16(ip + 2);
		if (load_be16(ip + 6) & 0x3fff)
			return;
	} else {
		k->len = 54u + load_be16(ip + 4);
	}
	if (g->off.flags & NET_NEEDS_CSUM) {
		assert_int_equal(load_be16(k->p + k->l4 + 16),
				 naive_sum(NULL, 0, naive_pseudo(k, proto, k->len - k->l4)));
		assert_int_equal(g->off.csum_start, k->l4);
		assert_int_equal(g->off.csum_offset, 16);
	} else if (proto == 6 || proto == 58 || (proto == 17 && load_be16(k->p + k->l4 + 6))) {
		assert_true(naive_l4_good(k, proto));
	} else if (proto == 1) {
		assert_int_equal(naive_sum(k->p + k->l4, k->len - k->l4, 0), 0xffff);
	}
	k->payload = k->l4 + (proto == 6 ? (k->p[k->l4 + 12] >> 4) * 4u : 8);
}

static inline void guest_answer_arp(struct guest *g)
{
	const uint8_t *arp = g->in.p + 14;
	uint8_t p[60] = {0}, *out = guest_ether(g, p, ETHER_ARP);

	if (load_be16(arp + 6) != 1 || memcmp(arp + 24, guest_ip, 4))
		return;
	memcpy(out, arp, 6);
	store_be16(out + 6, 2);
	memcpy(out + 8, guest_mac, 6);
	memcpy(out + 14, guest_ip, 4);
	memcpy(out + 18, arp + 8, 10);
	guest_send(g, p, 60, NULL);
}

static inline void guest_answer_neighbour(struct guest *g)
{
	const uint8_t *ns = g->in.p + 54;
	uint8_t p[86], *na;

	if (ns[0] != 135 || memcmp(ns + 8, g->ip6, 16))
		return;
	na = guest_ip6(g, p, 58, 32);
	memset(na, 0, 32);
	na[0] = 136;
	na[4] = 0x60;
	memcpy(na + 8, g->ip6, 16);
	na[24] = 2;
	na[25] = 1;
	memcpy(na + 26, guest_mac, 6);
	guest_finish(p, 14, 54, 86, 58, 2);
	guest_send(g, p, 86, NULL);
}

/**
 * Receives one frame, checked, into g->in. Answers who asks for the guest's address by itself.
 * Returns whether one came within timeout_ms.
 */
static inline bool guest_recv(struct guest *g, int timeout_ms)
{
	struct iovec room = {g->rx, sizeof(g->rx)};

	for (;;) {
		struct pollfd p = {.fd = g->hn->ops->poll_fd(g->hn, 0), .events = POLLIN};
		ssize_t n = g->hn->ops->recv(g->hn, 0, &room, 1, &g->off);

		if (n == -EAGAIN) {
			if (poll(&p, 1, timeout_ms) < 1)
				return false;
			continue;
		}
		assert_true(n >= 14);
		g->received++;
		g->received_bytes += (uint64_t)n;
		g->in = (struct packet){.p = g->rx, .len = (uint32_t)n};
		assert_true(g->off.gso_type || n <= 1514);
		switch (load_be16(g->rx + 12)) {
		case ETHER_ARP:
			guest_answer_arp(g);
			return true;
		case ETHER_IPV6:
			guest_check_ip(g);
			if (g->rx[20] == 58)
				guest_answer_neighbour(g);
			return true;
		case ETHER_IPV4:
			guest_check_ip(g);
			return true;
		}
		fail_msg("a frame of type %#x", load_be16(g->rx + 12));
	}
}

/** Receives until a frame of the given IP protocol (and IP version) comes; false if none does. */
static inline bool guest_expect(struct guest *g, uint16_t type, uint8_t proto)
{
	while (guest_recv(g, PATIENCE_MS)) {
		if (load_be16(g->rx + 12) == type &&
		    (type == ETHER_ARP || g->rx[type == ETHER_IPV4 ? 23 : 20] == proto))
			return true;
	}
	return false;
}

#endif
