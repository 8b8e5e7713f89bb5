/* SPDX-License-Identifier: Apache-2.0 */
/* The 82559's EEPROM (93C46), and its PHY behind the management data interface. */
#include "device/i82559.h"

#define EEPROM_WORDS 64
#define EEPROM_SUM   0xbaba
#define PHY_ADDRESS  1
#define PHY_82555    0x02a80154
#define PHY_STATUS   16 /* the 82555's own status and control register */

void i82559_eeprom_init(struct i82559 *i)
{
	struct eeprom93 *ee = &i->eeprom;

	eeprom93_init(ee, EEPROM_WORDS);
	memset(ee->data, 0, EEPROM_WORDS * sizeof(ee->data[0]));
	for (unsigned k = 0; k < 3; k++)
		ee->data[k] = load_le16(i->chip.mac + 2 * k);
	ee->data[3] = 0x0203; /* compatibility: with the 10 Mb/s and 100 Mb/s bugs fixed */
	ee->data[5] = 0x0201; /* an 82559, an RJ45 connector */
	ee->data[6] = 0x4700 | PHY_ADDRESS; /* an 82555 */
	ee->data[8] = 0x7213;		    /* board number */
	ee->data[9] = 0x8310;
	ee->data[10] = 0x40a0; /* subsystem and vendor below are valid; no boot ROM */
	ee->data[11] = 0x000c;
	ee->data[12] = 0x8086;
	ee->data[10] &= (uint16_t)~0x20; /* does not wake */
	eeprom93_checksum(ee, EEPROM_WORDS - 1, EEPROM_SUM);
}

void i82559_eeprom_write(struct i82559 *i, uint8_t value)
{
	eeprom93_wires(&i->eeprom, value & EEPROM_CS, value & EEPROM_SK, value & EEPROM_DI);
	value &= EEPROM_CS | EEPROM_SK | EEPROM_DI;
	if (eeprom93_out(&i->eeprom))
		value |= EEPROM_DO;
	csr_set8(i, CSR_EEPROM, value);
}

void i82559_phy_init(struct i82559 *i)
{
	static const struct mii_config config = {.id = PHY_82555};

	mii_init(&i->phy, &config, true);
}

void i82559_update_link(struct i82559 *i)
{
	uint8_t status = 0;

	if (mii_link(&i->phy))
		status |= GEN_LINK;
	if (i->phy.speed == 100)
		status |= GEN_100;
	if (i->phy.full_duplex)
		status |= GEN_FULL;
	csr_set8(i, CSR_GEN_STATUS, status);
	i->phy.reg[PHY_STATUS] = (i->phy.speed == 100 ? 2 : 0) | (i->phy.full_duplex ? 1 : 0);
	nic_chip_kick(&i->chip);
}

/* MDI control (6.3.5): done when the write returns. */
void i82559_mdi_write(struct i82559 *i, uint32_t value)
{
	unsigned reg = value >> MDI_REG_SHIFT & 31, phy = value >> MDI_PHY_SHIFT & 31;
	unsigned op = value >> MDI_OP_SHIFT & 3;
	bool there = phy == PHY_ADDRESS;

	if (op == MDI_OP_READ) {
		value &= ~(uint32_t)MDI_DATA;
		value |= there ? mii_read(&i->phy, reg) : 0xffff;
	} else if (op == MDI_OP_WRITE && there) {
		(void)mii_write(&i->phy, reg, value & MDI_DATA);
		i82559_update_link(i);
	}
	csr_set32(i, CSR_MDI, (value & ~0xc0000000U) | MDI_READY);
	if (value & MDI_INTERRUPT)
		nic_irq_raise(&i->chip.irq, ACK_MDI, i->chip.clock());
}
