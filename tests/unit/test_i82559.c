/* SPDX-License-Identifier: Apache-2.0 */
/* The 82559 beside its data path: config space, registers, EEPROM, PHY, causes, commands. */
#include "i82559_bed.h"

static int up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	i559_bed_init_post(b, false);
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

	assert_int_equal(fake_config_read(&b->host, b->slot, 0, 4), 0x12298086);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_REVISION_ID, 1), 8);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_INTERRUPT_PIN, 1), 1);
	fake_config_write(&b->host, b->slot, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(fake_config_read(&b->host, b->slot, PCI_BASE_ADDRESS_0, 4), 0xfffff000);
}

static void ee_clock(struct bed *b, bool bit)
{
	uint32_t base = EEPROM_CS | (bit ? EEPROM_DI : 0);

	wr8(b, CSR_EEPROM, base);
	wr8(b, CSR_EEPROM, base | EEPROM_SK);
	wr8(b, CSR_EEPROM, base);
}

static uint16_t ee_read(struct bed *b, unsigned word)
{
	uint16_t value = 0;

	wr8(b, CSR_EEPROM, 0);
	for (int i = 8; i >= 0; i--)
		ee_clock(b, (6U << 6 | word) >> i & 1);
	assert_false(rd8(b, CSR_EEPROM) & EEPROM_DO); /* the dummy bit */
	for (unsigned i = 0; i < 16; i++) {
		wr8(b, CSR_EEPROM, EEPROM_CS | EEPROM_SK);
		value = (uint16_t)(value << 1 | !!(rd8(b, CSR_EEPROM) & EEPROM_DO));
		wr8(b, CSR_EEPROM, EEPROM_CS);
	}
	wr8(b, CSR_EEPROM, 0);
	return value;
}

static void test_eeprom(void **state)
{
	struct bed *b = *state;
	uint16_t sum = 0;

	for (unsigned i = 0; i < 64; i++)
		sum = (uint16_t)(sum + ee_read(b, i));
	assert_int_equal(sum, 0xbaba);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ee_read(b, i), load_le16(bed_mac + 2 * i));
	assert_int_equal(ee_read(b, 6), 0x4701);
}

static uint32_t mdi(struct bed *b, unsigned phy, unsigned reg, unsigned op, uint16_t data)
{
	wr32(b, CSR_MDI, phy << MDI_PHY_SHIFT | reg << MDI_REG_SHIFT | op << MDI_OP_SHIFT | data);
	assert_true(rd32(b, CSR_MDI) & MDI_READY);
	return rd32(b, CSR_MDI) & MDI_DATA;
}

static void test_phy(void **state)
{
	struct bed *b = *state;

	assert_int_equal(mdi(b, 1, MII_PHYID1, MDI_OP_READ, 0), 0x02a8);
	assert_int_equal(mdi(b, 1, MII_PHYID2, MDI_OP_READ, 0), 0x0154);
	assert_int_equal(mdi(b, 2, MII_BMCR, MDI_OP_READ, 0), 0xffff);
	assert_true(mdi(b, 1, MII_BMSR, MDI_OP_READ, 0) & MII_BMSR_LINK);
	assert_int_equal(rd8(b, CSR_GEN_STATUS), GEN_LINK | GEN_100 | GEN_FULL);
	mdi(b, 1, MII_BMCR, MDI_OP_WRITE, 0);
	assert_int_equal(rd8(b, CSR_GEN_STATUS), GEN_LINK);
	b->nic->nic_ops->set_link(b->nic, false);
	assert_int_equal(rd8(b, CSR_GEN_STATUS), 0);
	assert_false(mdi(b, 1, MII_BMSR, MDI_OP_READ, 0) & MII_BMSR_LINK);
	b->nic->nic_ops->set_link(b->nic, true);
	assert_false(mdi(b, 1, MII_BMSR, MDI_OP_READ, 0) & MII_BMSR_LINK);
	assert_true(mdi(b, 1, MII_BMSR, MDI_OP_READ, 0) & MII_BMSR_LINK);
	/* An interrupt when it is done, if asked for. */
	wr8(b, CSR_STAT_ACK, 0xff);
	wr32(b, CSR_MDI, MDI_INTERRUPT | 1U << MDI_PHY_SHIFT | MDI_OP_READ << MDI_OP_SHIFT);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_MDI);
	assert_true(line(b));
}

static void test_masks(void **state)
{
	struct bed *b = *state;

	assert_false(line(b));
	wr8(b, CSR_MASK, MASK_ALL | MASK_SI);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_SWI);
	assert_int_equal(rd8(b, CSR_MASK), MASK_ALL);
	assert_false(line(b));
	wr8(b, CSR_MASK, 0);
	assert_true(line(b));
	wr8(b, CSR_STAT_ACK, 0xff & ~ACK_SWI);
	assert_true(line(b));
	wr8(b, CSR_STAT_ACK, ACK_SWI);
	assert_false(line(b));
	assert_int_equal(rd16(b, CSR_STATUS), 0);
	/* Single causes. */
	wr8(b, CSR_MASK, ACK_CX);
	put_cb(b, 0, OP_NOP | CB_I | CB_EL);
	cu_start(b, 0);
	wr8(b, CSR_STAT_ACK, ACK_CNA);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_CX);
	assert_false(line(b));
	wr8(b, CSR_MASK, 0);
	assert_true(line(b));
	/* Mask and command in one word: the command comes last. */
	wr16(b, CSR_CMD, MASK_ALL << 8 | CU_NOP << 4);
	assert_false(line(b));
}

static void test_selftest_and_resets(void **state)
{
	struct bed *b = *state;

	i559_up(b);
	memset(ram(b, 0x8000), 0xff, 16);
	store_le32(ram(b, 0x8000), 0);
	wr32(b, CSR_PORT, 0x8000 | PORT_SELF_TEST);
	assert_int_not_equal(load_le32(ram(b, 0x8000)), 0);
	assert_int_equal(load_le32(ram(b, 0x8004)), 0);
	assert_int_equal(rd8(b, CSR_STATUS), 0);
	i559_up(b);
	assert_int_equal(rd8(b, CSR_STATUS), CU_SUSPENDED << 6 | RU_READY << 2);
	wr32(b, CSR_PORT, PORT_SELECTIVE_RESET);
	assert_int_equal(rd8(b, CSR_STATUS), 0);
	i559_up(b);
	wr32(b, CSR_PORT, PORT_RESET);
	assert_int_equal(rd8(b, CSR_STATUS), 0);
	assert_int_equal(rd8(b, CSR_STAT_ACK), 0);
	wr32(b, CSR_PORT, (uint32_t)BED_OUTSIDE | PORT_SELF_TEST);
	wr32(b, CSR_PORT, (uint32_t)b->bar | PORT_DUMP);
	wr32(b, CSR_PORT, 0x9000 | PORT_DUMP);
	assert_int_equal(*ram(b, 0x9000), 0x16);
}

static void test_statistics(void **state)
{
	static const struct {
		uint8_t byte6;
		unsigned at;
	} layout[] = {{0x26, 80}, {0x22, 64}, {0x02, 76}};
	struct bed *b = *state;
	uint8_t f[100];

	i559_up(b);
	make_frame(f, 100, bed_mac);
	put_tx(b, 1, f, 100);
	submit(b, 1, OP_TX | CB_SF);
	step(b);
	expect_sent(b, f, 100);
	wire_put(b->wire, 0, f, 100, NULL);
	step(b);
	wr32(b, CSR_POINTER, 0x8000);
	wr8(b, CSR_CMD, CU_DUMP_ADDRESS << 4);
	for (unsigned i = 0; i < ARRAY_SIZE(layout); i++) {
		configure(b, 0, 0);
		cb(b, CBS - 1)[8 + 6] = layout[i].byte6;
		command(b, OP_CONFIGURE);
		memset(ram(b, 0x8000), 0xff, 128);
		wr8(b, CSR_CMD, CU_DUMP << 4);
		assert_int_equal(load_le32(ram(b, 0x8000)), 1);
		assert_int_equal(load_le32(ram(b, 0x8000 + 36)), 1);
		assert_int_equal(load_le32(ram(b, 0x8000 + layout[i].at)), 0xa005);
		assert_int_equal(load_le32(ram(b, 0x8000 + layout[i].at + 4)), UINT32_MAX);
	}
	wr8(b, CSR_CMD, CU_DUMP_RESET << 4);
	assert_int_equal(load_le32(ram(b, 0x8000 + 76)), 0xa007);
	wr8(b, CSR_CMD, CU_DUMP << 4);
	assert_int_equal(load_le32(ram(b, 0x8000)), 0);
	wr32(b, CSR_POINTER, (uint32_t)BED_OUTSIDE);
	wr8(b, CSR_CMD, CU_DUMP_ADDRESS << 4);
	wr8(b, CSR_CMD, CU_DUMP_RESET << 4);
}

static void test_commands(void **state)
{
	struct bed *b = *state;
	uint16_t ok = CB_C | CB_OK;

	assert_int_equal(command(b, OP_NOP), ok);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_CNA);
	assert_int_equal(rd8(b, CSR_STATUS), CU_IDLE);
	assert_int_equal(command(b, OP_MICROCODE), ok);
	assert_int_equal(command(b, OP_DIAGNOSE), ok);
	memcpy(cb(b, CBS - 1) + 8, "\x02\x01\x02\x03\x04\x05", 6);
	assert_int_equal(command(b, OP_IAS), ok);
	store_le32(cb(b, CBS - 1) + 8, 0x9000);
	assert_int_equal(command(b, OP_DUMP), ok);
	assert_memory_equal(ram(b, 0x9000 + 40), "\x02\x01\x02\x03\x04\x05", 6);
	store_le32(cb(b, CBS - 1) + 8, (uint32_t)BED_OUTSIDE);
	assert_int_equal(command(b, OP_DUMP), CB_C);
	/* Counts that are too large, or nothing. */
	cb(b, CBS - 1)[8] = 0xff;
	assert_int_equal(command(b, OP_CONFIGURE), ok);
	cb(b, CBS - 1)[8] = 0;
	assert_int_equal(command(b, OP_CONFIGURE), CB_C);
	store_le16(cb(b, CBS - 1) + 8, 0xffff);
	assert_int_equal(command(b, OP_MULTICAST), ok);
}

/* A list is worked off to its end, and reports what it was told to. */
static void test_list(void **state)
{
	struct bed *b = *state;

	wr8(b, CSR_MASK, MASK_ALL);
	for (unsigned i = 0; i < 20; i++)
		put_cb(b, i, OP_NOP | (i == 10 ? CB_I : 0) | (i == 19 ? CB_EL : 0));
	cu_start(b, 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(load_le16(cb(b, i)), CB_C | CB_OK);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_CX | ACK_CNA);
	/* With a base, offsets are relative to it. */
	wr32(b, CSR_POINTER, 0x1000);
	wr8(b, CSR_CMD, CU_BASE << 4);
	put_cb(b, 3, OP_NOP | CB_EL);
	wr32(b, CSR_POINTER, (uint32_t)cb_at(3) - 0x1000);
	wr8(b, CSR_CMD, CU_START << 4);
	step(b);
	assert_int_equal(load_le16(cb(b, 3)), CB_C | CB_OK);
}

static void test_suspend_resume(void **state)
{
	struct bed *b = *state;

	wr8(b, CSR_MASK, MASK_ALL);
	put_cb(b, 0, OP_NOP | CB_S);
	cu_start(b, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_SUSPENDED);
	for (unsigned i = 1; i < 100; i++) {
		submit(b, i, OP_NOP);
		step(b);
		assert_int_equal(load_le16(cb(b, i)), CB_C | CB_OK);
	}
	/* Resumed once too often: what is behind is old, and stays as it is. */
	store_le16(cb(b, 100), 0);
	wr8(b, CSR_CMD, CU_RESUME << 4);
	step(b);
	assert_int_equal(load_le16(cb(b, 100)), 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_SUSPENDED);
	/* Not reported while it comes and goes, but when it stays. */
	assert_int_equal(rd8(b, CSR_STAT_ACK), 0);
	pass(b, 2 * NSEC_PER_MSEC);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_CNA);
}

static void test_cna_by_configuration(void **state)
{
	struct bed *b = *state;

	configure(b, 6, 0x08);
	wr8(b, CSR_STAT_ACK, 0xff);
	put_cb(b, 0, OP_NOP | CB_S);
	cu_start(b, 0);
	pass(b, 10 * NSEC_PER_MSEC);
	assert_int_equal(rd8(b, CSR_STAT_ACK), 0);
	command(b, OP_NOP);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_CNA);
	/* Together with another cause there is no reason to wait. */
	configure(b, 0, 0);
	wr8(b, CSR_STAT_ACK, 0xff);
	put_cb(b, 0, OP_NOP | CB_S | CB_I);
	cu_start(b, 0);
	assert_int_equal(rd8(b, CSR_STAT_ACK), ACK_CX | ACK_CNA);
}

static void test_hostile_lists(void **state)
{
	struct bed *b = *state;

	/* Circles: of one, of all; the worker goes on, with rests. */
	put_cb(b, 0, OP_NOP);
	store_le32(cb(b, 0) + 4, (uint32_t)cb_at(0));
	wr32(b, CSR_POINTER, (uint32_t)cb_at(0));
	wr8(b, CSR_CMD, CU_START << 4);
	step(b);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_ACTIVE);
	assert_true(b->wish.at > bed_now && b->wish.at <= bed_now + NSEC_PER_MSEC);
	wr32(b, CSR_PORT, PORT_RESET);
	for (unsigned i = 0; i < CBS; i++)
		put_cb(b, i, OP_TX | CB_SF);
	wr32(b, CSR_POINTER, (uint32_t)cb_at(0));
	wr8(b, CSR_CMD, CU_START << 4);
	step(b); /* frames of nothing */
	assert_true(counter(b, "tx_drop_undersize") > 1000);
	wr32(b, CSR_PORT, PORT_RESET);
	/* Lists that lead nowhere. */
	wr32(b, CSR_POINTER, (uint32_t)BED_OUTSIDE);
	wr8(b, CSR_CMD, CU_START << 4);
	step(b);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_IDLE);
	put_cb(b, 0, OP_NOP);
	store_le32(cb(b, 0) + 4, (uint32_t)b->bar);
	cu_start(b, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_IDLE);
	store_le32(cb(b, 0) + 4, FAKE_RAM - 4);
	cu_start(b, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_IDLE);
	wr32(b, CSR_POINTER, UINT32_MAX - 8);
	wr8(b, CSR_CMD, CU_BASE << 4);
	cu_start(b, 0);
	assert_int_equal(rd8(b, CSR_STATUS) >> 6, CU_IDLE);
}

static void test_shadow(void **state)
{
	struct bed *b = *state;

	assert_null(fake_mapped(&b->host, b->bar, 4));
	i559_up(b);
	assert_non_null(fake_mapped(&b->host, b->bar, 4));
	for (unsigned at = 0; at < I559_IO_SIZE; at += 4)
		assert_int_equal(rd32(b, at), io_in(b, at, 4));
	io_out(b, CSR_MASK, MASK_ALL, 1);
	assert_int_equal(rd8(b, CSR_MASK), MASK_ALL);
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2, 0);
	assert_null(fake_mapped(&b->host, b->bar, 4));
}

static void test_any_access(void **state)
{
	struct bed *b = *state;
	uint32_t seed = 7;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned size = 1U << (i & 3), at;

		seed = seed * 1103515245 + 12345;
		at = (seed >> 8) % I559_MMIO_SIZE & ~(size - 1);
		fake_write(&b->host, b->bar + at % 64, seed * 2654435761ULL, size);
		(void)fake_read(&b->host, b->bar + at, size);
		if (i % 64 == 0)
			b->run(b->nic, bed_now += 1000000, &b->wish);
	}
	b->nic->pci.ops->reset(&b->nic->pci);
	assert_int_equal(rd32(b, CSR_STATUS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pci, up, down),
		cmocka_unit_test_setup_teardown(test_eeprom, up, down),
		cmocka_unit_test_setup_teardown(test_phy, up, down),
		cmocka_unit_test_setup_teardown(test_masks, up, down),
		cmocka_unit_test_setup_teardown(test_selftest_and_resets, up, down),
		cmocka_unit_test_setup_teardown(test_statistics, up, down),
		cmocka_unit_test_setup_teardown(test_commands, up, down),
		cmocka_unit_test_setup_teardown(test_list, up, down),
		cmocka_unit_test_setup_teardown(test_suspend_resume, up, down),
		cmocka_unit_test_setup_teardown(test_cna_by_configuration, up, down),
		cmocka_unit_test_setup_teardown(test_hostile_lists, up, down),
		cmocka_unit_test_setup_teardown(test_shadow, up, down),
		cmocka_unit_test_setup_teardown(test_any_access, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
