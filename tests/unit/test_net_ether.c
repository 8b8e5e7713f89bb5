/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "net/announce.h"
#include "net/offload.h"
#include "net_packets.h"

#include <errno.h>

static void test_shapes(void **state)
{
	for (unsigned i = 0; i < 48; i++) {
		struct packet_shape s = {.v6 = i & 1,
					 .proto = i & 2 ? IP_PROTO_TCP : IP_PROTO_UDP,
					 .ip_options = i & 4 ? 16 : 0,
					 .tcp_options = i & 8 ? 20 : 0,
					 .vlans = i / 16,
					 .payload = 30};
		struct packet k = packet_make(&s);
		struct net_headers h;

		assert_int_equal(net_headers_parse(k.p, k.len, &h), 0);
		assert_int_equal(h.ethertype, s.v6 ? ETHER_IPV6 : ETHER_IPV4);
		assert_int_equal(h.vlan_count, s.vlans);
		if (s.vlans)
			assert_int_equal(h.vlan[s.vlans - 1], 100 + s.vlans - 1);
		assert_int_equal(h.l3, k.l3);
		assert_int_equal(h.l4, k.l4);
		assert_int_equal(h.payload, k.payload);
		assert_int_equal(h.proto, s.proto);
		assert_int_equal(h.ip_version, s.v6 ? 6 : 4);
		assert_int_equal(h.extensions, s.v6 && s.ip_options);
		assert_int_equal(h.l3_len, k.len - k.l3);
		assert_false(h.fragment);
		free(k.p);
	}
}

/* Every cut gives what stands before it and no more; the allocation ends where the frame does. */
static void test_every_length(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		struct packet_shape s = {.v6 = i & 1,
					 .proto = i & 2 ? IP_PROTO_TCP : IP_PROTO_UDP,
					 .ip_options = i & 4 ? 8 : 0,
					 .tcp_options = 8,
					 .vlans = 1};
		struct packet k = packet_make(&s);

		for (uint32_t len = 0; len <= k.len; len++) {
			uint8_t *cut = malloc(len ? len : 1);
			struct net_headers h;

			memcpy(cut, k.p, len);
			assert_int_equal(net_headers_parse(cut, len, &h),
					 len < ETHER_HLEN ? -EINVAL : 0);
			assert_int_equal(h.l3,
					 len >= k.l3 + (s.v6 ? 40 : 20 + s.ip_options) ? k.l3 : 0);
			assert_int_equal(h.payload, len >= k.payload ? k.payload : 0);
			assert_true(h.l4 <= len);
			free(cut);
		}
		free(k.p);
	}
}

static void test_nonsense(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_TCP, .payload = 10};
	struct packet k = packet_make(&s);
	struct net_headers h;

	k.p[k.l3] = 0x44; /* IPv4 header of 16 bytes */
	net_headers_parse(k.p, k.len, &h);
	assert_int_equal(h.l3, 0);
	k.p[k.l3] = 0x65; /* not IPv4 at all */
	net_headers_parse(k.p, k.len, &h);
	assert_int_equal(h.ip_version, 0);
	k.p[k.l3] = 0x45;
	k.p[k.l4 + 12] = 0x40; /* TCP header of 16 bytes */
	net_headers_parse(k.p, k.len, &h);
	assert_int_equal(h.l3, k.l3);
	assert_int_equal(h.l4, 0);
	k.p[k.l4 + 12] = 0xf0; /* longer than the frame */
	net_headers_parse(k.p, k.len, &h);
	assert_int_equal(h.l4, 0);
	free(k.p);
}

static void test_fragments4(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_UDP, .payload = 64};
	struct packet k = packet_make(&s);
	struct net_headers h;

	store_be16(k.p + k.l3 + 6, 0x2000);
	net_headers_parse(k.p, k.len, &h);
	assert_true(h.fragment && !h.later_fragment);
	assert_int_equal(h.l4, k.l4);
	store_be16(k.p + k.l3 + 6, 0x0010);
	net_headers_parse(k.p, k.len, &h);
	assert_true(h.fragment && h.later_fragment);
	assert_int_equal(h.l4, 0);
	assert_int_equal(h.proto, IP_PROTO_UDP);
	store_be16(k.p + k.l3 + 6, 0x4000); /* don't fragment */
	net_headers_parse(k.p, k.len, &h);
	assert_false(h.fragment);
	free(k.p);
}

/* Hop-by-hop, destination options with a home address, routing type 2, fragment, UDP. */
static unsigned long_chain(uint8_t *p, uint16_t fragment)
{
	unsigned at = 14;

	memset(p, 0, 200);
	store_be16(p + 12, ETHER_IPV6);
	p[at] = 0x60;
	store_be16(p + at + 4, 8 + 24 + 24 + 8 + 8);
	p[at + 6] = 0;
	at += 40;
	p[at] = 60; /* hop-by-hop, Pad1 only */
	p[at + 1] = 0;
	at += 8;
	p[at] = 43; /* destination options: PadN(2), home address */
	p[at + 1] = 2;
	p[at + 2] = 1;
	p[at + 3] = 2;
	p[at + 6] = 0xc9;
	p[at + 7] = 16;
	memset(p + at + 8, 0xaa, 16);
	at += 24;
	p[at] = 44;
	p[at + 1] = 2;
	p[at + 2] = 2;
	p[at + 3] = 1;
	memset(p + at + 8, 0xbb, 16);
	at += 24;
	p[at] = 17;
	store_be16(p + at + 2, fragment);
	at += 8;
	store_be16(p + at + 4, 8);
	return at;
}

static void test_extensions(void **state)
{
	struct net_headers h;
	uint8_t p[200];
	unsigned l4 = long_chain(p, 0);

	net_headers_parse(p, l4 + 8, &h);
	assert_int_equal(h.l4, l4);
	assert_int_equal(h.payload, l4 + 8);
	assert_int_equal(h.proto, IP_PROTO_UDP);
	assert_int_equal(h.proto_at, l4 - 8);
	assert_true(h.extensions);
	assert_false(h.fragment); /* offset 0, no more: an atomic fragment, RFC 6946 */
	assert_int_equal(p[h.home], 0xaa);
	assert_int_equal(p[h.route2], 0xbb);
	long_chain(p, 1);
	net_headers_parse(p, l4 + 8, &h);
	assert_true(h.fragment && !h.later_fragment);
	assert_int_equal(h.l4, l4);
	long_chain(p, 8);
	net_headers_parse(p, l4 + 8, &h);
	assert_true(h.later_fragment);
	assert_int_equal(h.l4, 0);
	for (unsigned len = 54; len < l4; len++) {
		net_headers_parse(p, len, &h);
		assert_int_equal(h.l4, 0);
		assert_int_equal(h.proto, IP_PROTO_NONE);
	}
}

static void test_endless_chain(void **state)
{
	uint8_t p[14 + 40 + 8 * 40] = {0};
	struct net_headers h;

	store_be16(p + 12, ETHER_IPV6);
	p[14] = 0x60; /* every header says: hop-by-hop next */
	net_headers_parse(p, sizeof(p), &h);
	assert_int_equal(h.proto, IP_PROTO_NONE);
	assert_int_equal(h.l4, 0);
}

static void test_announce(void **state)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3}, ip[4] = {10, 0, 2, 15};
	uint8_t f[ETHER_MIN_LEN];

	net_announce_rarp(f, mac);
	assert_true(ether_is_broadcast(f));
	assert_memory_equal(f + 6, mac, 6);
	assert_int_equal(load_be16(f + 12), ETHER_RARP);
	assert_memory_equal(f + 14, "\0\1\x08\0\6\4\0\3", 8);
	assert_memory_equal(f + 22, mac, 6);
	assert_memory_equal(f + 32, mac, 6);
	assert_int_equal(load_be32(f + 28), 0);
	net_announce_arp(f, mac, ip);
	assert_int_equal(load_be16(f + 12), ETHER_ARP);
	assert_int_equal(load_be16(f + 20), 1);
	assert_memory_equal(f + 28, ip, 4);
	assert_memory_equal(f + 38, ip, 4);
}

static int check(uint8_t flags, uint8_t type, uint16_t size, uint16_t start, uint16_t offset,
		 uint32_t allowed)
{
	struct net_offload off = {.flags = flags,
				  .gso_type = type,
				  .gso_size = size,
				  .csum_start = start,
				  .csum_offset = offset};

	return net_offload_check(&off, 100, allowed);
}

static void test_offload_check(void **state)
{
	const uint32_t all = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO;
	struct net_offload none = {0};

	assert_int_equal(net_offload_check(&none, 14, 0), 0);
	assert_int_equal(net_offload_check(&none, 13, all), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, 0, 0, 34, 16, all), 0);
	assert_int_equal(check(NET_NEEDS_CSUM, 0, 0, 34, 16, 0), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, 0, 0, 34, 64, all), 0);
	assert_int_equal(check(NET_NEEDS_CSUM, 0, 0, 34, 65, all), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, 0, 0, 65535, 65535, all), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, 0, 0, 13, 0, all), -EINVAL);
	static const struct {
		uint8_t type;
		uint32_t needs;
	} types[] = {
		{NET_GSO_TCPV4, NET_OFFLOAD_TSO4},
		{NET_GSO_TCPV6, NET_OFFLOAD_TSO6},
		{NET_GSO_UDP, NET_OFFLOAD_UFO},
		{NET_GSO_UDP_L4, NET_OFFLOAD_USO4},
		{NET_GSO_UDP_L4, NET_OFFLOAD_USO6},
		{NET_GSO_TCPV4 | NET_GSO_ECN, NET_OFFLOAD_TSO4 | NET_OFFLOAD_ECN},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		uint32_t just = types[i].needs | NET_OFFLOAD_CSUM;

		assert_int_equal(check(NET_NEEDS_CSUM, types[i].type, 50, 34, 6, just), 0);
		assert_int_equal(check(NET_NEEDS_CSUM, types[i].type, 0, 34, 6, just), -EINVAL);
		assert_int_equal(check(NET_NEEDS_CSUM, types[i].type, 50, 34, 6, NET_OFFLOAD_CSUM),
				 -EINVAL);
		assert_int_equal(check(0, types[i].type, 50, 34, 6, just),
				 types[i].type == NET_GSO_UDP ? 0 : -EINVAL);
	}
	assert_int_equal(check(NET_NEEDS_CSUM, 2, 50, 34, 6, all), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, NET_GSO_ECN, 50, 34, 6, all), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, NET_GSO_UDP | NET_GSO_ECN, 50, 34, 6, all), -EINVAL);
	assert_int_equal(check(NET_NEEDS_CSUM, NET_GSO_TCPV4 | NET_GSO_ECN, 50, 34, 6,
			       NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),	   cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_nonsense),   cmocka_unit_test(test_fragments4),
		cmocka_unit_test(test_extensions), cmocka_unit_test(test_endless_chain),
		cmocka_unit_test(test_announce),   cmocka_unit_test(test_offload_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
