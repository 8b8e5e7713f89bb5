/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "net/checksum.h"
#include "net_packets.h"

#include <errno.h>

static uint16_t in_memory(uint16_t host)
{
	return htobe16(host);
}

/* RFC 1071, 3: the example. */
static void test_rfc1071(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	struct csum c = {0};

	csum_add(&c, bytes, sizeof(bytes));
	assert_int_equal(csum_fold(&c), in_memory(0xddf2));
	assert_int_equal(csum_finish(&c), in_memory(0x220d));
}

/* Any cutting into pieces, at any alignment, gives what the naive sum gives. */
static void test_pieces(void **state)
{
	uint8_t buf[700 + 8];

	srand(1);
	for (unsigned round = 0; round < 3000; round++) {
		unsigned skew = (unsigned)rand() % 8, len = (unsigned)rand() % 700, at = 0;
		struct csum c = {0};

		for (unsigned i = 0; i < sizeof(buf); i++)
			buf[i] = (uint8_t)(round % 3 ? rand() : 0xff);
		while (at < len) {
			unsigned n = (unsigned)rand() % 64 + !(rand() % 8) * 300;

			n = MIN(n, len - at);
			csum_add(&c, buf + skew + at, n);
			at += n;
		}
		assert_int_equal(csum_fold(&c), in_memory(naive_sum(buf + skew, len, 0)));
	}
}

static void test_iov(void **state)
{
	uint8_t buf[300];
	struct iovec iov[4] = {{buf, 7}, {buf + 7, 0}, {buf + 7, 100}, {buf + 107, 193}};

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 31);
	for (unsigned offset = 0; offset < 300; offset += 3) {
		for (unsigned len = 0; len < 310; len += 7) {
			unsigned real = MIN(len, 300 - offset);
			struct csum c = {0};

			csum_add_iov(&c, iov, 4, offset, len);
			assert_int_equal(csum_fold(&c),
					 in_memory(naive_sum(buf + offset, real, 0)));
		}
	}
}

/* Sums equal the other representation of zero, too, so compare what verifies. */
static void test_update(void **state)
{
	uint8_t hdr[20];

	srand(2);
	for (unsigned round = 0; round < 5000; round++) {
		uint16_t check, old, new;

		for (unsigned i = 0; i < sizeof(hdr); i++)
			hdr[i] = (uint8_t)rand();
		check = csum_ipv4_header(hdr, 20);
		memcpy(hdr + 10, &check, 2);
		assert_int_equal(naive_sum(hdr, 20, 0), 0xffff);
		memcpy(&old, hdr + 4, 2);
		new = round % 5 ? (uint16_t)rand() : 0;
		memcpy(hdr + 4, &new, 2);
		check = csum_update16(check, old, new);
		memcpy(hdr + 10, &check, 2);
		assert_int_equal(naive_sum(hdr, 20, 0), 0xffff);
	}
}

static struct net_offload needs_csum(const struct packet *k, bool tcp)
{
	return (struct net_offload){
		.flags = NET_NEEDS_CSUM,
		.csum_start = (uint16_t)k->l4,
		.csum_offset = tcp ? TCP_CHECK : UDP_CHECK,
	};
}

/* Completing and verifying, for both protocols and IP versions, odd and even payloads. */
static void test_complete_and_verify(void **state)
{
	for (unsigned i = 0; i < 64; i++) {
		struct packet_shape s = {
			.v6 = i & 1,
			.proto = i & 2 ? IP_PROTO_TCP : IP_PROTO_UDP,
			.vlans = i >> 2 & 1,
			.ip_options = i >> 3 & 1 ? 8 : 0,
			.payload = 100 + (i >> 4),
		};
		struct packet k = packet_make(&s);
		struct net_offload off = needs_csum(&k, s.proto == IP_PROTO_TCP);
		struct iovec iov[2] = {{k.p, 61}, {k.p + 61, k.len - 61}};

		assert_false(naive_l4_good(&k, s.proto));
		assert_int_equal(net_csum_verify(iov, 2, NULL), NET_CSUM_BAD);
		assert_int_equal(net_csum_complete(k.p, k.len, &off), 0);
		assert_int_equal(off.flags, 0);
		assert_true(naive_l4_good(&k, s.proto));
		assert_int_equal(net_csum_verify(iov, 2, NULL), NET_CSUM_GOOD);
		k.p[k.len - 1] ^= 0x10;
		assert_int_equal(net_csum_verify(iov, 2, NULL), NET_CSUM_BAD);
		free(k.p);
	}
}

static void test_verify_nothing(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_UDP, .payload = 50};
	struct packet k = packet_make(&s);
	struct iovec iov = {k.p, k.len};

	store_be16(k.p + k.l4 + UDP_CHECK, 0);
	assert_int_equal(net_csum_verify(&iov, 1, NULL), NET_CSUM_NONE);
	k.p[k.l3 + 9] = 47;
	assert_int_equal(net_csum_verify(&iov, 1, NULL), NET_CSUM_NONE);
	k.p[k.l3 + 9] = IP_PROTO_UDP;
	store_be16(k.p + k.l3 + 6, 0x2000);
	assert_int_equal(net_csum_verify(&iov, 1, NULL), NET_CSUM_NONE);
	store_be16(k.p + k.l3 + 6, 0);
	store_be16(k.p + k.l4 + UDP_CHECK, 0x1234);
	store_be16(k.p + k.l3 + IPV4_LEN, 2000); /* longer than the frame */
	assert_int_equal(net_csum_verify(&iov, 1, NULL), NET_CSUM_BAD);
	iov.iov_len = 10;
	assert_int_equal(net_csum_verify(&iov, 1, NULL), NET_CSUM_NONE);
	free(k.p);
}

/* UDP's checksum 0 means "none", so a sum that comes to 0 is stored as 0xffff. */
static void test_udp_zero(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_UDP, .payload = 2};
	struct packet k = packet_make(&s);
	struct net_offload off = needs_csum(&k, false);
	uint16_t sum;

	store_be16(k.p + k.payload, 0);
	sum = naive_sum(k.p + k.l4, 10, 0);
	store_be16(k.p + k.payload, (uint16_t)~sum);
	assert_int_equal(net_csum_complete(k.p, k.len, &off), 0);
	assert_int_equal(load_be16(k.p + k.l4 + UDP_CHECK), 0xffff);
	free(k.p);
}

static void test_complete_bounds(void **state)
{
	uint8_t frame[64] = {0};
	struct net_offload off = {.flags = NET_NEEDS_CSUM, .csum_start = 60, .csum_offset = 2};

	assert_int_equal(net_csum_complete(frame, 64, &off), 0);
	off = (struct net_offload){.flags = NET_NEEDS_CSUM, .csum_start = 60, .csum_offset = 3};
	assert_int_equal(net_csum_complete(frame, 64, &off), -EINVAL);
	off = (struct net_offload){
		.flags = NET_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535};
	assert_int_equal(net_csum_complete(frame, 64, &off), -EINVAL);
	assert_int_equal(off.flags, NET_NEEDS_CSUM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc1071),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_iov),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_complete_and_verify),
		cmocka_unit_test(test_verify_nothing),
		cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_complete_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
