/* SPDX-License-Identifier: Apache-2.0 */
/* The RTL8139C+ receives: filters, the ring of bytes, and rings of descriptors. */
#include "rtl8139_bed.h"

#include "device/nic_filter.h"

static int up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	rtl_bed_init(b, true);
	*state = b;
	return 0;
}

static int down(void **state)
{
	bed_fini(*state);
	free(*state);
	return 0;
}

static void arrive(struct bed *b, const void *f, uint32_t len)
{
	wire_put(b->wire, 0, f, len, NULL);
	step(b);
}

static uint32_t fcs(const uint8_t *f, uint32_t len)
{
	return ~nic_crc32(NIC_CRC_INIT, f, len);
}

/* The next frame in a C+ descriptor is this one. */
static void expect_rx(struct bed *b, unsigned i, const uint8_t *f, uint32_t len, uint32_t status)
{
	uint32_t opts1 = rxd(b, i)->opts1;

	assert_false(opts1 & DESC_OWN);
	assert_int_equal(opts1 & DESC_EOR, eor(i));
	assert_int_equal(opts1 & (DESC_FS | DESC_LS), DESC_FS | DESC_LS);
	assert_int_equal(opts1 & RXD_SIZE, len + 4);
	assert_int_equal(opts1 & 0x0fffe000, status);
	assert_memory_equal(rxbuf(b, i), f, len);
}

static void test_filters(void **state)
{
	/* The 6-bit hash of each multicast address, by Linux's ether_crc() >> 26. */
	static const struct {
		uint8_t mac[6];
		unsigned hash;
	} multi[] = {
		{{0x01, 0x00, 0x5e, 0x00, 0x00, 0x01}, 0x1f},
		{{0x33, 0x33, 0x00, 0x00, 0x00, 0x01}, 0x3e},
	};
	struct bed *b = *state;
	uint8_t f[60], other[6] = {2, 2, 2, 2, 2, 2};
	unsigned i = 0;

	rtl_up_cplus(b, 0);
	make_frame(f, 60, bed_mac);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RXD_PAM);
	memset(f, 0xff, 6);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RXD_BAR);
	memcpy(f, other, 6);
	arrive(b, f, 60);
	assert_int_equal(counter(b, "rx_drop_filtered"), 1);
	for (unsigned k = 0; k < ARRAY_SIZE(multi); k++) {
		assert_int_equal(nic_hash6(multi[k].mac), multi[k].hash);
		memcpy(f, multi[k].mac, 6);
		arrive(b, f, 60);
		assert_true(rxd(b, i)->opts1 & DESC_OWN);
		wr32(b, RTL_RCR, RCR_APM | RCR_AM);
		wr32(b, RTL_MAR0 + 4 * (multi[k].hash / 32), 1U << multi[k].hash % 32);
		arrive(b, f, 60);
		expect_rx(b, i++, f, 60, RXD_MAR);
	}
	memset(f, 0xff, 6);
	arrive(b, f, 60); /* broadcasts are off now */
	assert_true(rxd(b, i)->opts1 & DESC_OWN);
	wr32(b, RTL_RCR, RCR_AAP);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RXD_BAR);
	memcpy(f, other, 6);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, 0);
}

static void test_descriptors(void **state)
{
	struct bed *b = *state;
	uint8_t f[1514];

	rtl_up_cplus(b, 0);
	wr16(b, RTL_IMR, ISR_ROK);
	for (unsigned i = 0; i < 3 * RTL_DESCS; i++) {
		uint32_t len = 60 + i * 30;

		make_frame(f, len, bed_mac);
		arrive(b, f, len);
		expect_rx(b, i, f, len, RXD_PAM);
		assert_int_equal(load_le32(rxbuf(b, i) + len), fcs(f, len));
		assert_true(line(b));
		wr16(b, RTL_ISR, 0xffff);
		assert_false(line(b));
		rtl_give_rx(b, i, 1536);
	}
	/* Shorter than the wire has them. */
	arrive(b, f, 20);
	memset(f + 20, 0, 40);
	expect_rx(b, 0, f, 60, RXD_PAM);
}

static void test_scattered(void **state)
{
	struct bed *b = *state;
	uint8_t f[4096];
	unsigned at = 0;

	rtl_up_cplus(b, 0);
	for (unsigned i = 0; i < RTL_DESCS; i++)
		rtl_give_rx(b, i, 512);
	make_frame(f, sizeof(f), bed_mac);
	arrive(b, f, sizeof(f));
	for (unsigned i = 0; i < 9; i++) {
		uint32_t n = MIN(512U, (unsigned)sizeof(f) + 4 - at);

		assert_int_equal(rxd(b, i)->opts1 & 0xf0000000,
				 (i ? 0 : DESC_FS) | (i == 8 ? DESC_LS : 0));
		assert_memory_equal(rxbuf(b, i), f + at, MIN(n, (unsigned)sizeof(f) - at));
		at += n;
	}
	assert_int_equal(rxd(b, 8)->opts1 & RXD_SIZE, sizeof(f) + 4);
	/* Seven are left: the next has to wait. */
	arrive(b, f, sizeof(f));
	assert_true(rxd(b, 9)->opts1 & DESC_OWN);
	for (unsigned i = 0; i < 9; i++)
		rtl_give_rx(b, i, 512);
	pass(b, 10 * NSEC_PER_MSEC);
	assert_int_equal(rxd(b, 1)->opts1 & (RXD_SIZE | DESC_LS), DESC_LS | (sizeof(f) + 4));
}

static void test_checksums(void **state)
{
	struct bed *b = *state;
	uint8_t f[600];
	uint32_t len;

	rtl_up_cplus(b, 0);
	len = make_ipv4(f, IP_PROTO_TCP, 101);
	arrive(b, f, len);
	expect_rx(b, 0, f, len, RXD_PAM | RXD_PID_TCP);
	f[80] ^= 1;
	arrive(b, f, len);
	expect_rx(b, 1, f, len, RXD_PAM | RXD_PID_TCP | RXD_TCPF);
	len = make_ipv4(f, IP_PROTO_UDP, 100);
	arrive(b, f, len);
	expect_rx(b, 2, f, len, RXD_PAM | RXD_PID_UDP);
	f[80] ^= 1;
	arrive(b, f, len);
	expect_rx(b, 3, f, len, RXD_PAM | RXD_PID_UDP | RXD_UDPF);
	f[80] ^= 1;
	f[14 + IPV4_CHECK] ^= 1;
	arrive(b, f, len);
	expect_rx(b, 4, f, len, RXD_PAM | RXD_PID_UDP | RXD_IPF);
	f[14 + IPV4_FRAG + 1] = 8; /* a later fragment */
	f[14 + IPV4_PROTO] = 6;
	arrive(b, f, len);
	assert_int_equal(rxd(b, 5)->opts1 & RXD_PID_IP, RXD_PID_IP);
	make_frame(f, 60, bed_mac);
	arrive(b, f, 60);
	expect_rx(b, 6, f, 60, RXD_PAM);
}

/* What the back-end leaves to do is done: a large frame arrives in segments. */
static void test_unfinished(void **state)
{
	struct bed *b = *state;
	struct net_offload off = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_TCPV4,
				  .gso_size = 1000,
				  .hdr_len = 54,
				  .csum_start = 34,
				  .csum_offset = TCP_CHECK};
	uint8_t f[4054];
	struct csum c = {0};
	struct net_headers h;
	uint16_t sum;

	rtl_up_cplus(b, 0);
	assert_int_equal(make_ipv4(f, IP_PROTO_TCP, 4000), sizeof(f));
	net_headers_parse(f, sizeof(f), &h);
	csum_add_pseudo(&c, f, &h, 4020);
	sum = csum_fold(&c);
	memcpy(f + 50, &sum, 2);
	wire_put(b->wire, 0, f, sizeof(f), &off);
	step(b);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(rxd(b, i)->opts1 & (RXD_SIZE | RXD_TCPF | RXD_PID_IP),
				 1058 | RXD_PID_TCP);
		assert_memory_equal(rxbuf(b, i) + 54, f + 54 + 1000 * i, 1000);
	}
}

static void test_vlan_strip(void **state)
{
	struct bed *b = *state;
	uint8_t f[104], bare[100];

	rtl_up_cplus(b, 0);
	make_frame(bare, 100, bed_mac);
	memcpy(f, bare, 12);
	memcpy(f + 12, "\x81\x00\x12\x34", 4);
	memcpy(f + 16, bare + 12, 88);
	arrive(b, f, 104);
	expect_rx(b, 0, bare, 100, RXD_PAM);
	assert_int_equal(rxd(b, 0)->opts2, RXD_TAVA | 0x3412);
	wr16(b, RTL_CPCR, CPCR_RX | CPCR_TX);
	arrive(b, f, 104);
	expect_rx(b, 1, f, 104, RXD_PAM);
	assert_int_equal(rxd(b, 1)->opts2, 0);
}

/* Without descriptors frames wait, the driver is told once, and all arrive when there are some. */
static void test_stall(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	wr16(b, RTL_IMR, ISR_RXOVW);
	make_frame(f, 100, bed_mac);
	for (unsigned i = 0; i < RTL_DESCS; i++)
		arrive(b, f, 100);
	assert_false(line(b));
	assert_true(b->wish.receive);
	for (unsigned i = 0; i < RTL_DESCS; i++)
		arrive(b, f, 100);
	assert_true(line(b));
	assert_false(b->wish.receive);
	assert_true(b->wish.at < bed_now + 10 * NSEC_PER_MSEC);
	assert_int_equal(wire_waiting(b->wire, 0), RTL_DESCS);
	wr16(b, RTL_ISR, ISR_RXOVW);
	pass(b, 100 * NSEC_PER_MSEC);
	assert_false(line(b));
	/* Refilled, and nobody says so: looked at after a while. */
	for (unsigned i = 0; i < 4; i++)
		rtl_give_rx(b, i, 1536);
	pass(b, 3 * NSEC_PER_MSEC);
	assert_int_equal(wire_waiting(b->wire, 0), RTL_DESCS - 4);
	/* A driver that enables its interrupts again has just refilled. */
	for (unsigned i = 4; i < RTL_DESCS; i++)
		rtl_give_rx(b, i, 1536);
	wr16(b, RTL_IMR, ISR_RXOVW);
	step(b);
	assert_int_equal(wire_waiting(b->wire, 0), 0);
	assert_int_equal(counter(b, "rx_out_frames"), 2 * RTL_DESCS);
}

static void test_hostile_descriptors(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	make_frame(f, 100, bed_mac);
	rxd(b, 0)->addr = BED_OUTSIDE;
	rxd(b, 1)->addr = b->bar;
	rxd(b, 2)->addr = UINT64_MAX;
	for (unsigned i = 0; i < 4; i++)
		arrive(b, f, 100);
	assert_int_equal(counter(b, "rx_drop_bad_address"), 3);
	assert_true(rxd(b, 0)->opts1 & RXD_RES);
	expect_rx(b, 3, f, 100, RXD_PAM);
	/* A ring of buffers without size, in a circle. */
	for (unsigned i = 0; i < RTL_DESCS; i++)
		rtl_give_rx(b, i, 0);
	arrive(b, f, 100);
	assert_int_equal(counter(b, "rx_drop_oversize"), 1);
	/* Rings outside memory. */
	wr32(b, RTL_RDSAR, (uint32_t)BED_OUTSIDE);
	arrive(b, f, 100);
	wr32(b, RTL_RDSAR, (uint32_t)b->bar);
	pass(b, 10 * NSEC_PER_MSEC);
	wr8(b, RTL_CR, CR_RST);
	step(b);
	arrive(b, f, 100);
	assert_true(counter(b, "rx_drop_disabled") >= 1);
}

/* Classic: what the driver of such a ring does. */
struct reader {
	struct bed *b;
	uint32_t size, at;
	bool wrap;
};

static void expect_ring(struct reader *r, const uint8_t *f, uint32_t len, uint32_t status)
{
	uint8_t copy[2048];
	uint32_t head;

	assert_false(rd8(r->b, RTL_CR) & CR_BUFE);
	head = load_le32(ram(r->b, RTL_RING + r->at));
	assert_int_equal(head, (len + 4) << 16 | status | RXS_ROK);
	for (uint32_t i = 0; i < len + 4; i++)
		copy[i] = *ram(r->b,
			       RTL_RING + (r->wrap ? (r->at + 4 + i) % r->size : r->at + 4 + i));
	assert_memory_equal(copy, f, len);
	assert_int_equal(load_le32(copy + len), fcs(f, len));
	r->at = (uint32_t)(r->at + ALIGN_UP(len + 8, 4)) % r->size;
	wr16(r->b, RTL_CAPR, r->at - 16);
}

static void ring(struct bed *b, bool wrap, unsigned rblen)
{
	struct reader r = {.b = b, .size = 8192U << rblen, .wrap = wrap || rblen == 3};
	uint8_t f[1792];

	wr8(b, RTL_CR, CR_RST);
	rtl_up_classic(b, (wrap ? 0 : RCR_WRAP) | rblen << RCR_RBLEN_SHIFT);
	assert_true(rd8(b, RTL_CR) & CR_BUFE);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t len = 60 + i * 37 % 1733;

		make_frame(f, len, bed_mac);
		arrive(b, f, len);
		assert_int_equal(rd16(b, RTL_ISR), ISR_ROK);
		wr16(b, RTL_ISR, ISR_ROK);
		expect_ring(&r, f, len, RXS_PAM);
		assert_int_equal(rd16(b, RTL_CBR), r.at);
		assert_true(rd8(b, RTL_CR) & CR_BUFE);
	}
}

static void test_ring(void **state)
{
	for (unsigned rblen = 0; rblen < 4; rblen++) {
		ring(*state, false, rblen);
		ring(*state, true, rblen);
	}
}

/* More than the ring holds: the rest waits, and none is lost or damaged. */
static void test_ring_full(void **state)
{
	struct bed *b = *state;
	struct reader r = {.b = b, .size = 8192, .wrap = true};
	uint8_t f[1514];
	unsigned in_ring;

	rtl_up_classic(b, 0);
	for (unsigned i = 0; i < 40; i++) {
		make_frame(f, 1000 + i, bed_mac);
		arrive(b, f, 1000 + i);
	}
	in_ring = (unsigned)counter(b, "rx_out_frames");
	assert_in_range(in_ring, 7, 8);
	assert_false(b->wish.receive);
	for (unsigned i = 0; i < 40; i++) {
		make_frame(f, 1000 + i, bed_mac);
		expect_ring(&r, f, 1000 + i, RXS_PAM);
		step(b);
	}
	assert_true(rd8(b, RTL_CR) & CR_BUFE);
}

/* A driver that clears ROK and forgets what is in the ring hears of it again. */
static void test_ring_forgotten(void **state)
{
	struct bed *b = *state;
	uint8_t f[1000];

	make_frame(f, sizeof(f), bed_mac);
	rtl_up_classic(b, 0);
	for (unsigned i = 0; i < 12; i++)
		arrive(b, f, sizeof(f));
	assert_true(wire_waiting(b->wire, 0) > 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(rd16(b, RTL_ISR) & ISR_ROK);
		wr16(b, RTL_ISR, ISR_ROK);
		pass(b, 10 * NSEC_PER_USEC);
		assert_false(rd16(b, RTL_ISR) & ISR_ROK);
		pass(b, 10 * NSEC_PER_MSEC);
	}
	/* Read at last: it is quiet. */
	while (!(rd8(b, RTL_CR) & CR_BUFE)) {
		wr16(b, RTL_CAPR, (uint16_t)(rd16(b, RTL_CBR) - 16));
		pass(b, 100 * NSEC_PER_USEC);
	}
	wr16(b, RTL_ISR, ISR_ROK);
	pass(b, NSEC_PER_SEC);
	assert_false(rd16(b, RTL_ISR) & ISR_ROK);
	assert_true(b->wish.at == NIC_WORKER_NEVER);
}

static void test_ring_hostile(void **state)
{
	struct bed *b = *state;
	uint8_t f[1800];

	rtl_up_classic(b, 0);
	make_frame(f, sizeof(f), bed_mac);
	arrive(b, f, 1793);
	assert_int_equal(counter(b, "rx_drop_oversize"), 1);
	wr32(b, RTL_RBSTART, (uint32_t)BED_OUTSIDE);
	arrive(b, f, 100);
	wr32(b, RTL_RBSTART, (uint32_t)b->bar);
	arrive(b, f, 100);
	wr32(b, RTL_RBSTART, FAKE_RAM - 50);
	arrive(b, f, 100);
	assert_int_equal(counter(b, "rx_drop_bad_address"), 3);
	assert_true(rd16(b, RTL_ISR) & ISR_RER);
	wr32(b, RTL_RBSTART, RTL_RING);
	for (unsigned i = 0; i < 65536; i += 7) {
		wr16(b, RTL_CAPR, i);
		if (i % 5 == 0)
			arrive(b, f, 60 + i % 1400);
	}
	wr32(b, RTL_RCR, RCR_APM | 3U << RCR_RBLEN_SHIFT);
	wr8(b, RTL_CR, CR_TE);
	step(b);
	assert_int_equal(wire_waiting(b->wire, 0), 0);
}

static void test_link_down(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_classic(b, 0);
	make_frame(f, 100, bed_mac);
	b->nic->nic_ops->set_link(b->nic, false);
	arrive(b, f, 100);
	assert_int_equal(counter(b, "rx_drop_link_down"), 1);
	b->nic->nic_ops->set_link(b->nic, true);
	arrive(b, f, 100);
	assert_int_equal(counter(b, "rx_out_frames"), 1);
}

/* Single frames interrupt at once, frames in numbers now and then. */
static void test_pace(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];
	unsigned irqs = 0;

	rtl_up_cplus(b, 0);
	wr16(b, RTL_IMR, ISR_ROK);
	make_frame(f, 100, bed_mac);
	for (unsigned i = 0; i < 10; i++) {
		arrive(b, f, 100);
		assert_true(line(b));
		wr16(b, RTL_ISR, ISR_ROK);
		rtl_give_rx(b, i, 1536);
		pass(b, 2 * NSEC_PER_MSEC);
	}
	for (unsigned i = 10; i < 5010; i++) {
		wire_put(b->wire, 0, f, 100, NULL);
		pass(b, 2000);
		if (line(b)) {
			irqs++;
			wr16(b, RTL_ISR, ISR_ROK);
		}
		rtl_give_rx(b, i, 1536);
	}
	assert_in_range(irqs, 10, 1200);
	pass(b, 10 * NSEC_PER_MSEC);
	wr16(b, RTL_ISR, ISR_ROK);
	assert_int_equal(counter(b, "rx_out_frames"), 5010);
	for (unsigned i = 10; i < 14; i++) {
		pass(b, 10 * NSEC_PER_MSEC);
		arrive(b, f, 100);
	}
	wr16(b, RTL_ISR, ISR_ROK);
	arrive(b, f, 100);
	assert_true(line(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_filters, up, down),
		cmocka_unit_test_setup_teardown(test_descriptors, up, down),
		cmocka_unit_test_setup_teardown(test_scattered, up, down),
		cmocka_unit_test_setup_teardown(test_checksums, up, down),
		cmocka_unit_test_setup_teardown(test_unfinished, up, down),
		cmocka_unit_test_setup_teardown(test_vlan_strip, up, down),
		cmocka_unit_test_setup_teardown(test_stall, up, down),
		cmocka_unit_test_setup_teardown(test_hostile_descriptors, up, down),
		cmocka_unit_test_setup_teardown(test_ring, up, down),
		cmocka_unit_test_setup_teardown(test_ring_full, up, down),
		cmocka_unit_test_setup_teardown(test_ring_forgotten, up, down),
		cmocka_unit_test_setup_teardown(test_ring_hostile, up, down),
		cmocka_unit_test_setup_teardown(test_link_down, up, down),
		cmocka_unit_test_setup_teardown(test_pace, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
