/* SPDX-License-Identifier: Apache-2.0 */
/* The RTL8139C+ beside its data path: config space, registers, EEPROM, PHY, timer, causes. */
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

static void test_pci(void **state)
{
	struct bed *b = *state;

	assert_int_equal(fake_config_read(&b->host, b->slot, 0, 4), 0x813910ec);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_CLASS_DEVICE, 2), 0x0200);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_REVISION_ID, 1), 0x20);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(rd32(b, RTL_TCR) & TCR_HWVERID, TCR_8139CP);
}

static void test_classic_identity(void **state)
{
	struct bed b;

	rtl_bed_init(&b, false);
	assert_int_equal(fake_config_read(&b.host, b.slot, PCI_REVISION_ID, 1), 0x10);
	assert_int_equal(rd32(&b, RTL_TCR) & TCR_HWVERID, TCR_8139C);
	wr16(&b, RTL_CPCR, CPCR_RX | CPCR_TX);
	assert_int_equal(rd16(&b, RTL_CPCR), 0);
	bed_fini(&b);
}

static void test_address_in_parts(void **state)
{
	struct bed *b = *state;

	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(rd8(b, RTL_IDR0 + i), bed_mac[i]);
	assert_int_equal(rd32(b, RTL_IDR0), load_le32(bed_mac));
	wr32(b, RTL_IDR0, 0x44332211);
	wr32(b, RTL_IDR0 + 4, 0xffff6655);
	assert_int_equal(rd32(b, RTL_IDR0), 0x44332211);
	assert_int_equal(rd32(b, RTL_IDR0 + 4), 0x6655);
	wr8(b, RTL_IDR0 + 2, 0x99);
	assert_int_equal(rd32(b, RTL_IDR0), 0x44992211);
	assert_int_equal(fake_read(&b->host, b->bar, 8), 0x665544992211ULL);
	fake_write(&b->host, b->bar + RTL_MAR0, 0x8877665544332211ULL, 8);
	assert_int_equal(rd16(b, RTL_MAR0 + 6), 0x8877);
	/* The same through ports; addresses outlive a reset. */
	assert_int_equal(io_in(b, RTL_IDR0, 4), 0x44992211);
	io_out(b, RTL_CR, CR_RST, 1);
	assert_int_equal(io_in(b, RTL_CR, 1), CR_BUFE);
	assert_int_equal(io_in(b, RTL_MAR0 + 4, 4), 0x88776655);
}

static void test_config_lock(void **state)
{
	struct bed *b = *state;
	uint32_t config1 = rd8(b, RTL_CONFIG1);

	wr8(b, RTL_CONFIG1, 0xf3);
	assert_int_equal(rd8(b, RTL_CONFIG1), config1);
	wr8(b, RTL_9346CR, EE_EEM_CONFIG);
	wr8(b, RTL_CONFIG1, config1 | 0x20);
	assert_int_equal(rd8(b, RTL_CONFIG1), config1 | 0x20);
	wr8(b, RTL_CONFIG3, 0x40);
	assert_int_equal(rd8(b, RTL_CONFIG3), 0x40);
	wr8(b, RTL_9346CR, EE_EEM_NORMAL);
	wr8(b, RTL_CONFIG3, 0);
	assert_int_equal(rd8(b, RTL_CONFIG3), 0x40);
}

static void ee_clock(struct bed *b, bool bit)
{
	uint32_t base = EE_EEM_93C46 | EE_CS | (bit ? EE_DI : 0);

	wr8(b, RTL_9346CR, base);
	wr8(b, RTL_9346CR, base | EE_SK);
	wr8(b, RTL_9346CR, base);
}

static uint16_t ee_read(struct bed *b, unsigned word)
{
	uint16_t value = 0;

	wr8(b, RTL_9346CR, EE_EEM_93C46);
	for (int i = 8; i >= 0; i--)
		ee_clock(b, (6U << 6 | word) >> i & 1);
	for (unsigned i = 0; i < 16; i++) {
		wr8(b, RTL_9346CR, EE_EEM_93C46 | EE_CS | EE_SK);
		value = (uint16_t)(value << 1 | (rd8(b, RTL_9346CR) & EE_DO));
		wr8(b, RTL_9346CR, EE_EEM_93C46 | EE_CS);
	}
	wr8(b, RTL_9346CR, 0);
	return value;
}

static void test_eeprom(void **state)
{
	struct bed *b = *state;

	assert_int_equal(ee_read(b, 0), 0x8129);
	assert_int_equal(ee_read(b, 1), 0x10ec);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ee_read(b, 7 + i), load_le16(bed_mac + 2 * i));
	/* Loading it brings the address back. */
	wr32(b, RTL_IDR0, 0);
	wr8(b, RTL_9346CR, EE_EEM_LOAD);
	assert_int_equal(rd8(b, RTL_9346CR), 0);
	assert_int_equal(rd32(b, RTL_IDR0), load_le32(bed_mac));
}

static void test_phy(void **state)
{
	struct bed *b = *state;

	assert_int_equal(rd16(b, RTL_BMSR) & (MII_BMSR_LINK | MII_BMSR_ANDONE),
			 MII_BMSR_LINK | MII_BMSR_ANDONE);
	assert_int_equal(rd16(b, RTL_ANLPAR) & 0x01e0, 0x01e0);
	assert_int_equal(rd8(b, RTL_MSR) & (MSR_LINKB | MSR_SPEED_10), 0);
	/* Speed and duplex are locked. */
	wr16(b, RTL_BMCR, 0);
	assert_true(rd16(b, RTL_BMCR) & MII_BMCR_ANENABLE);
	wr8(b, RTL_9346CR, EE_EEM_CONFIG);
	wr16(b, RTL_BMCR, 0);
	assert_int_equal(rd16(b, RTL_BMCR), 0);
	assert_true(rd8(b, RTL_MSR) & MSR_SPEED_10);
	wr16(b, RTL_BMCR, MII_BMCR_ANENABLE | MII_BMCR_RESTART);
	assert_false(rd8(b, RTL_MSR) & MSR_SPEED_10);
}

static void test_link(void **state)
{
	struct bed *b = *state;

	wr16(b, RTL_ISR, 0xffff);
	wr16(b, RTL_IMR, ISR_PUN);
	assert_int_equal(b->nic->nic_ops->set_link(b->nic, false), 0);
	assert_true(line(b));
	assert_true(rd16(b, RTL_CSCR) & CSCR_LINK_CHANGED);
	assert_true(rd8(b, RTL_MSR) & MSR_LINKB);
	assert_false(rd16(b, RTL_BMSR) & MII_BMSR_LINK);
	wr16(b, RTL_ISR, ISR_PUN);
	assert_false(line(b));
	assert_false(rd16(b, RTL_CSCR) & CSCR_LINK_CHANGED);
	assert_int_equal(b->nic->nic_ops->set_link(b->nic, false), 0);
	assert_false(line(b));
	assert_int_equal(b->nic->nic_ops->set_link(b->nic, true), 0);
	assert_true(line(b));
	/* That it was lost shows once. */
	assert_false(rd16(b, RTL_BMSR) & MII_BMSR_LINK);
	assert_true(rd16(b, RTL_BMSR) & MII_BMSR_LINK);
}

static void test_causes(void **state)
{
	struct bed *b = *state;

	assert_int_equal(rd16(b, RTL_ISR), 0);
	wr8(b, RTL_TPPOLL, TPPOLL_SWINT);
	assert_int_equal(rd16(b, RTL_ISR), ISR_SWINT);
	assert_false(line(b));
	wr16(b, RTL_IMR, ISR_SWINT | ISR_TOK);
	assert_true(line(b));
	wr16(b, RTL_IMR, ISR_TOK);
	assert_false(line(b));
	wr16(b, RTL_IMR, ISR_SWINT);
	wr16(b, RTL_ISR, ISR_TOK);
	assert_true(line(b));
	/* A byte, and both registers at once. */
	wr8(b, RTL_ISR + 1, ISR_SWINT >> 8);
	assert_int_equal(rd16(b, RTL_ISR), 0);
	assert_false(line(b));
	wr32(b, RTL_IMR, ISR_SWINT | 0xffff0000);
	wr8(b, RTL_TPPOLL, TPPOLL_SWINT);
	assert_true(line(b));
	assert_int_equal(rd32(b, RTL_IMR), ISR_SWINT << 16 | ISR_SWINT);
	wr8(b, RTL_CR, CR_RST);
	assert_false(line(b));
	assert_int_equal(rd32(b, RTL_IMR), 0);
}

static void test_timer(void **state)
{
	struct bed *b = *state;

	wr16(b, RTL_IMR, ISR_TIMEOUT);
	wr32(b, RTL_TCTR, 0);
	assert_int_equal(rd32(b, RTL_TCTR), 0);
	wr32(b, RTL_TIMERINT, 33 * 1000); /* 1 ms */
	step(b);
	pass(b, NSEC_PER_MSEC / 2);
	assert_in_range(rd32(b, RTL_TCTR), 16499, 16501);
	assert_false(line(b));
	pass(b, NSEC_PER_MSEC);
	assert_true(line(b));
	assert_true(rd16(b, RTL_ISR) & ISR_TIMEOUT);
	wr16(b, RTL_ISR, ISR_TIMEOUT);
	pass(b, 10 * NSEC_PER_MSEC);
	assert_false(line(b));
	wr32(b, RTL_TCTR, 1);
	pass(b, 2 * NSEC_PER_MSEC);
	assert_true(line(b));
}

/* What the guest reads as memory is what a handler would say. */
static void test_shadow(void **state)
{
	struct bed *b = *state;

	assert_null(fake_mapped(&b->host, b->bar, 4));
	rtl_up_cplus(b, 0);
	assert_non_null(fake_mapped(&b->host, b->bar, 4));
	for (unsigned at = 0; at < RTL_IO_SIZE; at += 4)
		if (at != RTL_TCTR)
			assert_int_equal(rd32(b, at), io_in(b, at, 4));
	/* A running timer and a lost link are made when they are read. */
	wr32(b, RTL_TIMERINT, 100);
	assert_null(fake_mapped(&b->host, b->bar, 4));
	wr8(b, RTL_CR, CR_RST);
	rtl_up_cplus(b, 0);
	assert_non_null(fake_mapped(&b->host, b->bar, 4));
	b->nic->nic_ops->set_link(b->nic, false);
	b->nic->nic_ops->set_link(b->nic, true);
	step(b);
	assert_null(fake_mapped(&b->host, b->bar, 4));
	assert_false(rd16(b, RTL_BMSR) & MII_BMSR_LINK);
	step(b);
	assert_non_null(fake_mapped(&b->host, b->bar, 4));
	assert_true(rd16(b, RTL_BMSR) & MII_BMSR_LINK);
	/* It goes where the BAR goes. */
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2, 0);
	assert_null(fake_mapped(&b->host, b->bar, 4));
}

static void test_tally(void **state)
{
	struct bed *b = *state;
	uint8_t f[100];

	rtl_up_cplus(b, 0);
	make_frame(f, sizeof(f), bed_mac);
	rtl_put_tx(b, 0, f, sizeof(f), DESC_FS | DESC_LS, 0);
	rtl_poll(b);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	memset(f, 0xff, 6);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	step(b);
	memset(ram(b, 0x8000), 0xee, 64);
	wr32(b, RTL_DTCCR + 4, 0);
	wr32(b, RTL_DTCCR, 0x8000 | DTCCR_CMD);
	assert_int_equal(rd32(b, RTL_DTCCR), 0x8000);
	assert_int_equal(load_le64(ram(b, 0x8000)), 1);
	assert_int_equal(load_le64(ram(b, 0x8008)), 2);
	assert_int_equal(load_le64(ram(b, 0x8028)), 1);
	assert_int_equal(load_le64(ram(b, 0x8030)), 1);
	/* Into nowhere: it ends, and says so. */
	wr32(b, RTL_DTCCR, (uint32_t)BED_OUTSIDE | DTCCR_CMD);
	assert_false(rd32(b, RTL_DTCCR) & DTCCR_CMD);
	assert_true(rd16(b, RTL_ISR) & ISR_SERR);
	expect_sent(b, (make_frame(f, sizeof(f), bed_mac), f), sizeof(f));
}

/* Every register, every size, any value: nothing but what the table says. */
static void test_any_access(void **state)
{
	struct bed *b = *state;
	uint32_t seed = 1;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned size = 1U << (i & 3), at;

		seed = seed * 1103515245 + 12345;
		at = (seed >> 8) % RTL_MMIO_SIZE & ~(size - 1);
		fake_write(&b->host, b->bar + at % 256, seed * 2654435761ULL, size);
		(void)fake_read(&b->host, b->bar + at, size);
		if (i % 64 == 0)
			pass(b, 1000000);
	}
	b->nic->pci.ops->reset(&b->nic->pci);
	assert_int_equal(rd32(b, RTL_IDR0), load_le32(bed_mac));
	assert_int_equal(rd8(b, RTL_CR), CR_BUFE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pci, up, down),
		cmocka_unit_test(test_classic_identity),
		cmocka_unit_test_setup_teardown(test_address_in_parts, up, down),
		cmocka_unit_test_setup_teardown(test_config_lock, up, down),
		cmocka_unit_test_setup_teardown(test_eeprom, up, down),
		cmocka_unit_test_setup_teardown(test_phy, up, down),
		cmocka_unit_test_setup_teardown(test_link, up, down),
		cmocka_unit_test_setup_teardown(test_causes, up, down),
		cmocka_unit_test_setup_teardown(test_timer, up, down),
		cmocka_unit_test_setup_teardown(test_shadow, up, down),
		cmocka_unit_test_setup_teardown(test_tally, up, down),
		cmocka_unit_test_setup_teardown(test_any_access, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
