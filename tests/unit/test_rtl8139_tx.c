/* SPDX-License-Identifier: Apache-2.0 */
/* The RTL8139C+ sends: four slots, and rings of descriptors with offloads. */
#include "rtl8139_bed.h"

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

#define FSLS (DESC_FS | DESC_LS)

/* Classic. */

static void put_slot(struct bed *b, unsigned slot, const void *data, uint32_t len)
{
	memcpy(ram(b, RTL_TXBUF + slot * RTL_BUF), data, len);
	wr32(b, RTL_TSD0 + 4 * slot, len);
	step(b);
}

static void test_slots(void **state)
{
	struct bed *b = *state;
	uint8_t f[1792];

	rtl_up_classic(b, 0);
	wr16(b, RTL_IMR, ISR_TOK);
	assert_int_equal(rd32(b, RTL_TSD0), TSD_OWN);
	for (unsigned i = 0; i < 9; i++) {
		make_frame(f, 60 + 216 * i, bed_mac);
		put_slot(b, i % 4, f, 60 + 216 * i);
		assert_int_equal(rd32(b, RTL_TSD0 + 4 * (i % 4)) & ~TSD_SIZE, TSD_OWN | TSD_TOK);
		assert_int_equal(rd16(b, RTL_TSAD) >> (12 + i % 4) & 1, 1);
		expect_sent(b, f, 60 + 216 * i);
		assert_true(line(b));
		wr16(b, RTL_ISR, ISR_TOK);
		assert_false(line(b));
	}
}

/* Slots are used in turn, whatever order they are filled in. */
static void test_slots_in_turn(void **state)
{
	struct bed *b = *state;
	uint8_t f[2][100];

	rtl_up_classic(b, 0);
	make_frame(f[1], 100, bed_mac);
	put_slot(b, 1, f[1], 100);
	expect_nothing_sent(b);
	make_frame(f[0], 90, bed_mac);
	put_slot(b, 0, f[0], 90);
	expect_sent(b, f[0], 90);
	expect_sent(b, f[1], 100);
}

static void test_slot_errors(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_classic(b, 0);
	wr32(b, RTL_TSD0, 0);
	assert_true(rd32(b, RTL_TSD0) & TSD_TABT);
	assert_true(rd16(b, RTL_ISR) & ISR_TER);
	wr32(b, RTL_TSD0 + 4, 1793);
	wr32(b, RTL_TSAD0 + 8, (uint32_t)BED_OUTSIDE);
	wr32(b, RTL_TSD0 + 8, 100);
	wr32(b, RTL_TSAD0 + 12, (uint32_t)b->bar); /* the device itself */
	wr32(b, RTL_TSD0 + 12, 100);
	assert_true(rd32(b, RTL_TSD0 + 12) & TSD_TABT);
	assert_int_equal(counter(b, "tx_drop_undersize"), 1);
	assert_int_equal(counter(b, "tx_drop_oversize"), 1);
	assert_int_equal(counter(b, "tx_drop_bad_address"), 2);
	make_frame(f, 100, bed_mac);
	put_slot(b, 0, f, 100);
	expect_sent(b, f, 100);
}

/* Held back in bulk, but not when all slots wait for it. */
static void test_slots_urge(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];
	unsigned i;

	rtl_up_classic(b, 0);
	wr16(b, RTL_IMR, ISR_TOK);
	make_frame(f, 100, bed_mac);
	b->wire->queues[0].discard = true;
	for (i = 0; i < 4000; i++) {
		put_slot(b, i % 4, f, 100);
		bed_now += 1000;
		if (i % 4 == 3) {
			assert_true(line(b));
			wr16(b, RTL_ISR, ISR_TOK);
		}
	}
	assert_in_range(counter(b, "interrupts"), 1000, 1100);
	put_slot(b, 0, f, 100);
	assert_false(line(b)); /* is held back … */
	pass(b, NSEC_PER_MSEC);
	assert_true(line(b)); /* … for a while */
}

static void test_slots_full_backend(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_classic(b, 0);
	b->wire->queues[0].room = 1;
	make_frame(f, 100, bed_mac);
	put_slot(b, 0, f, 100);
	put_slot(b, 1, f, 100);
	assert_false(rd32(b, RTL_TSD0 + 4) & TSD_OWN);
	b->wire->queues[0].room = UINT32_MAX;
	pass(b, NSEC_PER_MSEC);
	assert_true(rd32(b, RTL_TSD0 + 4) & TSD_OWN);
	expect_sent(b, f, 100);
	expect_sent(b, f, 100);
}

/* C+. */

static void test_descriptors(void **state)
{
	struct bed *b = *state;
	uint8_t f[4000];

	rtl_up_cplus(b, 0);
	wr16(b, RTL_IMR, ISR_TOK | ISR_TER);
	for (unsigned i = 0; i < 3 * RTL_DESCS; i++) {
		uint32_t len = 60 + i * 80;

		make_frame(f, len, bed_mac);
		rtl_put_tx(b, i, f, len, FSLS | 0x02100000, 0);
		rtl_poll(b);
		assert_int_equal(txd(b, i)->opts1, FSLS | eor(i));
		expect_sent(b, f, len);
		pass(b, NSEC_PER_MSEC);
		assert_true(line(b));
		wr16(b, RTL_ISR, 0xffff);
		assert_false(line(b));
	}
}

/* TOK comes after a while, or with a received frame, or when many descriptors wait for it. */
static void test_descriptors_report(void **state)
{
	struct bed *b = *state;
	unsigned i = 0;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	wr16(b, RTL_IMR, ISR_TOK | ISR_ROK);
	make_frame(f, sizeof(f), bed_mac);
	rtl_put_tx(b, i++, f, sizeof(f), FSLS, 0);
	rtl_poll(b);
	expect_sent(b, f, sizeof(f));
	assert_false(line(b));
	assert_int_equal(rd16(b, RTL_ISR), 0);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	step(b);
	assert_true(line(b));
	assert_int_equal(rd16(b, RTL_ISR), ISR_TOK | ISR_TDU | ISR_ROK);
	wr16(b, RTL_ISR, 0xffff);
	pass(b, 10 * NSEC_PER_MSEC);
	assert_false(line(b));
	for (unsigned k = 1; k <= RTL_RING_MAX / 4; k++) {
		assert_false(line(b));
		rtl_put_tx(b, i++, f, sizeof(f), FSLS, 0);
		rtl_poll(b);
		expect_sent(b, f, sizeof(f));
	}
	assert_true(line(b));
	wr16(b, RTL_ISR, 0xffff);
	/* What is held back is forgotten with all else. */
	rtl_put_tx(b, i++, f, sizeof(f), FSLS, 0);
	rtl_poll(b);
	expect_sent(b, f, sizeof(f));
	wr8(b, RTL_CR, CR_RST);
	wr16(b, RTL_IMR, ISR_TOK);
	pass(b, 10 * NSEC_PER_MSEC);
	assert_false(line(b));
}

static void test_scattered(void **state)
{
	struct bed *b = *state;
	uint8_t f[900];

	rtl_up_cplus(b, 0);
	make_frame(f, sizeof(f), bed_mac);
	rtl_put_tx(b, 0, f, 13, DESC_FS, 0);
	rtl_put_tx(b, 1, f + 13, 0, 0, 0);
	rtl_put_tx(b, 2, f + 13, 500, 0, 0);
	rtl_poll(b);
	expect_nothing_sent(b);
	assert_true(txd(b, 0)->opts1 & DESC_OWN);
	rtl_put_tx(b, 3, f + 513, 387, DESC_LS, 0);
	rtl_poll(b);
	expect_sent(b, f, sizeof(f));
	for (unsigned i = 0; i < 4; i++)
		assert_false(txd(b, i)->opts1 & DESC_OWN);
	/* Short ones are padded. */
	rtl_put_tx(b, 4, f, 20, FSLS, 0);
	rtl_poll(b);
	memset(f + 20, 0, 40);
	expect_sent(b, f, 60);
}

static void test_high_priority(void **state)
{
	struct bed *b = *state;
	uint8_t f[2][100];

	rtl_up_cplus(b, 0);
	make_frame(f[0], 100, bed_mac);
	make_frame(f[1], 90, bed_mac);
	rtl_put_tx(b, 0, f[0], 100, FSLS, 0);
	memcpy(ram(b, RTL_RING), f[1], 90);
	*(struct rtl_desc *)(void *)ram(b, RTL_TXH) =
		(struct rtl_desc){DESC_OWN | DESC_EOR | FSLS | 90, 0, RTL_RING};
	wr8(b, RTL_TPPOLL, TPPOLL_NPQ | TPPOLL_HPQ);
	step(b);
	expect_sent(b, f[1], 90);
	expect_sent(b, f[0], 100);
}

static void test_vlan_insert(void **state)
{
	struct bed *b = *state;
	uint8_t f[104], tagged[104];

	rtl_up_cplus(b, 0);
	make_frame(f, 100, bed_mac);
	rtl_put_tx(b, 0, f, 100, FSLS, TXD_TAGC | 0x3412);
	rtl_poll(b);
	memcpy(tagged, f, 12);
	memcpy(tagged + 12, "\x81\x00\x12\x34", 4);
	memcpy(tagged + 16, f + 12, 88);
	expect_sent(b, tagged, 104);
}

static void check_finished(struct bed *b, const uint8_t *want, uint32_t len, bool finished)
{
	struct wire_frame *f = wire_take(b->wire, 0);

	assert_non_null(f);
	assert_int_equal(f->len, len);
	assert_int_equal(f->off.flags, finished ? 0 : NET_NEEDS_CSUM);
	if (!finished)
		assert_int_equal(net_csum_complete(f->data, f->len, &f->off), 0);
	assert_memory_equal(f->data, want, len);
	free(f);
}

/* All checksums wrong in memory, right on the wire; by the back-end or here. */
static void checksum(bool backend, uint8_t proto, bool tag)
{
	uint32_t flag = proto == IP_PROTO_TCP ? TXD_TCPCS : TXD_UDPCS, len;
	uint8_t good[604], bad[600];
	unsigned l4 = 34, at = proto == IP_PROTO_TCP ? TCP_CHECK : UDP_CHECK;
	struct bed b;

	rtl_bed_init_post(&b, true, backend ? NET_OFFLOAD_CSUM : 0, false);
	rtl_up_cplus(&b, 0);
	len = make_ipv4(good, proto, 333);
	memcpy(bad, good, len);
	store_be16(bad + 14 + IPV4_CHECK, 0x1111);
	store_be16(bad + l4 + at, 0x2222);
	rtl_put_tx(&b, 0, bad, 77, DESC_FS | TXD_IPCS | flag, tag ? TXD_TAGC | 0x0100 : 0);
	rtl_put_tx(&b, 1, bad + 77, len - 77, DESC_LS | TXD_IPCS | flag, 0);
	rtl_poll(&b);
	if (tag) {
		memmove(good + 16, good + 12, len - 12);
		memcpy(good + 12, "\x81\x00\x00\x01", 4);
		len += 4;
	}
	check_finished(&b, good, len, !backend);
	bed_fini(&b);
}

static void test_checksums(void **state)
{
	for (unsigned i = 0; i < 8; i++)
		checksum(i & 1, i & 2 ? IP_PROTO_TCP : IP_PROTO_UDP, i & 4);
}

/* Asked for on a frame that has none: it goes as it is. */
static void test_checksum_of_nothing(void **state)
{
	struct bed *b = *state;
	uint8_t f[200];
	uint32_t len;

	rtl_up_cplus(b, 0);
	make_frame(f, 200, bed_mac);
	rtl_put_tx(b, 0, f, 200, FSLS | TXD_IPCS | TXD_TCPCS, 0);
	rtl_poll(b);
	expect_sent(b, f, 200);
	len = make_ipv4(f, IP_PROTO_UDP, 50);
	rtl_put_tx(b, 1, f, len, FSLS | TXD_TCPCS, 0);
	rtl_poll(b);
	expect_sent(b, f, len);
	/* A datagram that says it is longer than the frame. */
	store_be16(f + 16, 900);
	rtl_put_tx(b, 2, f, len, FSLS | TXD_UDPCS, 0);
	rtl_poll(b);
	expect_sent(b, f, len);
}

struct segments {
	unsigned n;
	uint32_t payload;
	const uint8_t *data;
};

static int check_segment(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct segments *s = opaque;
	uint8_t f[2000];
	struct net_headers h;
	struct iovec whole = {f, len};

	assert_in_range(len, 55, 1514);
	iov_read(iov, niov, 0, f, len);
	assert_int_equal(net_headers_parse(f, len, &h), 0);
	assert_int_equal(net_csum_verify(&whole, 1, &h), NET_CSUM_GOOD);
	assert_int_equal(net_csum_verify_ipv4(f, &h), NET_CSUM_GOOD);
	assert_memory_equal(f + 54, s->data + 54 + s->payload, len - 54);
	s->payload += len - 54;
	s->n++;
	return 0;
}

static void large_send(bool backend)
{
	struct segments s = {0};
	uint8_t *f = malloc(20000);
	uint32_t len, n = 0;
	struct wire_frame *w;
	struct bed b;

	rtl_bed_init_post(&b, true, backend ? NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO : 0, false);
	rtl_up_cplus(&b, 0);
	len = make_ipv4(f, IP_PROTO_TCP, 14600);
	s.data = f;
	store_be16(f + 50, 0); /* what the driver leaves there does not matter */
	for (uint32_t at = 0; at < len; at += 4000, n++)
		rtl_put_tx(&b, n, f + at, MIN(4000U, len - at),
			   (at ? 0 : DESC_FS) | (len - at <= 4000 ? DESC_LS : 0) | TXD_LGSEN |
				   1460U << TXD_MSS_SHIFT,
			   0);
	rtl_poll(&b);
	for (unsigned i = 0; (w = wire_take(b.wire, 0)); i++) {
		struct iovec iov = {w->data, w->len};
		struct net_frame frame = {&iov, 1, w->len, w->off};

		if (backend)
			assert_int_equal(net_gso_finish(&frame, check_segment, &s), 10);
		else
			check_segment(&s, &iov, 1, w->len);
		free(w);
	}
	assert_int_equal(s.n, 10);
	assert_int_equal(s.payload, 14600);
	/* Nothing of the mode is left in the status. */
	assert_int_equal(txd(&b, n - 1)->opts1, DESC_LS);
	bed_fini(&b);
	free(f);
}

static void test_large_send(void **state)
{
	large_send(true);
	large_send(false);
}

static void test_bad_large_send(void **state)
{
	struct bed *b = *state;
	uint8_t f[700];
	uint32_t len;

	rtl_up_cplus(b, 0);
	len = make_ipv4(f, IP_PROTO_TCP, 600);
	rtl_put_tx(b, 0, f, len, FSLS | TXD_LGSEN, 0); /* no MSS */
	len = make_ipv4(f, IP_PROTO_UDP, 600);
	rtl_put_tx(b, 1, f, len, FSLS | TXD_LGSEN | 100U << TXD_MSS_SHIFT, 0);
	make_frame(f, 600, bed_mac);
	rtl_put_tx(b, 2, f, 600, FSLS | TXD_LGSEN | 100U << TXD_MSS_SHIFT, 0);
	rtl_poll(b);
	assert_int_equal(counter(b, "tx_drop_bad_offload"), 3);
	expect_nothing_sent(b);
	/* Less than a segment is no segmentation. */
	len = make_ipv4(f, IP_PROTO_TCP, 99);
	rtl_put_tx(b, 3, f, len, FSLS | TXD_LGSEN | 100U << TXD_MSS_SHIFT, 0);
	rtl_poll(b);
	check_finished(b, f, len, false);
}

static void test_hostile_descriptors(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	make_frame(f, 100, bed_mac);
	rtl_put_tx(b, 0, f, 100, FSLS, 0);
	txd(b, 0)->addr = BED_OUTSIDE;
	rtl_put_tx(b, 1, f, 100, FSLS, 0);
	txd(b, 1)->addr = UINT64_MAX - 50;
	rtl_put_tx(b, 2, f, 100, FSLS, 0);
	txd(b, 2)->addr = FAKE_RAM - 99;
	rtl_put_tx(b, 3, f, 100, DESC_LS, 0); /* no beginning */
	rtl_put_tx(b, 4, f, 0, FSLS, 0);
	rtl_put_tx(b, 5, f, 100, FSLS, 0);
	rtl_poll(b);
	expect_sent(b, f, 100);
	expect_nothing_sent(b);
	assert_int_equal(counter(b, "tx_drop_bad_address"), 3);
	assert_int_equal(counter(b, "tx_drop_bad_ring"), 1);
	assert_int_equal(counter(b, "tx_drop_undersize"), 1);
	/* A ring that is one packet without end. */
	for (unsigned i = 0; i < 64; i++)
		*(struct rtl_desc *)(void *)ram(b, RTL_TXR + 16 * i) =
			(struct rtl_desc){DESC_OWN | 1000, 0, RTL_TXBUF};
	wr32(b, RTL_TNPDS, RTL_TXR);
	rtl_poll(b);
	assert_int_equal(counter(b, "tx_drop_bad_ring"), 2);
	/* A ring that is not memory. */
	wr32(b, RTL_TNPDS, (uint32_t)BED_OUTSIDE);
	rtl_poll(b);
	wr32(b, RTL_TNPDS, (uint32_t)b->bar);
	rtl_poll(b);
	/* All of it, 64 KiB a descriptor: too long a frame. */
	wr32(b, RTL_TNPDS, RTL_TXR);
	for (unsigned i = 0; i < 64; i++)
		*(struct rtl_desc *)(void *)ram(b, RTL_TXR + 16 * i) = (struct rtl_desc){
			DESC_OWN | 0xffff | (i ? 0 : DESC_FS) | (i == 63 ? DESC_LS : 0), 0, 0};
	rtl_poll(b);
	assert_int_equal(counter(b, "tx_drop_oversize"), 1);
	expect_nothing_sent(b);
}

static void test_full_backend(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	b->wire->queues[0].room = 3;
	for (unsigned i = 0; i < 10; i++) {
		make_frame(f, 90 + i, bed_mac);
		rtl_put_tx(b, i, f, 90 + i, FSLS, 0);
	}
	rtl_poll(b);
	assert_false(txd(b, 2)->opts1 & DESC_OWN);
	assert_true(txd(b, 3)->opts1 & DESC_OWN);
	bed_check(b);
	b->wire->queues[0].room = UINT32_MAX;
	pass(b, NSEC_PER_MSEC);
	for (unsigned i = 0; i < 10; i++) {
		make_frame(f, 90 + i, bed_mac);
		expect_sent(b, f, 90 + i);
	}
}

/* The back-end was full, and then bus mastering was taken away: nothing to be awake for. */
static void test_retry_without_master(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	b->wire->queues[0].room = 0;
	make_frame(f, 100, bed_mac);
	rtl_put_tx(b, 0, f, 100, FSLS, 0);
	rtl_poll(b);
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pass(b, 10 * NSEC_PER_MSEC);
	assert_int_equal(b->wish.at, NIC_WORKER_NEVER);
}

static void test_no_link_no_master(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	make_frame(f, 100, bed_mac);
	b->nic->nic_ops->set_link(b->nic, false);
	rtl_put_tx(b, 0, f, 100, FSLS, 0);
	rtl_poll(b);
	assert_int_equal(counter(b, "tx_drop_link_down"), 1);
	b->nic->nic_ops->set_link(b->nic, true);
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	rtl_put_tx(b, 1, f, 100, FSLS, 0);
	rtl_poll(b);
	expect_nothing_sent(b);
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2,
			  PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	step(b);
	expect_sent(b, f, 100);
}

static void test_loopback(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	wr32(b, RTL_TCR, TCR_LBK);
	make_frame(f, 100, bed_mac);
	rtl_put_tx(b, 0, f, 100, FSLS, 0);
	rtl_poll(b);
	expect_nothing_sent(b);
	assert_int_equal(rxd(b, 0)->opts1 & RXD_SIZE, 104);
	assert_memory_equal(rxbuf(b, 0), f, 100);
	/* Nothing comes from outside meanwhile. */
	wire_put(b->wire, 0, f, 100, NULL);
	step(b);
	assert_int_equal(counter(b, "rx_drop_disabled"), 1);
}

static void test_reset_midway(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	make_frame(f, 100, bed_mac);
	b->wire->queues[0].room = 1;
	rtl_put_tx(b, 0, f, 100, FSLS, 0);
	rtl_put_tx(b, 1, f, 100, FSLS, 0);
	rtl_poll(b);
	wr8(b, RTL_CR, CR_RST);
	b->wire->queues[0].room = UINT32_MAX;
	pass(b, 10 * NSEC_PER_MSEC);
	expect_sent(b, f, 100);
	expect_nothing_sent(b);
	assert_false(line(b));
	rtl_up_cplus(b, 0);
	rtl_put_tx(b, 0, f, 100, FSLS, 0);
	rtl_poll(b);
	expect_sent(b, f, 100);
}

/* A doorbell that is rung often stays in the kernel, and the frames go all the same. */
static void test_posted(void **state)
{
	struct bed b;
	uint8_t f[100];
	unsigned posted = 0;

	rtl_bed_init_post(&b, true, NET_OFFLOAD_CSUM, true);
	rtl_up_cplus(&b, 0);
	make_frame(f, 100, bed_mac);
	for (unsigned i = 0; i < 100; i++) {
		rtl_put_tx(&b, i, f, 100, FSLS, 0);
		posted += fake_is_posted(&b.host, b.bar + RTL_TPPOLL, 1);
		wr8(&b, RTL_TPPOLL, TPPOLL_NPQ);
		pass(&b, 20000);
		if (b.wish.at == NIC_WORKER_NEVER)
			step(&b);
	}
	assert_true(posted > 50);
	pass(&b, 100 * NSEC_PER_MSEC);
	for (unsigned i = 0; i < 100; i++)
		expect_sent(&b, f, 100);
	assert_false(fake_is_posted(&b.host, b.bar + RTL_TPPOLL, 1));
	assert_int_equal(b.wish.at, NIC_WORKER_NEVER);
	bed_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slots, up, down),
		cmocka_unit_test_setup_teardown(test_slots_in_turn, up, down),
		cmocka_unit_test_setup_teardown(test_slot_errors, up, down),
		cmocka_unit_test_setup_teardown(test_slots_urge, up, down),
		cmocka_unit_test_setup_teardown(test_slots_full_backend, up, down),
		cmocka_unit_test_setup_teardown(test_descriptors, up, down),
		cmocka_unit_test_setup_teardown(test_descriptors_report, up, down),
		cmocka_unit_test_setup_teardown(test_scattered, up, down),
		cmocka_unit_test_setup_teardown(test_high_priority, up, down),
		cmocka_unit_test_setup_teardown(test_vlan_insert, up, down),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test_setup_teardown(test_checksum_of_nothing, up, down),
		cmocka_unit_test(test_large_send),
		cmocka_unit_test_setup_teardown(test_bad_large_send, up, down),
		cmocka_unit_test_setup_teardown(test_hostile_descriptors, up, down),
		cmocka_unit_test_setup_teardown(test_full_backend, up, down),
		cmocka_unit_test_setup_teardown(test_retry_without_master, up, down),
		cmocka_unit_test_setup_teardown(test_no_link_no_master, up, down),
		cmocka_unit_test_setup_teardown(test_loopback, up, down),
		cmocka_unit_test_setup_teardown(test_reset_midway, up, down),
		cmocka_unit_test(test_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
