/* SPDX-License-Identifier: Apache-2.0 */
/* The RTL8139's EEPROM (93C46), its internal PHY, and the link. */
#include "device/rtl8139.h"

#define EEPROM_WORDS 64

/* CONFIG1: registers are in I/O and memory space, power management is there. */
#define CONFIG1_RESET 0x0d
#define CONFIG3_RESET 0x00
#define CONFIG4_RESET 0x00
#define CONFIG5_RESET 0x00

void rtl8139_eeprom_init(struct rtl8139 *r)
{
	struct eeprom93 *ee = &r->eeprom;

	eeprom93_init(ee, EEPROM_WORDS);
	memset(ee->data, 0, EEPROM_WORDS * sizeof(ee->data[0]));
	ee->data[0] = 0x8129; /* says that there is something here (5.1) */
	ee->data[1] = 0x10ec;
	ee->data[2] = 0x8139;
	ee->data[3] = 0x10ec;
	ee->data[4] = 0x8139;
	ee->data[5] = 0x4020; /* maximum latency, minimum grant */
	ee->data[6] = 0xe512; /* CONFIG3, MSR */
	for (unsigned i = 0; i < 3; i++)
		ee->data[7 + i] = load_le16(r->chip.mac + 2 * i);
	ee->data[10] = CONFIG1_RESET << 8;
	ee->data[11] = 0xf7c2; /* power management capabilities */
}

void rtl8139_eeprom_load(struct rtl8139 *r)
{
	for (unsigned i = 0; i < 3; i++)
		rtl_set16(r, RTL_IDR0 + 2 * i, r->eeprom.data[7 + i]);
	rtl_set8(r, RTL_9346CR, 0);
	rtl_set8(r, RTL_CONFIG0, 0);
	rtl_set8(r, RTL_CONFIG1, CONFIG1_RESET);
	rtl_set8(r, RTL_CONFIG3, CONFIG3_RESET);
	rtl_set8(r, RTL_CONFIG4, CONFIG4_RESET);
	rtl_set8(r, RTL_CONFIG5, CONFIG5_RESET);
	rtl_set8(r, RTL_RERID, r->cplus ? 0x20 : 0x10);
}

void rtl8139_eeprom_write(struct rtl8139 *r, uint8_t value)
{
	unsigned mode = value & EE_EEM;

	if (mode == EE_EEM_LOAD) {
		rtl8139_eeprom_load(r); /* and falls back to normal (6.24) */
		return;
	}
	eeprom93_wires(&r->eeprom, mode == EE_EEM_93C46 && (value & EE_CS), value & EE_SK,
		       value & EE_DI);
	value &= EE_EEM | EE_CS | EE_SK | EE_DI;
	if (mode == EE_EEM_93C46 && eeprom93_out(&r->eeprom))
		value |= EE_DO;
	rtl_set8(r, RTL_9346CR, value);
}

static const struct {
	unsigned offset, reg;
} mii_map[] = {
	{RTL_BMCR, MII_BMCR},	  {RTL_BMSR, MII_BMSR}, {RTL_ANAR, MII_ANAR},
	{RTL_ANLPAR, MII_ANLPAR}, {RTL_ANER, MII_ANER},
};

void rtl8139_phy_init(struct rtl8139 *r)
{
	static const struct mii_config config = {0};

	mii_init(&r->phy, &config, true);
}

void rtl8139_update_link(struct rtl8139 *r, bool event)
{
	bool link = mii_link(&r->phy);
	uint8_t msr = rtl_get8(r, RTL_MSR) & (uint8_t) ~(MSR_LINKB | MSR_SPEED_10);
	uint16_t cscr = rtl_get16(r, RTL_CSCR) & (uint16_t) ~(CSCR_LINK_GOOD | CSCR_STATUS);

	if (!link)
		msr |= MSR_LINKB;
	if (r->phy.speed == 10)
		msr |= MSR_SPEED_10;
	if (link)
		cscr |= CSCR_LINK_GOOD | CSCR_STATUS;
	if (event)
		cscr |= CSCR_LINK_CHANGED;
	rtl_set8(r, RTL_MSR, msr | MSR_AUX);
	rtl_set16(r, RTL_CSCR, cscr);
	for (unsigned i = 0; i < ARRAY_SIZE(mii_map); i++)
		rtl_set16(r, mii_map[i].offset, r->phy.reg[mii_map[i].reg]);
	rtl8139_show(r);
	if (event)
		nic_irq_raise(&r->chip.irq, ISR_PUN, r->chip.clock());
	nic_chip_kick(&r->chip);
}

void rtl8139_mii_write(struct rtl8139 *r, unsigned offset, uint16_t value)
{
	/* Speed, autonegotiation and duplex need the configuration unlocked (6.34). */
	const uint16_t locked = MII_BMCR_SPEED100 | MII_BMCR_ANENABLE | MII_BMCR_FULLDPX;

	for (unsigned i = 0; i < ARRAY_SIZE(mii_map); i++) {
		if (mii_map[i].offset != offset)
			continue;
		if (offset == RTL_BMCR && (rtl_get8(r, RTL_9346CR) & EE_EEM) != EE_EEM_CONFIG)
			value = (uint16_t)((value & ~locked) | (r->phy.reg[MII_BMCR] & locked));
		rtl8139_update_link(r, mii_write(&r->phy, mii_map[i].reg, value));
	}
}
