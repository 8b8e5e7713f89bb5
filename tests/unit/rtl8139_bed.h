/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RTL8139_BED_H
#define TESTS_RTL8139_BED_H

/* An RTL8139 with a driver made of test code, in both its modes. */
#include "chip_bed.h"

#include "device/mii.h"
#include "device/rtl8139_model.h"
#include "device/rtl8139_regs.h"

#define RTL_TXR	  0x010000ULL /* C+ rings */
#define RTL_TXH	  0x011000ULL
#define RTL_RXR	  0x012000ULL
#define RTL_TXBUF 0x100000ULL
#define RTL_RXBUF 0x200000ULL
#define RTL_BUF	  0x4000ULL   /* distance of buffers */
#define RTL_RING  0x300000ULL /* classic */
#define RTL_DESCS 16U

static inline void rtl_bed_make(struct bed *b, bool cplus, uint32_t offloads, bool post,
				bool threaded)
{
	struct nic_chip_setup setup = bed_setup(b, offloads, threaded);
	struct error err = {0};

	setup.post = post;
	setup.shadow = true;
	b->run = threaded ? NULL : rtl8139_step;
	if (rtl8139_create(&setup, cplus, &b->nic, &err))
		fail_msg("%s", err.text);
	bed_add(b, 1, 0);
}

static inline void rtl_bed_init_post(struct bed *b, bool cplus, uint32_t offloads, bool post)
{
	rtl_bed_make(b, cplus, offloads, post, false);
}

static inline void rtl_bed_init(struct bed *b, bool cplus)
{
	rtl_bed_init_post(b, cplus, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO, false);
}

static inline struct rtl_desc *txd(struct bed *b, unsigned i)
{
	return (void *)ram(b, RTL_TXR + i % RTL_DESCS * 16);
}

static inline struct rtl_desc *rxd(struct bed *b, unsigned i)
{
	return (void *)ram(b, RTL_RXR + i % RTL_DESCS * 16);
}

static inline uint8_t *rxbuf(struct bed *b, unsigned i)
{
	return ram(b, RTL_RXBUF + i % RTL_DESCS * RTL_BUF);
}

static inline uint32_t eor(unsigned i)
{
	return i % RTL_DESCS == RTL_DESCS - 1 ? DESC_EOR : 0;
}

/* Gives the device a buffer of size bytes. */
static inline void rtl_give_rx(struct bed *b, unsigned i, uint32_t size)
{
	*rxd(b, i) =
		(struct rtl_desc){DESC_OWN | eor(i) | size, 0, RTL_RXBUF + i % RTL_DESCS * RTL_BUF};
}

/* C+ mode with rings of RTL_DESCS; everything for us and broadcasts, and what rcr adds. */
static inline void rtl_up_cplus(struct bed *b, uint32_t rcr)
{
	memset(ram(b, RTL_TXR), 0, RTL_DESCS * 16);
	memset(ram(b, RTL_TXH), 0, RTL_DESCS * 16);
	for (unsigned i = 0; i < RTL_DESCS; i++)
		rtl_give_rx(b, i, 1536);
	wr16(b, RTL_CPCR, CPCR_RX | CPCR_TX | CPCR_RXCSUM | CPCR_RXVLAN);
	wr32(b, RTL_RDSAR, RTL_RXR);
	wr32(b, RTL_RDSAR + 4, 0);
	wr32(b, RTL_TNPDS, RTL_TXR);
	wr32(b, RTL_TNPDS + 4, 0);
	wr32(b, RTL_THPDS, RTL_TXH);
	wr32(b, RTL_THPDS + 4, 0);
	wr8(b, RTL_CR, CR_RE | CR_TE);
	wr32(b, RTL_RCR, RCR_APM | RCR_AB | rcr);
	step(b);
}

/* Classic mode with a receive ring of 8 KiB. */
static inline void rtl_up_classic(struct bed *b, uint32_t rcr)
{
	wr32(b, RTL_RBSTART, RTL_RING);
	wr8(b, RTL_CR, CR_RE | CR_TE);
	wr32(b, RTL_RCR, RCR_APM | RCR_AB | rcr);
	for (unsigned i = 0; i < 4; i++)
		wr32(b, RTL_TSAD0 + 4 * i, (uint32_t)(RTL_TXBUF + i * RTL_BUF));
	step(b);
}

/* A descriptor with data in its own buffer. */
static inline void rtl_put_tx(struct bed *b, unsigned i, const void *data, uint32_t len,
			      uint32_t opts1, uint32_t opts2)
{
	uint64_t at = RTL_TXBUF + i % RTL_DESCS * 0x10000;

	memcpy(ram(b, at), data, len);
	*txd(b, i) = (struct rtl_desc){DESC_OWN | eor(i) | opts1 | len, opts2, at};
}

static inline void rtl_poll(struct bed *b)
{
	wr8(b, RTL_TPPOLL, TPPOLL_NPQ);
	step(b);
}

#endif
