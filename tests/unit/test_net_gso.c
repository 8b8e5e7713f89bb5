/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/iov.h"
#include "net/fragment.h"
#include "net/gso.h"
#include "net_packets.h"

#include <errno.h>

/*
 * Each case is segmented, and what comes out is looked at with none of the code under test: every
 * checksum is right, headers are what a sender would have written, and the payloads one behind
 * the other are the original.
 */
struct collect {
	const struct packet *in;
	struct packet_shape shape;
	unsigned gso_size;
	unsigned count;
	uint32_t done; /* payload bytes so far */
	bool datagram_done;
	int fail_at;	/* the emit that fails, or -1 */
	uint8_t *whole; /* fragments are put together here */
};

static uint8_t expected_flags(const struct collect *c, uint32_t n)
{
	bool last = c->done + n == c->shape.payload;
	uint8_t flags = c->shape.tcp_flags;

	if (!last)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (c->count)
		flags &= (uint8_t)~TCP_CWR;
	return flags;
}

static struct packet linear(const struct packet *like, const struct iovec *iov, unsigned niov,
			    uint32_t len)
{
	struct packet k = *like;

	assert_int_equal(iov_len(iov, niov), len);
	k.p = malloc(len);
	k.len = len;
	iov_read(iov, niov, 0, k.p, len);
	return k;
}

static void check_ip(const struct collect *c, const struct packet *k)
{
	const uint8_t *ip = k->p + k->l3;

	if (c->shape.v6) {
		assert_int_equal(load_be16(ip + 4), k->len - k->l3 - 40);
		return;
	}
	assert_true(naive_ip4_good(k));
	assert_int_equal(load_be16(ip + 2), k->len - k->l3);
	assert_int_equal(load_be16(ip + 4), (uint16_t)(PACKET_ID + c->count));
}

static int collect_datagram(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct collect *c = opaque;
	struct packet k = linear(c->in, iov, niov, len);
	uint32_t n = k.len - k.payload;

	if (c->fail_at == (int)c->count) {
		free(k.p);
		return -ENOBUFS;
	}
	assert_true(n == c->gso_size || c->done + n == c->shape.payload);
	assert_memory_equal(k.p, c->in->p, k.l3);
	assert_memory_equal(k.p + k.payload, c->in->p + k.payload + c->done, n);
	check_ip(c, &k);
	assert_true(naive_l4_good(&k, c->shape.proto));
	if (c->shape.proto == IP_PROTO_TCP) {
		assert_int_equal(load_be32(k.p + k.l4 + 4), PACKET_SEQ + c->done);
		assert_int_equal(k.p[k.l4 + 13], expected_flags(c, n));
		assert_memory_equal(k.p + k.l4 + 20, c->in->p + k.l4 + 20, c->shape.tcp_options);
	} else {
		assert_int_equal(load_be16(k.p + k.l4 + 4), 8 + n);
	}
	c->count++;
	c->done += n;
	free(k.p);
	return 0;
}

/* Cuts a packet into an iovec of pieces of random or fixed size. */
static unsigned scatter(const struct packet *k, struct iovec *iov, unsigned piece)
{
	uint32_t at = 0;
	unsigned n = 0;

	while (at < k->len) {
		uint32_t size = piece ? piece : 1 + (uint32_t)rand() % 3000;

		size = MIN(size, k->len - at);
		iov[n++] = (struct iovec){k->p + at, size};
		at += size;
	}
	return n;
}

static struct net_frame frame_of(const struct packet *k, const struct packet_shape *s,
				 const struct iovec *iov, unsigned niov, uint8_t gso_type,
				 unsigned gso_size)
{
	return (struct net_frame){
		.iov = iov,
		.niov = niov,
		.len = k->len,
		.off = {.flags = NET_NEEDS_CSUM,
			.gso_type = gso_type,
			.hdr_len = (uint16_t)k->payload,
			.gso_size = (uint16_t)gso_size,
			.csum_start = (uint16_t)k->l4,
			.csum_offset = s->proto == IP_PROTO_TCP ? TCP_CHECK : UDP_CHECK},
	};
}

static void segment(const struct packet_shape *s, uint8_t type, unsigned gso_size, unsigned piece)
{
	struct packet k = packet_make(s);
	struct iovec iov[1024];
	unsigned niov = scatter(&k, iov, piece);
	struct net_frame f = frame_of(&k, s, iov, niov, type, gso_size);
	struct collect c = {.in = &k, .shape = *s, .gso_size = gso_size, .fail_at = -1};
	unsigned want = s->payload ? (s->payload + gso_size - 1) / gso_size : 1;

	assert_int_equal(net_gso_finish(&f, collect_datagram, &c), want);
	assert_int_equal(c.done, s->payload);
	free(k.p);
}

static void test_tso_uso(void **state)
{
	static const uint32_t payloads[] = {0, 1, 1447, 1448, 1449, 2896, 20000, 60000};

	srand(3);
	for (unsigned i = 0; i < 32 * ARRAY_SIZE(payloads); i++) {
		struct packet_shape s = {
			.v6 = i & 1,
			.proto = i & 2 ? IP_PROTO_TCP : IP_PROTO_UDP,
			.vlans = (i >> 2) % 3 % 2 + (i >> 2 & 1),
			.ip_options = i >> 3 & 1 ? 8 : 0,
			.tcp_options = i >> 4 & 1 ? 12 : 0,
			.tcp_flags = 0x10 | TCP_FIN | TCP_PSH | TCP_CWR,
			.payload = payloads[i / 32],
		};
		uint8_t type = s.v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4;

		if (s.proto == IP_PROTO_UDP)
			type = NET_GSO_UDP_L4;
		else if (i & 4)
			type |= NET_GSO_ECN;
		segment(&s, type, 1448, i % 5 ? 0 : 70);
		segment(&s, type, 65000, 0);
	}
}

static int collect_fragment(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct collect *c = opaque;
	struct packet k = linear(c->in, iov, niov, len);
	uint8_t *ip = k.p + k.l3;
	unsigned data = k.l4;
	uint32_t offset, n;
	bool more;

	if (c->shape.v6) {
		assert_int_equal(load_be16(ip + 4), len - k.l3 - 40);
		assert_int_equal(c->shape.ip_options ? ip[40] : ip[6], 44);
		assert_int_equal(k.p[k.l4], c->shape.proto);
		offset = load_be16(k.p + k.l4 + 2) & 0xfff8;
		more = k.p[k.l4 + 3] & 1;
		data += 8;
	} else {
		assert_true(naive_ip4_good(&k));
		assert_int_equal(load_be16(ip + 2), len - k.l3);
		assert_int_equal(load_be16(ip + 4), PACKET_ID);
		offset = (load_be16(ip + 6) & 0x1fffu) * 8;
		more = load_be16(ip + 6) & 0x2000;
	}
	n = len - data;
	assert_false(c->datagram_done);
	assert_int_equal(offset, c->done);
	assert_true(!more || n % 8 == 0);
	memcpy(c->whole + data - (c->shape.v6 ? 8 : 0) + offset, k.p + data, n);
	c->done += n;
	c->datagram_done = !more;
	c->count++;
	free(k.p);
	return 0;
}

/* The fragments make up the datagram, whose one checksum is right. */
static void check_whole(struct collect *c)
{
	struct packet k = *c->in;

	k.p = c->whole;
	assert_true(c->datagram_done);
	assert_int_equal(c->done, k.len - k.l4);
	memcpy(k.p, c->in->p, k.l4);
	assert_true(naive_l4_good(&k, c->shape.proto));
	assert_memory_equal(k.p + k.payload, c->in->p + k.payload, c->shape.payload);
}

static void test_ufo(void **state)
{
	srand(4);
	for (unsigned i = 0; i < 16; i++) {
		struct packet_shape s = {.v6 = i & 1,
					 .proto = IP_PROTO_UDP,
					 .ip_options = i >> 1 & 1 ? 8 : 0,
					 .payload = 3000 + (i >> 2) * 15001};
		struct packet k = packet_make(&s);
		struct iovec iov[1024];
		unsigned niov = scatter(&k, iov, 0);
		struct net_frame f = frame_of(&k, &s, iov, niov, NET_GSO_UDP, 1480);
		struct collect c = {.in = &k, .shape = s, .whole = malloc(k.len)};

		int rc = net_gso_finish(&f, collect_fragment, &c);

		assert_int_equal(rc, c.count);
		assert_int_equal(c.count, (s.payload + 8 + 1479) / 1480);
		check_whole(&c);
		free(c.whole);
		free(k.p);
	}
}

/* A datagram that fits leaves as it is, but with its checksum. */
static void test_ufo_small(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_UDP, .payload = 500};
	struct packet k = packet_make(&s);
	struct iovec iov = {k.p, k.len};
	struct net_frame f = frame_of(&k, &s, &iov, 1, NET_GSO_UDP, 1480);
	struct collect c = {.in = &k, .shape = s, .gso_size = 1480, .fail_at = -1};

	assert_int_equal(net_gso_finish(&f, collect_datagram, &c), 1);
	free(k.p);
}

static void finish_naively(const struct packet *k, uint8_t proto)
{
	uint8_t *field = k->p + k->l4 + (proto == IP_PROTO_TCP ? 16 : 6);

	store_be16(field, 0);
	store_be16(field, (uint16_t)~naive_sum(k->p + k->l4, k->len - k->l4,
					       naive_pseudo(k, proto, k->len - k->l4)));
}

static void test_fragment(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		struct packet_shape s = {.v6 = i & 1,
					 .proto = i & 2 ? IP_PROTO_UDP : IP_PROTO_TCP,
					 .ip_options = i >> 2 & 1 ? 8 : 0,
					 .payload = 9000};
		struct packet k = packet_make(&s);
		struct collect c = {.in = &k, .shape = s, .whole = malloc(k.len)};

		int rc;

		finish_naively(&k, s.proto);
		rc = net_fragment(k.p, k.len, 1500, collect_fragment, &c);
		assert_int_equal(rc, c.count);
		assert_true(c.count >= 7);
		check_whole(&c);
		free(c.whole);
		free(k.p);
	}
}

struct again {
	struct collect *c;
	unsigned mtu;
};

static int fragment_again(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct again *a = opaque;
	uint8_t flat[4096];
	int rc;

	iov_read(iov, niov, 0, flat, len);
	rc = net_fragment(flat, len, a->mtu, collect_fragment, a->c);
	return rc < 0 ? rc : 0;
}

/* Fragments for a large MTU are cut again for a smaller one. */
static void test_fragment_twice(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_UDP, .payload = 9000};
	struct packet k = packet_make(&s);
	struct collect c = {.in = &k, .shape = s, .whole = malloc(k.len)};
	struct again again = {.c = &c, .mtu = 1006};

	finish_naively(&k, s.proto);
	assert_int_equal(net_fragment(k.p, k.len, 4000, fragment_again, &again), 3);
	check_whole(&c);
	free(c.whole);
	free(k.p);
}

static int count_only(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	(*(unsigned *)opaque)++;
	return 0;
}

static int finish_changed(const struct packet *k, struct net_frame f)
{
	struct iovec iov = {k->p, f.len};
	unsigned count = 0;
	int rc;

	f.iov = &iov;
	f.niov = 1;
	rc = net_gso_finish(&f, count_only, &count);
	assert_true(rc < 0 ? count == 0 : count == (unsigned)rc);
	return rc;
}

static void test_refused(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_TCP, .payload = 4000};
	struct packet k = packet_make(&s);
	struct net_frame good = frame_of(&k, &s, NULL, 0, NET_GSO_TCPV4, 1000), f = good;

	assert_int_equal(finish_changed(&k, f), 4);
	f.off.gso_size = 0;
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	f.off.gso_size = 1; /* more segments than anybody has use for */
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	f = good;
	f.off.gso_type = NET_GSO_TCPV6;
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	f.off.gso_type = NET_GSO_UDP_L4;
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	f.off.gso_type = 2;
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	f = good;
	f.off.csum_start += 2;
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	f = good;
	f.len = k.payload - 1; /* the headers are cut */
	assert_int_equal(finish_changed(&k, f), -EINVAL);
	store_be16(k.p + k.l3 + 6, 0x2000);
	assert_int_equal(finish_changed(&k, good), -EINVAL);
	free(k.p);
}

static void test_emit_fails(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_TCP, .payload = 4000};
	struct packet k = packet_make(&s);
	struct iovec iov = {k.p, k.len};
	struct net_frame f = frame_of(&k, &s, &iov, 1, NET_GSO_TCPV4, 1000);
	struct collect c = {.in = &k, .shape = s, .gso_size = 1000, .fail_at = 2};

	assert_int_equal(net_gso_finish(&f, collect_datagram, &c), -ENOBUFS);
	assert_int_equal(c.count, 2);
	free(k.p);
}

/* Without segmentation: nothing is changed, or the checksum field alone. */
static void test_plain(void **state)
{
	struct packet_shape s = {.proto = IP_PROTO_UDP, .payload = 777};
	struct packet k = packet_make(&s);
	uint8_t *before = malloc(k.len);

	memcpy(before, k.p, k.len);
	for (unsigned cut = 1; cut < k.len; cut += 1 + cut / 3) {
		struct iovec iov[2] = {{k.p, cut}, {k.p + cut, k.len - cut}};
		struct net_frame f = frame_of(&k, &s, iov, 2, NET_GSO_NONE, 0);
		struct collect c = {.in = &k, .shape = s, .gso_size = 777, .fail_at = -1};

		assert_int_equal(net_gso_finish(&f, collect_datagram, &c), 1);
		assert_memory_equal(before, k.p, k.len);
		f.off.csum_offset = 60000;
		assert_int_equal(net_gso_finish(&f, collect_datagram, &c), -EINVAL);
		f.off.flags = 0;
		unsigned count = 0;
		assert_int_equal(net_gso_finish(&f, count_only, &count), 1);
	}
	free(before);
	free(k.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tso_uso),	       cmocka_unit_test(test_ufo),
		cmocka_unit_test(test_ufo_small),      cmocka_unit_test(test_fragment),
		cmocka_unit_test(test_fragment_twice), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_emit_fails),     cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
