/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E1000_BED_H
#define TESTS_E1000_BED_H

/* An 82540EM with a driver made of test code: two rings of descriptors, and a buffer for each. */
#include "chip_bed.h"

#include "device/e1000_model.h"
#include "device/e1000_regs.h"

#define BED_TXR	  0x010000ULL
#define BED_RXR	  0x020000ULL
#define BED_TXBUF 0x100000ULL
#define BED_RXBUF 0x200000ULL
#define BED_BUF	  0x4000ULL /* distance of buffers */
#define BED_DESCS 64U

static inline uint32_t rd(struct bed *b, uint32_t reg)
{
	return rd32(b, reg);
}

static inline void wr(struct bed *b, uint32_t reg, uint32_t value)
{
	wr32(b, reg, value);
}

static inline struct e1000_desc *txd(struct bed *b, unsigned i)
{
	return (void *)ram(b, BED_TXR + (i % BED_DESCS) * 16);
}

static inline struct e1000_desc *rxd(struct bed *b, unsigned i)
{
	return (void *)ram(b, BED_RXR + (i % BED_DESCS) * 16);
}

static inline uint8_t *txbuf(struct bed *b, unsigned i)
{
	return ram(b, BED_TXBUF + (i % BED_DESCS) * BED_BUF);
}

static inline uint8_t *rxbuf(struct bed *b, unsigned i)
{
	return ram(b, BED_RXBUF + (i % BED_DESCS) * BED_BUF);
}

/* Puts a descriptor at the driver's tail, which the device is told of by ring(). */
static inline void put_tx(struct bed *b, uint64_t addr, uint32_t lower, uint32_t upper)
{
	*txd(b, b->tx_tail) = (struct e1000_desc){addr, lower, upper};
	b->tx_tail = (b->tx_tail + 1) % BED_DESCS;
}

/* The same with data, copied into the descriptor's own buffer. */
static inline void put_data(struct bed *b, const void *data, uint32_t len, uint32_t cmd,
			    uint32_t upper)
{
	memcpy(txbuf(b, b->tx_tail), data, len);
	put_tx(b, BED_TXBUF + b->tx_tail * BED_BUF, len | cmd, upper);
}

static inline void ring(struct bed *b)
{
	wr(b, REG_TDT, b->tx_tail);
	step(b);
}

static inline void give_rx(struct bed *b, unsigned tail)
{
	wr(b, REG_RDT, tail % BED_DESCS);
	step(b);
}

static inline void rx_ring_fill(struct bed *b)
{
	for (unsigned i = 0; i < BED_DESCS; i++)
		*rxd(b, i) = (struct e1000_desc){BED_RXBUF + i * BED_BUF, 0, 0};
}

static inline void bed_up_quietly(struct bed *b, uint32_t rctl)
{
	b->tx_tail = b->rx_head = 0;
	memset(ram(b, BED_TXR), 0, BED_DESCS * 16);
	wr(b, REG_TDBAL, BED_TXR);
	wr(b, REG_TDBAH, 0);
	wr(b, REG_TDLEN, BED_DESCS * 16);
	wr(b, REG_TDH, 0);
	wr(b, REG_TDT, 0);
	wr(b, REG_TCTL, TCTL_EN | TCTL_PSP);
	rx_ring_fill(b);
	wr(b, REG_RDBAL, BED_RXR);
	wr(b, REG_RDBAH, 0);
	wr(b, REG_RDLEN, BED_DESCS * 16);
	wr(b, REG_RDH, 0);
	wr(b, REG_RDT, BED_DESCS - 1);
	wr(b, REG_RXCSUM, 0x300);
	wr(b, REG_RCTL, RCTL_EN | RCTL_BAM | rctl);
}

static inline void bed_up(struct bed *b, uint32_t rctl)
{
	bed_up_quietly(b, rctl);
	step(b);
}

static inline void bed_make(struct bed *b, uint32_t offloads, bool post, bool threaded)
{
	struct nic_chip_setup setup = bed_setup(b, offloads, threaded);
	struct error err = {0};

	setup.post = post;
	b->run = threaded ? NULL : e1000_step;
	if (e1000_create(&setup, post, &b->nic, &err))
		fail_msg("%s", err.text);
	bed_add(b, 0, 2);
}

static inline void bed_init_post(struct bed *b, uint32_t offloads, bool post)
{
	bed_make(b, offloads, post, false);
}

/* With a worker of its own and real time: step() and pass() are not for this. */
static inline void bed_init_threaded(struct bed *b, bool post)
{
	bed_make(b, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO, post, true);
}

static inline void bed_init(struct bed *b)
{
	bed_init_post(b, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO, false);
}

/* TCP over IPv4 or IPv6 with payload bytes behind 20 bytes of TCP header; returns the length. */
static inline uint32_t make_tcp(uint8_t *f, int version, uint32_t payload)
{
	unsigned l3 = ETHER_HLEN, l4 = l3 + (version == 4 ? IPV4_HLEN : IPV6_HLEN);
	uint32_t len = l4 + TCP_HLEN + payload;

	make_frame(f, len, bed_mac);
	store_be16(f + 12, version == 4 ? ETHER_IPV4 : ETHER_IPV6);
	if (version == 4) {
		memcpy(f + l3, "\x45\x00\0\0\x12\x34\x40\x00\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02",
		       20);
		store_be16(f + l3 + IPV4_LEN, (uint16_t)(len - l3));
	} else {
		memset(f + l3, 0, IPV6_HLEN);
		f[l3] = 0x60;
		f[l3 + IPV6_NEXT] = IP_PROTO_TCP;
		f[l3 + 7] = 64;
		f[l3 + IPV6_SRC] = f[l3 + IPV6_DST] = 0xfd;
		f[l3 + IPV6_SRC + 15] = 1;
		f[l3 + IPV6_DST + 15] = 2;
		store_be16(f + l3 + IPV6_LEN, (uint16_t)(len - l3 - IPV6_HLEN));
	}
	memcpy(f + l4, "\x12\x34\x00\x50\0\0\x10\0\0\0\x20\0\x50\x19\x10\0\0\0\0\0", 20);
	return len;
}

/* A context descriptor for such a frame. */
static inline void put_context(struct bed *b, int version, uint32_t cmd, uint16_t mss,
			       uint32_t paylen)
{
	uint64_t l3 = ETHER_HLEN, l4 = l3 + (version == 4 ? IPV4_HLEN : IPV6_HLEN);
	uint64_t ip = l3 | (l3 + IPV4_CHECK) << 8 | (l4 - 1) << 16;
	uint64_t tcp = l4 | (l4 + TCP_CHECK) << 8;

	put_tx(b, ip | tcp << 32,
	       paylen | TXD_DEXT | TXD_TUCMD_TCP | (version == 4 ? TXD_TUCMD_IP : 0) | cmd,
	       (uint32_t)(l4 + TCP_HLEN) << 8 | (uint32_t)mss << 16);
}

#define DATA_DESC (TXD_DEXT | TXD_DTYP_DATA << TXD_DTYP_SHIFT)

#endif
