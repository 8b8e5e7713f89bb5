/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_MII_H
#define DEVICE_MII_H

#include "base/util.h"

/*
 * A PHY behind an MII management interface: the registers of IEEE 802.3 clause 22 (and 40 for
 * gigabit) with an autonegotiation that always has a willing partner and takes no time. A chip's
 * own registers (16 to 31) are plain storage here; the chip's model overrides what it needs.
 */
#define MII_REGS 32

enum {
	MII_BMCR = 0,
	MII_BMSR = 1,
	MII_PHYID1 = 2,
	MII_PHYID2 = 3,
	MII_ANAR = 4,
	MII_ANLPAR = 5,
	MII_ANER = 6,
	MII_ANNPTR = 7,
	MII_1000CR = 9,
	MII_1000SR = 10,
	MII_EXTSR = 15,
};

#define MII_BMCR_RESET	   0x8000
#define MII_BMCR_LOOPBACK  0x4000
#define MII_BMCR_SPEED100  0x2000
#define MII_BMCR_ANENABLE  0x1000
#define MII_BMCR_PDOWN	   0x0800
#define MII_BMCR_ISOLATE   0x0400
#define MII_BMCR_RESTART   0x0200
#define MII_BMCR_FULLDPX   0x0100
#define MII_BMCR_SPEED1000 0x0040

#define MII_BMSR_ANDONE	   0x0020
#define MII_BMSR_LINK	   0x0004

struct mii_config {
	uint32_t id;	       /* registers 2 and 3 */
	bool gigabit;	       /* 1000BASE-T, registers 9, 10 and 15 */
	uint16_t specific[16]; /* registers 16 to 31 after reset */
};

struct mii {
	const struct mii_config *config;
	uint16_t reg[MII_REGS];
	bool cable;	/* somebody is at the other end */
	bool lost;	/* the link was down since the status register was last read */
	unsigned speed; /* Mb/s, as resolved or forced; meaningful while there is a link */
	bool full_duplex;
};

/** A PHY in its power-on state with the cable plugged in or not. */
void mii_init(struct mii *mii, const struct mii_config *config, bool cable);

/** Power-on state again; the cable stays. */
void mii_reset(struct mii *mii);

uint16_t mii_read(struct mii *mii, unsigned reg);

/** Returns whether the link went up, down, or through a renegotiation: a link event. */
bool mii_write(struct mii *mii, unsigned reg, uint16_t value);

/** Plugs or unplugs the cable. Returns whether the link changed. */
bool mii_set_cable(struct mii *mii, bool cable);

/** Whether there is a link (loopback and a powered-down PHY considered). */
bool mii_link(const struct mii *mii);

static inline bool mii_loopback(const struct mii *mii)
{
	return mii->reg[MII_BMCR] & MII_BMCR_LOOPBACK;
}

#endif
