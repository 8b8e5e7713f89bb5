/* SPDX-License-Identifier: Apache-2.0 */
/* The 82559: lists of commands and of receive descriptors, of any shape. */
#include "fuzz_chip.h"

#include "device/i82559_model.h"
#include "device/i82559_regs.h"

#define CBL  0x1000U
#define RFA  0x9000U
#define BUFS 0x20000U
#define CBS  32U
#define RFDS 16U

static unsigned tail;

static uint32_t cb_at(unsigned i)
{
	return CBL + i % CBS * 0x200;
}

static uint32_t rfd_at(unsigned i)
{
	return RFA + i % RFDS * 0x700;
}

static void up(struct chip_run *r)
{
	tail = 0;
	memset(area + cb_at(0), 0, 16);
	store_le16(area + cb_at(0) + 2, CB_S);
	store_le32(area + cb_at(0) + 4, cb_at(1));
	chip_write(r, CSR_CMD, RU_ABORT, 1);
	chip_write(r, CSR_POINTER, cb_at(0), 4);
	chip_write(r, CSR_CMD, CU_START << 4, 1);
	for (unsigned i = 0; i < RFDS; i++) {
		memset(area + rfd_at(i), 0, 16);
		store_le16(area + rfd_at(i) + 2, i == RFDS - 2 ? RFD_EL : 0);
		store_le32(area + rfd_at(i) + 4, rfd_at(i + 1));
		store_le16(area + rfd_at(i) + 14, i == RFDS - 2 ? 0 : 1520);
	}
	chip_write(r, CSR_POINTER, rfd_at(0), 4);
	chip_write(r, CSR_CMD, RU_START, 1);
}

/* A block behind the last; mostly well formed. */
static void put_cb(struct chip_run *r)
{
	uint8_t how = fuzz_u8(&r->in), *prev = area + cb_at(tail), *p = area + cb_at(++tail);
	uint16_t command = fuzz_u16(&r->in);

	store_le32(p + 4, how & 1 ? fuzz_u16(&r->in) : cb_at(tail + 1));
	store_le32(p + 8, how & 2 ? fuzz_u32(&r->in) : cb_at(tail) + 16);
	store_le16(p + 12, how & 4 ? fuzz_u16(&r->in) : 0);
	p[15] = how & 8 ? fuzz_u8(&r->in) : 1;
	for (unsigned i = 16; i < 32; i += 8) {
		store_le32(p + i, how & 16 ? fuzz_u32(&r->in) : BUFS + (fuzz_u16(&r->in) & 0xfff));
		store_le32(p + i + 4, fuzz_u16(&r->in) & 0x7ff);
	}
	store_le32(p, (uint32_t)command << 16);
	store_le16(prev + 2, load_le16(prev + 2) & (uint16_t)~CB_S);
	if (how & 32)
		chip_write(r, CSR_CMD, CU_RESUME << 4, 1);
}

static void more(struct chip_run *r)
{
	uint8_t what = fuzz_u8(&r->in);

	switch (what % 4) {
	case 0:
	case 1:
		put_cb(r);
		break;
	case 2:
		store_le16(area + rfd_at(what >> 2) + 2, fuzz_u16(&r->in));
		store_le16(area + rfd_at(what >> 2) + 14, fuzz_u16(&r->in) & 0x7ff);
		break;
	case 3:
		chip_write(r, CSR_POINTER, fuzz_u16(&r->in), 4);
		chip_write(r, CSR_CMD, fuzz_u8(&r->in), 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct chip_target target = {
		.create = i82559_create,
		.step = i82559_step,
		.up = up,
		.more = more,
		.mem_bar = 0,
		.io_bar = 1,
		.registers = 64,
	};

	return chip_fuzz(&target, data, size);
}
