/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_RTL8139_H
#define DEVICE_RTL8139_H

#include "device/eeprom93.h"
#include "device/mii.h"
#include "device/nic_chip.h"
#include "device/nic_head.h"
#include "device/rtl8139_regs.h"

/*
 * RTL8139C+, private to its files:
 *   rtl8139.c           creation, reset, PCI, timer, the worker's step
 *   rtl8139_model.c     options, counters, link
 *   rtl8139_reg.c       the register file
 *   rtl8139_phy.c       EEPROM, MII registers, link
 *   rtl8139_tx.c        the classic transmitter, and what both have in common
 *   rtl8139_tx_desc.c   the C+ transmitter
 *   rtl8139_rx.c        filters, the ring receiver
 *   rtl8139_rx_desc.c   the C+ receiver
 *
 * The register page (nic_shadow.h) is the register file: what has a place there has no other.
 */
enum rtl_post { RTL_POST_TPPOLL, RTL_POST_COUNT };

enum rtl_access {
	RTL_ACC_READ,
	RTL_ACC_ISR,
	RTL_ACC_IMR,
	RTL_ACC_CAPR,
	RTL_ACC_TSD,
	RTL_ACC_TPPOLL,
	RTL_ACC_OTHER,
	RTL_ACC_COUNT
};

#define RTL_TX_BURST 32 /* frames handed to the back-end at once */
#define RTL_TX_DESCS RTL_RING_MAX
#define RTL_TX_IOVS  (RTL_TX_DESCS + 3 * RTL_TX_BURST)

struct rtl_tx_frame {
	unsigned end; /* behind its last descriptor in the burst */
	unsigned segments;
	uint8_t head[NIC_HEAD_MAX];
};

/* A C+ transmit ring. */
struct rtl_ring {
	unsigned base;	   /* the register that has its address */
	unsigned at;	   /* the next descriptor */
	_Atomic bool poll; /* the driver says that there is something */
	bool discard;	   /* in a packet that was given up: until its LS */
};

struct rtl_tx {
	unsigned slot;	     /* classic: the next one */
	unsigned unreported; /* classic: slots that came back since the driver cleared TOK */
	struct rtl_ring high, normal;
	/* C+: what is to be reported yet, of how many descriptors, and when (NIC_WORKER_NEVER). */
	uint32_t held;
	unsigned held_descs;
	uint64_t report_at;

	/* One burst. */
	unsigned ndescs, nframes, niov;
	uint64_t where[RTL_TX_DESCS]; /* the descriptors' addresses */
	unsigned next[RTL_TX_DESCS];  /* the ring's index behind each */
	struct rtl_desc descs[RTL_TX_DESCS];
	struct rtl_tx_frame frames[RTL_TX_BURST];
	struct net_frame out[RTL_TX_BURST];
	struct iovec iov[RTL_TX_IOVS];
};

struct rtl_rx {
	unsigned at;	 /* C+: the next descriptor; classic: the next byte of the ring */
	unsigned needed; /* C+: descriptors that the waiting frame takes */
	/* Classic: when to look whether the driver has forgotten frames, and how often. */
	uint64_t remind, remind_interval;
	uint32_t causes;
};

struct rtl_tally {
	uint64_t tx_ok, rx_ok, tx_err;
	uint32_t rx_err;
	uint16_t missed;
	uint64_t rx_phys, rx_broadcast;
	uint32_t rx_multicast;
	uint16_t tx_abort;
};

struct rtl8139 {
	struct nic_chip chip; /* first */
	bool cplus;	      /* the chip has that mode */
	pthread_mutex_t ring; /* classic receiver: CAPR, CBR and BUFE together; a leaf */
	struct mii phy;
	struct eeprom93 eeprom;
	struct rtl_tx tx;
	struct rtl_rx rx;
	struct rtl_tally tally;
	uint64_t timer_zero; /* when TCTR was 0 */
	uint64_t timer_due;  /* NIC_WORKER_NEVER: no timer interrupt to come */
};

static inline struct rtl8139 *rtl8139_of(struct pci_dev *dev)
{
	return container_of(dev, struct rtl8139, chip.nic.pci);
}

static inline uint8_t rtl_get8(const struct rtl8139 *r, unsigned at)
{
	return nic_shadow_get8(&r->chip.shadow, at);
}

static inline uint16_t rtl_get16(const struct rtl8139 *r, unsigned at)
{
	return nic_shadow_get16(&r->chip.shadow, at);
}

static inline uint32_t rtl_get32(const struct rtl8139 *r, unsigned at)
{
	return nic_shadow_get32(&r->chip.shadow, at);
}

static inline uint64_t rtl_get64(const struct rtl8139 *r, unsigned at)
{
	return rtl_get32(r, at) | (uint64_t)rtl_get32(r, at + 4) << 32;
}

static inline void rtl_set8(struct rtl8139 *r, unsigned at, uint8_t v)
{
	nic_shadow_set8(&r->chip.shadow, at, v);
}

static inline void rtl_set16(struct rtl8139 *r, unsigned at, uint16_t v)
{
	nic_shadow_set16(&r->chip.shadow, at, v);
}

static inline void rtl_set32(struct rtl8139 *r, unsigned at, uint32_t v)
{
	nic_shadow_set32(&r->chip.shadow, at, v);
}

static inline bool rtl_cplus_tx(const struct rtl8139 *r)
{
	return rtl_get16(r, RTL_CPCR) & CPCR_TX;
}

static inline bool rtl_cplus_rx(const struct rtl8139 *r)
{
	return rtl_get16(r, RTL_CPCR) & CPCR_RX;
}

/* rtl8139.c: all with the lock held. */
void rtl8139_soft_reset(struct rtl8139 *r);
void rtl8139_power_on(struct rtl8139 *r);
/** Shows the registers to the guest, or not, as their state allows. */
void rtl8139_show(struct rtl8139 *r);
uint32_t rtl8139_timer_count(const struct rtl8139 *r, uint64_t now);
void rtl8139_timer_set(struct rtl8139 *r, uint64_t now);
void rtl8139_dump_tally(struct rtl8139 *r);

/* rtl8139_reg.c */
extern const struct bus_range_ops rtl8139_bar_ops;
extern const struct nic_post_reg rtl8139_post_regs[RTL_POST_COUNT];

/* rtl8139_phy.c: with the lock held. */
void rtl8139_phy_init(struct rtl8139 *r);
void rtl8139_eeprom_init(struct rtl8139 *r);
/** Reloads what the EEPROM says: address and configuration. */
void rtl8139_eeprom_load(struct rtl8139 *r);
void rtl8139_eeprom_write(struct rtl8139 *r, uint8_t value);
void rtl8139_mii_write(struct rtl8139 *r, unsigned offset, uint16_t value);
/** Brings the registers in line with the PHY; event: the link went through a change. */
void rtl8139_update_link(struct rtl8139 *r, bool event);

/* rtl8139_tx.c: with the lock held. */
/** Sends up to budget frames. Returns whether there is more that can be sent now. */
bool rtl8139_tx_run(struct rtl8139 *r, unsigned budget, uint64_t now);
void rtl8139_tx_reset(struct rtl8139 *r);
bool rtl8139_loopback(const struct rtl8139 *r);
/** Sends tx.out[0 … nframes), or loops them back. Returns how many are gone. */
unsigned rtl8139_send(struct rtl8139 *r, uint64_t now);

/* rtl8139_tx_desc.c: with the lock held. */
/** Back to the start of the ring whose address is in register base. */
void rtl8139_ring_reset(struct rtl_ring *ring, unsigned base);
bool rtl8139_tx_desc_run(struct rtl8139 *r, unsigned budget, uint64_t now);
/** Takes the causes that were held back, for the caller to raise now. */
uint32_t rtl8139_tx_desc_report(struct rtl8139 *r);

/* rtl8139_rx.c: with the lock held. */
bool rtl8139_rx_run(struct rtl8139 *r, unsigned budget, uint64_t now);
void rtl8139_rx_reset(struct rtl8139 *r);
/** The driver moved CAPR, or the ring: whether it is empty now. */
void rtl8139_rx_update(struct rtl8139 *r);
void rtl8139_rx_loopback(struct rtl8139 *r, const struct net_frame *frame);
extern const struct nic_rx_ops rtl8139_rx_ops;

/* rtl8139_rx_desc.c: with the lock held. */
bool rtl8139_rx_desc_room(struct rtl8139 *r);
int rtl8139_rx_desc_deliver(struct rtl8139 *r, const struct iovec *iov, unsigned niov, uint32_t len,
			    unsigned flags, uint32_t status);

#endif
