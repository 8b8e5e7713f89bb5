/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_I82559_H
#define DEVICE_I82559_H

#include "device/eeprom93.h"
#include "device/i82559_regs.h"
#include "device/mii.h"
#include "device/nic_chip.h"
#include "device/nic_head.h"

/*
 * Intel 82559, private to its files:
 *   i82559.c        creation, reset, PCI, link, the worker's step
 *   i82559_model.c  options, counters, link
 *   i82559_reg.c    control and status registers
 *   i82559_cu.c     the command unit: walks the command list
 *   i82559_cmd.c    commands other than transmit; statistics
 *   i82559_tx.c     transmit command blocks to frames
 *   i82559_rx.c     filters, the receive unit
 *   i82559_phy.c    EEPROM and PHY
 *
 * The register page (nic_shadow.h) is the register file: what has a place there has no other.
 */
enum i559_post { I559_POST_CMD, I559_POST_COUNT };

enum i559_access {
	I559_ACC_READ,
	I559_ACC_ACK,
	I559_ACC_CMD,
	I559_ACC_MASK,
	I559_ACC_POINTER,
	I559_ACC_OTHER,
	I559_ACC_COUNT
};

#define I559_TX_BURST 32 /* frames handed to the back-end at once */
#define I559_TX_PARTS 64 /* parts of one frame at most */
#define I559_TX_IOVS  512

/* A command block, copied once. */
struct i559_cb {
	uint64_t at; /* its address */
	uint32_t offset, link;
	uint16_t command;
	uint32_t array; /* transmit: of buffer descriptors */
	uint16_t count;
	uint8_t number;
	enum nic_drop drop; /* transmit: why it is not sent; NIC_DROP_COUNT: it is */
};

struct i559_cu {
	enum i559_cu_state state;
	uint32_t base;
	uint32_t at;	     /* active: the next block's offset; suspended: the last one's */
	_Atomic bool resume; /* the driver said so */
	unsigned run;	     /* commands since run_since */
	uint64_t run_since;
	uint64_t cna_at; /* suspended since a while: when to say so */

	/* One burst. */
	unsigned ncbs, nframes, niov;
	struct i559_cb cbs[I559_TX_BURST];
	struct net_frame out[I559_TX_BURST];
	uint8_t heads[I559_TX_BURST][NIC_HEAD_MAX];
	struct iovec iov[I559_TX_IOVS];
};

struct i559_ru {
	enum i559_ru_state state;
	uint32_t base;
	uint32_t at; /* the next descriptor's offset */
	uint16_t header_size;
	uint32_t causes;
};

/* Statistical counters (6.3.2.2.3), as they are dumped. */
enum i559_stat {
	STAT_TX_GOOD = 0,
	STAT_RX_GOOD = 9,
	STAT_RX_RESOURCE = 12,
	STAT_COUNT = 20,
};

struct i82559 {
	struct nic_chip chip; /* first */
	struct mii phy;
	struct eeprom93 eeprom;
	struct i559_cu cu;
	struct i559_ru ru;
	uint32_t stats[STAT_COUNT];
	uint32_t dump_address;
	uint8_t config[CONFIG_BYTES];
	uint8_t ia[6];
	uint32_t hash[2]; /* multicast addresses, and individual ones if so configured */
};

/* Bits of the configuration (6.4.2.3), by byte. */
#define CFG6_CI		   0x08 /* CNA only when idle */
#define CFG6_TCO_STATS	   0x04
#define CFG6_STANDARD_TCB  0x10
#define CFG6_STANDARD_STAT 0x20
#define CFG10_NSAI	   0x08 /* no source address insertion */
#define CFG10_LOOPBACK	   0xc0
#define CFG15_PROMISCUOUS  0x01
#define CFG15_NO_BROADCAST 0x02
#define CFG18_PADDING	   0x02
#define CFG18_CRC	   0x04
#define CFG18_LONG	   0x08
#define CFG20_MULTI_IA	   0x40
#define CFG21_MC_ALL	   0x08

static inline struct i82559 *i82559_of(struct pci_dev *dev)
{
	return container_of(dev, struct i82559, chip.nic.pci);
}

static inline uint8_t csr_get8(const struct i82559 *i, unsigned at)
{
	return nic_shadow_get8(&i->chip.shadow, at);
}

static inline uint32_t csr_get32(const struct i82559 *i, unsigned at)
{
	return nic_shadow_get32(&i->chip.shadow, at);
}

static inline void csr_set8(struct i82559 *i, unsigned at, uint8_t v)
{
	nic_shadow_set8(&i->chip.shadow, at, v);
}

static inline void csr_set16(struct i82559 *i, unsigned at, uint16_t v)
{
	nic_shadow_set16(&i->chip.shadow, at, v);
}

static inline void csr_set32(struct i82559 *i, unsigned at, uint32_t v)
{
	nic_shadow_set32(&i->chip.shadow, at, v);
}

/* A word of a block or descriptor that the driver may be changing now. */
static inline uint32_t i82559_load(const uint8_t *p)
{
	if ((uintptr_t)p & 3)
		return load_le32(p);
	return le32toh(__atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_ACQUIRE));
}

/* i82559.c: all with the lock held. */
/** PORT's software reset; selective: configuration and addresses stay. */
void i82559_soft_reset(struct i82559 *i, bool selective);
void i82559_set_cu(struct i82559 *i, enum i559_cu_state state);
void i82559_set_ru(struct i82559 *i, enum i559_ru_state state);
/** Raises causes, and with them what is only waiting for an occasion. */
void i82559_raise(struct i82559 *i, uint32_t causes, uint64_t now);
bool i82559_loopback(const struct i82559 *i);

/* i82559_reg.c */
extern const struct bus_range_ops i82559_bar_ops;
extern const struct nic_post_reg i82559_post_regs[I559_POST_COUNT];

/* i82559_phy.c: with the lock held. */
void i82559_phy_init(struct i82559 *i);
void i82559_eeprom_init(struct i82559 *i);
void i82559_eeprom_write(struct i82559 *i, uint8_t value);
void i82559_mdi_write(struct i82559 *i, uint32_t value);
void i82559_update_link(struct i82559 *i);

/* i82559_cu.c: with the lock held. */
/** A command unit command other than resume. */
void i82559_cu_command(struct i82559 *i, unsigned command, uint32_t pointer);
/** Executes up to budget commands. Returns whether there is more that can be done now. */
bool i82559_cu_run(struct i82559 *i, unsigned budget, uint64_t now);

/* i82559_cmd.c: with the lock held. */
/** Executes a command that is not transmit. Returns the bits of its status. */
uint16_t i82559_execute(struct i82559 *i, const struct i559_cb *cb);
void i82559_dump_stats(struct i82559 *i, bool reset);
/** 596 bytes of internal state, most of them zeros. */
bool i82559_dump(struct i82559 *i, uint64_t at);
void i82559_self_test(struct i82559 *i, uint64_t at);
void i82559_default_config(struct i82559 *i);

/* i82559_tx.c: with the lock held. */
/** Makes the block the burst's next frame, or says why not. */
enum nic_drop i82559_tx_build(struct i82559 *i, const struct i559_cb *cb);
/** Sends cu.out[0 … nframes). Returns how many are gone. */
unsigned i82559_tx_send(struct i82559 *i, uint64_t now);

/* i82559_rx.c: with the lock held. */
void i82559_ru_command(struct i82559 *i, unsigned command, uint32_t pointer);
bool i82559_rx_run(struct i82559 *i, unsigned budget, uint64_t now);
void i82559_rx_reset(struct i82559 *i);
void i82559_rx_loopback(struct i82559 *i, const struct net_frame *frame);
extern const struct nic_rx_ops i82559_rx_ops;

#endif
