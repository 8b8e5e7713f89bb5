/* SPDX-License-Identifier: Apache-2.0 */
/* The 82540EM beside its data path: config space, registers, EEPROM, PHY, interrupts, reset. */
#include "e1000_bed.h"

static int up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init(b);
	*state = b;
	return 0;
}

static int down(void **state)
{
	bed_fini(*state);
	free(*state);
	return 0;
}

static void test_pci(void **state)
{
	struct bed *b = *state;

	assert_int_equal(fake_config_read(&b->host, b->slot, 0, 4), 0x100e8086);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_CLASS_DEVICE, 2), 0x0200);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_INTERRUPT_PIN, 1), 1);
	fake_config_write(&b->host, b->slot, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_BASE_ADDRESS_0, 4), 0xfffe0000);
}

/* The patterns of Linux's and other drivers' register tests. */
static void test_register_patterns(void **state)
{
	static const struct {
		uint32_t reg, write, mask;
	} regs[] = {
		{REG_FCAL, UINT32_MAX, UINT32_MAX},
		{REG_FCAH, UINT32_MAX, 0xffff},
		{REG_FCT, UINT32_MAX, 0xffff},
		{REG_VET, UINT32_MAX, 0xffff},
		{REG_RDTR, UINT32_MAX, 0xffff},
		{REG_RDBAH, UINT32_MAX, UINT32_MAX},
		{REG_RDLEN, 0xfffff, 0xfff80},
		{REG_RDH, 0xffff, 0xffff},
		{REG_RDT, 0xffff, 0xffff},
		{REG_FCRTH, 0xfff8, 0xfff8},
		{REG_FCTTV, 0xffff, 0xffff},
		{REG_TIPG, 0x3fffffff, 0x3fffffff},
		{REG_TDBAH, UINT32_MAX, UINT32_MAX},
		{REG_TDLEN, 0xfffff, 0xfff80},
		{REG_RDBAL, UINT32_MAX, 0xfffffff0},
		{REG_TXCW, 0xffff, 0xc000ffff},
		{REG_TDBAL, UINT32_MAX, 0xfffffff0},
		{REG_TIDV, 0xffff, 0xffff},
		{REG_RA + 4, UINT32_MAX, 0x8003ffff},
		{REG_RA + 124, UINT32_MAX, 0x8003ffff},
		{REG_RA + 8, UINT32_MAX, UINT32_MAX},
		{REG_MTA + 508, UINT32_MAX, UINT32_MAX},
		{REG_VFTA, UINT32_MAX, UINT32_MAX},
		{REG_FFMT + 4, UINT32_MAX, UINT32_MAX},
		{REG_FFVT + 1020, UINT32_MAX, UINT32_MAX},
	};
	static const uint32_t patterns[] = {0x5a5a5a5a, 0xa5a5a5a5, 0, UINT32_MAX};
	struct bed *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
		for (unsigned k = 0; k < ARRAY_SIZE(patterns); k++) {
			wr(b, regs[i].reg, patterns[k] & regs[i].write);
			assert_int_equal(rd(b, regs[i].reg),
					 patterns[k] & regs[i].write & regs[i].mask);
		}
	}
	wr(b, REG_STATUS, 0xfffff833);
	assert_int_equal(rd(b, REG_STATUS) & STATUS_LU, STATUS_LU);
}

static void test_odd_accesses(void **state)
{
	struct bed *b = *state;
	uint32_t status = rd(b, REG_STATUS);

	assert_int_equal(fake_read(&b->host, b->bar + REG_STATUS, 1) & 0xff, status & 0xff);
	assert_int_equal(fake_read(&b->host, b->bar + REG_STATUS + 1, 1) & 0xff,
			 status >> 8 & 0xff);
	wr(b, REG_FCAL, 0x11223344);
	fake_write(&b->host, b->bar + REG_FCAL, 0, 1);
	fake_write(&b->host, b->bar + REG_FCAL + 2, 0, 4);
	assert_int_equal(rd(b, REG_FCAL), 0x11223344);
	fake_write(&b->host, b->bar + REG_FCAL, 0x5566aabbccddULL, 8);
	assert_int_equal(rd(b, REG_FCAL), 0xaabbccdd);
	assert_int_equal(rd(b, REG_FCAH), 0x5566);
	assert_int_equal(fake_read(&b->host, b->bar + REG_FCAL, 8), 0x5566aabbccddULL);
	/* Nothing is there, and nothing happens. */
	for (uint32_t reg = 0; reg < E1000_MMIO_SIZE; reg += 4)
		(void)rd(b, reg);
}

static void test_io_window(void **state)
{
	struct bed *b = *state;

	io_out(b, 0, REG_FCAL, 4);
	io_out(b, 4, 0xdeadbeef, 4);
	assert_int_equal(rd(b, REG_FCAL), 0xdeadbeef);
	assert_int_equal(io_in(b, 4, 4), 0xdeadbeef);
	assert_int_equal(io_in(b, 0, 4), REG_FCAL);
	/* How Linux resets the chip. */
	io_out(b, 0, REG_CTRL, 4);
	io_out(b, 4, CTRL_RST, 4);
	assert_int_equal(rd(b, REG_FCAL), 0);
	io_out(b, 0, 0x20000, 4);
	io_out(b, 4, 1, 4);
	assert_int_equal(io_in(b, 4, 4), 0);
}

static uint16_t eerd(struct bed *b, unsigned word)
{
	wr(b, REG_EERD, word << EERD_ADDR_SHIFT | EERD_START);
	assert_true(rd(b, REG_EERD) & EERD_DONE);
	return (uint16_t)(rd(b, REG_EERD) >> EERD_DATA_SHIFT);
}

static void clock_bit(struct bed *b, bool bit)
{
	uint32_t base = EECD_REQ | EECD_CS | (bit ? EECD_DI : 0);

	wr(b, REG_EECD, base);
	wr(b, REG_EECD, base | EECD_SK);
	wr(b, REG_EECD, base);
}

static uint16_t bitbang(struct bed *b, unsigned word)
{
	uint16_t value = 0;

	wr(b, REG_EECD, EECD_REQ);
	assert_true(rd(b, REG_EECD) & EECD_GNT);
	wr(b, REG_EECD, EECD_REQ | EECD_CS);
	for (int i = 8; i >= 0; i--)
		clock_bit(b, (6U << 6 | word) >> i & 1);
	for (unsigned i = 0; i < 16; i++) {
		wr(b, REG_EECD, EECD_REQ | EECD_CS | EECD_SK);
		value = (uint16_t)(value << 1 | !!(rd(b, REG_EECD) & EECD_DO));
		wr(b, REG_EECD, EECD_REQ | EECD_CS);
	}
	wr(b, REG_EECD, 0);
	return value;
}

static void test_eeprom(void **state)
{
	struct bed *b = *state;
	uint16_t sum = 0;

	for (unsigned i = 0; i < 64; i++) {
		uint16_t word = eerd(b, i);

		assert_int_equal(bitbang(b, i), word);
		sum = (uint16_t)(sum + word);
	}
	assert_int_equal(sum, 0xbaba);
	assert_int_equal(eerd(b, 0), load_le16(bed_mac));
	assert_int_equal(rd(b, REG_RA), load_le32(bed_mac));
	assert_int_equal(rd(b, REG_RA + 4), load_le16(bed_mac + 4) | RAH_AV);
	assert_int_equal(eerd(b, 200), 0xffff);
}

static uint16_t phy_read(struct bed *b, unsigned reg)
{
	wr(b, REG_MDIC, MDIC_OP_READ | 1U << MDIC_PHY_SHIFT | reg << MDIC_REG_SHIFT);
	assert_true(rd(b, REG_MDIC) & MDIC_READY);
	assert_false(rd(b, REG_MDIC) & MDIC_ERROR);
	return (uint16_t)rd(b, REG_MDIC);
}

static void phy_write(struct bed *b, unsigned reg, uint16_t value)
{
	wr(b, REG_MDIC, MDIC_OP_WRITE | 1U << MDIC_PHY_SHIFT | reg << MDIC_REG_SHIFT | value);
}

static void test_phy(void **state)
{
	struct bed *b = *state;

	assert_int_equal(phy_read(b, 2), 0x0141);
	assert_int_equal(phy_read(b, 3) & 0xfff0, 0x0c20);
	assert_int_equal(phy_read(b, 1) & 0x24, 0x24);
	assert_int_equal(phy_read(b, 17) & 0xac00, 0xac00);
	wr(b, REG_MDIC, MDIC_OP_READ | 7U << MDIC_PHY_SHIFT);
	assert_true(rd(b, REG_MDIC) & MDIC_ERROR);
	/* Renegotiation, with 100 Mb/s half duplex as the best. */
	phy_write(b, 9, 0);
	phy_write(b, 4, 0x00a1);
	(void)rd(b, REG_ICR);
	phy_write(b, 0, 0x1200);
	assert_true(rd(b, REG_ICR) & ICR_LSC);
	assert_int_equal(rd(b, REG_STATUS) & 0xc1, 1 << STATUS_SPEED_SHIFT);
	/* Forced by the MAC. */
	wr(b, REG_CTRL, CTRL_FRCSPD | CTRL_FRCDPX | CTRL_FD | 2 << CTRL_SPEED_SHIFT);
	assert_int_equal(rd(b, REG_STATUS) & 0xc1, 2 << STATUS_SPEED_SHIFT | STATUS_FD);
	/* Power down takes the link away. */
	phy_write(b, 0, 0x1800);
	assert_false(rd(b, REG_STATUS) & STATUS_LU);
	wr(b, REG_CTRL, CTRL_PHY_RST);
	assert_true(rd(b, REG_STATUS) & STATUS_LU);
	assert_int_equal(phy_read(b, 0), 0x1140);
}

static void test_link(void **state)
{
	struct bed *b = *state;

	wr(b, REG_IMS, ICR_LSC);
	assert_int_equal(b->nic->nic_ops->set_link(b->nic, false), 0);
	assert_true(line(b));
	assert_int_equal(rd(b, REG_ICR), ICR_LSC);
	assert_false(line(b));
	assert_false(rd(b, REG_STATUS) & STATUS_LU);
	assert_int_equal(phy_read(b, 1) & 4, 0);
	b->nic->nic_ops->set_link(b->nic, false);
	assert_int_equal(rd(b, REG_ICR), 0);
	b->nic->nic_ops->set_link(b->nic, true);
	assert_int_equal(rd(b, REG_ICR), ICR_LSC);
	assert_int_equal(phy_read(b, 1) & 4, 0); /* latched */
	assert_int_equal(phy_read(b, 1) & 4, 4);
}

static void test_each_cause_and_mask(void **state)
{
	struct bed *b = *state;

	for (unsigned i = 0; i < 17; i++) {
		uint32_t bit = 1U << i;

		wr(b, REG_IMC, UINT32_MAX);
		wr(b, REG_ICS, bit);
		assert_false(line(b));
		wr(b, REG_IMS, ICR_ALL & ~bit);
		assert_false(line(b));
		wr(b, REG_IMS, bit);
		assert_true(line(b));
		assert_int_equal(rd(b, REG_IMS), ICR_ALL);
		wr(b, REG_IMC, bit);
		assert_false(line(b));
		assert_int_equal(rd(b, REG_ICR), bit);
		assert_int_equal(rd(b, REG_ICR), 0);
		wr(b, REG_IMS, bit);
		assert_false(line(b));
		wr(b, REG_ICS, bit);
		assert_true(line(b));
		wr(b, REG_ICR, bit); /* writing ones clears, too */
		assert_false(line(b));
	}
}

static void test_throttling(void **state)
{
	struct bed *b = *state;

	wr(b, REG_ITR, 1000); /* 256 us */
	wr(b, REG_IMS, ICR_ALL);
	wr(b, REG_ICS, ICR_RXT0);
	assert_true(line(b));
	assert_int_equal(rd(b, REG_ICR), ICR_RXT0);
	wr(b, REG_ICS, ICR_TXDW);
	assert_false(line(b));
	step(b);
	pass(b, 255 * NSEC_PER_USEC);
	assert_false(line(b));
	pass(b, 2 * NSEC_PER_USEC);
	assert_true(line(b));
	assert_int_equal(counter(b, "interrupts"), 2);
	assert_int_equal(counter(b, "interrupts_delayed"), 1);
	/* Held back and then masked: not asserted at all. */
	(void)rd(b, REG_ICR);
	wr(b, REG_ICS, ICR_TXDW);
	wr(b, REG_IMC, ICR_ALL);
	step(b);
	pass(b, NSEC_PER_MSEC);
	assert_false(line(b));
	/* Throttling off takes effect at once. */
	wr(b, REG_IMS, ICR_ALL);
	(void)rd(b, REG_ICR);
	wr(b, REG_ICS, ICR_TXDW);
	wr(b, REG_ITR, 0);
	assert_true(line(b));
}

static void test_reset(void **state)
{
	struct bed *b = *state;

	bed_up(b, 0);
	wr(b, REG_IMS, ICR_ALL);
	wr(b, REG_ICS, ICR_TXDW);
	wr(b, REG_RA, 0);
	wr(b, REG_CTRL, CTRL_RST | CTRL_FD);
	assert_false(line(b));
	assert_int_equal(rd(b, REG_CTRL) & CTRL_RST, 0);
	assert_int_equal(rd(b, REG_RCTL), 0);
	assert_int_equal(rd(b, REG_TCTL), 0);
	assert_int_equal(rd(b, REG_IMS), 0);
	assert_int_equal(rd(b, REG_ICR), 0);
	assert_int_equal(rd(b, REG_TDT), 0);
	assert_int_equal(rd(b, REG_RA), load_le32(bed_mac));
	assert_int_equal(rd(b, REG_PBA), 0x00100030);
	/* The whole machine. */
	bed_up(b, 0);
	wr(b, REG_IMS, ICR_ALL);
	wr(b, REG_ICS, ICR_TXDW);
	pci_bus_reset(b->host.pci);
	assert_false(line(b));
}

static void test_pba(void **state)
{
	struct bed *b = *state;

	wr(b, REG_PBA, 40);
	assert_int_equal(rd(b, REG_PBA), 40 | 24 << 16);
}

static void test_statistics_clear(void **state)
{
	uint8_t f[1514], *p = f;
	struct bed *b = *state;

	bed_up(b, 0);
	make_frame(f, 1514, (const uint8_t *)"\xff\xff\xff\xff\xff\xff");
	for (unsigned i = 0; i < 3; i++)
		put_data(b, p, 1514, TXD_EOP | TXD_IFCS | TXD_RS, 0);
	ring(b);
	for (unsigned i = 0; i < 2; i++)
		wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(rd(b, 0x4080), 3);	   /* GPTC */
	assert_int_equal(rd(b, 0x4080), 0);	   /* cleared */
	assert_int_equal(rd(b, 0x40f4), 3);	   /* BPTC */
	assert_int_equal(rd(b, 0x40ec), 3);	   /* PTC1522 */
	assert_int_equal(rd(b, 0x4090), 3 * 1518); /* GOTCL: stays … */
	assert_int_equal(rd(b, 0x4090), 3 * 1518);
	assert_int_equal(rd(b, 0x4094), 0); /* … until GOTCH is read */
	assert_int_equal(rd(b, 0x4090), 0);
	assert_int_equal(rd(b, 0x4074), 2); /* GPRC */
	assert_int_equal(rd(b, 0x4078), 2); /* BPRC */
	assert_int_equal(rd(b, 0x405c), 2); /* PRC64 */
	assert_int_equal(rd(b, 0x4088), 128);
	assert_int_equal(rd(b, 0x40d0), 2); /* TPR */
}

/* Registers whose writes stay in the kernel: order and effect are as without. */
static void test_posting(void **state)
{
	uint8_t f[60];
	struct bed *b = calloc(1, sizeof(*b));

	bed_init_post(b, NET_OFFLOAD_CSUM, true);
	bed_up(b, 0);
	assert_true(fake_is_posted(&b->host, b->bar + REG_IMC, 4));
	assert_true(fake_is_posted(&b->host, b->bar + REG_MTA + 0x1fc, 4));
	assert_true(fake_is_posted(&b->host, b->bar + REG_VFTA + 0x1fc, 4));
	assert_false(fake_is_posted(&b->host, b->bar + REG_TDT, 4));
	assert_false(fake_is_posted(&b->host, b->bar + REG_ICS, 4));
	/* A posted IMC is in force when the next access returns. */
	wr(b, REG_IMS, ICR_RXT0);
	(void)rd(b, REG_STATUS);
	wr(b, REG_IMC, UINT32_MAX);
	wr(b, REG_ICS, ICR_RXT0);
	assert_false(line(b));
	(void)rd(b, REG_ICR);
	/* Or when the worker is about to interrupt. */
	wr(b, REG_IMS, ICR_RXT0);
	(void)rd(b, REG_STATUS);
	wr(b, REG_IMC, UINT32_MAX);
	make_frame(f, 60, bed_mac);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_false(line(b));
	/* IMS is waited for now: the worker looks again, and finds it. */
	assert_true(b->wish.at < bed_now + NSEC_PER_MSEC);
	wr(b, REG_IMS, ICR_RXT0);
	pass(b, NSEC_PER_MSEC);
	assert_true(line(b));
	bed_fini(b);
	free(b);
}

/* A driver without flushing reads: whatever it does, a posted IMS is found. */
static void test_posted_mask_is_found(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init_post(b, NET_OFFLOAD_CSUM, true);
	bed_up(b, 0);
	wr(b, REG_IMS, ICR_RXT0 | ICR_LSC);
	(void)rd(b, REG_STATUS);
	wr(b, REG_IMC, UINT32_MAX);
	(void)rd(b, REG_STATUS);
	step(b);
	assert_true(b->wish.at == NIC_WORKER_NEVER);
	/* A cause that nobody ever unmasked is not waited for. */
	wr(b, REG_ICS, ICR_TXQE);
	assert_false(b->nic->pci.intx_level);
	step(b);
	assert_true(b->wish.at == NIC_WORKER_NEVER);
	/* The others are. */
	b->nic->nic_ops->set_link(b->nic, false);
	step(b);
	assert_true(b->wish.at < bed_now + NSEC_PER_MSEC);
	wr(b, REG_IMS, ICR_LSC);
	pass(b, NSEC_PER_MSEC);
	assert_true(line(b));
	bed_fini(b);
	free(b);
}

static void test_moderation(void **state)
{
	uint8_t f[60];
	struct bed *b = calloc(1, sizeof(*b));

	bed_init_post(b, NET_OFFLOAD_CSUM, true);
	bed_up(b, 0);
	wr(b, REG_TIDV, 8);
	wr(b, REG_TADV, 32);
	wr(b, REG_IMS, ICR_TXDW | ICR_RXT0);
	make_frame(f, 60, bed_mac);
	/* Alone: later than the driver asked. */
	put_data(b, f, 60, TXD_EOP | TXD_RS | TXD_IDE, 0);
	ring(b);
	pass(b, 190 * NSEC_PER_USEC);
	assert_false(line(b));
	pass(b, 20 * NSEC_PER_USEC);
	assert_true(line(b));
	(void)rd(b, REG_ICR);
	/* With an answer: one interrupt for both. */
	put_data(b, f, 60, TXD_EOP | TXD_RS | TXD_IDE, 0);
	ring(b);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(rd(b, REG_ICR) & (ICR_TXDW | ICR_RXT0), ICR_TXDW | ICR_RXT0);
	pass(b, NSEC_PER_MSEC);
	assert_false(line(b));
	/* A quarter of the ring: at once. */
	for (unsigned i = 0; i < BED_DESCS / 4; i++)
		put_data(b, f, 60, TXD_EOP | TXD_RS | TXD_IDE, 0);
	ring(b);
	assert_true(line(b));
	bed_fini(b);
	free(b);
}

static void test_doorbell_switches(void **state)
{
	uint8_t f[60];
	struct bed *b = calloc(1, sizeof(*b));
	unsigned sent = 0;

	bed_init_post(b, NET_OFFLOAD_CSUM, true);
	bed_up(b, 0);
	make_frame(f, 60, bed_mac);
	/* Rung often: it becomes posted, and nothing is lost. */
	for (unsigned i = 0; i < 40; i++) {
		put_data(b, f, 60, TXD_EOP | TXD_RS, 0);
		wr(b, REG_TDT, b->tx_tail);
		sent++;
		bed_now += 10 * NSEC_PER_USEC;
		if (i % 10 == 9)
			step(b);
	}
	step(b);
	assert_true(fake_is_posted(&b->host, b->bar + REG_TDT, 4));
	assert_int_equal(b->wire->queues[0].sent.count, sent);
	/* A posted write is found without any other access. */
	put_data(b, f, 60, TXD_EOP | TXD_RS, 0);
	wr(b, REG_TDT, b->tx_tail);
	assert_int_equal(b->host.nposted, 1);
	pass(b, NSEC_PER_MSEC);
	assert_int_equal(b->wire->queues[0].sent.count, sent + 1);
	/* After a while of silence it is armed, and the worker sleeps without a limit. */
	pass(b, 200 * NSEC_PER_MSEC);
	assert_false(fake_is_posted(&b->host, b->bar + REG_TDT, 4));
	assert_true(b->wish.at == NIC_WORKER_NEVER);
	put_data(b, f, 60, TXD_EOP | TXD_RS, 0);
	wr(b, REG_TDT, b->tx_tail); /* sent by the vCPU that wrote */
	assert_int_equal(b->wire->queues[0].sent.count, sent + 2);
	/* The BAR moves: what is posted moves along. */
	fake_config_write(&b->host, b->slot, PCI_BASE_ADDRESS_0, 4, (uint32_t)b->bar + 0x100000);
	assert_false(fake_is_posted(&b->host, b->bar + REG_IMC, 4));
	assert_true(fake_is_posted(&b->host, b->bar + 0x100000 + REG_IMC, 4));
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2, 0);
	assert_false(fake_is_posted(&b->host, b->bar + 0x100000 + REG_IMC, 4));
	bed_fini(b);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pci, up, down),
		cmocka_unit_test_setup_teardown(test_register_patterns, up, down),
		cmocka_unit_test_setup_teardown(test_odd_accesses, up, down),
		cmocka_unit_test_setup_teardown(test_io_window, up, down),
		cmocka_unit_test_setup_teardown(test_eeprom, up, down),
		cmocka_unit_test_setup_teardown(test_phy, up, down),
		cmocka_unit_test_setup_teardown(test_link, up, down),
		cmocka_unit_test_setup_teardown(test_each_cause_and_mask, up, down),
		cmocka_unit_test_setup_teardown(test_throttling, up, down),
		cmocka_unit_test_setup_teardown(test_reset, up, down),
		cmocka_unit_test_setup_teardown(test_pba, up, down),
		cmocka_unit_test_setup_teardown(test_statistics_clear, up, down),
		cmocka_unit_test(test_posting),
		cmocka_unit_test(test_posted_mask_is_found),
		cmocka_unit_test(test_moderation),
		cmocka_unit_test(test_doorbell_switches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
