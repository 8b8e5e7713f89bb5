/* SPDX-License-Identifier: Apache-2.0 */
#include "device/mii.h"

/* IEEE 802.3, 22.2.4 and 28.2.4; 40.5.1 for gigabit. */
#define BMSR_10_100	   0x7800 /* 100BASE-X and 10BASE-T, both duplexes */
#define BMSR_EXTENDED	   0x0100 /* extended status in register 15 */
#define BMSR_NO_PREAMBLE   0x0040
#define BMSR_CAN_NEGOTIATE 0x0008
#define BMSR_EXTENDED_CAP  0x0001

#define ANAR_10HD	   0x0020
#define ANAR_10FD	   0x0040
#define ANAR_100HD	   0x0080
#define ANAR_100FD	   0x0100
#define ANAR_ALL	   0x01e0
#define ANAR_SELECTOR	   0x0001
#define ANLPAR_ACK	   0x4000
#define ANER_LP_NEGOTIATES 0x0001
#define ANER_PAGE	   0x0002

#define CR1000_FD	   0x0200
#define CR1000_HD	   0x0100
#define SR1000_LOCAL_OK	   0x2000
#define SR1000_REMOTE_OK   0x1000
#define SR1000_LP_FD	   0x0800
#define SR1000_LP_HD	   0x0400
#define EXTSR_1000T	   0x3000

/* What a driver may change in registers 0 to 15. */
static const uint16_t mii_writable[16] = {
	[MII_BMCR] = 0x7fc0,
	[MII_ANAR] = 0xffff,
	[MII_ANNPTR] = 0xffff,
	[MII_1000CR] = 0xff00,
};

bool mii_link(const struct mii *mii)
{
	uint16_t bmcr = mii->reg[MII_BMCR];

	if (bmcr & MII_BMCR_PDOWN)
		return false;
	return mii->cable || (bmcr & MII_BMCR_LOOPBACK);
}

static void resolve_forced(struct mii *mii)
{
	uint16_t bmcr = mii->reg[MII_BMCR];

	mii->speed = bmcr & MII_BMCR_SPEED100 ? 100 : 10;
	if (mii->config->gigabit && (bmcr & MII_BMCR_SPEED1000))
		mii->speed = 1000;
	mii->full_duplex = bmcr & MII_BMCR_FULLDPX;
}

/* The best that both ends can do; the partner can do everything (28.2.3.3, annex 28B). */
static void resolve_negotiated(struct mii *mii)
{
	uint16_t adv = mii->reg[MII_ANAR], gig = mii->reg[MII_1000CR];

	mii->speed = 10;
	mii->full_duplex = adv & ANAR_10FD;
	if (adv & (ANAR_100FD | ANAR_100HD)) {
		mii->speed = 100;
		mii->full_duplex = adv & ANAR_100FD;
	}
	if (mii->config->gigabit && (gig & (CR1000_FD | CR1000_HD))) {
		mii->speed = 1000;
		mii->full_duplex = gig & CR1000_FD;
	}
}

/* Brings the status registers in line with cable and control. */
static void update(struct mii *mii)
{
	bool link = mii_link(mii);
	bool negotiated = link && (mii->reg[MII_BMCR] & MII_BMCR_ANENABLE) &&
			  !(mii->reg[MII_BMCR] & MII_BMCR_LOOPBACK);

	if (mii->reg[MII_BMCR] & MII_BMCR_ANENABLE)
		resolve_negotiated(mii);
	else
		resolve_forced(mii);
	mii->reg[MII_BMSR] &= (uint16_t) ~(MII_BMSR_LINK | MII_BMSR_ANDONE);
	if (link)
		mii->reg[MII_BMSR] |= MII_BMSR_LINK;
	else
		mii->lost = true;
	if (negotiated)
		mii->reg[MII_BMSR] |= MII_BMSR_ANDONE;
	mii->reg[MII_ANLPAR] = negotiated ? ANLPAR_ACK | ANAR_ALL | ANAR_SELECTOR : 0;
	mii->reg[MII_ANER] = negotiated ? ANER_LP_NEGOTIATES | ANER_PAGE : 0;
	mii->reg[MII_1000SR] = 0;
	if (mii->config->gigabit && link)
		mii->reg[MII_1000SR] =
			SR1000_LOCAL_OK | SR1000_REMOTE_OK | SR1000_LP_FD | SR1000_LP_HD;
}

void mii_reset(struct mii *mii)
{
	bool gigabit = mii->config->gigabit;

	memset(mii->reg, 0, sizeof(mii->reg));
	memcpy(mii->reg + 16, mii->config->specific, sizeof(mii->config->specific));
	mii->reg[MII_BMCR] = MII_BMCR_ANENABLE | MII_BMCR_FULLDPX |
			     (gigabit ? MII_BMCR_SPEED1000 : MII_BMCR_SPEED100);
	mii->reg[MII_BMSR] = BMSR_10_100 | BMSR_NO_PREAMBLE | BMSR_CAN_NEGOTIATE |
			     BMSR_EXTENDED_CAP | (gigabit ? BMSR_EXTENDED : 0);
	mii->reg[MII_PHYID1] = (uint16_t)(mii->config->id >> 16);
	mii->reg[MII_PHYID2] = (uint16_t)mii->config->id;
	mii->reg[MII_ANAR] = ANAR_ALL | ANAR_SELECTOR;
	mii->reg[MII_1000CR] = gigabit ? CR1000_FD | CR1000_HD : 0;
	mii->reg[MII_EXTSR] = gigabit ? EXTSR_1000T : 0;
	update(mii);
	mii->lost = false;
}

void mii_init(struct mii *mii, const struct mii_config *config, bool cable)
{
	mii->config = config;
	mii->cable = cable;
	mii_reset(mii);
}

uint16_t mii_read(struct mii *mii, unsigned reg)
{
	uint16_t value = mii->reg[reg % MII_REGS];

	/* A lost link shows once, even if it is back (22.2.4.2.13). */
	if (reg == MII_BMSR && mii->lost) {
		mii->lost = !mii_link(mii);
		value &= (uint16_t)~MII_BMSR_LINK;
	}
	return value;
}

bool mii_write(struct mii *mii, unsigned reg, uint16_t value)
{
	bool before = mii_link(mii), restart;
	uint16_t mask;

	reg %= MII_REGS;
	mask = reg < 16 ? mii_writable[reg] : 0xffff;
	if (reg == MII_1000CR && !mii->config->gigabit)
		mask = 0;
	if (reg == MII_BMCR && (value & MII_BMCR_RESET)) {
		/* Software reset renegotiates with what is advertised; settings outlive it. */
		value |= MII_BMCR_RESTART;
	}
	restart = reg == MII_BMCR && (value & MII_BMCR_RESTART) && (value & MII_BMCR_ANENABLE);
	if (reg == MII_BMCR)
		value &= (uint16_t) ~(MII_BMCR_RESET | MII_BMCR_RESTART);
	mii->reg[reg] = (uint16_t)((mii->reg[reg] & ~mask) | (value & mask));
	if (reg < 16)
		update(mii);
	return restart || mii_link(mii) != before;
}

bool mii_set_cable(struct mii *mii, bool cable)
{
	bool before = mii_link(mii);

	mii->cable = cable;
	update(mii);
	return mii_link(mii) != before;
}
