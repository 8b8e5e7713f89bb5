/* SPDX-License-Identifier: Apache-2.0 */
/* The 82559 sends and receives. */
#include "i82559_bed.h"

#include "device/nic_filter.h"

static int up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	i559_bed_init_post(b, false);
	i559_up(b);
	*state = b;
	return 0;
}

static int down(void **state)
{
	bed_fini(*state);
	free(*state);
	return 0;
}

#define TX (OP_TX | CB_SF)

static void test_transmit(void **state)
{
	struct bed *b = *state;
	uint8_t f[1514];

	for (unsigned i = 1; i < 3 * CBS; i++) {
		uint32_t len = 60 + i * 15;

		make_frame(f, len, bed_mac);
		put_tx(b, i, f, len);
		submit(b, i, TX | (i % 16 ? 0 : CB_I));
		step(b);
		assert_int_equal(load_le16(cb(b, i)), CB_C | CB_OK);
		expect_sent(b, f, len);
		assert_int_equal(line(b), i % 16 == 0);
		wr8(b, CSR_STAT_ACK, 0xff);
	}
}

static void test_simplified(void **state)
{
	struct bed *b = *state;
	uint8_t f[900];

	make_frame(f, sizeof(f), bed_mac);
	put_tx(b, 1, f, 0);
	store_le32(cb(b, 1) + 8, CB_NO_ADDR);
	store_le16(cb(b, 1) + 12, TCB_EOF | sizeof(f));
	memcpy(cb(b, 1) + 16, f, sizeof(f));
	submit(b, 1, OP_TX);
	step(b);
	expect_sent(b, f, sizeof(f));
	/* Short: padded, as configured. */
	store_le16(cb(b, 2) + 12, TCB_EOF | 20);
	memcpy(cb(b, 2) + 16, f, 20);
	store_le32(cb(b, 2) + 8, CB_NO_ADDR);
	submit(b, 2, OP_TX);
	step(b);
	memset(f + 20, 0, 40);
	expect_sent(b, f, 60);
}

static void put_tbd(struct bed *b, uint64_t at, uint64_t buf, uint32_t len, bool end)
{
	store_le32(ram(b, at), (uint32_t)buf);
	store_le32(ram(b, at + 4), len | (end ? TBD_EL << 16 : 0));
}

/* Extended: two descriptors in the block, more in an array; standard: all in the array. */
static void test_flexible(void **state)
{
	struct bed *b = *state;
	uint8_t f[1000];

	make_frame(f, sizeof(f), bed_mac);
	memcpy(ram(b, BUFS), f, sizeof(f));
	put_cb(b, 1, 0);
	store_le32(cb(b, 1) + 8, 0x9000);
	store_le16(cb(b, 1) + 12, 0);
	cb(b, 1)[15] = 4;
	put_tbd(b, cb_at(1) + 16, BUFS, 14, false);
	put_tbd(b, cb_at(1) + 24, BUFS + 14, 86, false);
	put_tbd(b, 0x9000, BUFS + 100, 400, false);
	put_tbd(b, 0x9008, BUFS + 500, 500, false);
	submit(b, 1, TX);
	step(b);
	expect_sent(b, f, sizeof(f));
	/* The end is marked before the number is reached. */
	store_le32(cb(b, 2) + 8, 0x9000);
	store_le16(cb(b, 2) + 12, 0);
	cb(b, 2)[15] = TBD_DYNAMIC;
	put_tbd(b, cb_at(2) + 16, BUFS, 100, false);
	put_tbd(b, cb_at(2) + 24, 0, 0, false);
	put_tbd(b, 0x9000, BUFS + 100, 800, true);
	submit(b, 2, TX);
	step(b);
	expect_sent(b, f, 900);
	configure(b, 6, 0x10);
	put_cb(b, 3, TX | CB_EL);
	store_le32(cb(b, 3) + 8, 0x9000);
	store_le16(cb(b, 3) + 12, 10);
	cb(b, 3)[15] = 2;
	memcpy(cb(b, 3) + 16, f, 10);
	put_tbd(b, 0x9000, BUFS + 10, 490, false);
	put_tbd(b, 0x9008, BUFS + 500, 500, false);
	cu_start(b, 3);
	expect_sent(b, f, sizeof(f));
}

/* Source address insertion, and the driver's own CRC. */
static void test_insertion(void **state)
{
	struct bed *b = *state;
	uint8_t f[104];

	make_frame(f, 100, bed_mac);
	put_tx(b, 1, f, 104);
	submit(b, 1, TX | CB_NC);
	step(b);
	expect_sent(b, f, 100);
	configure(b, 0, 0);
	cb(b, CBS - 1)[8 + 10] = 0x26;
	command(b, OP_CONFIGURE);
	put_cb(b, 2, TX | CB_EL);
	put_tx(b, 2, f, 100);
	cu_start(b, 2);
	memcpy(f + 6, bed_mac, 6);
	expect_sent(b, f, 100);
}

static void test_hostile_frames(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	make_frame(f, 100, bed_mac);
	put_tx(b, 1, f, 100);
	store_le32(cb(b, 1) + 16, (uint32_t)BED_OUTSIDE);
	submit(b, 1, TX);
	put_tx(b, 2, f, 100);
	store_le32(cb(b, 2) + 16, (uint32_t)b->bar);
	submit(b, 2, TX);
	put_tx(b, 3, f, 13);
	submit(b, 3, TX);
	put_tx(b, 4, f, 0);
	store_le32(cb(b, 4) + 20, 0x7fff);
	submit(b, 4, TX);
	/* As many descriptors as can be, of a byte each. */
	put_tx(b, 5, f, 100);
	cb(b, 5)[15] = TBD_DYNAMIC;
	store_le32(cb(b, 5) + 8, 0x9000);
	for (unsigned i = 0; i < 256; i++)
		put_tbd(b, 0x9000 + 8 * i, BUFS, 1, false);
	submit(b, 5, TX);
	put_tx(b, 6, f, 100);
	cb(b, 6)[15] = 3;
	store_le32(cb(b, 6) + 24, 0);
	store_le32(cb(b, 6) + 28, 0);
	store_le32(cb(b, 6) + 8, FAKE_RAM - 4);
	submit(b, 6, TX);
	put_tx(b, 7, f, 100);
	submit(b, 7, TX);
	step(b);
	expect_sent(b, f, 100);
	expect_nothing_sent(b);
	assert_int_equal(counter(b, "tx_drop_bad_address"), 3);
	assert_int_equal(counter(b, "tx_drop_undersize"), 1);
	assert_int_equal(counter(b, "tx_drop_oversize"), 2);
	for (unsigned i = 1; i < 8; i++)
		assert_true(load_le16(cb(b, i)) & CB_C);
}

static void test_full_backend(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	b->wire->queues[0].room = 3;
	for (unsigned i = 1; i < 11; i++) {
		make_frame(f, 80 + i, bed_mac);
		put_tx(b, i, f, 80 + i);
		submit(b, i, i == 5 ? OP_NOP : TX);
	}
	step(b);
	assert_int_equal(load_le16(cb(b, 3)), CB_C | CB_OK);
	assert_int_equal(load_le16(cb(b, 4)), 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_ACTIVE);
	bed_check(b);
	b->wire->queues[0].room = UINT32_MAX;
	pass(b, 10 * NSEC_PER_MSEC);
	for (unsigned i = 1; i < 11; i++) {
		assert_int_equal(load_le16(cb(b, i)), CB_C | CB_OK);
		make_frame(f, 80 + i, bed_mac);
		if (i != 5)
			expect_sent(b, f, 80 + i);
	}
	b->nic->nic_ops->set_link(b->nic, false);
	put_tx(b, 11, f, 100);
	submit(b, 11, TX);
	step(b);
	assert_int_equal(counter(b, "tx_drop_link_down"), 1);
}

static void test_posted(void **state)
{
	unsigned posted = 0;
	uint8_t f[100];
	struct bed b;

	i559_bed_init_post(&b, true);
	i559_up(&b);
	make_frame(f, 100, bed_mac);
	for (unsigned i = 1; i < 101; i++) {
		put_tx(&b, i, f, 100);
		posted += fake_ioeventfds(&b.host);
		submit(&b, i, TX);
		assert_int_equal(rd8(&b, CSR_CMD), 0);
		pass(&b, 20000);
		if (b.wish.at == NIC_WORKER_NEVER)
			step(&b);
	}
	assert_true(posted > 50);
	pass(&b, 100 * NSEC_PER_MSEC);
	for (unsigned i = 1; i < 101; i++)
		expect_sent(&b, f, 100);
	expect_nothing_sent(&b);
	assert_int_equal(fake_ioeventfds(&b.host), 0);
	assert_int_equal(b.wish.at, NIC_WORKER_NEVER);
	bed_fini(&b);
}

/* Only resumes are posted: a stop has happened when it has been written. */
static void test_posted_stop(void **state)
{
	uint8_t f[100];
	struct bed b;

	i559_bed_init_post(&b, true);
	i559_up(&b);
	make_frame(f, 100, bed_mac);
	for (unsigned i = 1; i < 21; i++) {
		put_tx(&b, i, f, 100);
		submit(&b, i, TX);
		pass(&b, 20000);
	}
	assert_int_equal(fake_ioeventfds(&b.host), 1);
	assert_int_equal(rd8(&b, CSR_STATUS) >> 2 & 15, RU_READY);
	wr8(&b, CSR_CMD, RU_ABORT);
	assert_int_equal(fake_ioeventfds(&b.host), 1);
	assert_int_equal(rd8(&b, CSR_STATUS) >> 2 & 15, RU_IDLE);
	for (unsigned i = 1; i < 21; i++)
		expect_sent(&b, f, 100);
	bed_fini(&b);
}

/* Receiving. */

static void arrive(struct bed *b, const void *f, uint32_t len)
{
	wire_put(b->wire, 0, f, len, NULL);
	step(b);
}

static void expect_rx(struct bed *b, unsigned i, const uint8_t *f, uint32_t len, uint16_t status)
{
	uint8_t *p = rfd(b, i);

	assert_int_equal(load_le16(p), RFD_C | RFD_OK | RFD_TYPE | status);
	assert_int_equal(load_le16(p + 12), RFD_EOF | RFD_F | len);
	assert_memory_equal(p + 16, f, len);
}

/* Linux's refill: the mark of the end moves on. */
static void refill(struct bed *b, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		put_rfd(b, i, i == from + n - 2 ? RFD_EL : 0, i == from + n - 2 ? 0 : RFD_ROOM);
	store_le16(rfd(b, from + RFDS - 2) + 14, RFD_ROOM);
	store_le16(rfd(b, from + RFDS - 2) + 2, 0);
}

static void test_receive(void **state)
{
	struct bed *b = *state;
	uint8_t f[1514];

	for (unsigned i = 0; i < 5 * RFDS; i++) {
		uint32_t len = 60 + i * 18;

		make_frame(f, len, bed_mac);
		arrive(b, f, len);
		expect_rx(b, i, f, len, 0);
		assert_true(line(b));
		assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_FR);
		wr8(b, CSR_STAT_ACK, 0xff);
		if (i % 4 == 3)
			refill(b, i - 3, 4);
	}
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_READY);
}

static void test_filters(void **state)
{
	static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 1}, other[6] = {2, 2, 2, 2, 2, 2};
	struct bed *b = *state;
	uint8_t f[60], *p = cb(b, CBS - 1) + 8;
	unsigned i = 0;

	make_frame(f, 60, bed_mac);
	memset(f, 0xff, 6);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RFD_NOT_IA);
	memcpy(f, other, 6);
	arrive(b, f, 60);
	memcpy(f, group, 6);
	arrive(b, f, 60);
	assert_int_equal(counter(b, "rx_drop_filtered"), 2);
	store_le16(p, 6);
	memcpy(p + 2, group, 6);
	assert_int_equal(command(b, OP_MULTICAST), CB_C | CB_OK);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RFD_NOT_IA);
	store_le16(p, 0);
	command(b, OP_MULTICAST);
	arrive(b, f, 60);
	assert_int_equal(counter(b, "rx_drop_filtered"), 3);
	configure(b, 21, 0x08);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RFD_NOT_IA);
	configure(b, 15, 0x01);
	memcpy(f, other, 6);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, RFD_NOT_IA | RFD_NOMATCH);
	configure(b, 15, 0x02);
	memset(f, 0xff, 6);
	arrive(b, f, 60);
	assert_int_equal(counter(b, "rx_drop_filtered"), 4);
	memcpy(p, other, 6);
	command(b, OP_IAS);
	memcpy(f, other, 6);
	arrive(b, f, 60);
	expect_rx(b, i++, f, 60, 0);
}

static void test_crc_and_truncation(void **state)
{
	struct bed *b = *state;
	uint8_t f[1514];

	configure(b, 18, 0x04);
	make_frame(f, 100, bed_mac);
	arrive(b, f, 100);
	assert_int_equal(load_le16(rfd(b, 0) + 12) & RFD_SIZE, 104);
	assert_int_equal(load_le32(rfd(b, 0) + 116), ~nic_crc32(NIC_CRC_INIT, f, 100));
	configure(b, 0, 0);
	put_rfd(b, 1, 0, 64);
	memset(rfd(b, 1) + 16 + 64, 0xee, 8);
	arrive(b, f, 100);
	assert_int_equal(load_le16(rfd(b, 1)) & (RFD_C | RFD_OK | RFD_NO_ROOM),
			 RFD_C | RFD_NO_ROOM);
	assert_int_equal(load_le32(rfd(b, 1) + 80), 0xeeeeeeee);
	assert_int_equal(counter(b, "rx_drop_oversize"), 1);
}

/* The end of the list: held for a while, then no resources, and on from there. */
static void test_no_resources(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	make_frame(f, 100, bed_mac);
	for (unsigned i = 0; i < RFDS; i++)
		arrive(b, f, 100);
	expect_rx(b, RFDS - 3, f, 100, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_READY);
	assert_false(b->wish.receive);
	/* The driver is quick. */
	refill(b, 0, 4);
	pass(b, 2 * NSEC_PER_MSEC);
	expect_rx(b, RFDS - 1, f, 100, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_READY);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_FR);
	/* The driver is slow. */
	for (unsigned i = 0; i < RFDS; i++)
		arrive(b, f, 100);
	wr8(b, CSR_STAT_ACK, 0xff);
	pass(b, 20 * NSEC_PER_MSEC);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_NO_RESOURCES);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_RNR);
	assert_true(line(b));
	assert_true(wire_waiting(b->wire, 0) > 10);
	wr8(b, CSR_STAT_ACK, ACK_RNR);
	for (unsigned i = 0; i < RFDS; i++)
		put_rfd(b, i, i == RFDS - 2 ? RFD_EL : 0, i == RFDS - 2 ? 0 : RFD_ROOM);
	ru_start(b, 0);
	expect_rx(b, 0, f, 100, 0);
	/* A start while it is ready does not set it back. */
	ru_start(b, 0);
	put_rfd(b, 0, 0, RFD_ROOM);
	arrive(b, f, 100);
	assert_int_equal(load_le16(rfd(b, 0)), 0);
}

/* EL on a descriptor with room: the frame goes there, and that was the last. */
static void test_end_and_suspend(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	make_frame(f, 100, bed_mac);
	put_rfd(b, 0, RFD_S, RFD_ROOM);
	put_rfd(b, 1, RFD_EL, RFD_ROOM);
	arrive(b, f, 100);
	expect_rx(b, 0, f, 100, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_SUSPENDED);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_FR | ACK_RNR);
	arrive(b, f, 100);
	wr8(b, CSR_CMD, RU_RESUME);
	step(b);
	expect_rx(b, 1, f, 100, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_NO_RESOURCES);
	wr8(b, CSR_CMD, RU_RESUME); /* not from here */
	arrive(b, f, 100);
	assert_int_equal(wire_waiting(b->wire, 0), 1);
	wr8(b, CSR_CMD, RU_ABORT);
	step(b);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_IDLE);
	assert_int_equal(counter(b, "rx_drop_disabled"), 1);
}

static void test_hostile_rfds(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	make_frame(f, 100, bed_mac);
	store_le32(rfd(b, 0) + 4, (uint32_t)BED_OUTSIDE);
	arrive(b, f, 100);
	arrive(b, f, 100);
	step(b);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_NO_RESOURCES);
	/* A descriptor whose data leaves memory. */
	wr32(b, CSR_POINTER, FAKE_RAM - 64);
	store_le16(ram(b, FAKE_RAM - 64) + 2, 0);
	store_le16(ram(b, FAKE_RAM - 64) + 14, 1500);
	wr8(b, CSR_CMD, RU_START);
	step(b);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_NO_RESOURCES);
	assert_int_equal(counter(b, "rx_drop_bad_address"), 1);
	/* A circle of one: it is written again and again. */
	put_rfd(b, 3, 0, RFD_ROOM);
	store_le32(rfd(b, 3) + 4, (uint32_t)rfd_at(3));
	ru_start(b, 3);
	for (unsigned i = 0; i < 100; i++)
		arrive(b, f, 100);
	assert_int_equal(counter(b, "rx_out_frames"), 101);
	/* The device's own registers. */
	wr32(b, CSR_POINTER, (uint32_t)b->bar);
	wr8(b, CSR_CMD, RU_ABORT);
	wr8(b, CSR_CMD, RU_START);
	arrive(b, f, 100);
	step(b);
	assert_int_equal(rd8(b, CSR_STATUS) >> 2 & 15, RU_NO_RESOURCES);
}

/* Linux's test: a frame of ones comes back, through the MAC and through the PHY. */
static void test_loopback(void **state)
{
	struct bed *b = *state;
	uint8_t ones[1500];

	memset(ones, 0xff, sizeof(ones));
	for (unsigned phy = 0; phy < 2; phy++) {
		i559_up(b);
		configure(b, 10, phy ? 0xc0 : 0x40);
		if (phy)
			wr32(b, CSR_MDI,
			     MDI_OP_WRITE << MDI_OP_SHIFT | 1U << MDI_PHY_SHIFT | 0x4000);
		put_tx(b, 1, ones, sizeof(ones));
		put_cb(b, 1, TX | CB_EL);
		cu_start(b, 1);
		expect_nothing_sent(b);
		assert_int_equal(load_le16(rfd(b, 0)) & (RFD_C | RFD_OK), RFD_C | RFD_OK);
		assert_memory_equal(rfd(b, 0) + 16, ones, sizeof(ones));
		wr32(b, CSR_PORT, PORT_RESET);
	}
}

static void test_reset_midway(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	make_frame(f, 100, bed_mac);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < RFDS + 4; i++)
			wire_put(b->wire, 0, f, 100, NULL);
		b->wire->queues[0].room = round % 3;
		for (unsigned i = 1; i < 6; i++) {
			put_tx(b, i, f, 100);
			submit(b, i, TX);
		}
		if (round % 2)
			step(b);
		wr32(b, CSR_PORT, round % 4 ? PORT_RESET : PORT_SELECTIVE_RESET);
		b->wire->queues[0].room = UINT32_MAX;
		pass(b, NSEC_PER_MSEC);
		assert_int_equal(wire_waiting(b->wire, 0), 0);
		bed_check(b);
		i559_up(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transmit, up, down),
		cmocka_unit_test_setup_teardown(test_simplified, up, down),
		cmocka_unit_test_setup_teardown(test_flexible, up, down),
		cmocka_unit_test_setup_teardown(test_insertion, up, down),
		cmocka_unit_test_setup_teardown(test_hostile_frames, up, down),
		cmocka_unit_test_setup_teardown(test_full_backend, up, down),
		cmocka_unit_test(test_posted),
		cmocka_unit_test(test_posted_stop),
		cmocka_unit_test_setup_teardown(test_receive, up, down),
		cmocka_unit_test_setup_teardown(test_filters, up, down),
		cmocka_unit_test_setup_teardown(test_crc_and_truncation, up, down),
		cmocka_unit_test_setup_teardown(test_no_resources, up, down),
		cmocka_unit_test_setup_teardown(test_end_and_suspend, up, down),
		cmocka_unit_test_setup_teardown(test_hostile_rfds, up, down),
		cmocka_unit_test_setup_teardown(test_loopback, up, down),
		cmocka_unit_test_setup_teardown(test_reset_midway, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
