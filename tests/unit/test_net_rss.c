/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "net/rss.h"
#include "net_packets.h"

#include <arpa/inet.h>

/* Microsoft's verification suite for the RSS hash. */
static const uint8_t ms_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

struct vector {
	const char *dst, *src;
	uint16_t dport, sport;
	uint32_t hash_ip, hash_tcp;
};

static const struct vector vectors4[] = {
	{"161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178},
	{"65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea},
	{"12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
	{"209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f},
	{"202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2},
};
static const struct vector vectors6[] = {
	{"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d},
	{"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf},
	{"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251,
	 0x4b61e985, 0x02d1feef},
};

static struct rss_config config(uint32_t types)
{
	struct rss_config c = {.enabled = true, .types = types, .key_len = sizeof(ms_key)};

	memcpy(c.key, ms_key, sizeof(ms_key));
	return c;
}

static struct packet vector_packet(const struct vector *v, bool v6, uint8_t proto, bool ext)
{
	struct packet_shape s = {
		.v6 = v6, .proto = proto, .payload = 4, .ip_options = v6 && ext ? 24 : 0};
	struct packet k = packet_make(&s);
	uint8_t *ip = k.p + k.l3;
	int family = v6 ? AF_INET6 : AF_INET;

	inet_pton(family, v->src, ip + (v6 ? 8 : 12));
	inet_pton(family, v->dst, ip + (v6 ? 24 : 16));
	store_be16(k.p + k.l4, v->sport);
	store_be16(k.p + k.l4 + 2, v->dport);
	return k;
}

static void expect(const struct packet *k, uint32_t types, enum rss_report report, uint32_t want)
{
	struct rss_config c = config(types);
	uint32_t hash = 0xdead;

	assert_int_equal(rss_hash(&c, k->p, k->len, &hash), report);
	assert_int_equal(hash, want);
}

static void test_ipv4(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vectors4); i++) {
		const struct vector *v = &vectors4[i];
		struct packet tcp = vector_packet(v, false, IP_PROTO_TCP, false);
		struct packet udp = vector_packet(v, false, IP_PROTO_UDP, false);

		expect(&tcp, RSS_ALL, RSS_REPORT_TCPV4, v->hash_tcp);
		expect(&udp, RSS_ALL, RSS_REPORT_UDPV4, v->hash_tcp);
		expect(&tcp, RSS_IPV4 | RSS_UDPV4, RSS_REPORT_IPV4, v->hash_ip);
		expect(&udp, RSS_IPV4 | RSS_TCPV4, RSS_REPORT_IPV4, v->hash_ip);
		expect(&tcp, RSS_UDPV4, RSS_REPORT_NONE, 0);
		expect(&tcp, RSS_IPV6 | RSS_TCPV6, RSS_REPORT_NONE, 0);
		/* Parts of one datagram are hashed alike. */
		store_be16(tcp.p + tcp.l3 + 6, 0x2000);
		expect(&tcp, RSS_ALL, RSS_REPORT_IPV4, v->hash_ip);
		store_be16(tcp.p + tcp.l3 + 6, 0x0010);
		expect(&tcp, RSS_ALL, RSS_REPORT_IPV4, v->hash_ip);
		free(tcp.p);
		free(udp.p);
	}
}

static void test_ipv6(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vectors6); i++) {
		const struct vector *v = &vectors6[i];
		struct packet tcp = vector_packet(v, true, IP_PROTO_TCP, false);
		struct packet udp = vector_packet(v, true, IP_PROTO_UDP, false);

		expect(&tcp, RSS_ALL, RSS_REPORT_TCPV6, v->hash_tcp);
		expect(&udp, RSS_ALL, RSS_REPORT_UDPV6, v->hash_tcp);
		expect(&tcp, RSS_IPV6, RSS_REPORT_IPV6, v->hash_ip);
		/* Without extension headers the _EX types do not apply. */
		expect(&tcp, RSS_IP_EX | RSS_TCP_EX | RSS_UDP_EX, RSS_REPORT_NONE, 0);
		free(tcp.p);
		free(udp.p);
	}
}

/* virtio 1.2, 5.1.6.4.3.4: the addresses in the extension headers count, where there are any. */
static void test_ipv6_extensions(void **state)
{
	const struct vector *v = &vectors6[0];
	struct packet k = vector_packet(v, true, IP_PROTO_TCP, true);
	uint8_t *home = k.p + k.l3 + 40;

	expect(&k, RSS_ALL, RSS_REPORT_TCPV6_EX, v->hash_tcp);
	expect(&k, RSS_IP_EX | RSS_TCPV6, RSS_REPORT_IPV6_EX, v->hash_ip);
	expect(&k, RSS_TCPV6 | RSS_IPV6, RSS_REPORT_TCPV6, v->hash_tcp);
	expect(&k, RSS_UDP_EX | RSS_IPV6, RSS_REPORT_IPV6, v->hash_ip);
	/* Now the source hashed is the home address; the header's own becomes another. */
	home[2] = 1;
	home[3] = 2;
	home[4] = home[5] = 0;
	home[6] = 0xc9;
	home[7] = 16;
	memcpy(home + 8, k.p + k.l3 + 8, 16);
	memset(k.p + k.l3 + 8, 0x11, 16);
	expect(&k, RSS_ALL, RSS_REPORT_TCPV6_EX, v->hash_tcp);
	/* … but not where the hash is that of a packet without extension headers. */
	{
		struct rss_config c = config(RSS_TCPV6);
		uint32_t hash;

		assert_int_equal(rss_hash(&c, k.p, k.len, &hash), RSS_REPORT_TCPV6);
		assert_int_not_equal(hash, v->hash_tcp);
	}
	free(k.p);
}

static void test_short_and_other(void **state)
{
	struct packet k = vector_packet(&vectors4[0], false, IP_PROTO_TCP, false);
	struct rss_config c = config(RSS_ALL);
	uint32_t hash;

	for (unsigned len = 0; len < 34; len++)
		assert_int_equal(rss_hash(&c, k.p, len, &hash), RSS_REPORT_NONE);
	/* The ports are cut off: the addresses are not. */
	assert_int_equal(rss_hash(&c, k.p, 36, &hash), RSS_REPORT_IPV4);
	assert_int_equal(hash, vectors4[0].hash_ip);
	store_be16(k.p + 12, ETHER_ARP);
	assert_int_equal(rss_hash(&c, k.p, k.len, &hash), RSS_REPORT_NONE);
	assert_int_equal(hash, 0);
	free(k.p);
}

static void test_queue(void **state)
{
	struct rss_config c = config(RSS_ALL);

	c.table_len = 4;
	c.unclassified_queue = 9;
	for (unsigned i = 0; i < 4; i++)
		c.table[i] = (uint16_t)(10 + i);
	assert_int_equal(rss_queue(&c, RSS_REPORT_NONE, 2), 9);
	assert_int_equal(rss_queue(&c, RSS_REPORT_IPV4, 0xfffffffe), 12);
	c.table_len = 0;
	assert_int_equal(rss_queue(&c, RSS_REPORT_IPV4, 1), 9);
	c.table_len = 256;
	assert_int_equal(rss_queue(&c, RSS_REPORT_IPV4, 255), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_short_and_other),
		cmocka_unit_test(test_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
