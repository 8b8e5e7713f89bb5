/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hangs on the 82540EM's serial wires: the PHY (an M88E1011 inside the chip, MDIO address 1,
 * reached through MDIC) and a 93C46 EEPROM of 64 words (reached bit by bit through EECD or
 * word by word through EERD; 13.4).
 */
#include "device/e1000.h"

#define PHY_ADDRESS 1
#define PHY_ID	    0x01410c20

/* M88E1011's own registers. */
#define M88_SPEC_STATUS 17
#define M88_RESOLVED	0x0800
#define M88_LINK	0x0400
#define M88_FULL_DUPLEX 0x2000
#define M88_SPEED_SHIFT 14

/* The words of the EEPROM (5.6). */
enum {
	WORD_COMPAT = 0x03,
	WORD_INIT1 = 0x0a,
	WORD_SUBSYSTEM = 0x0b,
	WORD_SUBSYSTEM_VENDOR = 0x0c,
	WORD_DEVICE = 0x0d,
	WORD_VENDOR = 0x0e,
	WORD_INIT2 = 0x0f,
	WORD_PHY_CLASS = 0x07,
	WORD_CHECKSUM = 0x3f,
};
#define EEPROM_SUM 0xbaba

static const struct mii_config phy_config = {
	.id = PHY_ID,
	.gigabit = true,
	.specific = {[0] = 0x0068, [4] = 0x0d60},
};

void e1000_phy_init(struct e1000 *e)
{
	mii_init(&e->phy, &phy_config, true);
}

static uint16_t spec_status(struct e1000 *e)
{
	uint16_t value = e->phy.speed == 1000 ? 2 : e->phy.speed == 100 ? 1 : 0;

	value = (uint16_t)(value << M88_SPEED_SHIFT);
	if (e->phy.full_duplex)
		value |= M88_FULL_DUPLEX;
	if (mii_link(&e->phy))
		value |= M88_RESOLVED | M88_LINK;
	return value;
}

void e1000_mdic_write(struct e1000 *e, uint32_t value)
{
	unsigned reg = value >> MDIC_REG_SHIFT & 31;
	bool ours = (value >> MDIC_PHY_SHIFT & 31) == PHY_ADDRESS;
	uint32_t result = value & ~(uint32_t)(MDIC_READY | MDIC_ERROR);

	if (value & MDIC_OP_READ) {
		uint16_t data = 0xffff;

		if (ours)
			data = reg == M88_SPEC_STATUS ? spec_status(e) : mii_read(&e->phy, reg);
		result = (result & 0xffff0000) | data;
	} else if ((value & MDIC_OP_WRITE) && ours && reg != M88_SPEC_STATUS) {
		bool event = mii_write(&e->phy, reg, (uint16_t)value);

		if (event || reg == MII_BMCR)
			e1000_update_link(e, event);
	}
	if (!ours)
		result |= MDIC_ERROR;
	E1000_REG(e, REG_MDIC) = result | MDIC_READY;
	if (value & MDIC_INT)
		nic_irq_raise(&e->chip.irq, ICR_MDAC, e->chip.clock());
}

void e1000_eeprom_init(struct e1000 *e)
{
	uint16_t *w = e->eeprom.data;

	eeprom93_init(&e->eeprom, 64);
	for (unsigned i = 0; i < 3; i++)
		w[i] = load_le16(e->chip.mac + 2 * i);
	w[WORD_COMPAT] = 0;
	w[WORD_PHY_CLASS] = 0;
	w[WORD_INIT1] = 0x640a; /* load the words below; no wake-up */
	w[WORD_SUBSYSTEM] = load_le16(e->chip.nic.pci.config + 0x2e);
	w[WORD_SUBSYSTEM_VENDOR] = load_le16(e->chip.nic.pci.config + 0x2c);
	w[WORD_DEVICE] = load_le16(e->chip.nic.pci.config + 0x02);
	w[WORD_VENDOR] = load_le16(e->chip.nic.pci.config + 0x00);
	w[WORD_INIT2] = 0xb080; /* APM wake-up off */
	eeprom93_checksum(&e->eeprom, WORD_CHECKSUM, EEPROM_SUM);
}

/* What the chip takes over from the EEPROM after a reset (5.6): the receive address. */
void e1000_eeprom_load(struct e1000 *e)
{
	const uint16_t *w = e->eeprom.data;

	E1000_REG(e, REG_RA) = w[0] | (uint32_t)w[1] << 16;
	E1000_REG(e, REG_RA + 4) = w[2] | RAH_AV;
}

uint32_t e1000_eecd_read(struct e1000 *e)
{
	uint32_t value = E1000_REG(e, REG_EECD);

	value &= ~(uint32_t)(EECD_DO | EECD_GNT);
	if (value & EECD_REQ)
		value |= EECD_GNT;
	if (!(value & EECD_CS) || eeprom93_out(&e->eeprom))
		value |= EECD_DO;
	return value | EECD_PRES;
}

void e1000_eecd_write(struct e1000 *e, uint32_t value)
{
	E1000_REG(e, REG_EECD) = value & (EECD_SK | EECD_CS | EECD_DI | EECD_FWE | EECD_REQ);
	eeprom93_wires(&e->eeprom, value & EECD_CS, value & EECD_SK, value & EECD_DI);
}

void e1000_eerd_write(struct e1000 *e, uint32_t value)
{
	uint32_t address = value >> EERD_ADDR_SHIFT & 0xff;

	value &= 0xffU << EERD_ADDR_SHIFT | EERD_START;
	if (value & EERD_START) {
		uint16_t word = address < e->eeprom.words ? e->eeprom.data[address] : 0xffff;

		value |= EERD_DONE | (uint32_t)word << EERD_DATA_SHIFT;
	}
	E1000_REG(e, REG_EERD) = value;
}
