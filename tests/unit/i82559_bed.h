/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_I82559_BED_H
#define TESTS_I82559_BED_H

/* An 82559 with a driver made of test code: a circle of command blocks and one of RFDs. */
#include "chip_bed.h"

#include "device/i82559_model.h"
#include "device/i82559_regs.h"
#include "device/mii.h"

#define CBL	 0x010000ULL /* command blocks, a page each */
#define RFA	 0x100000ULL /* receive descriptors with their data */
#define BUFS	 0x200000ULL
#define CBS	 32U
#define RFDS	 16U
#define RFD_DIST 0x1000ULL
#define RFD_ROOM 1520U

static inline void i559_bed_make(struct bed *b, bool post, bool threaded)
{
	struct nic_chip_setup setup = bed_setup(b, NET_OFFLOAD_CSUM, threaded);
	struct error err = {0};

	setup.post = post;
	setup.shadow = true;
	b->run = threaded ? NULL : i82559_step;
	if (i82559_create(&setup, &b->nic, &err))
		fail_msg("%s", err.text);
	bed_add(b, 0, 1);
}

static inline void i559_bed_init_post(struct bed *b, bool post)
{
	i559_bed_make(b, post, false);
}

static inline uint64_t cb_at(unsigned i)
{
	return CBL + i % CBS * 0x1000;
}

static inline uint8_t *cb(struct bed *b, unsigned i)
{
	return ram(b, cb_at(i));
}

static inline uint64_t rfd_at(unsigned i)
{
	return RFA + i % RFDS * RFD_DIST;
}

static inline uint8_t *rfd(struct bed *b, unsigned i)
{
	return ram(b, rfd_at(i));
}

/* A block linked to the next in the circle. */
static inline uint8_t *put_cb(struct bed *b, unsigned i, uint16_t command)
{
	uint8_t *p = cb(b, i);

	store_le16(p, 0);
	store_le16(p + 2, command);
	store_le32(p + 4, (uint32_t)cb_at(i + 1));
	return p;
}

/* As Linux does: S in the new block, then no S in the one before, then resume. */
static inline void submit(struct bed *b, unsigned i, uint16_t command)
{
	uint8_t *prev = cb(b, i + CBS - 1);

	put_cb(b, i, command | CB_S);
	store_le16(prev + 2, load_le16(prev + 2) & (uint16_t)~CB_S);
	wr8(b, CSR_CMD, CU_RESUME << 4);
}

static inline void put_tx(struct bed *b, unsigned i, const void *data, uint32_t len)
{
	uint8_t *p = cb(b, i);
	uint64_t buf = BUFS + i % CBS * 0x1000;

	memcpy(ram(b, buf), data, len);
	store_le32(p + 8, (uint32_t)cb_at(i) + 16);
	store_le16(p + 12, 0);
	p[14] = 0xe0;
	p[15] = 1;
	store_le32(p + 16, (uint32_t)buf);
	store_le32(p + 20, len);
}

static inline void cu_start(struct bed *b, unsigned i)
{
	wr32(b, CSR_POINTER, (uint32_t)cb_at(i));
	wr8(b, CSR_CMD, CU_START << 4);
	step(b);
}

/* One command by itself. */
static inline uint16_t command(struct bed *b, uint16_t op)
{
	put_cb(b, CBS - 1, op | CB_EL);
	cu_start(b, CBS - 1);
	return load_le16(cb(b, CBS - 1));
}

static inline void put_rfd(struct bed *b, unsigned i, uint16_t cmd, uint16_t size)
{
	uint8_t *p = rfd(b, i);

	memset(p, 0, 16);
	store_le16(p + 2, cmd);
	store_le32(p + 4, (uint32_t)rfd_at(i + 1));
	store_le16(p + 14, size);
}

static inline void ru_start(struct bed *b, unsigned i)
{
	wr32(b, CSR_POINTER, (uint32_t)rfd_at(i));
	wr8(b, CSR_CMD, RU_START);
	step(b);
}

/* The configuration that Linux's driver writes for an 82559, and what a test changes in it. */
static inline void configure(struct bed *b, unsigned byte, uint8_t or)
{
	static const uint8_t linux_config[22] = {
		0x16, 0x08, 0x00, 0x01, 0x00, 0x00, 0x26, 0x07, 0x01, 0x00, 0x2e,
		0x00, 0x60, 0x00, 0xf2, 0x48, 0x00, 0x40, 0xfa, 0x80, 0x3f, 0x05,
	};
	uint8_t *p = cb(b, CBS - 1) + 8;

	memcpy(p, linux_config, sizeof(linux_config));
	p[byte] |= or ;
	assert_int_equal(command(b, OP_CONFIGURE), CB_C | CB_OK);
}

/* Running, with a circle of receive descriptors whose last but one is marked as Linux does. */
static inline void i559_up(struct bed *b)
{
	configure(b, 0, 0);
	put_cb(b, 0, OP_NOP | CB_S);
	cu_start(b, 0);
	for (unsigned i = 0; i < RFDS; i++)
		put_rfd(b, i, i == RFDS - 2 ? RFD_EL : 0, i == RFDS - 2 ? 0 : RFD_ROOM);
	ru_start(b, 0);
	pass(b, 2 * NSEC_PER_MSEC);
	wr8(b, CSR_STAT_ACK, 0xff);
}

#endif
