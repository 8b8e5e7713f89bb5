/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_E1000_H
#define DEVICE_E1000_H

#include "device/e1000_regs.h"
#include "device/eeprom93.h"
#include "device/mii.h"
#include "device/nic_chip.h"
#include "device/nic_head.h"

/*
 * Intel 82540EM, private to its files:
 *   e1000.c        creation, reset, PCI, link, counters, the worker's step
 *   e1000_reg.c    the register file and who handles what
 *   e1000_tx.c     transmit descriptors to frames
 *   e1000_rx.c     frames to receive descriptors, filters
 *   e1000_phy.c    PHY and EEPROM
 *   e1000_stats.c  statistics registers
 */

/* The registers that are posted (device/nic_post.h). */
enum e1000_post { E1000_POST_TDT, E1000_POST_RDT, E1000_POST_IMS, E1000_POST_OTHERS };

/* What a context descriptor sets (3.3.6). */
struct e1000_context {
	uint8_t ipcss, ipcso, tucss, tucso;
	uint16_t ipcse, tucse;
	uint8_t hdrlen;
	uint16_t mss;
	uint32_t paylen;
	bool tcp, ipv4;
};

/* Interrupt delay timers (13.4: RDTR, RADV, TIDV, TADV): absolute times, NIC_WORKER_NEVER when off. */
struct e1000_delay {
	uint64_t packet, absolute;
};

#define E1000_TX_BURST 32   /* frames handed to the back-end at once */
#define E1000_TX_DESCS 512  /* … made of at most so many descriptors */
#define E1000_TX_PARTS 256  /* parts of one frame at most */
#define E1000_TX_IOVS  1024 /* of a burst */

/* A frame under construction or on its way to the back-end. */
struct e1000_tx_frame {
	unsigned first;	   /* its first descriptor in the burst */
	unsigned segments; /* frames on the wire */
	uint32_t bytes;	   /* as the driver gave it */
	bool tso;
	struct e1000_context ctx, tso_ctx; /* as they were in front of it */
	uint8_t head[NIC_HEAD_MAX];	   /* private copy of headers */
};

struct e1000_tx {
	struct e1000_context ctx, tso; /* the two contexts */
	bool discard;		       /* in a chain that was given up: until its EOP */
	struct e1000_delay delay;
	unsigned unreported; /* descriptors given back since the last TXDW */

	/* One burst. */
	unsigned ndescs, nframes, niov;
	struct e1000_desc descs[E1000_TX_DESCS];
	struct e1000_tx_frame frames[E1000_TX_BURST];
	struct net_frame out[E1000_TX_BURST];
	struct iovec iov[E1000_TX_IOVS];
};

/* A stalled ring that got only few descriptors back goes on after this time. */
#define E1000_RESUME_NS (200 * NSEC_PER_USEC)

struct e1000_rx {
	struct e1000_delay delay;
	unsigned room_needed; /* descriptors that the frame at hand takes */
	bool low;	      /* fewer free descriptors than RDMTS says */
	uint32_t burst_causes;
};

/* Counted: where accesses that left the kernel, or were posted, went. */
enum e1000_access {
	E1000_ACC_ICR,
	E1000_ACC_STATUS,
	E1000_ACC_IMS,
	E1000_ACC_IMC,
	E1000_ACC_TDT,
	E1000_ACC_RDT,
	E1000_ACC_OTHER,
	E1000_ACC_COUNT
};

struct e1000 {
	struct nic_chip chip; /* first */
	bool moderate;	      /* option moderation=on */

	/* Everything from here on is under the chip's lock, except what is _Atomic. */
	struct mii phy;
	struct eeprom93 eeprom;
	uint32_t ioaddr;

	_Atomic uint32_t status; /* STATUS, read without the lock */
	_Atomic uint32_t tdt, rdt;
	uint32_t tdh, rdh;
	uint32_t reg[0x6000 / 4]; /* by offset; what has no state of its own elsewhere */
	uint32_t ffmt[256], ffvt[256];
	struct e1000_tx tx;
	struct e1000_rx rx;
	uint64_t octets_rx_good, octets_tx_good, octets_rx, octets_tx;
};

#define E1000_REG(e, offset) ((e)->reg[(offset) / 4])

static inline struct e1000 *e1000_of(struct pci_dev *dev)
{
	return container_of(dev, struct e1000, chip.nic.pci);
}

/* e1000.c */
void e1000_reset_mac(struct e1000 *e);
void e1000_update_link(struct e1000 *e, bool event);

/* e1000_reg.c */
extern const struct bus_range_ops e1000_mmio_ops, e1000_io_ops;
void e1000_reg_reset(struct e1000 *e);
#define E1000_POSTS 7
extern const struct nic_post_reg e1000_post_regs[E1000_POSTS];

/* e1000_tx.c: with the lock held. */
/** Sends up to budget frames. Returns whether there is more that can be sent now. */
bool e1000_tx_run(struct e1000 *e, unsigned budget, uint64_t now);
/** When it has to run again by itself: delayed causes, a back-end to be asked again. */
uint64_t e1000_tx_due(const struct e1000 *e);
void e1000_tx_reset(struct e1000 *e);
/** TXDW was set. */
void e1000_tx_reported(struct e1000 *e);

/* e1000_rx.c: with the lock held. */
/** Receives up to budget frames. Returns whether there may be more to receive now. */
bool e1000_rx_run(struct e1000 *e, unsigned budget, uint64_t now);
void e1000_rx_reset(struct e1000 *e);
/** A frame that comes back: MAC or PHY loopback. */
void e1000_rx_loopback(struct e1000 *e, const struct net_frame *frame);
extern const struct nic_rx_ops e1000_rx_ops; /* called with the struct e1000 */
bool e1000_loopback(const struct e1000 *e);
/** Free receive descriptors, 0 if the ring makes no sense. */
unsigned e1000_rx_free(const struct e1000 *e);

/* Delay timers. */
void e1000_delay_start(struct e1000_delay *delay, uint32_t packet, uint32_t absolute, uint64_t now);
bool e1000_delay_expired(struct e1000_delay *delay, uint64_t now);
void e1000_delay_stop(struct e1000_delay *delay);

/* e1000_phy.c */
void e1000_phy_init(struct e1000 *e);
void e1000_eeprom_init(struct e1000 *e);
void e1000_eeprom_load(struct e1000 *e);
void e1000_mdic_write(struct e1000 *e, uint32_t value);
uint32_t e1000_eecd_read(struct e1000 *e);
void e1000_eecd_write(struct e1000 *e, uint32_t value);
void e1000_eerd_write(struct e1000 *e, uint32_t value);

/* e1000_stats.c */
uint32_t e1000_stats_read(struct e1000 *e, uint32_t offset);
void e1000_stats_rx(struct e1000 *e, const uint8_t *dst, uint32_t len);
/** n frames of that length. */
void e1000_stats_tx(struct e1000 *e, const uint8_t *dst, uint32_t len, unsigned n);
void e1000_stats_add(struct e1000 *e, uint32_t offset, uint64_t n);
void e1000_stats_reset(struct e1000 *e);

/* Offsets of statistics registers that others count in. */
#define STAT_MPC    0x4010
#define STAT_ROC    0x40ac
#define STAT_RUC    0x40a4
#define STAT_TSCTC  0x40f8
#define STAT_TSCTFC 0x40fc

#endif
